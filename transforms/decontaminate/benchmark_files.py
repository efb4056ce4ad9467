"""The files of a benchmark and their rows: of a disk, of a store, and of the Hugging Face hub."""

import bz2
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from tamis.transforms import storage
from tamis.transforms.core.errors import missing_package
from tamis.transforms.storage import Entry

Row = dict[str, Any]

FORMATS = ".jsonl, .ndjson, .csv, .tsv, .parquet, .arrow or .txt"
_SUFFIXES = tuple(FORMATS.replace(" or", ",").split(", "))


def local_files(path: str, split: str | None) -> list[Entry]:
    """The files at a path, a glob or a folder, by URI. Of a folder, those of a known format count; if the
    names of some say `split`, as `test-00000.parquet` or `test/data.arrow` do, only these.

    Raises FileNotFoundError if there is none.
    """
    if not _is_folder(path):
        return storage.expand([path])
    known = _known_files(path)
    if not known:
        raise FileNotFoundError(f"{path}: none of its files is {FORMATS}")
    return list((_of_split(known, split) or known).values())


def local_splits(path: str, splits: Sequence[str]) -> set[str]:
    """Those of some splits that the names of files in a folder say; none if the path is no folder."""
    known = _known_files(path) if _is_folder(path) else {}
    return {split for split in splits if _of_split(known, split)}


def _is_folder(path: str) -> bool:
    local = storage.local_path(path)
    return path.endswith("/") if local is None else local.is_dir()


def _known_files(path: str) -> dict[str, Entry]:
    """The files of a folder that have a known format."""
    return {name: entry for name, entry in storage.files(path).items() if format_of(name) in _SUFFIXES}


def _of_split(known: dict[str, Entry], split: str | None) -> dict[str, Entry]:
    if split is None:
        return {}
    return {name: entry for name, entry in known.items() if re.search(rf"(?:^|[/_.-]){re.escape(split)}(?:[/_.-]|$)", name)}


def hub_files(hub: str, configs: Sequence[str], split: str, revision: str | None) -> list[Entry]:
    """The Arrow files of a data set of the Hugging Face hub, or of a local folder in a form that `datasets`
    loads. They are downloaded if the cache of `datasets` lacks them.

    Raises ImportError without the package `datasets`, and ValueError or OSError if it cannot load the data.
    """
    found = [_load(hub, config, split, revision) for config in configs or (None,)]
    return [storage.entry(file["filename"]) for loaded in found for file in loaded.cache_files]


def hub_splits(hub: str, configs: Sequence[str], split: str, revision: str | None) -> set[str]:
    """The splits that every configuration of a data set has beside `split`. Raises as `hub_files` does."""
    found = [set(_load(hub, config, split, revision).info.splits) for config in configs or (None,)]
    return set.intersection(*found) - {split}


def _load(hub: str, config: str | None, split: str, revision: str | None) -> Any:
    """The `datasets.Dataset`."""
    try:
        import datasets
    except ImportError:
        raise ImportError(
            missing_package(f"the benchmark {hub} of the Hugging Face hub", "datasets")
            + "; or download it, and name its `path`"
        ) from None
    try:
        return datasets.load_dataset(hub, config, split=split, revision=revision)
    except OSError:
        raise
    except Exception as error:  # any library that it calls
        raise ValueError(f"datasets cannot load {hub}{f' ({config})' if config else ''}, split {split}: {error}") from error


def rows(uri: str, names: Sequence[str] = ()) -> Iterator[tuple[str, Row]]:
    """(place, row) of each row. `names`: of the columns of a .csv or .tsv file without a header, or of the
    lines of an item in a .txt file; values of one name become a list.

    The whole file is read first, so a truncated one fails early. Raises ValueError, which names the file.
    """
    kinds = storage.suffixes(uri)
    raw = storage.read_bytes(uri)
    try:
        if kinds and kinds[-1] in storage.COMPRESSION_SUFFIXES:
            raw = _decompress(raw, kinds[-1])
        match format_of(uri):
            case ".jsonl" | ".ndjson":
                yield from _json_lines(uri, raw)
            case ".csv" | ".tsv" as kind:
                yield from _csv(uri, raw.decode("utf-8-sig"), "\t" if kind == ".tsv" else ",", names)
            case ".parquet" | ".arrow" as kind:
                yield from _columns(uri, raw, kind)
            case ".txt" if names:
                yield from _text(uri, raw.decode("utf-8-sig"), names)
            case _:
                raise ValueError(f"a benchmark must be {FORMATS}, optionally with .gz, .zst or .bz2")
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ValueError(f"{uri}: {error}") from error


def format_of(name: str) -> str:
    """The suffix of a file without that of its compression."""
    kinds = storage.suffixes(name)
    if kinds and kinds[-1] in storage.COMPRESSION_SUFFIXES:
        kinds.pop()
    return kinds[-1] if kinds else ""


def _decompress(raw: bytes, kind: str) -> bytes:
    """Decompresses all frames. Raises EOFError, OSError, ValueError or zlib.error for damage."""
    if kind == ".gz":
        return gzip.decompress(raw)
    if kind == ".bz2":
        return bz2.decompress(raw)
    import zstandard

    frames = []
    try:
        while raw:
            frame = zstandard.ZstdDecompressor().decompressobj()
            frames.append(frame.decompress(raw))
            if not frame.eof:
                raise EOFError("the last zstd frame is truncated")
            raw = frame.unused_data
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    return b"".join(frames)


def _json_lines(uri: str, raw: bytes) -> Iterator[tuple[str, Row]]:
    import orjson

    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"line {number}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: not an object")
        yield f"{uri} line {number}", row


def _csv(uri: str, text: str, delimiter: str, names: Sequence[str]) -> Iterator[tuple[str, Row]]:
    limit = csv.field_size_limit(len(text) + 1)  # the default of 128 KB is too little for long passages
    try:
        table = list(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    finally:
        csv.field_size_limit(limit)
    if not names:
        names, table = table[0] if table else (), table[1:]
    for number, values in enumerate(table):
        yield f"{uri} row {number}", _row(names, values)


def _columns(uri: str, raw: bytes, kind: str) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if kind == ".parquet":
        table = pq.ParquetFile(io.BytesIO(raw)).read(use_threads=False)
    elif raw.startswith(b"ARROW1"):
        table = pa.ipc.open_file(raw).read_all()
    else:  # a stream, as `datasets` saves them
        table = pa.ipc.open_stream(raw).read_all()
    for number, row in enumerate(table.to_pylist()):
        yield f"{uri} row {number}", row


def _text(uri: str, text: str, names: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Rows of a file with `len(names)` lines an item. Lines of one name become a list."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) % len(names):
        raise ValueError(f"its {len(lines):,} lines are not a multiple of {len(names)}, the lines of an item")
    for first in range(0, len(lines), len(names)):
        yield f"{uri} line {first + 1}", _row(names, lines[first : first + len(names)])


def _row(names: Sequence[str], values: Sequence[str]) -> Row:
    """A row of named values; those of one name become a list, and those without a name are left out."""
    row: Row = {}
    for name, value in zip(names, values, strict=False):
        if names.count(name) > 1:
            row.setdefault(name, []).append(value)
        else:
            row[name] = value
    return row
