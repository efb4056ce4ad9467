"""Opens, lists and commits files on local disk and object stores; a file has its name only when it is complete.

A URI is a local path, or `s3://`, `gs://`, `azure://` (each by the store's own client: only that can read again what came cut,
and put an object on a condition), or `http(s)://` (read only, by smart-open). Everything local goes through plain `os`.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import io
import json
import os
import posixpath
import re
import secrets
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

DATA_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".warc", ".wet"})
"""What a folder is searched for; a glob or a path may name any file."""

COMPRESSION_SUFFIXES = frozenset({".gz", ".zst", ".zstd", ".bz2"})

_SPOOL = 64 << 20  # an object waits in memory up to this size, then on local disk, until it is put
_BLOCK = 4 << 20  # what is read of an object at once, unless more is asked for
_PART = 32 << 20  # a larger object is put to S3 in parts of this size
_ATTEMPTS = 10
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp\Z")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://")
_WILD = re.compile(r"[*?\[]")

TIMEOUT = "TAMIS_STORE_TIMEOUT"
"""The environment variable for the seconds that a store may stay silent before a request is sent again; 30 without it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that exists: `size` in bytes; `stamp` changes when the bytes may have (by time, or the store's tag)."""

    uri: str
    size: int
    stamp: str


class NothingThere(FileNotFoundError):
    """A folder, a glob or a list that is in order and holds no file, tonight perhaps. A wrong name is another matter."""


class Store(Protocol):
    """What an object store must do. URIs come in and go out whole. A request that fails for a moment is sent again."""

    def entry(self, uri: str) -> Entry | None:
        """The object of this very name."""
        ...

    def entries(self, prefix: str) -> Iterable[Entry]:
        """Every object whose URI begins with `prefix`."""
        ...

    def open(self, uri: str) -> BinaryIO:
        """The object's bytes as a file."""
        ...

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        """Makes an object of all of `file`, or none."""
        ...

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        """Puts a small object in place of the one of this stamp (None: where there is none); False when that is not so."""
        ...

    def delete(self, uris: Sequence[str]) -> None:
        """Removes objects; a missing one is fine."""
        ...


class _Ranged(ABC):
    """A store whose objects are read in ranges. An object that is replaced meanwhile is an error, never a mixture."""

    @abstractmethod
    def entry(self, uri: str) -> Entry | None: ...

    @abstractmethod
    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        """Bytes `[start, stop)` of the object, if it is still the one of this stamp."""

    def open(self, uri: str) -> BinaryIO:
        found = self.entry(uri)
        if found is None:
            raise FileNotFoundError(f"{uri}: no such object")
        return io.BufferedReader(_Object(self, found), _BLOCK)


class _Object(io.RawIOBase):
    """An object as a seekable file."""

    def __init__(self, store: _Ranged, entry: Entry) -> None:
        self._store, self._entry, self._at = store, entry, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._entry.size)[whence])
        return self._at

    def readall(self) -> bytes:
        data = bytearray(max(0, self._entry.size - self._at))  # in one request; the base class makes one for every 8 KiB
        self.readinto(data)
        return bytes(data)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self._entry.size)
        if stop <= self._at:
            return 0
        with _plainly(self._entry.uri):
            data = self._store.read(self._entry, self._at, stop)
        if len(data) != stop - self._at:
            raise OSError(errno.EIO, f"{self._entry.uri}: the store gave {len(data)} bytes of {stop - self._at}")
        view[: len(data)] = data
        self._at = stop
        return len(data)


