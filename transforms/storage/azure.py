"""Azure Blob Storage, by its own client, where the environment names the account."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.object_store import Entry, Ranged, client_module, paged, stamp_of, tag_of, timeout
from tamis.transforms.storage.retry import momentary, patiently
from tamis.transforms.storage.uris import bucket_key


class Azure(Ranged):
    def __init__(self) -> None:
        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if not connection:
            raise OSError(errno.EACCES, "azure:// needs the environment variable AZURE_STORAGE_CONNECTION_STRING")
        blobs = client_module("azure.storage.blob", "azure")
        self.client = blobs.BlobServiceClient.from_connection_string(
            connection, retry_total=0, connection_timeout=timeout(), read_timeout=timeout()
        )
        core = import_module("azure.core")
        self._same, self._errors = core.MatchConditions.IfNotModified, import_module("azure.core.exceptions")

    def _ask(self, request: Callable[[], Any]) -> Any:
        return patiently(request, (self._errors.AzureError,), _passing)

    def _blob(self, uri: str) -> Any:
        return self.client.get_blob_client(*bucket_key(uri))

    def entry(self, uri: str) -> Entry | None:
        try:
            found = self._ask(self._blob(uri).get_blob_properties)
        except self._errors.ResourceNotFoundError:
            return None
        return Entry(uri, int(found.size), stamp_of(found.size, found.etag))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = bucket_key(prefix)
        container = self.client.get_container_client(bucket)

        def listed(behind: str | None) -> tuple[list[Any], str | None]:
            pages = container.list_blobs(name_starts_with=key).by_page(behind)
            return list(next(pages)), pages.continuation_token

        for blob in paged(lambda behind: self._ask(partial(listed, behind))):
            yield Entry(f"azure://{bucket}/{blob.name}", int(blob.size), stamp_of(blob.size, blob.etag))

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        blob = self._blob(entry.uri)
        where = {"offset": start, "length": stop - start, "etag": tag_of(entry.stamp), "match_condition": self._same}
        return cast(bytes, self._ask(lambda: blob.download_blob(**where).readall()))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        def upload() -> None:
            file.seek(0)
            self._blob(uri).upload_blob(file, length=size, overwrite=True)

        self._ask(upload)

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        condition = {} if stamp is None else {"etag": tag_of(stamp), "match_condition": self._same}
        try:
            self._ask(lambda: self._blob(uri).upload_blob(data, overwrite=stamp is not None, **condition))
        except (self._errors.ResourceExistsError, self._errors.ResourceModifiedError, self._errors.ResourceNotFoundError):
            return False
        return True

    def delete(self, uris: Sequence[str]) -> None:
        for uri in uris:
            with suppress(self._errors.ResourceNotFoundError):
                self._ask(self._blob(uri).delete_blob)


def _passing(error: Any) -> bool:
    status = getattr(error, "status_code", None)  # none where the answer never came, or not whole
    return status is None or status < 300 or momentary(status)
