"""Single files of the web, read only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import BinaryIO, cast

from transforms.storage.store import Entry, timeout


class Http:
    """Reads single files; the web has no listing."""

    def entry(self, uri: str) -> Entry | None:
        requests = import_module("requests")  # comes with smart-open
        answer = requests.head(uri, allow_redirects=True, timeout=timeout(), headers={"Accept-Encoding": "identity"})
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        size = int(answer.headers.get("Content-Length", -1))
        return Entry(uri, size, f"{size}-{answer.headers.get('ETag', answer.headers.get('Last-Modified', ''))}")

    def entries(self, prefix: str) -> Iterator[Entry]:
        found = self.entry(prefix)
        yield from () if found is None else (found,)

    def open(self, uri: str) -> BinaryIO:
        return cast(BinaryIO, import_module("smart_open").open(uri, "rb", compression="disable"))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        raise PermissionError(f"{uri}: http is read only")

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        raise PermissionError(f"{uri}: http is read only")

    def delete(self, uris: Sequence[str]) -> None:
        raise PermissionError(f"{uris[0]}: http is read only")
