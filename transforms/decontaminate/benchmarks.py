"""Reads the passages of benchmarks: the fields of their items, never a formatted prompt.

The question, the passage and the answer leak into training data. The wording of a prompt, its
choice letters and its separators do not: each evaluator writes its own. So each field of an item,
and each text of a list, is a separate passage.
"""

import bz2
import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.options import Options


class Benchmark(Options):
    """A benchmark: its files, and the fields that documents must not contain."""

    name: str = Field(min_length=1, description="Name of the benchmark in reports.")
    path: str = Field(
        description="File or glob: JSON lines (.jsonl, .ndjson), .csv, .tsv or .parquet; also with .gz, .zst or .bz2."
    )
    fields: list[str] = Field(
        min_length=1,
        description="Fields of an item that are matched. A dot selects a field of an object (`choices.text`); each text of a "
        "list is matched separately.",
    )
    id: str | None = Field(None, description="Field that identifies an item; by default the number of its row, from 0.")


@dataclass(frozen=True, slots=True)
class Passage:
    """A text of a benchmark item."""

    item: str
    field: str
    text: str


def passages(benchmark: Benchmark) -> list[Passage]:
    """Every text of the benchmark's fields, by sorted file, row and field.

    Raises FileNotFoundError if no file matches, and ValueError for a file that cannot be read to
    its end, for a field that no row has (naming the nearest existing one), and for a field that is
    an object.
    """
    texts: list[Passage] = []
    missing = dict.fromkeys([*benchmark.fields, *([benchmark.id] if benchmark.id else [])])
    names: dict[str, None] = {}
    number = 0
    for entry in storage.expand([benchmark.path]):
        for place, row in _rows(entry.uri):
            if missing or not number:
                names |= dict.fromkeys(_field_names(row))
            item = str(number)
            if benchmark.id is not None and (ids := _values(row, benchmark.id)):
                missing.pop(benchmark.id, None)
                item = str(ids[0])
            for field in benchmark.fields:
                values = _values(row, field)
                if values is None:
                    continue
                missing.pop(field, None)
                for value in values:
                    if isinstance(value, dict):
                        inner = ", ".join(f"{field}.{key}" for key in value)
                        raise ValueError(
                            f"benchmark {benchmark.name}: {place}: {field!r} is an object; name its fields: {inner}"
                        )
                    if value is not None:
                        texts.append(Passage(item, field, value if isinstance(value, str) else str(value)))
            number += 1
    if not number:
        raise ValueError(f"benchmark {benchmark.name}: {benchmark.path} has no rows")
    for field in missing:
        nearest = difflib.get_close_matches(field, names, n=1, cutoff=0.0)
        hint = f"; did you mean {nearest[0]!r}? Fields: {', '.join(names)}" if nearest else ""
        raise ValueError(f"benchmark {benchmark.name}: no row of {benchmark.path} has the field {field!r}{hint}")
    return texts


def _values(row: object, field: str) -> list[Any] | None:
    """The values at a dotted path, with lists flattened; None if the row has no such field."""
    level: list[Any] = [row]
    for key in [None, *field.split(".")]:
        if key is not None:
            level = [value[key] for value in level if isinstance(value, dict) and key in value]
            if not level:
                return None
        while any(isinstance(value, list) for value in level):
            level = [inner for value in level for inner in (value if isinstance(value, list) else [value])]
    return level


def _field_names(row: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted path of every field of a row that is not an object."""
    for key, value in row.items():
        objects = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
        if objects:
            for item in objects:
                yield from _field_names(item, f"{prefix}{key}.")
        else:
            yield prefix + key


def _rows(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row and its place. The whole file is read first, so that a truncated one fails early."""
    kinds = storage.suffixes(uri)
    raw = storage.read_bytes(uri)
    try:
        if kinds and kinds[-1] in storage.COMPRESSION_SUFFIXES:
            raw = _decompress(raw, kinds.pop())
        kind = kinds[-1] if kinds else ""
        if kind in (".jsonl", ".ndjson"):
            yield from _json_lines(uri, raw)
        elif kind in (".csv", ".tsv"):
            yield from _csv(uri, raw.decode("utf-8-sig"), "\t" if kind == ".tsv" else ",")
        elif kind == ".parquet":
            import pyarrow.parquet as pq

            for number, row in enumerate(pq.ParquetFile(io.BytesIO(raw)).read(use_threads=False).to_pylist()):
                yield f"{uri} row {number}", row
        else:
            raise ValueError("a benchmark must be .jsonl, .ndjson, .csv, .tsv or .parquet, optionally with .gz, .zst or .bz2")
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ValueError(f"{uri}: {error}") from error


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


def _json_lines(uri: str, raw: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
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


def _csv(uri: str, text: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    limit = csv.field_size_limit(len(text) + 1)  # the default of 128 KB is too little for long passages
    try:
        rows: Sequence[dict[str, Any]] = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    finally:
        csv.field_size_limit(limit)
    for number, row in enumerate(rows):
        yield f"{uri} row {number}", {key: value for key, value in row.items() if isinstance(key, str)}
