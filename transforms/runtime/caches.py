"""Finds a writable folder for files that one run makes and later runs reuse."""

import os
import sys
import tempfile
from pathlib import Path


def candidate_folders(name: str, preferred: str | None = None) -> list[Path]:
    """The possible homes of the folder `name`, best first.

    They are in `preferred` or the environment, in the user's cache, and among the temporary files,
    where a stranger may have made a folder of this name.
    """
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    homes = [Path(preferred) if preferred else Path(sys.prefix, "var")]
    if os.path.isabs(user_cache):
        homes.append(Path(user_cache))
    return [*(home / name for home in homes), Path(tempfile.gettempdir(), f"{name}-{os.getuid()}")]


def first_writable(folders: list[Path]) -> Path | None:
    """Makes the first writable folder; the last only if nobody else can write to it."""
    return next((folder for folder in folders if _is_writable(folder, private=folder is folders[-1])), None)


def _is_writable(folder: Path, private: bool) -> bool:
    try:
        folder.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    shared = folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022
    return os.access(folder, os.W_OK | os.X_OK) and not (private and shared)
