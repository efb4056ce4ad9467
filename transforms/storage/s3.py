"""S3, by boto3: ranges of one version, uploads in parts, conditional puts."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.object_store import Entry, Ranged, client_module, paged, stamp_of, tag_of, timeout
from tamis.transforms.storage.retry import momentary, patiently
from tamis.transforms.storage.uris import bucket_key

PART = 32 << 20
"""A larger object is put in parts of this size (bytes)."""


class S3(Ranged):
    def __init__(self) -> None:
        boto3 = client_module("boto3", "s3")
        errors = import_module("botocore.exceptions")
        config = import_module("botocore.config").Config(
            retries={"total_max_attempts": 1},
            connect_timeout=timeout(),
            read_timeout=timeout(),
            tcp_keepalive=True,
        )
        self.client = boto3.session.Session().client("s3", config=config)
        self._refused = errors.ClientError
        unreadable = import_module("botocore.parsers").ResponseParserError
        cut = (errors.ConnectionError, errors.IncompleteReadError, errors.FlexibleChecksumError)
        self._cut = (errors.HTTPClientError, *cut, unreadable)

    def _ask(self, request: Callable[..., Any], **parameters: object) -> Any:
        return patiently(lambda: request(**parameters), (self._refused, *self._cut), self._passing)

    def _passing(self, error: Any) -> bool:
        if not isinstance(error, self._refused):
            return True
        status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        return momentary(status) or code == "RequestTimeout"

    def entry(self, uri: str) -> Entry | None:
        try:
            head = self._ask(self.client.head_object, **_place(uri))
        except self._refused as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return Entry(uri, int(head["ContentLength"]), stamp_of(head["ContentLength"], head["ETag"]))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = bucket_key(prefix)

        def listed(behind: str | None) -> tuple[list[Any], str | None]:
            token = {} if behind is None else {"ContinuationToken": behind}
            page = self._ask(self.client.list_objects_v2, Bucket=bucket, Prefix=key, **token)
            return page.get("Contents", []), page.get("NextContinuationToken")

        for item in paged(listed):
            yield Entry(f"s3://{bucket}/{item['Key']}", int(item["Size"]), stamp_of(item["Size"], item["ETag"]))

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        where = {**_place(entry.uri), "Range": f"bytes={start}-{stop - 1}", "IfMatch": tag_of(entry.stamp)}
        return cast(bytes, self._ask(lambda **place: self.client.get_object(**place)["Body"].read(), **where))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        place = _place(uri)
        if size <= PART:
            self._ask(self.client.put_object, **place, Body=file.read())
            return
        place["UploadId"] = self._ask(self.client.create_multipart_upload, **place)["UploadId"]
        parts: list[dict[str, object]] = []
        try:
            while data := file.read(max(PART, -(-size // 10_000))):
                tag = self._ask(self.client.upload_part, **place, PartNumber=len(parts) + 1, Body=data)["ETag"]
                parts.append({"ETag": tag, "PartNumber": len(parts) + 1})
            self._ask(self.client.complete_multipart_upload, **place, MultipartUpload={"Parts": parts})
        except BaseException as error:
            if not self._complete(error, uri, size, len(parts)):
                with suppress(self._refused):  # nothing is left to abort; what is told is what came before
                    self._ask(self.client.abort_multipart_upload, **place)
                raise

    def _complete(self, error: BaseException, uri: str, size: int, parts: int) -> bool:
        """Whether an upload is no more because it is complete, and only the first answer to that was lost."""
        if not isinstance(error, self._refused) or error.response["Error"]["Code"] != "NoSuchUpload":
            return False
        found = self.entry(uri)
        return found is not None and found.size == size and found.stamp.endswith(f"-{parts}")

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if stamp is None else {"IfMatch": tag_of(stamp)}
        try:
            self._ask(self.client.put_object, **_place(uri), Body=data, **condition)
        except self._refused as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 409, 412):
                return False
            raise
        return True

    def delete(self, uris: Sequence[str]) -> None:
        for first in range(0, len(uris), 1000):
            places = [bucket_key(uri) for uri in uris[first : first + 1000]]
            objects = [{"Key": key} for _, key in places]
            done = self._ask(self.client.delete_objects, Bucket=places[0][0], Delete={"Objects": objects, "Quiet": True})
            for left in done.get("Errors", ()):
                raise OSError(errno.EIO, f"s3://{places[0][0]}/{left['Key']} could not be removed: {left.get('Code')}")


def _place(uri: str) -> dict[str, str]:
    bucket, key = bucket_key(uri)
    return {"Bucket": bucket, "Key": key}
