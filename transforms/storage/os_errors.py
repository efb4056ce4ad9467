"""What a store's client raises, as an OSError that names the URI."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

_CLIENTS = ("botocore", "boto3", "google", "azure", "requests", "urllib3")


@contextmanager
def plainly(uri: str) -> Iterator[None]:
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
