"""Azure Blob Storage, through its own client; the environment names the account."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.object_store import Entry, RangedStore, client_module, paged, tag_of, timeout, version_of
from tamis.transforms.storage.retry import is_transient_status, retry
from tamis.transforms.storage.uris import bucket_key


class Azure(RangedStore):
    def __init__(self) -> None:
        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if not connection:
            raise OSError(errno.EACCES, "azure:// needs the environment variable AZURE_STORAGE_CONNECTION_STRING")
        blobs = client_module("azure.storage.blob")
        self.client = blobs.BlobServiceClient.from_connection_string(
            connection, retry_total=0, connection_timeout=timeout(), read_timeout=timeout()
        )
        core = import_module("azure.core")
        self._unmodified, self._errors = core.MatchConditions.IfNotModified, import_module("azure.core.exceptions")

    def _send(self, request: Callable[[], Any]) -> Any:
        return retry(request, (self._errors.AzureError,), _is_transient)

    def _blob(self, uri: str) -> Any:
        return self.client.get_blob_client(*bucket_key(uri))

    def entry(self, uri: str) -> Entry | None:
        try:
            properties = self._send(self._blob(uri).get_blob_properties)
        except self._errors.ResourceNotFoundError:
            return None
        return Entry(uri, int(properties.size), version_of(properties.size, properties.etag))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = bucket_key(prefix)
        container = self.client.get_container_client(bucket)

        def page(token: str | None) -> tuple[list[Any], str | None]:
            pages = container.list_blobs(name_starts_with=key).by_page(token)
            return list(next(pages)), pages.continuation_token

        for blob in paged(lambda token: self._send(partial(page, token))):
            yield Entry(f"azure://{bucket}/{blob.name}", int(blob.size), version_of(blob.size, blob.etag))

    def children(self, folder: str) -> Iterator[str]:
        bucket, key = bucket_key(folder)
        container = self.client.get_container_client(bucket)

        def page(token: str | None) -> tuple[list[str], str | None]:
            pages = container.walk_blobs(name_starts_with=key, delimiter="/").by_page(token)
            return [item.name.rstrip("/") for item in next(pages)], pages.continuation_token

        for name in paged(lambda token: self._send(partial(page, token))):
            yield name[len(key) :]

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        blob = self._blob(entry.uri)
        condition = {"etag": tag_of(entry.version), "match_condition": self._unmodified}
        return cast(bytes, self._send(lambda: blob.download_blob(offset=start, length=stop - start, **condition).readall()))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        def upload() -> None:
            file.seek(0)
            self._blob(uri).upload_blob(file, length=size, overwrite=True)

        self._send(upload)

    def swap(self, uri: str, data: bytes, version: str | None) -> bool:
        condition = {} if version is None else {"etag": tag_of(version), "match_condition": self._unmodified}
        try:
            self._send(lambda: self._blob(uri).upload_blob(data, overwrite=version is not None, **condition))
        except (self._errors.ResourceExistsError, self._errors.ResourceModifiedError, self._errors.ResourceNotFoundError):
            return False
        return True

    def delete(self, uris: Sequence[str]) -> None:
        for uri in uris:
            with suppress(self._errors.ResourceNotFoundError):
                self._send(self._blob(uri).delete_blob)


def _is_transient(error: Any) -> bool:
    status = getattr(error, "status_code", None)  # None if no response came, or only a part of one
    return status is None or status < 300 or is_transient_status(status)
