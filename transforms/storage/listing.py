"""Which files there are: what patterns name, what lies in a folder."""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections.abc import Iterator, Sequence

from tamis.transforms.storage.connection import connect
from tamis.transforms.storage.object_store import Entry
from tamis.transforms.storage.os_errors import plainly
from tamis.transforms.storage.reading import read_bytes, stat
from tamis.transforms.storage.uris import SCHEME, join, local_path, scheme_of, suffixes

DATA_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".warc", ".wet"})
"""What a folder is searched for; a glob or a path may name any file."""

COMPRESSION_SUFFIXES = frozenset({".gz", ".zst", ".zstd", ".bz2"})

TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp\Z")
"""The names of files that are being written, or were when their writer was killed."""

_WILD = re.compile(r"[*?\[]")


class NothingThere(FileNotFoundError):
    """A folder, a glob or a list that is in order and holds no file, tonight perhaps. A wrong name is another matter."""


def names(folder: str) -> list[str]:
    """The files and folders directly in `folder`, sorted; [] when there is none. Unfinished files are never named."""
    path = local_path(folder)
    if path is not None:
        return sorted(name for name in os.listdir(path) if not TEMPORARY.match(name)) if path.is_dir() else []
    prefix = folder.rstrip("/") + "/"
    below = (found.uri[len(prefix) :] for found in objects(prefix))
    return sorted({name.split("/", 1)[0] for name in below if name})


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
        yield from (line if SCHEME.match(line) or os.path.isabs(line) else join(folder, line) for line in inner)


def _local(pattern: str) -> list[Entry]:
    path = os.path.normpath(pattern.removeprefix("file://"))
    if os.path.isdir(path):
        return [stat(file) for file in _data(pattern, list(_walk(path)))]
    if os.path.exists(path):  # before the glob: a name may hold a bracket
        return [stat(path)]
    wild = _WILD.search(path)
    if wild is None:
        raise FileNotFoundError(f"{pattern}: no such file or folder")
    folder = os.path.dirname(path[: wild.start()])
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(f"{pattern}: the pattern matches no file; there is no folder {folder}")
    files = [file for file in glob.glob(path, recursive=True) if os.path.isfile(file)]
    return [stat(file) for file in _spelt(path, files)]


def _walk(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The files below a folder. Links are followed, but none back to where the walk comes from."""
    here = (*above, os.path.realpath(folder))
    with os.scandir(folder) as inside:
        for found in inside:
            if not found.is_dir():
                yield found.path
            elif not _hidden(found.name) and os.path.realpath(found.path) not in here:
                yield from _walk(found.path, here)


def _remote(pattern: str) -> list[Entry]:
    web = scheme_of(pattern) in ("http", "https")
    wild = None if web else _WILD.search(pattern)
    entries = list(objects(pattern[: wild.start()] if wild else pattern))
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


def objects(prefix: str) -> Iterator[Entry]:
    """Every object of a store whose URI begins with `prefix`."""
    with plainly(prefix):
        yield from connect(prefix).entries(prefix)


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