class _S3(_Ranged):
    def __init__(self) -> None:
        boto3 = _module("boto3", "s3")
        errors = import_module("botocore.exceptions")
        config = import_module("botocore.config").Config(
            retries={"total_max_attempts": 1},  # botocore's own end with a quota, and do not cover the body of an answer
            connect_timeout=_timeout(),
            read_timeout=_timeout(),
            tcp_keepalive=True,
        )
        self.client = boto3.session.Session().client("s3", config=config)
        self._refused = errors.ClientError
        unreadable = import_module("botocore.parsers").ResponseParserError
        cut = (errors.ConnectionError, errors.IncompleteReadError, errors.FlexibleChecksumError)
        self._cut = (errors.HTTPClientError, *cut, unreadable)

    def _ask(self, request: Callable[..., Any], **parameters: object) -> Any:
        """Sends a request, again and again with growing pauses where the store fails for a moment or the answer is cut."""
        for attempt in range(_ATTEMPTS):
            try:
                return request(**parameters)
            except (self._refused, *self._cut) as error:
                if attempt == _ATTEMPTS - 1 or (isinstance(error, self._refused) and not _passing(error)):
                    raise
                spread = 0.5 + os.getpid() * 0.6180339887 % 0.5  # so that workers do not knock in step
                time.sleep(min(20.0, 0.1 * 2**attempt) * spread)
        raise AssertionError

    def entry(self, uri: str) -> Entry | None:
        try:
            head = self._ask(self.client.head_object, **_s3_place(uri))
        except self._refused as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return Entry(uri, int(head["ContentLength"]), _stamp(head["ContentLength"], head["ETag"]))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = _bucket_key(prefix)
        page: dict[str, Any] = {"NextContinuationToken": None}
        while "NextContinuationToken" in page:
            behind = {"ContinuationToken": page["NextContinuationToken"]} if "KeyCount" in page else {}
            page = self._ask(self.client.list_objects_v2, Bucket=bucket, Prefix=key, **behind)
            for item in page.get("Contents", ()):
                yield Entry(f"s3://{bucket}/{item['Key']}", int(item["Size"]), _stamp(item["Size"], item["ETag"]))

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        where = {**_s3_place(entry.uri), "Range": f"bytes={start}-{stop - 1}", "IfMatch": _tag(entry.stamp)}
        return cast(bytes, self._ask(lambda **place: self.client.get_object(**place)["Body"].read(), **where))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        place = _s3_place(uri)
        if size <= _PART:
            self._ask(self.client.put_object, **place, Body=file.read())
            return
        place["UploadId"] = self._ask(self.client.create_multipart_upload, **place)["UploadId"]
        parts: list[dict[str, object]] = []
        try:
            while data := file.read(max(_PART, -(-size // 10_000))):
                tag = self._ask(self.client.upload_part, **place, PartNumber=len(parts) + 1, Body=data)["ETag"]
                parts.append({"ETag": tag, "PartNumber": len(parts) + 1})
            self._ask(self.client.complete_multipart_upload, **place, MultipartUpload={"Parts": parts})
        except self._refused as error:
            # A first answer was lost, and the upload is no more because it is complete.
            found = self.entry(uri) if error.response["Error"]["Code"] == "NoSuchUpload" else None
            if found is None or found.size != size or not found.stamp.endswith(f"-{len(parts)}"):
                self._ask(self.client.abort_multipart_upload, **place)
                raise
        except BaseException:
            self._ask(self.client.abort_multipart_upload, **place)
            raise

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        condition = {"IfNoneMatch": "*"} if stamp is None else {"IfMatch": _tag(stamp)}
        try:
            self._ask(self.client.put_object, **_s3_place(uri), Body=data, **condition)
        except self._refused as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 409, 412):
                return False
            raise
        return True

    def delete(self, uris: Sequence[str]) -> None:
        for first in range(0, len(uris), 1000):
            places = [_bucket_key(uri) for uri in uris[first : first + 1000]]
            objects = [{"Key": key} for _, key in places]
            done = self._ask(self.client.delete_objects, Bucket=places[0][0], Delete={"Objects": objects, "Quiet": True})
            for left in done.get("Errors", ()):
                raise OSError(errno.EIO, f"s3://{places[0][0]}/{left['Key']} could not be removed: {left.get('Code')}")


class _Gcs(_Ranged):
    def __init__(self) -> None:
        storage = _module("google.cloud.storage", "gcs")
        self.client = storage.Client()
        self._unmet = import_module("google.api_core.exceptions").PreconditionFailed
        # The deadline is for all attempts. An upload is tried again too: it is the same bytes.
        self._patient = {"timeout": _timeout(), "retry": import_module("google.cloud.storage.retry").DEFAULT_RETRY}

    def _blob(self, uri: str, generation: int | None = None) -> Any:
        bucket, key = _bucket_key(uri)
        return self.client.bucket(bucket).blob(key, generation=generation)

    def entry(self, uri: str) -> Entry | None:
        bucket, key = _bucket_key(uri)
        blob = self.client.bucket(bucket).get_blob(key, **self._patient)
        return None if blob is None else Entry(uri, int(blob.size), _stamp(blob.size, blob.generation))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = _bucket_key(prefix)
        for blob in self.client.list_blobs(bucket, prefix=key, **self._patient):
            yield Entry(f"{_scheme(prefix)}://{bucket}/{blob.name}", int(blob.size), _stamp(blob.size, blob.generation))

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        blob = self._blob(entry.uri, int(_tag(entry.stamp).strip('"')))
        return cast(bytes, blob.download_as_bytes(start=start, end=stop - 1, **self._patient))

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        self._blob(uri).upload_from_file(file, size=size, **self._patient)

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        of = 0 if stamp is None else int(_tag(stamp).strip('"'))
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


class _Azure(_Ranged):
    def __init__(self) -> None:
        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if not connection:
            raise OSError(errno.EACCES, "azure:// needs the environment variable AZURE_STORAGE_CONNECTION_STRING")
        blobs = _module("azure.storage.blob", "azure")
        self.client = blobs.BlobServiceClient.from_connection_string(
            connection, retry_total=_ATTEMPTS, connection_timeout=_timeout(), read_timeout=_timeout()
        )
        core = import_module("azure.core")
        self._same, self._errors = core.MatchConditions.IfNotModified, import_module("azure.core.exceptions")

    def _blob(self, uri: str) -> Any:
        return self.client.get_blob_client(*_bucket_key(uri))

    def entry(self, uri: str) -> Entry | None:
        try:
            found = self._blob(uri).get_blob_properties()
        except self._errors.ResourceNotFoundError:
            return None
        return Entry(uri, int(found.size), _stamp(found.size, found.etag))

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = _bucket_key(prefix)
        for blob in self.client.get_container_client(bucket).list_blobs(name_starts_with=key):
            yield Entry(f"azure://{bucket}/{blob.name}", int(blob.size), _stamp(blob.size, blob.etag))

    def read(self, entry: Entry, start: int, stop: int) -> bytes:
        blob = self._blob(entry.uri)
        condition = {"etag": _tag(entry.stamp), "match_condition": self._same}
        return cast(bytes, blob.download_blob(offset=start, length=stop - start, **condition).readall())

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        self._blob(uri).upload_blob(file, length=size, overwrite=True)

    def swap(self, uri: str, data: bytes, stamp: str | None) -> bool:
        condition = {} if stamp is None else {"etag": _tag(stamp), "match_condition": self._same}
        try:
            self._blob(uri).upload_blob(data, overwrite=stamp is not None, **condition)
        except (self._errors.ResourceExistsError, self._errors.ResourceModifiedError, self._errors.ResourceNotFoundError):
            return False
        return True

    def delete(self, uris: Sequence[str]) -> None:
        for uri in uris:
            try:
                self._blob(uri).delete_blob()
            except self._errors.ResourceNotFoundError:
                continue


class _Http:
    """Reads single files; the web has no listing."""

    def entry(self, uri: str) -> Entry | None:
        requests = import_module("requests")  # comes with smart-open
        answer = requests.head(uri, allow_redirects=True, timeout=_timeout(), headers={"Accept-Encoding": "identity"})
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


STORES: dict[str, type[Store]] = {"s3": _S3, "gs": _Gcs, "gcs": _Gcs, "azure": _Azure, "http": _Http, "https": _Http}
"""Which store serves a scheme."""

_connected: dict[tuple[int, str], Store] = {}  # by process: a client must not cross a fork


def _module(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"this URI needs the package {name}: pip install 'tamis[{extra}]'") from error


def _scheme(uri: str) -> str:
    match = _SCHEME.match(uri)
    return match[1] if match else "file"


def _bucket_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.split("://", 1)[1].partition("/")
    return bucket, key


def _s3_place(uri: str) -> dict[str, str]:
    bucket, key = _bucket_key(uri)
    return {"Bucket": bucket, "Key": key}


def _passing(error: Any) -> bool:
    """Whether what S3 refused may be granted in a moment."""
    status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    return status in (408, 429, *range(500, 600)) or code == "RequestTimeout"


def _stamp(size: int, tag: object) -> str:
    return f"{size}-{str(tag).strip(chr(34))}"


def _tag(stamp: str) -> str:
    """The store's tag of an object, quoted as HTTP wants it."""
    return f'"{stamp.split("-", 1)[1]}"'


def _timeout() -> float:
    return float(os.environ.get(TIMEOUT, 30))


_CLIENTS = ("botocore", "boto3", "google", "azure", "requests", "urllib3")


@contextmanager
def _plainly(uri: str) -> Iterator[None]:
    """What a store's client raises becomes an OSError that names the URI: a person can act on it."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.split(".")[0] not in _CLIENTS:
            raise
        code = getattr(error, "response", None)
        status = code["ResponseMetadata"]["HTTPStatusCode"] if isinstance(code, dict) else getattr(error, "status_code", 0)
        kind = errno.EACCES if status in (401, 403) or "Credentials" in type(error).__name__ else errno.EIO
        raise OSError(kind, f"{uri}: {type(error).__name__}: {error}") from error


def _store(uri: str) -> Store:
    scheme = _scheme(uri)
    if scheme not in STORES:
        raise ValueError(f"{uri}: no store for '{scheme}://'; known are {', '.join(sorted(STORES))} and local paths")
    place = (os.getpid(), scheme)
    if place not in _connected:
        _connected[place] = STORES[scheme]()
    return _connected[place]


def local_path(uri: str) -> Path | None:
    """The path of a local URI (with or without `file://`); None on a store."""
    scheme = _scheme(uri)
    if scheme != "file":
        return None
    return Path(uri.removeprefix("file://"))


def join(base: str, *parts: str) -> str:
    """`base` and the names below it as one URI."""
    return os.path.join(base, *parts) if local_path(base) is not None else posixpath.join(base, *parts)


def suffixes(uri: str) -> list[str]:
    """The lower-case suffixes of the file's name, e.g. ['.jsonl', '.gz'], without the query of a web address."""
    name = uri.split("?", 1)[0] if _scheme(uri) in ("http", "https") else uri
    return [suffix.lower() for suffix in Path(posixpath.basename(name)).suffixes]


# --- listing ---


def expand(patterns: Sequence[str], allow_empty: bool = False) -> list[Entry]:
    """The files that `patterns` name, each once, sorted by URI.

    A pattern is a path, a glob (`*`, `?`, `[…]`, `**` across folders), a folder (searched to the bottom for
    `DATA_SUFFIXES`, with or without a compression suffix), or `@file`, which lists one pattern a line (blank lines and
    `#` comments skipped; relative ones are relative to the list). Files and folders whose names begin with `.` or `_`
    are found only when spelt out.

    Raises FileNotFoundError naming the pattern that matches nothing. With `allow_empty` a folder, a glob or a list may hold no
    file; but a path that does not exist, or a glob in a folder that does not, is still an error. (A store has no empty
    folders: there a glob may match nothing, a folder may not.)
    """
    found: dict[str, Entry] = {}
    for pattern in _listed(patterns, allow_empty):
        try:
            entries = _local(pattern) if local_path(pattern) is not None else _remote(pattern)
        except NothingThere:
            if not allow_empty:
                raise
            continue
        for match in entries:
            path = local_path(match.uri)
            found.setdefault(match.uri if path is None else os.path.abspath(path), match)
    return sorted(found.values(), key=lambda match: match.uri)


def _listed(patterns: Sequence[str], allow_empty: bool) -> Iterator[str]:
    for pattern in patterns:
        if not pattern.startswith("@"):
            yield pattern
            continue
        lines = [line.strip() for line in read_bytes(pattern[1:]).decode().splitlines()]
        inner = [line for line in lines if line and not line.startswith("#")]
        if not inner and not allow_empty:
            raise NothingThere(f"{pattern}: the list names no file")
        folder = os.path.dirname(pattern[1:])
        yield from (line if _SCHEME.match(line) or os.path.isabs(line) else join(folder, line) for line in inner)


def _local(pattern: str) -> list[Entry]:
    path = os.path.normpath(pattern.removeprefix("file://"))
    if os.path.isdir(path):
        return [_stat(file) for file in _data(pattern, list(_walk(path)))]
    if os.path.exists(path):  # before the glob: a name may hold a bracket
        return [_stat(path)]
    wild = _WILD.search(path)
    if wild is None:
        raise FileNotFoundError(f"{pattern}: no such file or folder")
    folder = os.path.dirname(path[: wild.start()])
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(f"{pattern}: the pattern matches no file; there is no folder {folder}")
    files = [file for file in glob.glob(path, recursive=True) if os.path.isfile(file)]
    return [_stat(file) for file in _spelt(path, files)]


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _hidden(name)]
        yield from (os.path.join(parent, name) for name in names)


def _remote(pattern: str) -> list[Entry]:
    web = _scheme(pattern) in ("http", "https")
    wild = None if web else _WILD.search(pattern)
    entries = list(_entries(pattern[: wild.start()] if wild else pattern))
    exact = [found for found in entries if found.uri == pattern]
    if exact and not pattern.endswith("/"):
        return exact
    if wild:
        regex = re.compile(_glob_regex(pattern))
        matching = {found.uri: found for found in entries if regex.fullmatch(found.uri) and not found.uri.endswith("/")}
        return [matching[uri] for uri in _spelt(pattern, list(matching))]
    folder = pattern.rstrip("/") + "/"
    inside = {found.uri: found for found in entries if found.uri.startswith(folder)}
    if not inside:
        raise FileNotFoundError(f"{pattern}: no such object or folder")
    visible = [uri for uri in inside if not any(_hidden(name) for name in uri[len(folder) :].split("/"))]
    return [inside[uri] for uri in _data(pattern, visible)]


def _glob_regex(pattern: str) -> str:
    """The regular expression of a glob in which `*` stays within a folder and `**/` crosses any number of them."""
    special = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}

    def translate(piece: str) -> str:
        if piece.startswith("[") and piece.endswith("]"):
            return piece.replace("[!", "[^", 1)
        return special.get(piece) or re.escape(piece)

    return "".join(translate(piece) for piece in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern))


