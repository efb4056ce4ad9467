"""Lists files: the matches of patterns, and the contents of folders."""

import bz2
import glob
import gzip
import lzma
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tamis.transforms.storage.connection import connect
from tamis.transforms.storage.object_store import Entry
from tamis.transforms.storage.os_errors import as_os_error
from tamis.transforms.storage.read_only.web import Web
from tamis.transforms.storage.reading import read_bytes, stat
from tamis.transforms.storage.uris import SCHEME, join, local_path, suffixes

DATA_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".warc", ".wet"})
"""The files that `expand` takes from a folder. A glob or a path may name any file."""

COMPRESSION_SUFFIXES = frozenset({".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".lz4"})

TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp\Z")
"""The names of files that are still being written, or whose writer was killed."""

_WILDCARD = re.compile(r"[*?\[]")
_LIST_CODECS = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress}

By = Literal["path", "glob", "folder"]
"""What names a file: its path, a glob that it matches, or only a folder that it lies in."""


@dataclass
class Listing:
    """Files by URI with what names each, and what was passed over, with the reason."""

    files: list[tuple[Entry, By]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


class EmptyInput(FileNotFoundError):
    """A valid folder, glob or list without files. A wrong name is another error."""


def names(folder: str) -> list[str]:
    """The finished files and folders directly in `folder`, sorted; [] if it does not exist."""
    path = local_path(folder)
    if path is not None:
        return sorted(name for name in os.listdir(path) if not TEMPORARY.match(name)) if path.is_dir() else []
    with as_os_error(folder):
        return sorted({name for name in connect(folder).children(folder.rstrip("/") + "/") if name})


def files(folder: str) -> dict[str, Entry]:
    """All finished files below `folder`, by their path in it, sorted; none if it does not exist."""
    path = local_path(folder)
    if path is None:
        prefix = folder.rstrip("/") + "/"
        return {entry.uri[len(prefix) :]: entry for entry in sorted(objects(prefix), key=lambda entry: entry.uri)}
    found = {}
    for parent, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = os.path.join(parent, name)
            if not TEMPORARY.match(name) and os.path.exists(file):
                found[os.path.relpath(file, path)] = stat(file)
    return found


def expand(patterns: Sequence[str], allow_empty: bool = False) -> list[Entry]:
    """The files that match `patterns`, each once, sorted by URI: as `list_files`, but only the files
    of folders with `DATA_SUFFIXES`, with or without a compression suffix. Raises FileNotFoundError
    if there is none."""
    listing = list_files(patterns, allow_empty)
    entries = [entry for entry, by in listing.files if by != "folder" or _is_data(entry.uri)]
    if not entries and listing.files:
        others = ", ".join(posixpath.basename(entry.uri) for entry, _ in listing.files[:3])
        wanted = ", ".join(sorted(DATA_SUFFIXES))
        raise EmptyInput(f"{', '.join(patterns)}: no {wanted} file, but others ({others}, …): name them with a glob")
    return entries


def list_files(patterns: Sequence[str], allow_empty: bool = False, base: str | None = None) -> Listing:
    """The files that match `patterns`, each once, sorted by URI. Links to one file are one file.

    A pattern is a path, a glob (`*`, `?`, `[…]`, `**` across folders), a folder (searched
    recursively), or `@file`, a list of patterns, one per line, which may be compressed (blank lines
    and `#` comments are skipped; relative patterns are relative to `base`, by default to the folder
    of the list). Files and folders whose names begin with `.` or `_` match only if the pattern
    spells this out. They are passed over, and so is what is no file.

    Raises FileNotFoundError, which names the pattern, if one matches nothing. With `allow_empty`,
    a folder, a glob or a list may hold no files; but a path that does not exist, or a glob in a
    folder that does not exist, is an error. (A store has no empty folders, so only a glob may match
    nothing there.)
    """
    files: dict[str, tuple[Entry, By]] = {}
    passed_over: dict[str, str] = {}
    for pattern in _without_lists(patterns, allow_empty, base):
        try:
            matches = _local(pattern) if local_path(pattern) is not None else _remote(pattern)
        except EmptyInput:
            if not allow_empty:
                raise
            continue
        for entry, by in matches.files:
            path = local_path(entry.uri)
            files.setdefault(entry.uri if path is None else os.path.abspath(path), (entry, by))
        passed_over |= matches.passed_over
    listing = _once(sorted(files.values(), key=lambda file: file[0].uri))
    listing.passed_over += sorted(passed_over.items())
    return listing


def _once(files: list[tuple[Entry, By]]) -> Listing:
    """The files, without other names of the same file. Its own name comes before links to it."""
    listing, first = Listing(), dict[tuple[int, int], str]()
    by_inode: dict[tuple[int, int], list[str]] = {}
    for entry, _ in files:
        if (inode := _inode(entry.uri)) is not None:
            by_inode.setdefault(inode, []).append(entry.uri)
    for inode, uris in by_inode.items():
        first[inode] = next((uri for uri in uris if not os.path.islink(local_path(uri) or "")), uris[0])
    for entry, by in files:
        inode = _inode(entry.uri) if len(by_inode) < len(files) else None
        if inode is None or first[inode] == entry.uri:
            listing.files.append((entry, by))
        else:
            listing.passed_over.append((entry.uri, f"it is the same file as {first[inode]}"))
    return listing


def _inode(uri: str) -> tuple[int, int] | None:
    path = local_path(uri)
    status = os.stat(path) if path is not None else None
    return (status.st_dev, status.st_ino) if status is not None and status.st_ino else None


def _without_lists(patterns: Sequence[str], allow_empty: bool, base: str | None) -> Iterator[str]:
    for pattern in patterns:
        if not pattern.startswith("@"):
            yield pattern
            continue
        text = _list_text(pattern[1:])
        lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
        listed = [line for line in lines if line and not line.startswith("#")]
        if not listed and not allow_empty:
            raise EmptyInput(f"{pattern}: the list names no file")
        folder = os.path.dirname(pattern[1:]) if base is None else base
        yield from (line if SCHEME.match(line) or os.path.isabs(line) else join(folder, line) for line in listed)


def _list_text(uri: str) -> str:
    """A list of paths; bytes that are not UTF-8 are kept, because file names may have them."""
    data = read_bytes(uri)
    for start, decompress in _LIST_CODECS.items():
        if data.startswith(start):
            try:
                data = decompress(data)
            except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
                raise ValueError(f"@{uri}: the list is damaged: {error}") from error
    return data.decode("utf-8", "surrogateescape")


def _local(pattern: str) -> Listing:
    path = os.path.normpath(pattern.removeprefix("file://"))
    if os.path.isdir(path):
        listing = Listing()
        _walk(path, listing)
        if not listing.files:
            raise EmptyInput(f"{pattern}: {_nothing(listing)}")
        return listing
    if os.path.exists(path):  # before globs: a file's name may contain brackets
        return Listing([(stat(path), "path")])
    wildcard = _WILDCARD.search(path)
    if wildcard is None:
        raise FileNotFoundError(f"{pattern}: no such file or folder")
    folder = os.path.dirname(path[: wildcard.start()])
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(f"{pattern}: the pattern matches no file; there is no folder {folder}")
    files = [file for file in glob.glob(path, recursive=True) if os.path.isfile(file)]
    visible, passed_over = _visible(path, files)
    return Listing([(stat(file), "glob") for file in visible], passed_over)


def _walk(folder: str, listing: Listing, parents: tuple[str, ...] = ()) -> None:
    """Adds the files below a folder. Links are followed, except back to a parent folder."""
    parents = (*parents, os.path.realpath(folder))
    with os.scandir(folder) as items:
        for item in sorted(items, key=lambda item: item.name):
            reason = None
            if _is_hidden(item.name):
                reason = f"its name begins with '{item.name[0]}'"
            elif item.is_dir():
                if os.path.realpath(item.path) in parents:
                    reason = "it is a link to a folder that contains it"
                else:
                    _walk(item.path, listing, parents)
                    continue
            elif not item.is_file():
                reason = "it is not a regular file" if os.path.exists(item.path) else "it is a broken link"
            if reason is None:
                listing.files.append((stat(item.path), "folder"))
            elif not TEMPORARY.match(item.name):
                listing.passed_over.append((item.path + "/" * item.is_dir(), reason))


def _nothing(listing: Listing) -> str:
    if not listing.passed_over:
        return "the folder is empty"
    uri, reason = listing.passed_over[0]
    more = f", and {len(listing.passed_over) - 1} more are not read" if len(listing.passed_over) > 1 else ""
    return f"the folder holds nothing to read; {posixpath.basename(uri.rstrip('/'))}: {reason}{more}"


def _remote(pattern: str) -> Listing:
    web = isinstance(connect(pattern), Web)
    wildcard = None if web else _WILDCARD.search(pattern)
    entries = list(objects(pattern[: wildcard.start()] if wildcard else pattern))
    exact = [entry for entry in entries if entry.uri == pattern]
    if exact and not pattern.endswith("/"):
        return Listing([(entry, "path") for entry in exact])
    if wildcard:
        regex = re.compile(_glob_regex(pattern))
        matches = {entry.uri: entry for entry in entries if regex.fullmatch(entry.uri) and not entry.uri.endswith("/")}
        visible, passed_over = _visible(pattern, list(matches))
        return Listing([(matches[uri], "glob") for uri in visible], passed_over)
    folder = pattern.rstrip("/") + "/"
    inside = {entry.uri: entry for entry in entries if entry.uri.startswith(folder)}
    if not inside:
        raise FileNotFoundError(f"{pattern}: no such object or folder")
    listing = Listing()
    for uri, entry in inside.items():
        hidden = next((name for name in uri[len(folder) :].split("/") if _is_hidden(name)), None)
        if hidden is None:
            listing.files.append((entry, "folder"))
        elif hidden:  # else it stands for a folder
            listing.passed_over.append((uri, f"the name '{hidden}' begins with '{hidden[0]}'"))
    if not listing.files:
        raise EmptyInput(f"{pattern}: {_nothing(listing)}")
    return listing


def _glob_regex(pattern: str) -> str:
    """The regular expression of a glob: `*` stays within a folder, `**/` crosses folders."""
    special = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}

    def translate(token: str) -> str:
        if token.startswith("[") and token.endswith("]"):
            return token.replace("[!", "[^", 1)
        return special.get(token) or re.escape(token)

    return "".join(translate(token) for token in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern))


def objects(prefix: str) -> Iterator[Entry]:
    """Every object of a store whose URI begins with `prefix`."""
    with as_os_error(prefix):
        yield from connect(prefix).entries(prefix)


def _is_data(uri: str) -> bool:
    formats = [suffix for suffix in suffixes(uri) if suffix not in COMPRESSION_SUFFIXES]
    return bool(formats) and formats[-1] in DATA_SUFFIXES


def _visible(pattern: str, files: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The matches of a glob, and those that are hidden, unless the glob itself begins like one."""
    if _is_hidden(posixpath.basename(pattern)):
        visible, hidden = files, []
    else:
        visible = [file for file in files if not _is_hidden(posixpath.basename(file))]
        hidden = sorted(set(files) - set(visible))
    if not visible:
        raise EmptyInput(f"{pattern}: the pattern matches no file")
    return visible, [(file, f"its name begins with '{posixpath.basename(file)[:1]}'") for file in hidden]


def _is_hidden(name: str) -> bool:
    return not name or name[0] in "._"
