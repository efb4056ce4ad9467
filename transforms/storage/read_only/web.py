"""Single files over HTTP, FTP, SFTP and HDFS, read only: smart-open opens them."""

import errno
import io
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from tamis.transforms.core.errors import missing_package
from tamis.transforms.storage.object_store import Entry, timeout
from tamis.transforms.storage.retry import is_transient_status, retry
from tamis.transforms.storage.uris import scheme_of


class Web(ABC):
    """Reads single files, without listing. A response that breaks off is an error, not retried."""

    @abstractmethod
    def entry(self, uri: str) -> Entry | None: ...

    def entries(self, prefix: str) -> Iterator[Entry]:
        entry = self.entry(prefix)
        yield from () if entry is None else (entry,)

    def children(self, folder: str) -> Iterator[str]:
        yield from ()

    def open(self, uri: str) -> BinaryIO:
        return cast(BinaryIO, import_module("smart_open").open(uri, "rb", compression="disable"))

    def _whole(self, uri: str, open_stream: Callable[[], BinaryIO]) -> BinaryIO:
        """A stream whose end before the size of the file is an error."""
        entry = self.entry(uri)
        if entry is None:
            raise FileNotFoundError(f"{uri}: no such file")
        return io.BufferedReader(_WholeFile(open_stream(), entry.size, uri), 1 << 20)

    def put(self, uri: str, file: BinaryIO, size: int) -> None:
        raise PermissionError(f"{uri}: {scheme_of(uri)} is read only")

    def swap(self, uri: str, data: bytes, version: str | None) -> bool:
        raise PermissionError(f"{uri}: {scheme_of(uri)} is read only")

    def delete(self, uris: Sequence[str]) -> None:
        raise PermissionError(f"{uris[0]}: {scheme_of(uris[0])} is read only")


class Http(Web):
    """`http://` and `https://`."""

    def __init__(self) -> None:
        self._requests = import_module("requests")  # comes with smart-open

    def _send(self, request: Callable[[], Any]) -> Any:
        return retry(request, (self._requests.RequestException,), _is_transient)

    def _head(self, uri: str) -> Any:
        response = self._requests.head(uri, allow_redirects=True, timeout=timeout(), headers={"Accept-Encoding": "identity"})
        if response.status_code != 404:
            response.raise_for_status()
        return response

    def entry(self, uri: str) -> Entry | None:
        response = self._send(partial(self._head, uri))
        if response.status_code == 404:
            return None
        size = int(response.headers.get("Content-Length", -1))
        return Entry(uri, size, f"{size}-{response.headers.get('ETag', response.headers.get('Last-Modified', ''))}")

    def open(self, uri: str) -> BinaryIO:
        return cast(BinaryIO, self._send(partial(super().open, uri)))


class Ftp(Web):
    """`ftp://` and `ftps://`, by the name in the URI, or as anonymous."""

    def entry(self, uri: str) -> Entry | None:
        ftplib = import_module("ftplib")
        parts = urlsplit(_with_user(uri))
        with ftplib.FTP_TLS() if parts.scheme == "ftps" else ftplib.FTP() as ftp:
            ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT, timeout())
            ftp.login(unquote(parts.username or ""), unquote(parts.password or ""))
            ftp.voidcmd("TYPE I")
            try:
                size = ftp.size(unquote(parts.path))
                changed = ftp.voidcmd(f"MDTM {unquote(parts.path)}").split()[-1]
            except ftplib.error_perm as error:
                if str(error).startswith("550"):
                    return None
                raise
        return Entry(uri, size or 0, f"{size}-{changed}")

    def open(self, uri: str) -> BinaryIO:
        return self._whole(uri, partial(super().open, _with_user(uri)))


class Sftp(Web):
    """`sftp://`, `scp://` and `ssh://`, with the keys and the configuration of OpenSSH."""

    def _open(self, uri: str) -> Any:
        try:
            import_module("paramiko")
        except ImportError as error:
            raise ImportError(missing_package("this URI", "paramiko")) from error
        prefetch = {"prefetch_kwargs": {"max_concurrent_requests": 64}}  # else one request after the other
        return import_module("smart_open").open(uri, "rb", compression="disable", transport_params=prefetch)

    def entry(self, uri: str) -> Entry | None:
        try:
            with self._open(uri) as file:
                status = file.stat()
        except FileNotFoundError:
            return None
        return Entry(uri, status.st_size, f"{status.st_size}-{status.st_mtime}")

    def open(self, uri: str) -> BinaryIO:
        return self._whole(uri, partial(self._open, uri))


class WebHdfs(Web):
    """`webhdfs://`, the REST interface of a name node."""

    def entry(self, uri: str) -> Entry | None:
        requests = import_module("requests")
        parts = urlsplit(uri)
        address = f"http://{parts.netloc.rpartition('@')[2]}/webhdfs/v1{parts.path}"
        query = {"op": "GETFILESTATUS"} | ({"user.name": unquote(parts.username)} if parts.username else {})
        response = requests.get(address, params=query, timeout=timeout())
        if response.status_code == 404:
            return None
        response.raise_for_status()
        status = response.json()["FileStatus"]
        return Entry(uri, status["length"], f"{status['length']}-{status['modificationTime']}")

    def open(self, uri: str) -> BinaryIO:
        return self._whole(uri, partial(super().open, uri))


class Hdfs(Web):
    """`hdfs://` and `viewfs://`, through the command `hdfs`, which must be installed."""

    def entry(self, uri: str) -> Entry | None:
        path = uri if urlsplit(uri).netloc else urlsplit(uri).path
        try:
            answer = subprocess.run(["hdfs", "dfs", "-stat", "%b %Y", path], capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            message = f"{uri}: there is no command 'hdfs'; install Hadoop's client, or use webhdfs://"
            raise OSError(errno.EIO, message) from error
        if answer.returncode:
            if "No such file" in answer.stderr:
                return None
            raise OSError(errno.EIO, f"{uri}: {answer.stderr.strip()}")
        size, changed = answer.stdout.split()
        return Entry(uri, int(size), f"{size}-{changed}")

    def open(self, uri: str) -> BinaryIO:
        return self._whole(uri, partial(super().open, uri))


class _WholeFile(io.RawIOBase):
    """A stream whose end before the size of the file is an error: FTP closes a connection at the end
    of a file as it does when it breaks off."""

    def __init__(self, stream: BinaryIO, size: int, uri: str) -> None:
        self._stream, self._missing, self._uri = stream, size, uri

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        if not data and self._missing > 0:
            raise OSError(errno.EIO, f"{self._uri}: the connection broke off {self._missing} bytes before the end of the file")
        buffer[: len(data)] = data
        self._missing -= len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _with_user(uri: str) -> str:
    return uri if "@" in urlsplit(uri).netloc else uri.replace("://", "://anonymous:anonymous@", 1)


def _is_transient(error: Any) -> bool:
    if isinstance(error, ValueError):  # an invalid URL
        return False
    return error.response is None or is_transient_status(error.response.status_code)