def _entries(prefix: str) -> Iterator[Entry]:
    with _plainly(prefix):
        yield from _store(prefix).entries(prefix)


def _data(pattern: str, files: list[str]) -> list[str]:
    def is_data(file: str) -> bool:
        kinds = [suffix for suffix in suffixes(file) if suffix not in COMPRESSION_SUFFIXES]
        return bool(kinds) and kinds[-1] in DATA_SUFFIXES and not _hidden(posixpath.basename(file))

    data = [file for file in files if is_data(file)]
    if not data:
        others = sorted(posixpath.basename(file) for file in files)[:3]
        seen = f"; there are others ({', '.join(others)}, …): name them by a glob" if others else ": it is empty"
        raise NothingThere(f"{pattern}: the folder holds no {', '.join(sorted(DATA_SUFFIXES))} file{seen}")
    return data


def _spelt(pattern: str, files: list[str]) -> list[str]:
    """The matches of a glob, without hidden files unless the glob asks for them."""
    hidden_too = _hidden(posixpath.basename(pattern))
    files = [file for file in files if hidden_too or not _hidden(posixpath.basename(file))]
    if not files:
        raise NothingThere(f"{pattern}: the pattern matches no file")
    return files


def _hidden(name: str) -> bool:
    return not name or name[0] in "._"


