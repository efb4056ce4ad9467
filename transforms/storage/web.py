"""Single files over HTTP(S), read only."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.object_store import Entry, timeout
from tamis.transforms.storage.retry import is_transient_status, retry


class Http:
    """Reads single files, without listing. A response that breaks off is an error, not retried."""

    def __init__(self) -> None:
        self._requests = import_module("requests")  # comes with smart-open

    def _send(self, request: Callable[[], Any]) -> Any:
        return retry(request, (self._requests.RequestException,), _is_transient)

    def _head(self, uri: str) -> Any:
        response = self._requests.head(uri, allow_redirects=True, timeout=timeout(), headers={"Accept-Encoding": "identity"})
        if response.status_code != 404:
            response.raise_for_status()
        return response

    def entry(self, uri: str) -> Entry | None:
        response = self._send(partial(self._head, uri))
        if response.status_code == 404:
            return None
        size = int(response.headers.get("Content-Length", -1))
        return Entry(uri, size, f"{size}-{response.headers.get('ETag', response.headers.get('Last-Modified', ''))}")

    def entries(self, prefix: str) -> Iterator[Entry]:
        entry = self.entry(prefix)
        yield from () if entry is None else (entry,)

    def open(self, uri: str) -> BinaryIO:
        return cast(BinaryIO, self._send(partial(import_module("smart_open").open, uri, "rb", compression="disable")))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        raise PermissionError(f"{uri}: http is read only")

    def swap(self, uri: str, data: bytes, version: str | None) -> bool:
        raise PermissionError(f"{uri}: http is read only")

    def delete(self, uris: Sequence[str]) -> None:
        raise PermissionError(f"{uris[0]}: http is read only")


def _is_transient(error: Any) -> bool:
    if isinstance(error, ValueError):  # an invalid URL
        return False
    return error.response is None or is_transient_status(error.response.status_code)
