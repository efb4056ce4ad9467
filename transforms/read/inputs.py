"""Plans the splits of an input, and reads a split of any format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from tamis.transforms import storage
from tamis.transforms.read.input_options import (
    COMPRESSION_RATIO,
    PYTHON_ENV,
    WARC_START,
    Format,
    Input,
    Loss,
    Split,
    UnreadFile,
)
from tamis.transforms.read.run_directories import release_paths, without_runs

if TYPE_CHECKING:
    import pyarrow as pa


class _Reader(Protocol):
    def read(self, split: Split, options: Input, trust: bool) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]: ...


_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".warc": "warc",
    ".wet": "wet",
}
_MODULES: dict[Format, str] = {"wet": "warc", "python-env": "python_env"}


def plan(options: Input, own_run: str = "") -> tuple[list[Split], list[UnreadFile]]:
    """The splits of the input, sorted by URI and start, and the files that are not read.

    `own_run` is the directory that the splits are read for. A Parquet file with an unreadable
    footer is one split, which is read as a reject. Raises FileNotFoundError for a path without
    files (`allow_empty`: see `storage.expand`), and ValueError for a file of unknown format, or for
    a run directory that nobody named.
    """
    environments = [path for path in options.paths if _is_environment(path)]
    files = [path for path in options.paths if not _is_environment(path)]
    if options.format == PYTHON_ENV and files:
        raise ValueError(f"{files[0]}: the format python-env reads '{PYTHON_ENV}' or '{PYTHON_ENV}:<distribution>'")
    splits: list[Split] = []
    if environments:
        from tamis.transforms.read import python_env

        splits += python_env.plan(environments, options)
    unread: list[UnreadFile] = []
    entries: Sequence[storage.Entry] = ()
    if files or not environments:
        paths = release_paths(files)
        entries, unread = without_runs(storage.expand(paths, options.allow_empty), paths, own_run)
    for entry in entries:
        kind = format_of(entry.uri) if options.format == "auto" else options.format
        if kind == "parquet":
            from tamis.transforms.read import parquet

            splits += parquet.plan(entry, options)
        else:
            splits += _byte_ranges(entry, kind, options)
    return sorted(splits, key=lambda split: (split.uri, split.start)), unread


def _byte_ranges(entry: storage.Entry, kind: Format, options: Input) -> list[Split]:
    """Byte ranges of a file of lines, or of a WARC file whose records are compressed separately."""
    starts = [0]
    if entry.size > options.split_bytes // COMPRESSION_RATIO and (kind != "text" or options.text_unit == "line"):
        from tamis.transforms.read.decompress import split_starts

        warc = kind in ("warc", "wet")
        starts = split_starts(entry.uri, entry.size, options.split_bytes, WARC_START if warc else b"", anywhere=not warc)
    stops = [*starts[1:], entry.size]
    return [
        Split(entry.uri, kind, start, stop if stop < entry.size else -1, stop - start, entry.version)
        for start, stop in zip(starts, stops, strict=True)
    ]


def read(split: Split, options: Input, trust: bool = False) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]:
    """Batches of the documents of a split in file order, each with its rejects.

    A batch has `documents.SCHEMA` and about `documents.BATCH_BYTES` of text. Bad data never raises:
    every complete record before the damage is read and, where the format allows, every one after
    it. Raises OSError if the file cannot be opened. With `trust`, a compressed file is decoded once,
    and WrongChecksum is raised when documents came from a member whose checksum is wrong: then drop
    them and read again without.
    """
    module = import_module(f"tamis.transforms.read.{_MODULES.get(split.format, split.format)}")
    return cast(_Reader, module).read(split, options, trust)


def _is_environment(path: str) -> bool:
    return path.split(":", 1)[0] == PYTHON_ENV


def format_of(uri: str) -> Format:
    """The format of a file by its suffix, else by its first bytes. Raises ValueError if unknown."""
    kinds = [suffix for suffix in storage.suffixes(uri) if suffix not in storage.COMPRESSION_SUFFIXES]
    if kinds and kinds[-1] in _SUFFIXES:
        return _SUFFIXES[kinds[-1]]
    from tamis.transforms.read.decompress import ByteStream

    with storage.open_binary(uri) as file:
        head = ByteStream(file, uri).read(512)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(WARC_START):
        return "warc"
    if re.match(rb"(\xef\xbb\xbf)?\s*\{", head):
        return "jsonl"
    raise ValueError(f"{uri}: neither its name nor its first bytes tell the format; set input.format")
