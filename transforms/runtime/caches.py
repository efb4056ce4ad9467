"""Finds the folder for what one run makes and the next can use: beside the environment, or where the user may write."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def places(name: str, chosen: str | None = None) -> list[Path]:
    """Where the folder `name` may be: in `chosen` or the environment, in the user's cache, among temporary files.

    The best comes first. The last may have been made by strangers.
    """
    own = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    homes = [Path(chosen) if chosen else Path(sys.prefix, "var")]
    if os.path.isabs(own):
        homes.append(Path(own))
    return [*(home / name for home in homes), Path(tempfile.gettempdir(), f"{name}-{os.getuid()}")]


def first_writable(found: list[Path]) -> Path | None:
    """The first of `found` in which files can be made, and it made; the last only where nobody else can make any."""
    return next((place for place in found if _writable(place, private=place is found[-1])), None)


def _writable(place: Path, private: bool) -> bool:
    try:
        place.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
        state = place.lstat()
    except OSError:
        return False
    foreign = place.is_symlink() or state.st_uid != os.getuid() or state.st_mode & 0o022
    return os.access(place, os.W_OK | os.X_OK) and not (private and foreign)
