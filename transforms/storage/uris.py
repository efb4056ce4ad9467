"""Joins and takes apart local paths and URIs."""

import os
import posixpath
import re
from pathlib import Path

SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://")
"""The beginning of a URI; a plain path has none."""


def scheme_of(uri: str) -> str:
    """The scheme of a URI, without `://`; "file" for a path."""
    match = SCHEME.match(uri)
    return match[1] if match else "file"


def bucket_key(uri: str) -> tuple[str, str]:
    """The bucket and the key of an object."""
    bucket, _, key = uri.split("://", 1)[1].partition("/")
    return bucket, key


def local_path(uri: str) -> Path | None:
    """The path of a local URI (with or without `file://`); None for a URI of a store."""
    return Path(uri.removeprefix("file://")) if scheme_of(uri) == "file" else None


def join(base: str, *parts: str) -> str:
    """`base` and the names below it as one URI."""
    return os.path.join(base, *parts) if local_path(base) is not None else posixpath.join(base, *parts)


def suffixes(uri: str) -> list[str]:
    """The lower-case suffixes of a file name without query, e.g. ['.jsonl', '.gz']."""
    name = uri.split("?", 1)[0] if scheme_of(uri) in ("http", "https") else uri
    return [suffix.lower() for suffix in Path(posixpath.basename(name)).suffixes]
