"""Reads existing files: their size and version, their bytes, their checksum."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.connection import connect
from tamis.transforms.storage.object_store import Entry
from tamis.transforms.storage.os_errors import as_os_error
from tamis.transforms.storage.uris import local_path, suffixes


def entry(uri: str) -> Entry:
    """Size and version of one file. Raises FileNotFoundError."""
    path = local_path(uri)
    if path is not None:
        return replace(stat(str(path)), uri=uri)
    with as_os_error(uri):
        remote = connect(uri).entry(uri)
    if remote is None:
        raise FileNotFoundError(f"{uri}: no such object")
    return remote


def exists(uri: str) -> bool:
    """Whether there is a file (on a local disk: or a folder) of exactly this name."""
    path = local_path(uri)
    if path is not None:
        return path.exists()
    with as_os_error(uri):
        return connect(uri).entry(uri) is not None


def open_binary(uri: str) -> BinaryIO:
    """The raw bytes of a file, never decompressed; seekable if the store is."""
    path = local_path(uri)
    if path is not None:
        return open(path, "rb")
    with as_os_error(uri):
        return connect(uri).open(uri)


@contextmanager
def open_decompressed(uri: str) -> Iterator[Any]:
    """The bytes of a file, decompressed if its name ends in .gz, .zst, .bz2 or .lz4, as a file of
    Arrow."""
    import pyarrow as pa

    codec = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}.get((suffixes(uri) or [""])[-1])
    with open_binary(uri) as file:
        yield pa.CompressedInputStream(file, codec) if codec else file


def read_bytes(uri: str) -> bytes:
    """The whole file."""
    with open_binary(uri) as file:
        return file.read()


def read_json(uri: str) -> Any:
    """The JSON object in a file; None if the file is missing, or truncated by a power cut."""
    try:
        value = json.loads(read_bytes(uri))
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def sha256(uri: str) -> str:
    """SHA-256 of the file in hexadecimal, read block by block."""
    with open_binary(uri) as file:
        return hashlib.file_digest(cast(io.BytesIO, file), "sha256").hexdigest()


def stat(path: str) -> Entry:
    """The entry of a file on a local disk. Its version covers the inode and the time of the last
    change of any kind: size and modification time can be the same for other bytes."""
    status = os.stat(path)
    version = f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
    return Entry(path, status.st_size, version)
