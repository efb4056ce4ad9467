"""Keeps two runs out of one directory with a lock that is released however the process dies.

Two drivers, or a driver and a worker that a killed driver left, would overwrite each other's files.
A driver therefore plans with an exclusive lock, then shares the directory with its workers. On disk
the lock is an `flock` on the directory.

On an object store the lock is a lease: the object `.lease`, created with a conditional PUT and
renewed every few seconds. A lease that is not renewed for `LEASE_SECONDS` has expired; the next
driver replaces it, if it has not changed since. Clocks are never compared: each side measures how
long it waited.
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

WAIT_SECONDS = 5.0  # for the workers of a killed driver to exit; they take less than one
LEASE_SECONDS = float(os.environ.get("TAMIS_LEASE", 60))  # a driver renews six times as often

_FLOCK = {"exclusive": fcntl.LOCK_EX, "shared": fcntl.LOCK_SH}


class RunLock:
    """Locks a run directory for this process, and creates it if it is missing. Raises RunError if
    another run holds the lock, or if the directory cannot be written. Does nothing on file systems
    without locks."""

    def __init__(self, run: str, mode: Literal["exclusive", "shared"]) -> None:
        self._run, self._path, self._mode = run, storage.local_path(run), mode
        self._descriptor: int | None = None
        self._lease: _Lease | None = None
        self._created = False

    def __enter__(self) -> RunLock:
        if self._path is None:
            if self._mode == "exclusive":  # workers exit when the next driver removes their files
                self._lease = _Lease(self._run)
            return self
        if self._path.is_file():
            return self
        self._created = not self._path.exists()
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise not_writable(self._run, error) from None
        self._acquire(_FLOCK[self._mode])
        return self

    def share(self) -> None:
        """Turns an exclusive lock into a shared one, for this process and its workers."""
        self._acquire(_FLOCK["shared"])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lease is not None:
            self._lease.release()
            if self._lease.lost:
                raise in_use(self._run) from None
        if self._descriptor is None or self._path is None:
            return
        if self._created and not any(self._path.iterdir()):
            self._path.rmdir()  # a run that could not start leaves nothing behind
        os.close(self._descriptor)

    def _acquire(self, operation: int) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self._descriptor is not None:
            try:
                fcntl.flock(self._descriptor, operation | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise in_use(self._run) from None
                time.sleep(0.1)
            except OSError:
                return  # a file system without locks


class _Lease:
    """A lease on a run in an object store, and the thread that renews it. A driver that loses its
    lease is interrupted, with SIGUSR1, because a shell makes background commands ignore SIGINT.
    Signals reach only the main thread; a driver in another thread finds out at the end."""

    def __init__(self, run: str) -> None:
        self._uri = storage.join(run, ".lease")
        self._holder = {"host": socket.gethostname(), "process": os.getpid(), "token": secrets.token_hex(8)}
        self._beats = 0
        self.lost = False
        self._version = self._put(None)
        if self._version is None:
            self._version = self._put(self._expired_version(run))
        if self._version is None:
            raise in_use(run)
        self._driver = threading.get_ident() if threading.current_thread() is threading.main_thread() else None
        if self._driver:
            signal.signal(signal.SIGUSR1, _interrupt)
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._released.set()
        self._thread.join()
        if self._driver:
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        if not self.lost:
            storage.remove(self._uri)

    def _put(self, version: str | None) -> str | None:
        self._beats += 1
        return storage.swap(self._uri, json.dumps({**self._holder, "beat": self._beats}).encode(), version)

    def _expired_version(self, run: str) -> str | None:
        """The version of the lease once it expires; None if it is gone. Raises if it is renewed."""
        first = _version(self._uri)
        deadline = time.monotonic() + LEASE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(LEASE_SECONDS / 30)
            version = _version(self._uri)
            if version is None:
                return None
            if version != first:
                raise in_use(run)
        return first

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._released.wait(LEASE_SECONDS / 6):
            try:
                version = self._put(self._version)
            except OSError:
                version = self._version  # the store may come back before the lease expires
            else:
                renewed = time.monotonic()
            if version is None or time.monotonic() > renewed + LEASE_SECONDS:
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


def in_use(run: str) -> RunError:
    return RunError(f"another run is using '{run}'; wait for it, or name another directory with --output")


def not_writable(run: str, error: OSError) -> RunError:
    return RunError(f"cannot write the run directory '{run}': {error.strerror or error}. Name another with --output")


def is_locked(run: str) -> bool | None:
    """Whether a process holds the lock; None if that is unknown, as on an object store."""
    path = storage.local_path(run)
    if path is None or not path.is_dir():
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False
