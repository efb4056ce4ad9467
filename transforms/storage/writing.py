"""Writes files that appear under their names only when they are complete."""

import errno
import hashlib
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.connection import connect
from tamis.transforms.storage.os_errors import as_os_error
from tamis.transforms.storage.read_only.hub import Hub
from tamis.transforms.storage.read_only.web import Web
from tamis.transforms.storage.reading import open_binary
from tamis.transforms.storage.uris import local_path, scheme_of

_SPOOL = 64 << 20  # larger objects are buffered on the local disk until they are uploaded
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Sink(io.RawIOBase):
    """A binary file that counts and (if `digest`) hashes its bytes. pyarrow can write to it."""

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
        """SHA-256, in hexadecimal, of the bytes written so far."""
        if self._digest is None:
            raise ValueError("a file that is not durable has no checksum")
        return self._digest.hexdigest()


@contextmanager
def commit(uri: str, durable: bool = True) -> Iterator[Sink]:
    """Yields the sink of a file that appears under `uri` if the block ends without an error.

    It replaces any older file. Locally: a temporary name in the same folder (made if missing),
    fsync, rename. On a store: buffered, then one put. `durable=False` skips both fsyncs and the
    checksum, for files that a power cut may destroy.
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
            error.filename = str(path)  # a failed write to an open file does not name it
        raise
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # so that the rename survives a power cut
    finally:
        os.close(folder)


@contextmanager
def _put(uri: str) -> Iterator[BinaryIO]:
    store = connect(uri)
    if isinstance(store, Web | Hub):
        raise PermissionError(f"{uri}: {scheme_of(uri)} is read only")
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spool:
        yield cast(BinaryIO, spool)
        size = spool.tell()
        spool.seek(0)
        with as_os_error(uri):
            store.put(uri, cast(BinaryIO, spool), size)


def write_bytes(uri: str, data: bytes, durable: bool = True) -> None:
    """Writes the whole file at once, or nothing."""
    with commit(uri, durable) as sink:
        sink.write(data)


def duplicate(source: str, uri: str) -> None:
    """Gives a file a second name: on a disk by a hard link where there are such, otherwise by a copy. Files
    are replaced and never changed, so each name keeps its bytes."""
    path, target = local_path(source), local_path(uri)
    if path is not None and target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            os.link(path, target)
            return
    with open_binary(source) as file, commit(uri) as sink:
        shutil.copyfileobj(file, sink, 1 << 20)


def swap(uri: str, data: bytes, version: str | None) -> str | None:
    """Replaces a small object of a store if it has this version (None: if there is none). Returns
    the new version, or None if another process was first: of all that try, one succeeds. `data`
    must differ from everything that was ever put under `uri`."""
    with as_os_error(uri):
        store = connect(uri)
        store.swap(uri, data, version)
        # Its result is not used: after a lost response, the retry of a success fails.
        entry = store.entry(uri)
        if entry is None:
            return None
        with store.open(uri) as file:
            return entry.version if file.read() == data else None
