"""Reads the benchmarks that must not be in the training data: the fields of their items, never a formatted prompt.

A prompt's wording, its choice letters and separators are the evaluator's and change; what leaks is the question, the
passage and the answer. So each named field of an item becomes a passage of its own, and each text of a list too.
"""

from __future__ import annotations

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
    """One benchmark: its files and the fields to look for."""

    name: str = Field(min_length=1, description="What a match is reported as.")
    path: str = Field(
        description="File or glob: JSON lines (.jsonl, .ndjson), .csv, .tsv or .parquet; .gz, .zst, .bz2 are unpacked."
    )
    fields: list[str] = Field(
        min_length=1,
        description="Fields of an item whose texts are matched. A dot goes into an object (`choices.text`); each text "
        "of a list is matched for itself.",
    )
    id: str | None = Field(None, description="Field that names an item; the number of its row, from 0, when there is none.")


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of one benchmark item."""

    item: str
    field: str
    text: str


def passages(benchmark: Benchmark) -> list[Passage]:
    """Every text of the benchmark's fields, in the order of its sorted files, their rows, `fields`.

    Raises FileNotFoundError when no file matches, ValueError for a file that cannot be read to its end, a field that no
    row has (the message names the nearest that one has) and a field that holds an object.
    """
    found: list[Passage] = []
    missing = dict.fromkeys([*benchmark.fields, *([benchmark.id] if benchmark.id else [])])
    names: dict[str, None] = {}
    number = 0
    for entry in storage.expand([benchmark.path]):
        for where, row in _rows(entry.uri):
            if missing or not number:
                names |= dict.fromkeys(_names(row))
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
                            f"benchmark {benchmark.name}: {where}: {field!r} is an object; name what is in it: {inner}"
                        )
                    if value is not None:
                        found.append(Passage(item, field, value if isinstance(value, str) else str(value)))
            number += 1
    if not number:
        raise ValueError(f"benchmark {benchmark.name}: {benchmark.path} has no rows")
    for field in missing:
        nearest = difflib.get_close_matches(field, names, n=1, cutoff=0.0)
        hint = f"; did you mean {nearest[0]!r}? Fields: {', '.join(names)}" if nearest else ""
        raise ValueError(f"benchmark {benchmark.name}: no row of {benchmark.path} has the field {field!r}{hint}")
    return found


def _values(row: object, field: str) -> list[Any] | None:
    """What stands at a dotted path, lists flattened; None when the row has no such field."""
    level: list[Any] = [row]
    for key in [None, *field.split(".")]:
        if key is not None:
            level = [value[key] for value in level if isinstance(value, dict) and key in value]
            if not level:
                return None
        while any(isinstance(value, list) for value in level):
            level = [inner for value in level for inner in (value if isinstance(value, list) else [value])]
    return level


def _names(row: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Every dotted path of a row that holds no object."""
    for key, value in row.items():
        inner = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
        if inner:
            for one in inner:
                yield from _names(one, f"{prefix}{key}.")
        else:
            yield prefix + key


def _rows(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row and where it stands. A file is read whole (it is small), so a cut one is noticed before a row counts."""
    kinds = storage.suffixes(uri)
    raw = storage.read_bytes(uri)
    try:
        if kinds and kinds[-1] in storage.COMPRESSION_SUFFIXES:
            raw = _unpacked(raw, kinds.pop())
        kind = kinds[-1] if kinds else ""
        if kind in (".jsonl", ".ndjson"):
            yield from _json_lines(uri, raw)
        elif kind in (".csv", ".tsv"):
            yield from _csv(uri, raw.decode("utf-8-sig"), "\t" if kind == ".tsv" else ",")
        elif kind == ".parquet":
            import pyarrow.parquet as pq

            for number, row in enumerate(pq.read_table(io.BytesIO(raw)).to_pylist()):
                yield f"{uri} row {number}", row
        else:
            raise ValueError("a benchmark is .jsonl, .ndjson, .csv, .tsv or .parquet, plain or .gz, .zst, .bz2")
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ValueError(f"{uri}: {error}") from error


def _unpacked(raw: bytes, kind: str) -> bytes:
    """Decompresses every frame to its end. Raises EOFError, OSError, ValueError or zlib.error for a damaged one."""
    if kind == ".gz":
        return gzip.decompress(raw)
    if kind == ".bz2":
        return bz2.decompress(raw)
    import zstandard

    unpacked = []
    try:
        while raw:
            frame = zstandard.ZstdDecompressor().decompressobj()
            unpacked.append(frame.decompress(raw))
            if not frame.eof:
                raise EOFError("the last zstd frame is cut")
            raw = frame.unused_data
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    return b"".join(unpacked)


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
    limit = csv.field_size_limit(len(text) + 1)  # csv's own 128 KB would refuse a long passage
    try:
        rows: Sequence[dict[str, Any]] = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    finally:
        csv.field_size_limit(limit)
    for number, row in enumerate(rows):
        yield f"{uri} row {number}", {key: value for key, value in row.items() if isinstance(key, str)}
