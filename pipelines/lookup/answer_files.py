"""Writes the answer to a question as CSV, as JSON Lines or as Parquet."""

from __future__ import annotations

import csv
import io
import json
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms import storage

Format = Literal["csv", "json", "parquet"]

FORMATS: tuple[Format, ...] = ("csv", "json", "parquet")


def write_answer(answer: pa.Table, sink: BinaryIO | storage.Sink, format: Format) -> None:
    """Writes all rows. In CSV, lists and structs are JSON, and only what needs quotes has them. In JSON, a row is
    an object in a line, and NaN is null."""
    if format == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(answer, sink, compression="zstd")
    elif format == "csv":
        rows = csv.writer(text := io.StringIO(), lineterminator="\n")
        rows.writerow(answer.column_names)
        for batch in _flat(answer).to_batches(max_chunksize=10_000):
            rows.writerows(zip(*batch.to_pydict().values(), strict=True))
            sink.write(text.getvalue().encode("utf-8", "replace"))
            text.truncate(text.seek(0))
    else:
        for batch in _without_nan(answer).to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                sink.write(_json(row).encode("utf-8", "replace") + b"\n")


def _flat(answer: pa.Table) -> pa.Table:
    for index, field in enumerate(answer.schema):
        if pa.types.is_nested(field.type):
            texts = [None if value is None else _json(value) for value in answer[index].to_pylist()]
            answer = answer.set_column(index, field.name, pa.array(texts, pa.string()))
        elif pa.types.is_boolean(field.type):
            answer = answer.set_column(index, field.name, answer[index].cast(pa.string()))
    return answer


def _without_nan(answer: pa.Table) -> pa.Table:
    for index, field in enumerate(answer.schema):
        if pa.types.is_floating(field.type):
            numbers = answer[index]
            answer = answer.set_column(index, field.name, pc.if_else(pc.is_finite(numbers), numbers, None))
    return answer


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
