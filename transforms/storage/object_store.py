"""What an object store must do, and how an object is read in ranges as a file."""

from __future__ import annotations

import errno
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO, Protocol

from tamis.transforms.storage.os_errors import plainly

TIMEOUT = "TAMIS_STORE_TIMEOUT"
"""The environment variable for the seconds that a store may stay silent before a request is sent again; 30 without it."""

_BLOCK = 4 << 20  # what is read of an object at once, unless more is asked for


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that exists: `size` in bytes; `stamp` changes when the bytes may have (by time, or the store's tag)."""

    uri: str
    size: int
    stamp: str


class Store(Protocol):
    """What an object store must do. URIs come in and go out whole. A request that fails for a moment is sent again."""

    def entry(self, uri: str) -> Entry | None:
        """The object of this very name."""
        ...

    def entries(self, prefix: str) -> Iterable[Entry]:
        """Every object whose URI begins with `prefix`."""
        ...

    def open(self, uri: str) -> BinaryIO:
        """The object's bytes as a file."""
        ...

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        """Makes an object of all of `file`, or none."""
        ...

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        """Puts a small object in place of the one of this stamp (None: where there is none); False when that is not so."""
        ...

    def delete(self, uris: Sequence[str]) -> None:
        """Removes objects; a missing one is fine."""
        ...


class Ranged(ABC):
    """A store whose objects are read in ranges. An object that is replaced meanwhile is an error, never a mixture."""

    @abstractmethod
    def entry(self, uri: str) -> Entry | None: ...

    @abstractmethod
    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        """Bytes `[start, stop)` of the object, if it is still the one of this stamp."""

    def open(self, uri: str) -> BinaryIO:
        found = self.entry(uri)
        if found is None:
            raise FileNotFoundError(f"{uri}: no such object")
        return io.BufferedReader(_Object(self, found), _BLOCK)


class _Object(io.RawIOBase):
    """An object as a seekable file."""

    def __init__(self, store: Ranged, entry: Entry) -> None:
        self._store, self._entry, self._at = store, entry, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._entry.size)[whence])
        return self._at

    def readall(self) -> bytes:
        data = bytearray(max(0, self._entry.size - self._at))  # in one request; the base class makes one for every 8 KiB
        self.readinto(data)
        return bytes(data)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self._entry.size)
        if stop <= self._at:
            return 0
        with plainly(self._entry.uri):
            data = self._store.read(self._entry, self._at, stop)
        if len(data) != stop - self._at:
            raise OSError(errno.EIO, f"{self._entry.uri}: the store gave {len(data)} bytes of {stop - self._at}")
        view[: len(data)] = data
        self._at = stop
        return len(data)


def paged(page: Callable[[str | None], tuple[Iterable[Any], str | None]]) -> Iterator[Any]:
    """The items of a listing, of which `page` gives some, and the token of those behind them; None asks for the first."""
    items, behind = page(None)
    yield from items
    while behind:
        items, behind = page(behind)
        yield from items


def client_module(name: str, extra: str) -> Any:
    """A store's client, which the package `tamis[extra]` brings."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"this URI needs the package {name}: pip install 'tamis[{extra}]'") from error


def stamp_of(size: int, tag: object) -> str:
    """The stamp of an object of `size` bytes that its store knows by `tag`."""
    return f"{size}-{str(tag).strip(chr(34))}"


def tag_of(stamp: str) -> str:
    """The store's tag of an object, quoted as HTTP wants it."""
    return f'"{stamp.split("-", 1)[1]}"'


def timeout() -> float:
    """The seconds that a store may stay silent."""
    return float(os.environ.get(TIMEOUT, 30))
