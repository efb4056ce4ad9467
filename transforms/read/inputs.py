"""Plans the splits of an input, and reads a split of any format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from tamis.transforms import storage
from tamis.transforms.read.file_formats import choose
from tamis.transforms.read.input_options import (
    COMPRESSION_RATIO,
    PYTHON_ENV,
    WARC_START,
    Format,
    Input,
    Loss,
    Reject,
    Split,
    UnreadFile,
)
from tamis.transforms.read.readers import READERS, Planner, reader_of
from tamis.transforms.read.run_directories import release_paths, without_runs
from tamis.transforms.read.web.pages import check_extractor

if TYPE_CHECKING:
    import pyarrow as pa


WITH_FIELDS = ("jsonl", "json", "parquet", "csv")
"""The formats whose records have named fields."""


def plan(options: Input, own_run: str = "") -> tuple[list[Split], list[UnreadFile]]:
    """The splits of the input, sorted by URI and start, and the files that are not read.

    `own_run` is the directory that the splits are read for. A Parquet file with an unreadable
    footer is one split, which is read as a reject. Raises FileNotFoundError for a path without
    files (`allow_empty`: see `storage.list_files`), and ValueError for a path to a file of unknown
    format, or for a run directory that nobody named.
    """
    environments = [path for path in options.paths if _is_environment(path)]
    paths = [path for path in options.paths if not _is_environment(path)]
    if options.format == PYTHON_ENV and paths:
        raise ValueError(f"{paths[0]}: the format python-env reads '{PYTHON_ENV}' or '{PYTHON_ENV}:<distribution>'")
    check_extractor(options.extractor)
    splits: list[Split] = []
    if environments:
        from tamis.transforms.read import python_env

        splits += python_env.plan(environments, options)
    files: list[tuple[storage.Entry, Format]] = []
    unread: list[UnreadFile] = []
    if paths or not environments:
        files, unread = input_files(options, own_run)
    for entry, kind in files:
        splits += _plan_file(entry, kind, options)
    return sorted(splits, key=lambda split: (split.uri, split.start)), unread


def input_files(options: Input, own_run: str = "") -> tuple[list[tuple[storage.Entry, Format]], list[UnreadFile]]:
    """The files that are read, with their formats, and those that are not. Raises as `plan`."""
    paths = release_paths([path for path in options.paths if not _is_environment(path)])
    listing = storage.list_files(paths, options.allow_empty, options.list_base)
    by = {entry.uri: by for entry, by in listing.files}
    entries, unread = without_runs([entry for entry, _ in listing.files], paths, own_run)
    chosen, others = choose([(entry, by[entry.uri]) for entry in entries], options)
    unread += [*(UnreadFile(uri, reason) for uri, reason in listing.passed_over), *others]
    return chosen, sorted(unread, key=lambda file: file.uri)


def _plan_file(entry: storage.Entry, kind: Format, options: Input) -> list[Split]:
    """The splits of a file. Another version of a package that reads it reads it again."""
    plugin, reader = READERS.find(kind), reader_of(kind)
    if hasattr(reader, "plan"):
        splits = cast(Planner, reader).plan(entry, options)
    elif plugin is None or plugin.package is None:
        splits = _byte_ranges(entry, kind, options)
    else:
        splits = [Split(entry.uri, kind, 0, -1, entry.size, entry.version)]
    package = plugin.package if plugin is not None else None
    return [replace(split, stamp=f"{split.stamp} {package}") for split in splits] if package else splits


def _byte_ranges(entry: storage.Entry, kind: Format, options: Input) -> list[Split]:
    """Byte ranges of a file of lines, or of a WARC file whose records are compressed separately."""
    starts = [0]
    whole = kind in ("json", "csv") or (kind == "text" and options.text_unit == "file")
    if entry.size > options.split_bytes // COMPRESSION_RATIO and not whole:
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
    return reader_of(split.format).read(split, options, trust)


def _is_environment(path: str) -> bool:
    return path.split(":", 1)[0] == PYTHON_ENV


@dataclass(frozen=True)
class Beginning:
    """What is at the beginning of a few splits: so many records, of which some are rejected, and the
    first `error`. `textless`: the first split with records without a text, if no record of any has one,
    most likely because the field has another name; `error` is then about a text."""

    records: int
    rejected: int
    error: str
    textless: Split | None


def read_beginning(splits: Sequence[Split], options: Input) -> Beginning:
    """Reads a batch of the first, the middle and the last split with fields. To find out from the
    whole input that a field is misnamed would look like a hang."""
    from tamis.transforms.read.batch_builder import NO_TEXT
    from tamis.transforms.read.decompress import WrongChecksum

    named = [split for split in splits if split.format in WITH_FIELDS]
    chosen = {split.uri: split for split in (*named[:1], *named[len(named) // 2 :][:1], *named[-1:])}
    records, errors, some_text, textless = 0, list[str](), len(named) < len(splits), list[Split]()
    for split in chosen.values():
        try:
            batch, losses = next(read(split, options, trust=True), (None, []))
        except WrongChecksum:  # of documents
            some_text = True
            continue
        rejects = [loss for loss in losses if isinstance(loss, Reject) and not loss.estimated]
        some_text |= batch is not None and batch.num_rows > 0
        textless += [split] if any(each.error.startswith(NO_TEXT) for each in rejects) else []
        records += sum(each.records for each in rejects) + (0 if batch is None else batch.num_rows)
        errors += [each.error for each in rejects for _ in range(each.records)]
    if some_text or not textless:
        return Beginning(records, len(errors), errors[0] if errors else "", None)
    return Beginning(records, len(errors), next(each for each in errors if each.startswith(NO_TEXT)), textless[0])
