"""Reads Parquet by row groups, column by column, with a reject for each unfit row and each unreadable row group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core import documents
from tamis.transforms.core.errors import damage
from tamis.transforms.read.batch_builder import Unfit, as_text, canonical, fill_ids, pop
from tamis.transforms.read.input_options import Fields, Input, Reject, Split, pieces

_MOST_ROWS = 1 << 16
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


def plan(entry: storage.Entry, options: Input) -> list[Split]:
    """Ranges of row groups of about `options.split_bytes`; the whole file as one where its footer cannot be read."""
    whole = Split(entry.uri, "parquet", 0, -1, entry.size, entry.version)
    if not entry.size:
        return [whole]
    try:
        with storage.open_binary(entry.uri) as file:
            footer = pq.read_metadata(file)
    except _DAMAGE as error:
        damage(error)
        return [whole]
    sizes = [footer.row_group(group).total_byte_size for group in range(footer.num_row_groups)]
    ends = np.cumsum([0, *sizes])
    count = pieces(int(ends[-1]), options.split_bytes)
    # A row group belongs to the piece in which its middle lies.
    piece = (ends[:-1] + ends[1:]) * count // (2 * max(1, int(ends[-1])))
    starts = [0, *(int(group) + 1 for group in np.flatnonzero(np.diff(piece)))]
    return [
        Split(entry.uri, "parquet", start, stop, int(ends[stop] - ends[start]), entry.version)
        for start, stop in pairwise([*starts, footer.num_row_groups])
    ]


def read(split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of the split's row groups. Null columns of a row are as absent as a field that JSON does not write.

    Raises nothing for bad data: a damaged row group is one reject, and the next is read.
    """
    with ExitStack() as stack:
        path = storage.local_path(split.uri)
        source = stack.enter_context(pa.OSFile(str(path)) if path else storage.open_binary(split.uri))
        try:
            file = pq.ParquetFile(source, pre_buffer=path is None, page_checksum_verification=True)
            columns = _Columns(file.schema_arrow, options)
        except Unfit as unfit:
            yield _only(split, 0, str(unfit))
            return
        except _DAMAGE as error:
            yield _only(split, 0, f"unreadable Parquet file: {damage(error)}")
            return
        groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
        row = sum(group.num_rows for group in groups[: split.start])
        for number in range(split.start, len(groups) if split.stop < 0 else split.stop):
            end = row + groups[number].num_rows
            batches = file.iter_batches(_rows(groups[number]), [number], use_threads=False)
            while row < end:
                try:
                    batch, reason = next(batches, None), "it holds fewer rows than the footer says"
                except _DAMAGE as error:
                    batch, reason = None, damage(error)
                if batch is None:
                    lost = f"rows {row} to {end - 1} are lost"
                    yield _only(split, row, f"row group {number} is damaged: {reason}; {lost}")
                    break
                for piece in _pieces(batch):
                    yield columns.documents(piece, split.uri, row)
                    row += len(piece)
            row = end


