"""The interface of an object store, and objects that are read in ranges like files."""

import errno
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO, Protocol

from tamis.transforms.core.errors import missing_package
from tamis.transforms.storage.os_errors import as_os_error

TIMEOUT = "TAMIS_STORE_TIMEOUT"
"""The environment variable for the seconds to wait for a response (default 30)."""

_BLOCK = 4 << 20  # bytes of an object to read at once, unless the caller asks for more


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of `size` bytes. `version` (its mtime or tag) changes when the bytes may have."""

    uri: str
    size: int
    version: str


class Store(Protocol):
    """An object store, by whole URIs. A request that fails for a moment is sent again."""

    def entry(self, uri: str) -> Entry | None:
        """The object of exactly this name."""

    def entries(self, prefix: str) -> Iterable[Entry]:
        """Every object whose URI begins with `prefix`."""

    def children(self, folder: str) -> Iterable[str]:
        """The names directly below a folder, whose URI ends in `/`, without listing what is deeper."""

    def open(self, uri: str) -> BinaryIO:
        """The object's bytes as a file."""

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        """Makes an object of the whole `file`, or none."""

    def swap(self, uri: str, data: bytes, version: str | None) -> bool:
        """Replaces a small object of this version (None: creates it). False if it has another."""

    def delete(self, uris: Sequence[str]) -> None:
        """Removes objects. Missing ones are fine."""


class RangedStore(ABC):
    """A store that reads ranges. Reading an object that was replaced meanwhile is an error."""

    @abstractmethod
    def entry(self, uri: str) -> Entry | None: ...

    @abstractmethod
    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        """Bytes `[start, stop)` of the object, if it still has the entry's version."""

    def open(self, uri: str) -> BinaryIO:
        entry = self.entry(uri)
        if entry is None:
            raise FileNotFoundError(f"{uri}: no such object")
        return io.BufferedReader(_ObjectFile(self, entry), _BLOCK)


class _ObjectFile(io.RawIOBase):
    def __init__(self, store: RangedStore, entry: Entry) -> None:
        self._store, self._entry, self._position = store, entry, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = max(0, offset + (0, self._position, self._entry.size)[whence])
        return self._position

    def readall(self) -> bytes:
        data = bytearray(max(0, self._entry.size - self._position))
        self.readinto(data)  # one request; the base class would send one for every 8 KiB
        return bytes(data)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self._entry.size)
        if stop <= self._position:
            return 0
        with as_os_error(self._entry.uri):
            data = self._store.read(self._entry, self._position, stop)
        if len(data) != stop - self._position:
            raise OSError(errno.EIO, f"{self._entry.uri}: the store sent {len(data)} bytes instead of {stop - self._position}")
        view[: len(data)] = data
        self._position = stop
        return len(data)


def paged(page: Callable[[str | None], tuple[Iterable[Any], str | None]]) -> Iterator[Any]:
    """All items of a listing. `page` takes a token (first None) and returns items and the next."""
    items, token = page(None)
    yield from items
    while token:
        items, token = page(token)
        yield from items


def client_module(name: str) -> Any:
    """A store's client. Raises ImportError if its package is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(missing_package("this URI", name.replace(".", "-"))) from error


def version_of(size: int, tag: object) -> str:
    """The `Entry.version` of an object of `size` bytes that has this tag in its store."""
    return f"{size}-{str(tag).strip(chr(34))}"


def tag_of(version: str) -> str:
    """The store's tag of an `Entry.version`, quoted as HTTP requires."""
    return f'"{version.split("-", 1)[1]}"'


def timeout() -> float:
    """Seconds to wait for a store's response."""
    return float(os.environ.get(TIMEOUT, 30))
