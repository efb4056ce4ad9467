"""Google Cloud Storage, by its own client: a generation is the stamp of an object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, BinaryIO, cast

from transforms.storage.store import Entry, Ranged, client_module, stamp_of, tag_of, timeout
from transforms.storage.uris import bucket_key, scheme_of


class Gcs(Ranged):
    def __init__(self) -> None:
        storage = client_module("google.cloud.storage", "gcs")
        self.client = storage.Client()
        self._unmet = import_module("google.api_core.exceptions").PreconditionFailed
        # The deadline is for all attempts. An upload is tried again too: it is the same bytes.
        self._patient = {"timeout": timeout(), "retry": import_module("google.cloud.storage.retry").DEFAULT_RETRY}

    def _blob(self, uri: str, generation: int | None = None) -> Any:
        bucket, key = bucket_key(uri)
        return self.client.bucket(bucket).blob(key, generation=generation)

    def entry(self, uri: str) -> Entry | None:
        bucket, key = bucket_key(uri)
        blob = self.client.bucket(bucket).get_blob(key, **self._patient)
        return None if blob is None else Entry(uri, int(blob.size), stamp_of(blob.size, blob.generation))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = bucket_key(prefix)
        for blob in self.client.list_blobs(bucket, prefix=key, **self._patient):
            yield Entry(f"{scheme_of(prefix)}://{bucket}/{blob.name}", int(blob.size), stamp_of(blob.size, blob.generation))

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        blob = self._blob(entry.uri, int(tag_of(entry.stamp).strip('"')))
        return cast(bytes, blob.download_as_bytes(start=start, end=stop - 1, **self._patient))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        self._blob(uri).upload_from_file(file, size=size, **self._patient)

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        of = 0 if stamp is None else int(tag_of(stamp).strip('"'))
        try:
            self._blob(uri).upload_from_string(data, if_generation_match=of, **self._patient)
        except self._unmet:
            return False
        return True

    def delete(self, uris: Sequence[str]) -> None:
        gone = import_module("google.api_core.exceptions").NotFound
        for uri in uris:
            try:
                self._blob(uri).delete(**self._patient)
            except gone:
                continue
