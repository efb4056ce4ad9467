"""Installs each peer into an environment of its own, `.venv-bench/<peer>`, with every package pinned."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / "peers"

NEWER = {"decontaminators": (3, 12)}
"""The oldest Python of peers that do not run in every Python that Tamis runs in."""


class NotInstalled(Exception):
    """A peer that cannot be installed here; the message is the installer's last word."""


def python_of(peer: str, environments: Path) -> str:
    """The Python of the peer's environment, made or made anew when its requirements are others than it was made for."""
    requirements = PEERS / peer / "requirements.txt"
    folder = environments / peer
    ready, wanted = folder / ".ready", hashlib.sha256(requirements.read_bytes()).hexdigest()
    python = str(folder / "bin" / "python")
    if ready.exists() and ready.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {peer} …", file=sys.stderr, flush=True)
    for command in (
        [_interpreter(NEWER.get(peer, (3, 11))), "-m", "venv", str(folder)],
        [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "-r", str(requirements)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled((done.stderr.strip() or "no message").splitlines()[-1])
    ready.write_text(wanted)
    return python


def _interpreter(least: tuple[int, int]) -> str:
    """This Python, or one of the search path that is as new as `least`. Raises NotInstalled without one."""
    for name in (sys.executable, *(f"python3.{minor}" for minor in range(least[1], least[1] + 5))):
        if found := shutil.which(name):
            done = subprocess.run([found, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
            if done.returncode == 0 and tuple(map(int, done.stdout.split())) >= least:
                return found
    raise NotInstalled(f"it needs Python {least[0]}.{least[1]} or newer, and the search path has none")
