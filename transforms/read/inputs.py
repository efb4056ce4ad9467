"""The plan of an input's splits, and the one `read` that serves every format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from tamis.transforms import storage
from tamis.transforms.read.input_options import ENVIRONMENT, RATIO, WARC, Format, Input, Reject, Split

if TYPE_CHECKING:
    import pyarrow as pa


class _Format(Protocol):
    def read(self, split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]: ...


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


def plan(options: Input) -> list[Split]:
    """The splits of the input, sorted by URI and start.

    Raises FileNotFoundError naming the path that matches nothing (see `storage.expand` for `allow_empty`),
    ValueError naming a file whose format cannot be told.
    A Parquet file whose footer cannot be read is planned as a whole: reading it rejects it.
    """
    places = [path for path in options.paths if _is_environment(path)]
    files = [path for path in options.paths if not _is_environment(path)]
    if options.format == ENVIRONMENT and files:
        raise ValueError(f"{files[0]}: the format python-env reads '{ENVIRONMENT}' or '{ENVIRONMENT}:<distribution>'")
    splits: list[Split] = []
    if places:
        from tamis.transforms.read import python_env

        splits += python_env.plan(places, options)
    for entry in storage.expand(files, options.allow_empty) if files or not places else ():
        kind = format_of(entry.uri) if options.format == "auto" else options.format
        if kind == "parquet":
            from tamis.transforms.read import parquet

            splits += parquet.plan(entry, options)
        else:
            splits += _by_bytes(entry, kind, options)
    return sorted(splits, key=lambda split: (split.uri, split.start))


def _by_bytes(entry: storage.Entry, kind: Format, options: Input) -> list[Split]:
    """Ranges of the bytes of a file of lines, or of a crawl whose records are compressed each by itself."""
    starts = [0]
    if entry.size > options.split_bytes // RATIO and (kind != "text" or options.text_unit == "line"):
        from tamis.transforms.read.decompress import cuts

        crawl = kind in ("warc", "wet")
        starts = cuts(entry.uri, entry.size, options.split_bytes, WARC if crawl else b"", anywhere=not crawl)
    stops = [*starts[1:], entry.size]
    return [
        Split(entry.uri, kind, start, stop if stop < entry.size else -1, stop - start, entry.version)
        for start, stop in zip(starts, stops, strict=True)
    ]


def read(split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of a split in file order, and what had to be rejected among them.

    Each batch has `documents.SCHEMA` and about `documents.BATCH_BYTES` of text. Bad data never raises: every whole
    record before and, where the format allows, after the damage is read. A file that cannot be opened does raise.
    """
    module = import_module(f"tamis.transforms.read.{_MODULES.get(split.format, split.format)}")
    return cast(_Format, module).read(split, options)


def _is_environment(path: str) -> bool:
    return path.split(":", 1)[0] == ENVIRONMENT


def format_of(uri: str) -> Format:
    """The format of a file by its suffix, else by its first bytes. Raises ValueError."""
    kinds = [suffix for suffix in storage.suffixes(uri) if suffix not in storage.COMPRESSION_SUFFIXES]
    if kinds and kinds[-1] in _SUFFIXES:
        return _SUFFIXES[kinds[-1]]
    from tamis.transforms.read.decompress import Stream

    with storage.open_binary(uri) as file:
        head = Stream(file, uri).read(512)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(WARC):
        return "warc"
    if re.match(rb"(\xef\xbb\xbf)?\s*\{", head):
        return "jsonl"
    raise ValueError(f"{uri}: neither name nor first bytes tell the format; set input.format")
