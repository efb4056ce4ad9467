"""One run at a time in a run directory: a claim on it that no way of dying leaves behind.

Two drivers, or a driver and a worker that a killed one left, would write into each other's files. So a driver plans alone and
then shares the directory with its workers. The claim is a lock (`flock`) on the directory itself, which the system releases.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import Literal

from transforms import storage
from transforms.errors import RunError

_PATIENCE = 5.0
"""Seconds to wait for the workers of a killed driver to end. They take a fraction of one."""

_LOCKS = {"alone": fcntl.LOCK_EX, "shared": fcntl.LOCK_SH}


class Claim:
    """Holds a run directory, made if missing, for this process. Object stores, and file systems without locks, know no claims.

    Raises RunError when somebody else is at work there, or when the directory cannot be written.
    """

    def __init__(self, run: str, kind: Literal["alone", "shared"]) -> None:
        self._run = run
        self._path = storage.local_path(run)
        self._kind = kind
        self._lock: int | None = None
        self._made = False

    def __enter__(self) -> Claim:
        if self._path is None or self._path.is_file():
            return self
        self._made = not self._path.exists()
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise RunError(
                f"cannot write the run directory '{self._run}': {error.strerror}. Name another with --output"
            ) from None
        self._take(_LOCKS[self._kind])
        return self

    def share(self) -> None:
        """Lets this process's workers in, and nobody who wants to be alone."""
        self._take(_LOCKS["shared"])

    def __exit__(self, *_: object) -> None:
        if self._lock is None or self._path is None:
            return
        if self._made and not any(self._path.iterdir()):
            self._path.rmdir()  # a run that could not begin leaves nothing
        os.close(self._lock)

    def _take(self, kind: int) -> None:
        until = time.monotonic() + _PATIENCE
        while self._lock is not None:
            try:
                fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise RunError(
                        f"another run is at work in '{self._run}'; wait for it, or name another directory with --output"
                    ) from None
                time.sleep(0.1)
            except OSError:
                return  # a file system without locks
