"""Google Cloud Storage, by its own client: a generation is the stamp of an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.object_store import Entry, Ranged, client_module, paged, stamp_of, tag_of, timeout
from tamis.transforms.storage.retry import momentary, patiently
from tamis.transforms.storage.uris import bucket_key, scheme_of


class Gcs(Ranged):
    def __init__(self) -> None:
        self.client = client_module("google.cloud.storage", "gcs").Client()
        refused, media = import_module("google.api_core.exceptions"), import_module("google.cloud.storage.exceptions")
        web, auth = import_module("requests.exceptions"), import_module("google.auth.exceptions")
        self._unmet, self._gone = refused.PreconditionFailed, refused.NotFound
        cut = (web.ConnectionError, web.Timeout, web.ChunkedEncodingError, auth.TransportError, media.DataCorruption)
        self._failures = (refused.GoogleAPICallError, *cut)

    def _ask(self, request: Callable[..., Any], *arguments: object, **parameters: object) -> Any:
        once = {"timeout": timeout(), "retry": None}
        return patiently(lambda: request(*arguments, **parameters, **once), self._failures, _passing)

    def _blob(self, uri: str, generation: int | None = None) -> Any:
        bucket, key = bucket_key(uri)
        return self.client.bucket(bucket).blob(key, generation=generation)

    def entry(self, uri: str) -> Entry | None:
        bucket, key = bucket_key(uri)
        blob = self._ask(self.client.bucket(bucket).get_blob, key)
        return None if blob is None else Entry(uri, int(blob.size), stamp_of(blob.size, blob.generation))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = bucket_key(prefix)

        def listed(behind: str | None, **once: Any) -> tuple[list[Any], str | None]:
            found = self.client.list_blobs(bucket, prefix=key, page_token=behind, **once)
            return list(next(found.pages)), found.next_page_token

        for blob in paged(partial(self._ask, listed)):
            yield Entry(f"{scheme_of(prefix)}://{bucket}/{blob.name}", int(blob.size), stamp_of(blob.size, blob.generation))

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        blob = self._blob(entry.uri, int(tag_of(entry.stamp).strip('"')))
        return cast(bytes, self._ask(blob.download_as_bytes, start=start, end=stop - 1))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        def upload(**once: Any) -> None:
            file.seek(0)
            self._blob(uri).upload_from_file(file, size=size, **once)

        self._ask(upload)

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        of = 0 if stamp is None else int(tag_of(stamp).strip('"'))
        try:
            self._ask(self._blob(uri).upload_from_string, data, if_generation_match=of)
        except self._unmet:
            return False
        return True

    def delete(self, uris: Sequence[str]) -> None:
        for uri in uris:
            with suppress(self._gone):
                self._ask(self._blob(uri).delete)


def _passing(error: Any) -> bool:
    status = getattr(error, "code", None)
    return status is None or momentary(int(status))
