"""Lists files: the matches of patterns, and the contents of folders."""

import glob
import os
import posixpath
import re
from collections.abc import Iterator, Sequence

from tamis.transforms.storage.connection import connect
from tamis.transforms.storage.object_store import Entry
from tamis.transforms.storage.os_errors import as_os_error
from tamis.transforms.storage.reading import read_bytes, stat
from tamis.transforms.storage.uris import SCHEME, join, local_path, scheme_of, suffixes

DATA_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".warc", ".wet"})
"""The files that are taken from a folder. A glob or a path may name any file."""

COMPRESSION_SUFFIXES = frozenset({".gz", ".zst", ".zstd", ".bz2"})

TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp\Z")
"""The names of files that are still being written, or whose writer was killed."""

_WILDCARD = re.compile(r"[*?\[]")


class EmptyInput(FileNotFoundError):
    """A valid folder, glob or list without files. A wrong name is another error."""


def names(folder: str) -> list[str]:
    """The finished files and folders directly in `folder`, sorted; [] if it does not exist."""
    path = local_path(folder)
    if path is not None:
        return sorted(name for name in os.listdir(path) if not TEMPORARY.match(name)) if path.is_dir() else []
    prefix = folder.rstrip("/") + "/"
    keys = (entry.uri[len(prefix) :] for entry in objects(prefix))
    return sorted({key.split("/", 1)[0] for key in keys if key})


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
    """The files that match `patterns`, each once, sorted by URI.

    A pattern is a path, a glob (`*`, `?`, `[…]`, `**` across folders), a folder (searched
    recursively for `DATA_SUFFIXES`, with or without a compression suffix), or `@file`, a list of
    patterns, one per line (blank lines and `#` comments are skipped; relative patterns are
    relative to the list). Files and folders whose names begin with `.` or `_` match only if the
    pattern spells this out.

    Raises FileNotFoundError, which names the pattern, if one matches nothing. With `allow_empty`,
    a folder, a glob or a list may hold no files; but a path that does not exist, or a glob in a
    folder that does not exist, is an error. (A store has no empty folders, so only a glob may match
    nothing there.)
    """
    files: dict[str, Entry] = {}
    for pattern in _without_lists(patterns, allow_empty):
        try:
            matches = _local(pattern) if local_path(pattern) is not None else _remote(pattern)
        except EmptyInput:
            if not allow_empty:
                raise
            continue
        for match in matches:
            path = local_path(match.uri)
            files.setdefault(match.uri if path is None else os.path.abspath(path), match)
    return sorted(files.values(), key=lambda file: file.uri)


def _without_lists(patterns: Sequence[str], allow_empty: bool) -> Iterator[str]:
    for pattern in patterns:
        if not pattern.startswith("@"):
            yield pattern
            continue
        lines = [line.strip() for line in read_bytes(pattern[1:]).decode().splitlines()]
        listed = [line for line in lines if line and not line.startswith("#")]
        if not listed and not allow_empty:
            raise EmptyInput(f"{pattern}: the list names no file")
        folder = os.path.dirname(pattern[1:])
        yield from (line if SCHEME.match(line) or os.path.isabs(line) else join(folder, line) for line in listed)


def _local(pattern: str) -> list[Entry]:
    path = os.path.normpath(pattern.removeprefix("file://"))
    if os.path.isdir(path):
        return [stat(file) for file in _data_files(pattern, list(_walk(path)))]
    if os.path.exists(path):  # before globs: a file's name may contain brackets
        return [stat(path)]
    wildcard = _WILDCARD.search(path)
    if wildcard is None:
        raise FileNotFoundError(f"{pattern}: no such file or folder")
    folder = os.path.dirname(path[: wildcard.start()])
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(f"{pattern}: the pattern matches no file; there is no folder {folder}")
    files = [file for file in glob.glob(path, recursive=True) if os.path.isfile(file)]
    return [stat(file) for file in _visible(path, files)]


def _walk(folder: str, parents: tuple[str, ...] = ()) -> Iterator[str]:
    """The files below a folder. Links are followed, except back to a parent folder."""
    parents = (*parents, os.path.realpath(folder))
    with os.scandir(folder) as items:
        for item in items:
            if not item.is_dir():
                yield item.path
            elif not _is_hidden(item.name) and os.path.realpath(item.path) not in parents:
                yield from _walk(item.path, parents)


def _remote(pattern: str) -> list[Entry]:
    web = scheme_of(pattern) in ("http", "https")
    wildcard = None if web else _WILDCARD.search(pattern)
    entries = list(objects(pattern[: wildcard.start()] if wildcard else pattern))
    exact = [entry for entry in entries if entry.uri == pattern]
    if exact and not pattern.endswith("/"):
        return exact
    if wildcard:
        regex = re.compile(_glob_regex(pattern))
        matches = {entry.uri: entry for entry in entries if regex.fullmatch(entry.uri) and not entry.uri.endswith("/")}
        return [matches[uri] for uri in _visible(pattern, list(matches))]
    folder = pattern.rstrip("/") + "/"
    inside = {entry.uri: entry for entry in entries if entry.uri.startswith(folder)}
    if not inside:
        raise FileNotFoundError(f"{pattern}: no such object or folder")
    visible = [uri for uri in inside if not any(_is_hidden(name) for name in uri[len(folder) :].split("/"))]
    return [inside[uri] for uri in _data_files(pattern, visible)]


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


def _data_files(pattern: str, files: list[str]) -> list[str]:
    def is_data(file: str) -> bool:
        formats = [suffix for suffix in suffixes(file) if suffix not in COMPRESSION_SUFFIXES]
        return bool(formats) and formats[-1] in DATA_SUFFIXES and not _is_hidden(posixpath.basename(file))

    data = [file for file in files if is_data(file)]
    if not data:
        others = sorted(posixpath.basename(file) for file in files)[:3]
        content = f"; it has others ({', '.join(others)}, …): name them with a glob" if others else ": it is empty"
        raise EmptyInput(f"{pattern}: the folder holds no {', '.join(sorted(DATA_SUFFIXES))} file{content}")
    return data


def _visible(pattern: str, files: list[str]) -> list[str]:
    """The matches of a glob, without hidden files unless the glob itself begins like one."""
    hidden_too = _is_hidden(posixpath.basename(pattern))
    files = [file for file in files if hidden_too or not _is_hidden(posixpath.basename(file))]
    if not files:
        raise EmptyInput(f"{pattern}: the pattern matches no file")
    return files


def _is_hidden(name: str) -> bool:
    return not name or name[0] in "._"
