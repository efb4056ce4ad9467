"""One run at a time in a run directory: a claim on it that no way of dying leaves behind.

Two drivers, or a driver and a worker that a killed one left, would write into each other's files. So a driver plans alone and
then shares the directory with its workers. On disk the claim is a lock (`flock`) on the directory, which the system releases.

On an object store it is a lease: the object `.lease`, put there on the condition that there is none and beaten again every few
seconds. A lease that is not beaten for `LEASE` seconds is dead, and whoever saw that takes it over, on the condition that it
still is the one they saw. No clock is compared with another: each side measures how long it waited.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import threading
import time
from types import FrameType, TracebackType
from typing import Literal, NoReturn

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError

_PATIENCE = 5.0
"""Seconds to wait for the workers of a killed driver to end. They take a fraction of one."""

_LOCKS = {"alone": fcntl.LOCK_EX, "shared": fcntl.LOCK_SH}

LEASE = float(os.environ.get("TAMIS_LEASE", 60))
"""Seconds without a beat after which a driver on an object store has died. Its own beats are six times as frequent."""


class RunLock:
    """Holds a run directory, made if missing, for this process. File systems without locks know no claims.

    Raises RunError when somebody else is at work there, or when the directory cannot be written.
    """

    def __init__(self, run: str, kind: Literal["alone", "shared"]) -> None:
        self._run = run
        self._path = storage.local_path(run)
        self._kind = kind
        self._lock: int | None = None
        self._lease: _Lease | None = None
        self._made = False

    def __enter__(self) -> RunLock:
        if self._path is None:
            if self._kind == "alone":  # workers on a store end when their driver's successor clears its files away
                self._lease = _Lease(self._run)
            return self
        if self._path.is_file():
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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lease is not None:
            self._lease.release()
            if self._lease.lost:
                raise _busy(self._run) from None
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
                    raise _busy(self._run) from None
                time.sleep(0.1)
            except OSError:
                return  # a file system without locks


class _Lease:
    """A lease on a run on an object store, and the thread that keeps it. A driver that loses it is interrupted.

    By SIGUSR1, since a shell that starts a command in the background has it ignore SIGINT. Outside the main thread, where no
    signal arrives, a driver learns at its end that it lost the lease.
    """

    def __init__(self, run: str) -> None:
        self._uri = storage.join(run, ".lease")
        self._holder = {"host": socket.gethostname(), "process": os.getpid(), "token": secrets.token_hex(8)}
        self._beats = 0
        self.lost = False
        self._version = self._put(None)
        if self._version is None:
            self._version = self._put(self._dead(run))
        if self._version is None:
            raise _busy(run)
        self._driver = threading.get_ident() if threading.current_thread() is threading.main_thread() else None
        if self._driver:
            signal.signal(signal.SIGUSR1, _interrupt)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._ended.set()
        self._thread.join()
        if self._driver:
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        if not self.lost:
            storage.remove(self._uri)

    def _put(self, version: str | None) -> str | None:
        self._beats += 1
        return storage.swap(self._uri, json.dumps({**self._holder, "beat": self._beats}).encode(), version)

    def _dead(self, run: str) -> str | None:
        """The version of the lease that somebody has, once it was not beaten for `LEASE` seconds; None if it went away."""
        first = _version(self._uri)
        until = time.monotonic() + LEASE
        while time.monotonic() < until:
            time.sleep(LEASE / 30)
            now = _version(self._uri)
            if now is None:
                return None
            if now != first:
                raise _busy(run)
        return first

    def _keep(self) -> None:
        beaten = time.monotonic()
        while not self._ended.wait(LEASE / 6):
            try:
                version = self._put(self._version)
            except OSError:
                version = self._version  # the store may come back before the lease ends
            else:
                beaten = time.monotonic()
            if version is None or time.monotonic() > beaten + LEASE:
                self.lost = True
                if self._driver:
                    signal.pthread_kill(self._driver, signal.SIGUSR1)
                return
            self._version = version


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _version(uri: str) -> str | None:
    try:
        return storage.entry(uri).version
    except FileNotFoundError:
        return None


def _busy(run: str) -> RunError:
    return RunError(f"another run is at work in '{run}'; wait for it, or name another directory with --output")


def held(run: str) -> bool | None:
    """Whether somebody is at work in a run directory, without a wait; None where no lock can tell, as on an object store."""
    path = storage.local_path(run)
    if path is None or not path.is_dir():
        return None
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(lock)
    return False
