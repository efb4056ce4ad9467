"""Google Cloud Storage, through its own client; an object's version is its generation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.object_store import Entry, RangedStore, client_module, paged, tag_of, timeout, version_of
from tamis.transforms.storage.retry import is_transient_status, retry
from tamis.transforms.storage.uris import bucket_key, scheme_of


class Gcs(RangedStore):
    def __init__(self) -> None:
        self.client = client_module("google.cloud.storage").Client()
        api, media = import_module("google.api_core.exceptions"), import_module("google.cloud.storage.exceptions")
        web, auth = import_module("requests.exceptions"), import_module("google.auth.exceptions")
        self._precondition_failed, self._not_found = api.PreconditionFailed, api.NotFound
        connection = (web.ConnectionError, web.Timeout, web.ChunkedEncodingError, auth.TransportError, media.DataCorruption)
        self._failures = (api.GoogleAPICallError, *connection)

    def _send(self, request: Callable[..., Any], *arguments: object, **parameters: object) -> Any:
        once = {"timeout": timeout(), "retry": None}
        return retry(lambda: request(*arguments, **parameters, **once), self._failures, _is_transient)

    def _blob(self, uri: str, generation: int | None = None) -> Any:
        bucket, key = bucket_key(uri)
        return self.client.bucket(bucket).blob(key, generation=generation)

    def entry(self, uri: str) -> Entry | None:
        bucket, key = bucket_key(uri)
        blob = self._send(self.client.bucket(bucket).get_blob, key)
        return None if blob is None else Entry(uri, int(blob.size), version_of(blob.size, blob.generation))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = bucket_key(prefix)

        def page(token: str | None, **once: Any) -> tuple[list[Any], str | None]:
            blobs = self.client.list_blobs(bucket, prefix=key, page_token=token, **once)
            return list(next(blobs.pages)), blobs.next_page_token

        for blob in paged(partial(self._send, page)):
            uri = f"{scheme_of(prefix)}://{bucket}/{blob.name}"
            yield Entry(uri, int(blob.size), version_of(blob.size, blob.generation))

    def children(self, folder: str) -> Iterator[str]:
        bucket, key = bucket_key(folder)

        def page(token: str | None, **once: Any) -> tuple[list[str], str | None]:
            blobs = self.client.list_blobs(bucket, prefix=key, delimiter="/", page_token=token, **once)
            names = [blob.name for blob in next(blobs.pages)]
            return [*names, *(prefix.rstrip("/") for prefix in blobs.prefixes)], blobs.next_page_token

        for name in paged(partial(self._send, page)):
            yield name[len(key) :]

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        blob = self._blob(entry.uri, _generation(entry.version))
        return cast(bytes, self._send(blob.download_as_bytes, start=start, end=stop - 1))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        def upload(**once: Any) -> None:
            file.seek(0)
            self._blob(uri).upload_from_file(file, size=size, **once)

        self._send(upload)

    def swap(self, uri: str, data: bytes, version: str | None) -> bool:
        generation = 0 if version is None else _generation(version)
        try:
            self._send(self._blob(uri).upload_from_string, data, if_generation_match=generation)
        except self._precondition_failed:
            return False
        return True

    def delete(self, uris: Sequence[str]) -> None:
        for uri in uris:
            with suppress(self._not_found):
                self._send(self._blob(uri).delete)


def _generation(version: str) -> int:
    return int(tag_of(version).strip('"'))


def _is_transient(error: Any) -> bool:
    status = getattr(error, "code", None)
    return status is None or is_transient_status(int(status))
