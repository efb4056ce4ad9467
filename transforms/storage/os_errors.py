"""Turns the exceptions of a store's client into OSErrors that name the URI."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_CLIENTS = (
    *("botocore", "boto3", "google", "azure", "requests", "urllib3", "ftplib", "paramiko", "smart_open"),
    *("huggingface_hub", "httpx", "httpx2"),
)


@contextmanager
def as_os_error(uri: str) -> Iterator[None]:
    """Raises what a store's client raises inside the block as an OSError that names the URI."""
    try:
        yield
    except (ConnectionError, TimeoutError, socket.gaierror) as error:
        raise OSError(error.errno or errno.EIO, f"{uri}: {error.strerror or error}") from error
    except Exception as error:
        if type(error).__module__.split(".")[0] not in _CLIENTS:
            raise
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            status = response["ResponseMetadata"]["HTTPStatusCode"]
        else:
            status = getattr(error, "status_code", 0)
        code = errno.EACCES if status in (401, 403) or "Credentials" in type(error).__name__ else errno.EIO
        raise OSError(code, f"{uri}: {type(error).__name__}: {error}") from error
