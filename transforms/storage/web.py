"""Single files of the web, read only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.object_store import Entry, timeout
from tamis.transforms.storage.retry import momentary, patiently


class Http:
    """Reads single files; the web has no listing. One that breaks off while it is read is an error, not asked for again."""

    def __init__(self) -> None:
        self._requests = import_module("requests")  # comes with smart-open

    def _ask(self, request: Callable[[], Any]) -> Any:
        return patiently(request, (self._requests.RequestException,), _passing)

    def _head(self, uri: str) -> Any:
        answer = self._requests.head(uri, allow_redirects=True, timeout=timeout(), headers={"Accept-Encoding": "identity"})
        if answer.status_code != 404:
            answer.raise_for_status()
        return answer

    def entry(self, uri: str) -> Entry | None:
        answer = self._ask(partial(self._head, uri))
        if answer.status_code == 404:
            return None
        size = int(answer.headers.get("Content-Length", -1))
        return Entry(uri, size, f"{size}-{answer.headers.get('ETag', answer.headers.get('Last-Modified', ''))}")

    def entries(self, prefix: str) -> Iterator[Entry]:
        found = self.entry(prefix)
        yield from () if found is None else (found,)

    def open(self, uri: str) -> BinaryIO:
        return cast(BinaryIO, self._ask(partial(import_module("smart_open").open, uri, "rb", compression="disable")))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        raise PermissionError(f"{uri}: http is read only")

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        raise PermissionError(f"{uri}: http is read only")

    def delete(self, uris: Sequence[str]) -> None:
        raise PermissionError(f"{uris[0]}: http is read only")


def _passing(error: Any) -> bool:
    if isinstance(error, ValueError):  # no such URL can be
        return False
    return error.response is None or momentary(error.response.status_code)