def _stat(path: str) -> Entry:
    status = os.stat(path)
    return Entry(path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


# --- reading ---


def entry(uri: str) -> Entry:
    """Size and stamp of one file. Raises FileNotFoundError."""
    path = local_path(uri)
    if path is not None:
        return replace(_stat(str(path)), uri=uri)
    with _plainly(uri):
        found = _store(uri).entry(uri)
    if found is None:
        raise FileNotFoundError(f"{uri}: no such object")
    return found


def exists(uri: str) -> bool:
    """Whether there is a file (locally: or a folder) of this very name."""
    path = local_path(uri)
    if path is not None:
        return path.exists()
    with _plainly(uri):
        return _store(uri).entry(uri) is not None


def open_binary(uri: str) -> BinaryIO:
    """The raw bytes of a file, seekable where the store is; never decompressed."""
    path = local_path(uri)
    if path is not None:
        return open(path, "rb")
    with _plainly(uri):
        return _store(uri).open(uri)


def read_bytes(uri: str) -> bytes:
    """The whole file."""
    with open_binary(uri) as file:
        return file.read()


def read_json(uri: str) -> Any:
    """The JSON object of a file; None where there is no file, or only a torn one (a machine lost its power)."""
    try:
        found = json.loads(read_bytes(uri))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def sha256(uri: str) -> str:
    """SHA-256 of the file in hexadecimal, read in pieces."""
    with open_binary(uri) as file:
        return hashlib.file_digest(cast(io.BytesIO, file), "sha256").hexdigest()


def names(folder: str) -> list[str]:
    """The files and folders directly in `folder`, sorted; [] when there is none. Unfinished files are never named."""
    path = local_path(folder)
    if path is not None:
        return sorted(name for name in os.listdir(path) if not _TEMPORARY.match(name)) if path.is_dir() else []
    prefix = folder.rstrip("/") + "/"
    below = (found.uri[len(prefix) :] for found in _entries(prefix))
    return sorted({name.split("/", 1)[0] for name in below if name})


# --- writing ---


class Sink(io.RawIOBase):
    """A writable binary file that knows the SHA-256 (unless nobody will ask) and the size of what went through it; pyarrow
    writes to it too."""

    def __init__(self, file: BinaryIO, digest: bool = True) -> None:
        super().__init__()
        self._file = file
        self._digest = hashlib.sha256() if digest else None
        self.size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        if self._digest is not None:
            self._digest.update(view)
        self.size += len(view)
        return len(view)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    @property
    def sha256(self) -> str:
        """Of the bytes written so far, in hexadecimal."""
        if self._digest is None:
            raise ValueError("what need not be durable has no checksum")
        return self._digest.hexdigest()


@contextmanager
def commit(uri: str, durable: bool = True) -> Iterator[Sink]:
    """Yields the sink of a file that appears under `uri`, replacing what was there, only when the block ends well.

    Locally: a temporary name in the same folder (made if missing), fsync, rename. On a store: spooled, then one put. What need
    not survive a power cut is not `durable`: it spares the disk two waits, and has no checksum.
    """
    path = local_path(uri)
    with _renamed(path, durable) if path is not None else _put(uri) as file, Sink(file, digest=durable) as sink:
        yield sink


@contextmanager
def _renamed(path: Path, durable: bool) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")  # two hosts may share a pid
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
            error.filename = str(path)  # the system names no file when it refuses to write to one that is open
        raise
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself survives a power cut
    finally:
        os.close(folder)


@contextmanager
def _put(uri: str) -> Iterator[BinaryIO]:
    store = _store(uri)
    if isinstance(store, _Http):
        raise PermissionError(f"{uri}: http is read only")
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spool:
        yield cast(BinaryIO, spool)
        size = spool.tell()
        spool.seek(0)
        with _plainly(uri):
            store.put(uri, cast(BinaryIO, spool), size)


def write_bytes(uri: str, data: bytes, durable: bool = True) -> None:
    """Writes the whole file at once, or nothing."""
    with commit(uri, durable) as sink:
        sink.write(data)


def swap(uri: str, data: bytes, stamp: str | None) -> str | None:
    """Puts a small object where there is none (`stamp` None) or in place of the one of this stamp: its new stamp, or None when
    somebody else was first. `data` must be like no other that was ever put there. On stores only; of all who try, one succeeds.
    """
    with _plainly(uri):
        store = _store(uri)
        store.swap(uri, data, stamp)
        # Whatever it answered: the answer to a first attempt may have been lost, and the second then found itself late.
        found = store.entry(uri)
        if found is None:
            return None
        with store.open(uri) as file:
            return found.stamp if file.read() == data else None


def remove(uri: str) -> None:
    """Removes a file; a missing one is fine."""
    path = local_path(uri)
    if path is not None:
        path.unlink(missing_ok=True)
    else:
        with _plainly(uri):
            _store(uri).delete([uri])


def remove_tree(uri: str) -> None:
    """Removes a folder and all below it, or a file; a missing one is fine."""
    path = local_path(uri)
    if path is None:
        below = [found.uri for found in _entries(uri.rstrip("/") + "/")]
        with _plainly(uri):
            _store(uri).delete([*below, uri])
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: str) -> list[str]:
    """Removes what killed writers left in `folder` itself and returns the names; only when nobody is writing there."""
    path = local_path(folder)
    if path is None or not path.is_dir():
        return []  # a store shows no object before its put is complete
    left = sorted(name for name in os.listdir(path) if _TEMPORARY.match(name))
    for name in left:
        (path / name).unlink(missing_ok=True)
    return left
