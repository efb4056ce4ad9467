"""S3, through boto3: ranges of one version, uploads in parts, conditional puts."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, BinaryIO, cast

from tamis.transforms.storage.object_store import Entry, RangedStore, client_module, paged, tag_of, timeout, version_of
from tamis.transforms.storage.retry import is_transient_status, retry
from tamis.transforms.storage.uris import bucket_key

PART = 32 << 20
"""Bytes of one part of an upload. A larger object is uploaded in parts."""


class S3(RangedStore):
    def __init__(self) -> None:
        boto3 = client_module("boto3")
        errors = import_module("botocore.exceptions")
        config = import_module("botocore.config").Config(
            retries={"total_max_attempts": 1}, connect_timeout=timeout(), read_timeout=timeout(), tcp_keepalive=True
        )
        self.client = boto3.session.Session().client("s3", config=config)
        self._client_error = errors.ClientError
        unreadable = import_module("botocore.parsers").ResponseParserError
        connection = (errors.ConnectionError, errors.IncompleteReadError, errors.FlexibleChecksumError)
        self._failures = (self._client_error, errors.HTTPClientError, *connection, unreadable)

    def _send(self, request: Callable[..., Any], **parameters: object) -> Any:
        return retry(lambda: request(**parameters), self._failures, self._is_transient)

    def _is_transient(self, error: Any) -> bool:
        if not isinstance(error, self._client_error):
            return True
        return is_transient_status(_status(error)) or error.response["Error"]["Code"] == "RequestTimeout"

    def entry(self, uri: str) -> Entry | None:
        try:
            head = self._send(self.client.head_object, **_address(uri))
        except self._client_error as error:
            if _status(error) == 404:
                return None
            raise
        return Entry(uri, int(head["ContentLength"]), version_of(head["ContentLength"], head["ETag"]))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = bucket_key(prefix)

        def page(token: str | None) -> tuple[list[Any], str | None]:
            start = {} if token is None else {"ContinuationToken": token}
            response = self._send(self.client.list_objects_v2, Bucket=bucket, Prefix=key, **start)
            return response.get("Contents", []), response.get("NextContinuationToken")

        for item in paged(page):
            yield Entry(f"s3://{bucket}/{item['Key']}", int(item["Size"]), version_of(item["Size"], item["ETag"]))

    def children(self, folder: str) -> Iterator[str]:
        bucket, key = bucket_key(folder)

        def page(token: str | None) -> tuple[list[str], str | None]:
            start = {} if token is None else {"ContinuationToken": token}
            response = self._send(self.client.list_objects_v2, Bucket=bucket, Prefix=key, Delimiter="/", **start)
            keys = [item["Key"] for item in response.get("Contents", ())]
            keys += [item["Prefix"].rstrip("/") for item in response.get("CommonPrefixes", ())]
            return keys, response.get("NextContinuationToken")

        for name in paged(page):
            yield name[len(key) :]

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        parameters = {**_address(entry.uri), "Range": f"bytes={start}-{stop - 1}", "IfMatch": tag_of(entry.version)}
        return cast(bytes, self._send(lambda: self.client.get_object(**parameters)["Body"].read()))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        upload = _address(uri)
        if size <= PART:
            self._send(self.client.put_object, **upload, Body=file.read())
            return
        upload["UploadId"] = self._send(self.client.create_multipart_upload, **upload)["UploadId"]
        parts: list[dict[str, object]] = []
        try:
            while data := file.read(max(PART, -(-size // 10_000))):  # S3 takes up to 10,000
                tag = self._send(self.client.upload_part, **upload, PartNumber=len(parts) + 1, Body=data)["ETag"]
                parts.append({"ETag": tag, "PartNumber": len(parts) + 1})
            self._send(self.client.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts})
        except BaseException as error:
            if not self._is_complete(error, uri, size, len(parts)):
                with suppress(self._client_error):  # the first error is raised
                    self._send(self.client.abort_multipart_upload, **upload)
                raise

    def _is_complete(self, error: BaseException, uri: str, size: int, parts: int) -> bool:
        """Whether an upload is gone because it was completed, and only the response was lost."""
        if not isinstance(error, self._client_error) or error.response["Error"]["Code"] != "NoSuchUpload":
            return False
        entry = self.entry(uri)
        return entry is not None and entry.size == size and entry.version.endswith(f"-{parts}")

    def swap(self, uri: str, data: bytes, version: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": tag_of(version)}
        try:
            self._send(self.client.put_object, **_address(uri), Body=data, **condition)
        except self._client_error as error:
            if _status(error) in (404, 409, 412):
                return False
            raise
        return True

    def delete(self, uris: Sequence[str]) -> None:
        for first in range(0, len(uris), 1000):
            addresses = [bucket_key(uri) for uri in uris[first : first + 1000]]
            bucket, objects = addresses[0][0], [{"Key": key} for _, key in addresses]
            response = self._send(self.client.delete_objects, Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for error in response.get("Errors", ()):
                raise OSError(errno.EIO, f"s3://{bucket}/{error['Key']} could not be removed: {error.get('Code')}")


def _address(uri: str) -> dict[str, str]:
    bucket, key = bucket_key(uri)
    return {"Bucket": bucket, "Key": key}


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
