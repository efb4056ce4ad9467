"""Scores in files of their own, one row for each document: Parquet, CSV, or NumPy beside its ids."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError, damage
from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Kind, Signal

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1 << 16  # in a batch
_HEADER = 1 << 16  # bytes in which the first line of a CSV ends
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


class ScoreFile(Options):
    """Scores that are joined with the documents by id. Column c of the scores called `edu` is the
    signal `edu.c`, if it is declared under `signals`.

    The ids are those of the input, not numbered: documents that share an id share the score. An id
    with two different scores has none.
    """

    path: str = Field(min_length=1, description="files, as in input.paths: Parquet, .csv or .tsv with a header, or .npy")
    id: str = Field("id", description="column of the ids, strings or integers; Parquet and CSV only")
    ids: str | None = Field(
        None, description="file of the ids of a .npy: one a line, or a .npy. Its values are a column for each field, or one"
    )
    max_unscored: float = Field(
        0.05, ge=0, le=1, description="share of the documents that may have no score; the run stops if there are more"
    )
    max_unused: float = Field(
        1.0, ge=0, le=1, description="share of the scores that may belong to no document; the run stops if there are more"
    )


@dataclass(frozen=True)
class ScoreCounts:
    """Documents, those without a score, ids with a score, those of no document, and those with two
    different scores."""

    documents: int = 0
    unscored: int = 0
    scores: int = 0
    unused: int = 0
    ambiguous: int = 0

    @classmethod
    def sum(cls, counts: Iterable[ScoreCounts]) -> ScoreCounts:
        """The counts of all partitions."""
        rows = [(one.documents, one.unscored, one.scores, one.unused, one.ambiguous) for one in counts]
        return cls(*(sum(column) for column in zip(*rows, strict=True))) if rows else cls()


def score_rows(uri: str, options: ScoreFile, signals: Sequence[Signal]) -> Iterator[pa.RecordBatch]:
    """The rows of one file: `id` as a string, and a column for each signal, by its name. A value of
    another type is null. Raises RunError naming the file if it, or a column, cannot be read."""
    import pyarrow as pa

    columns = {signal: signal.name.split(".", 1)[1] for signal in signals}
    kinds = [suffix for suffix in storage.suffixes(uri) if suffix not in storage.COMPRESSION_SUFFIXES]
    read = {".parquet": _parquet, ".csv": _csv, ".tsv": _csv, ".npy": _npy}.get(kinds[-1] if kinds else "")
    if read is None:
        raise RunError(f"{uri}: scores are in .parquet, .csv, .tsv or .npy files")
    try:
        for table in read(uri, options, [options.id, *columns.values()]):
            batch = {"id": _ids(table[options.id], uri)}
            batch |= {
                signal.name: _typed(table[name], signal.kind, f"{uri}: column '{name}'") for signal, name in columns.items()
            }
            yield pa.record_batch(batch).filter(batch["id"].is_valid())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RunError(f"{uri}: unreadable scores: {damage(error) if isinstance(error, OSError) else error}") from error


def _require(names: Sequence[str], there: Sequence[str], uri: str) -> None:
    if missing := [name for name in names if name not in there]:
        raise RunError(f"{uri}: there is no column '{missing[0]}'; the columns are {', '.join(there[:30])}")


def _parquet(uri: str, options: ScoreFile, names: list[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with storage.open_binary(uri) as file:
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        _require(names, parquet.schema_arrow.names, uri)
        yield from parquet.iter_batches(_ROWS, columns=names, use_threads=False)


def _csv(uri: str, options: ScoreFile, names: list[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter="\t" if ".tsv" in storage.suffixes(uri) else ",")
    with storage.open_decompressed(uri) as file:
        header = file.read(_HEADER).decode("utf-8-sig").split("\n", 1)[0]
    _require(names, [name.strip().strip('"') for name in header.split(parse.delimiter)], uri)
    text = dict.fromkeys(names, pa.string())
    convert = csv.ConvertOptions(include_columns=names, column_types=text, strings_can_be_null=True)
    with storage.open_decompressed(uri) as file:
        yield from csv.open_csv(file, csv.ReadOptions(use_threads=False), parse, convert_options=convert)


def _npy(uri: str, options: ScoreFile, names: list[str]) -> Iterator[pa.RecordBatch]:
    import numpy as np
    import pyarrow as pa

    if options.ids is None:
        raise RunError(f"{uri}: a .npy has no ids: name the file that has them with `ids`")
    values, ids = _load(uri), _read_ids(options.ids)
    if values.ndim != 1 or len(values) != len(ids):
        raise RunError(
            f"{uri}: an array of {values.shape} for the {len(ids):,} ids in {options.ids}: one value for each id is needed"
        )
    fields = values.dtype.names
    if fields is None and len(names) > 2:
        raise RunError(f"{uri}: the array is one column, but {len(names) - 1} signals of it are declared")
    if fields is not None:
        _require(names[1:], fields, uri)
    for start in range(0, len(ids), _ROWS):
        rows = slice(start, start + _ROWS)
        columns = {
            name: pa.array(np.ascontiguousarray(values[rows] if fields is None else values[name][rows])) for name in names[1:]
        }
        yield pa.record_batch({options.id: pa.array(ids[rows]), **columns})


def _load(uri: str) -> Any:
    import io

    import numpy as np

    path = storage.local_path(uri)
    if path is not None:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    return np.load(io.BytesIO(storage.read_bytes(uri)), allow_pickle=False)


def _read_ids(uri: str) -> Any:
    return _load(uri) if uri.endswith(".npy") else storage.read_bytes(uri).decode().splitlines()


def _ids(column: pa.Array, uri: str) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise RunError(f"{uri}: the ids are {kind}; an id is a string or an integer")
    return column.cast(pa.string())


def _typed(column: pa.Array, kind: Kind, where: str) -> pa.Array:
    """The values as `kind`. A column of another type is an error; so text is only in a CSV."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    there = column.type
    text = pa.types.is_string(there) or pa.types.is_large_string(there)
    target = Signal("", kind, "", "none", "").type()
    if pa.types.is_null(there) or (kind == "string" and text) or (kind == "list<string>" and pa.types.is_list(there)):
        return column.cast(target)
    if kind == "bool" and pa.types.is_boolean(there):
        return column
    if kind in ("bool", "float64", "int64") and text:
        return pa.array([_parsed(value, kind) for value in column.to_pylist()], target)
    number = pa.types.is_integer(there) or pa.types.is_floating(there) or pa.types.is_decimal(there)
    if kind in ("float64", "int64") and number:
        if kind == "int64" and pa.types.is_integer(there):
            return column.cast(target, safe=False)
        values = column.cast(pa.float64(), safe=False)
        values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
        if kind == "float64":
            return values
        whole = pc.and_(pc.equal(pc.round(values), values), pc.less(pc.abs(values), float(1 << 63)))
        return pc.if_else(whole, values, pa.scalar(None, pa.float64())).cast(target)
    raise RunError(f"{where} is {there}, but it is declared as {kind}")


def _parsed(text: str | None, kind: Kind) -> float | None:
    if text is None or kind == "bool":
        return None if text is None else _TRUTH.get(text.strip().lower())
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or (kind == "int64" and (number != int(number) or abs(number) >= 1 << 63)):
        return None
    return number if kind == "float64" else int(number)
