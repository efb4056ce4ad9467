"""Opens, lists and commits files on local disk and object stores; a file has its name only when it is complete.

A URI is a local path, or `s3://`, `gs://`, `azure://` (listed by the store's own client, carried by smart-open), or
`http(s)://` (read only). Everything local goes through plain `os`.
"""

from __future__ import annotations

import glob
import hashlib
import io
import os
import posixpath
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

DATA_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".warc", ".wet"})
"""What a folder is searched for; a glob or a path may name any file."""

COMPRESSION_SUFFIXES = frozenset({".gz", ".zst", ".zstd", ".bz2"})

_CHUNK = 1 << 20
_SPOOL = 64 << 20  # an object waits in memory up to this size, then on local disk, until it is put
_TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp\Z")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://")
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that exists: `size` in bytes; `stamp` changes when the bytes may have (by time, or the store's tag)."""

    uri: str
    size: int
    stamp: str


class NothingThere(FileNotFoundError):
    """A folder, a glob or a list that is in order and holds no file, tonight perhaps. A wrong name is another matter."""


class Store(Protocol):
    """What smart-open does not do on an object store. URIs come in and go out whole."""

    def entries(self, prefix: str) -> Iterable[Entry]:
        """Every object whose URI begins with `prefix`."""
        ...

    def delete(self, uri: str) -> None:
        """Removes one object; a missing one is fine."""
        ...

    def transport(self) -> dict[str, Any]:
        """smart-open's `transport_params` for this store."""
        ...


class _S3:
    def __init__(self) -> None:
        self.client = _module("boto3", "s3").client("s3")

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = _bucket_key(prefix)
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            for item in page.get("Contents", ()):
                tag = item["ETag"].strip('"')
                yield Entry(f"s3://{bucket}/{item['Key']}", int(item["Size"]), f"{item['Size']}-{tag}")

    def delete(self, uri: str) -> None:
        bucket, key = _bucket_key(uri)
        self.client.delete_object(Bucket=bucket, Key=key)

    def transport(self) -> dict[str, Any]:
        return {"client": self.client}


class _Gcs:
    def __init__(self) -> None:
        self.client = _module("google.cloud.storage", "gcs").Client()

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = _bucket_key(prefix)
        for blob in self.client.list_blobs(bucket, prefix=key):
            yield Entry(f"{_scheme(prefix)}://{bucket}/{blob.name}", int(blob.size), f"{blob.size}-{blob.generation}")

    def delete(self, uri: str) -> None:
        bucket, key = _bucket_key(uri)
        blob = self.client.bucket(bucket).get_blob(key)
        if blob is not None:
            blob.delete()

    def transport(self) -> dict[str, Any]:
        return {"client": self.client}


class _Azure:
    def __init__(self) -> None:
        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if not connection:
            raise OSError("azure:// needs the environment variable AZURE_STORAGE_CONNECTION_STRING")
        self.client = _module("azure.storage.blob", "azure").BlobServiceClient.from_connection_string(connection)

    def entries(self, prefix: str) -> Iterator[Entry]:
        bucket, key = _bucket_key(prefix)
        for blob in self.client.get_container_client(bucket).list_blobs(name_starts_with=key):
            yield Entry(f"azure://{bucket}/{blob.name}", int(blob.size), f"{blob.size}-{blob.etag}")

    def delete(self, uri: str) -> None:
        bucket, key = _bucket_key(uri)
        blob = self.client.get_blob_client(bucket, key)
        if blob.exists():
            blob.delete_blob()

    def transport(self) -> dict[str, Any]:
        return {"client": self.client}


class _Http:
    """Reads single files; the web has no listing."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        requests = import_module("requests")  # comes with smart-open
        answer = requests.head(prefix, allow_redirects=True, timeout=60, headers={"Accept-Encoding": "identity"})
        if answer.status_code == 404:
            return
        answer.raise_for_status()
        size = int(answer.headers.get("Content-Length", -1))
        yield Entry(prefix, size, f"{size}-{answer.headers.get('ETag', answer.headers.get('Last-Modified', ''))}")

    def delete(self, uri: str) -> None:
        raise PermissionError(f"{uri}: http is read only")

    def transport(self) -> dict[str, Any]:
        return {}


STORES: dict[str, type[Store]] = {"s3": _S3, "gs": _Gcs, "gcs": _Gcs, "azure": _Azure, "http": _Http, "https": _Http}
"""Which store serves a scheme. A scheme that is added here must be one that smart-open can open."""

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
    store = _store(pattern)
    web = _scheme(pattern) in ("http", "https")
    wild = None if web else _WILD.search(pattern)
    entries = list(store.entries(pattern[: wild.start()] if wild else pattern))
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
    found = next((candidate for candidate in _store(uri).entries(uri) if candidate.uri == uri), None)
    if found is None:
        raise FileNotFoundError(f"{uri}: no such object")
    return found


def exists(uri: str) -> bool:
    """Whether there is a file (locally: or a folder) of this very name."""
    path = local_path(uri)
    if path is not None:
        return path.exists()
    return any(candidate.uri == uri for candidate in _store(uri).entries(uri))


def open_binary(uri: str) -> BinaryIO:
    """The raw bytes of a file, seekable where the store is; never decompressed."""
    path = local_path(uri)
    if path is not None:
        return open(path, "rb")
    smart_open = import_module("smart_open")
    return cast(BinaryIO, smart_open.open(uri, "rb", compression="disable", transport_params=_store(uri).transport()))


def read_bytes(uri: str) -> bytes:
    """The whole file."""
    with open_binary(uri) as file:
        return file.read()


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
    below = (found.uri[len(prefix) :] for found in _store(folder).entries(prefix))
    return sorted({name.split("/", 1)[0] for name in below if name})


# --- writing ---


class Sink(io.RawIOBase):
    """A writable binary file that knows the SHA-256 and the size of what went through it; pyarrow writes to it too."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
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
        return self._digest.hexdigest()


@contextmanager
def commit(uri: str, durable: bool = True) -> Iterator[Sink]:
    """Yields the sink of a file that appears under `uri`, replacing what was there, only when the block ends well.

    Locally: a temporary name in the same folder (made if missing), fsync, rename. On a store: spooled, then one put. What need
    not survive a power cut is not `durable`: it spares the disk two waits.
    """
    path = local_path(uri)
    with _renamed(path, durable) if path is not None else _put(uri) as file, Sink(file) as sink:
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
    except BaseException:
        temporary.unlink(missing_ok=True)
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
        spool.seek(0)
        smart_open = import_module("smart_open")
        with smart_open.open(uri, "wb", compression="disable", transport_params=store.transport()) as remote:
            shutil.copyfileobj(spool, remote, _CHUNK)


def write_bytes(uri: str, data: bytes, durable: bool = True) -> None:
    """Writes the whole file at once, or nothing."""
    with commit(uri, durable) as sink:
        sink.write(data)


def remove(uri: str) -> None:
    """Removes a file; a missing one is fine."""
    path = local_path(uri)
    if path is not None:
        path.unlink(missing_ok=True)
    else:
        _store(uri).delete(uri)


def remove_tree(uri: str) -> None:
    """Removes a folder and all below it, or a file; a missing one is fine."""
    path = local_path(uri)
    if path is None:
        store = _store(uri)
        for found in list(store.entries(uri.rstrip("/") + "/")):
            store.delete(found.uri)
        store.delete(uri)
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