class _Columns:
    """Which column is what, for the files of one schema. Raises Unfit, naming the columns, where there is no text."""

    def __init__(self, schema: pa.Schema, options: Input) -> None:
        self._source, self._longest = options.source, options.max_record_bytes
        fields = options.fields
        self._paths = {
            part: [path for name in getattr(fields, part) if (path := _path(schema, name))] for part in Fields.model_fields
        }
        mapped = [path for paths in self._paths.values() for path in paths]
        whole = {path[0] for path in mapped if len(path) == 1}
        self._nested = [".".join(path) for path in mapped if len(path) > 1]
        self._rest = [name for name in schema.names if name not in whole]
        if not self._paths["text"]:
            names = " or ".join(f"'{name}'" for name in fields.text)
            raise Unfit(f"no text column {names}; the columns are: {', '.join(schema.names)}")
        for path in self._paths["text"]:
            kind = _type(schema, path)
            if not (_is_text(kind) or _is_binary(kind)):
                raise Unfit(f"the text column '{'.'.join(path)}' is {kind}, not a string")
        for path in self._paths["id"]:
            kind = _type(schema, path)
            if not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
                raise Unfit(f"the id column '{'.'.join(path)}' is {kind}; an id is a string or an integer")

    def documents(self, batch: pa.RecordBatch, uri: str, first_row: int) -> tuple[pa.RecordBatch, list[Reject]]:
        """The documents among the rows of `batch`, and a reject for each other row."""
        batch = _plain(batch, {path[0] for path in self._paths["text"] if len(path) == 1})
        errors = _invalid(batch)
        rows = np.setdiff1d(np.arange(len(batch)), list(errors))
        if errors:
            batch = batch.take(pa.array(rows))
        texts = self._column(batch, "text").cast(pa.large_string())
        length = pc.fill_null(pc.binary_length(texts), -1).to_numpy()
        for row in np.flatnonzero(length < 0):
            errors[int(rows[row])] = "the text is null"
        for row in np.flatnonzero(length > self._longest):
            errors[int(rows[row])] = f"a text of {length[row]} bytes; max_record_bytes is {self._longest}"
        fit = (length >= 0) & (length <= self._longest)
        if not fit.all():
            batch, texts = batch.filter(pa.array(fit)), texts.filter(pa.array(fit))
        sources = pc.fill_null(_filled(self._column(batch, "source")), self._source)
        ids = fill_ids(_filled(self._column(batch, "id")), sources, texts)
        optional = [self._column(batch, part) for part in ("url", "licence", "date")]
        columns = [ids, texts, sources, *optional, self._metadata(batch)]
        rejects = [Reject(uri, first_row + row, None, errors[row], "") for row in sorted(errors)]
        return pa.RecordBatch.from_arrays(columns, schema=documents.SCHEMA), rejects

    def _column(self, batch: pa.RecordBatch, part: str) -> pa.Array:
        arrays = [_strings(_at(batch, path)) for path in self._paths[part]]
        return pc.coalesce(*arrays) if arrays else pa.nulls(len(batch), pa.string())

    def _metadata(self, batch: pa.RecordBatch) -> pa.Array:
        records = batch.select(self._rest).to_pylist()
        for name in self._nested:
            for record in records:
                pop(record, name)
        return pa.array([canonical(record) for record in records], pa.string())


def _path(schema: pa.Schema | pa.StructType, name: str) -> list[str] | None:
    """Where the field called `name` is, as `records.pop` would find it."""
    fields = {field.name: field.type for field in schema}
    if name in fields:
        return [name]
    head, _, tail = name.partition(".")
    if not tail or not pa.types.is_struct(fields.get(head, pa.null())):
        return None
    below = _path(fields[head], tail)
    return [head, *below] if below else None


def _type(schema: pa.Schema, path: list[str]) -> pa.DataType:
    kind = schema.field(path[0]).type
    for name in path[1:]:
        kind = kind.field(name).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _at(batch: pa.RecordBatch, path: list[str]) -> pa.Array:
    column = batch.column(path[0])
    return pc.struct_field(column, path[1:]) if len(path) > 1 else column


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _plain(batch: pa.RecordBatch, texts: set[str]) -> pa.RecordBatch:
    """No dictionaries; times (Python's do not hold them all) and views as strings; `texts` that are stored as bytes as text."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_temporal(column.type) or pa.types.is_string_view(column.type):
            column = column.cast(pa.string())
        if name in texts and _is_binary(column.type):
            column = column.view(pa.string() if pa.types.is_binary(column.type) else pa.large_string())
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _invalid(batch: pa.RecordBatch) -> dict[int, str]:
    """The rows that hold invalid UTF-8: Parquet does not check it, and kernels rely on it."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        return {row: "invalid UTF-8" for row in range(len(batch)) if not _valid(batch.slice(row, 1))}
    return {}


def _valid(batch: pa.RecordBatch) -> bool:
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _strings(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type) or _is_binary(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type):
        return column if pa.types.is_large_string(column.type) else column.cast(pa.string())
    return pa.array([as_text(value) for value in column.to_pylist()], pa.string())


def _filled(column: pa.Array) -> pa.Array:
    """Null for the empty string: an empty id or source is none."""
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column).cast(pa.string())


def _rows(group: pq.RowGroupMetaData) -> int:
    """Rows that hold about `documents.BATCH_BYTES`, on the group's average."""
    return max(1, min(_MOST_ROWS, documents.BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)))


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves of halves, until each is of about `documents.BATCH_BYTES`: lengths may be far from the average."""
    if len(batch) < 2 or batch.nbytes <= 2 * documents.BATCH_BYTES:
        if len(batch):
            yield batch
        return
    middle = len(batch) // 2
    yield from _pieces(batch.slice(0, middle))
    yield from _pieces(batch.slice(middle))


def _only(split: Split, row: int, error: str) -> tuple[pa.RecordBatch, list[Reject]]:
    empty = pa.RecordBatch.from_pylist([], schema=documents.SCHEMA)
    return empty, [Reject(split.uri, row, None, error, "")]
