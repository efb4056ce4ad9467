"""Files that exist: their size and stamp, their bytes, their checksum."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import replace
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.connection import connect
from tamis.transforms.storage.object_store import Entry
from tamis.transforms.storage.os_errors import plainly
from tamis.transforms.storage.uris import local_path


def entry(uri: str) -> Entry:
    """Size and stamp of one file. Raises FileNotFoundError."""
    path = local_path(uri)
    if path is not None:
        return replace(stat(str(path)), uri=uri)
    with plainly(uri):
        found = connect(uri).entry(uri)
    if found is None:
        raise FileNotFoundError(f"{uri}: no such object")
    return found


def exists(uri: str) -> bool:
    """Whether there is a file (locally: or a folder) of this very name."""
    path = local_path(uri)
    if path is not None:
        return path.exists()
    with plainly(uri):
        return connect(uri).entry(uri) is not None


def open_binary(uri: str) -> BinaryIO:
    """The raw bytes of a file, seekable where the store is; never decompressed."""
    path = local_path(uri)
    if path is not None:
        return open(path, "rb")
    with plainly(uri):
        return connect(uri).open(uri)


def read_bytes(uri: str) -> bytes:
    """The whole file."""
    with open_binary(uri) as file:
        return file.read()


def read_json(uri: str) -> Any:
    """The JSON object of a file; None where there is no file, or only a torn one (a machine lost its power)."""
    try:
        found = json.loads(read_bytes(uri))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def sha256(uri: str) -> str:
    """SHA-256 of the file in hexadecimal, read in pieces."""
    with open_binary(uri) as file:
        return hashlib.file_digest(cast(io.BytesIO, file), "sha256").hexdigest()


def stat(path: str) -> Entry:
    """A file on local disk."""
    status = os.stat(path)
    return Entry(path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")
