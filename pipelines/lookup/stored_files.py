"""Lets DuckDB read files of object stores, through the clients that read them elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, BinaryIO

from fsspec import AbstractFileSystem

from tamis.transforms import storage

PREFIX = "stored://"
"""Before the URI of a file, for DuckDB, which must not use clients of its own."""


class StoredFiles(AbstractFileSystem):
    """The objects of stores, by their URI behind `stored://`. They are only read."""

    protocol = PREFIX.removesuffix("://")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> BinaryIO:
        if mode != "rb":
            raise PermissionError(f"{path}: a release is not written")
        return storage.open_binary(path)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name, size and kind of a file. Raises FileNotFoundError if there is none."""
        uri = path.removeprefix(PREFIX)
        entry = storage.entry(uri)
        return {"name": uri, "size": entry.size, "type": "file"}

    def modified(self, path: str) -> datetime:
        """The same for all files: those of a release never change."""
        return datetime.fromtimestamp(0, UTC)
