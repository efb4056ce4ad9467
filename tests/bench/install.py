"""Installs each peer into an environment of its own, `.venv-bench/<peer>`, with every package pinned."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / "peers"


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
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "-r", str(requirements)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled((done.stderr.strip() or "no message").splitlines()[-1])
    ready.write_text(wanted)
    return python
