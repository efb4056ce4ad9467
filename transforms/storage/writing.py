"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.connection import connect
from tamis.transforms.storage.os_errors import plainly
from tamis.transforms.storage.uris import local_path
from tamis.transforms.storage.web import Http

_SPOOL = 64 << 20  # an object waits in memory up to this size, then on local disk, until it is put
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Sink(io.RawIOBase):
    """A writable binary file that knows the SHA-256 (unless nobody will ask) and the size of what went through it; pyarrow
    writes to it too."""

    def __init__(self, file: BinaryIO, digest: bool = True) -> None:
        super().__init__()
        self._file = file
        self._digest = hashlib.sha256() if digest else None
        self.size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        if self._digest is not None:
            self._digest.update(view)
        self.size += len(view)
        return len(view)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    @property
    def sha256(self) -> str:
        """Of the bytes written so far, in hexadecimal."""
        if self._digest is None:
            raise ValueError("what need not be durable has no checksum")
        return self._digest.hexdigest()


@contextmanager
def commit(uri: str, durable: bool = True) -> Iterator[Sink]:
    """Yields the sink of a file that appears under `uri`, replacing what was there, only when the block ends well.

    Locally: a temporary name in the same folder (made if missing), fsync, rename. On a store: spooled, then one put. What need
    not survive a power cut is not `durable`: it spares the disk two waits, and has no checksum.
    """
    path = local_path(uri)
    with _renamed(path, durable) if path is not None else _put(uri) as file, Sink(file, digest=durable) as sink:
        yield sink


@contextmanager
def _renamed(path: Path, durable: bool) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")  # two hosts may share a pid
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            error.filename = str(path)  # the system names no file when it refuses to write to one that is open
        raise
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself survives a power cut
    finally:
        os.close(folder)


@contextmanager
def _put(uri: str) -> Iterator[BinaryIO]:
    store = connect(uri)
    if isinstance(store, Http):
        raise PermissionError(f"{uri}: http is read only")
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spool:
        yield cast(BinaryIO, spool)
        size = spool.tell()
        spool.seek(0)
        with plainly(uri):
            store.put(uri, cast(BinaryIO, spool), size)


def write_bytes(uri: str, data: bytes, durable: bool = True) -> None:
    """Writes the whole file at once, or nothing."""
    with commit(uri, durable) as sink:
        sink.write(data)


def swap(uri: str, data: bytes, stamp: str | None) -> str | None:
    """Puts a small object where there is none (`stamp` None) or in place of the one of this stamp: its new stamp, or None when
    somebody else was first. `data` must be like no other that was ever put there. On stores only; of all who try, one succeeds.
    """
    with plainly(uri):
        store = connect(uri)
        store.swap(uri, data, stamp)
        # Whatever it answered: the answer to a first attempt may have been lost, and the second then found itself late.
        found = store.entry(uri)
        if found is None:
            return None
        with store.open(uri) as file:
            return found.stamp if file.read() == data else None
