"""Reads Parquet by row groups and columns; invalid rows and unreadable row groups are rejects."""

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
from tamis.transforms.read.batch_builder import InvalidRecord, as_text, canonical, fill_ids, pop
from tamis.transforms.read.input_options import Fields, Input, Reject, Split, split_count

_MOST_ROWS = 1 << 16
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)


def plan(entry: storage.Entry, options: Input) -> list[Split]:
    """Ranges of row groups of about `split_bytes`; the whole file if its footer cannot be read."""
    whole_file = Split(entry.uri, "parquet", 0, -1, entry.size, entry.version)
    if not entry.size:
        return [whole_file]
    try:
        with storage.open_binary(entry.uri) as file:
            footer = pq.read_metadata(file)
    except _DAMAGE as error:
        damage(error)
        return [whole_file]
    sizes = [footer.row_group(group).total_byte_size for group in range(footer.num_row_groups)]
    ends = np.cumsum([0, *sizes])
    count = split_count(int(ends[-1]), options.split_bytes)
    split = (ends[:-1] + ends[1:]) * count // (2 * max(1, int(ends[-1])))  # the split of a row group's middle
    starts = [0, *(int(group) + 1 for group in np.flatnonzero(np.diff(split)))]
    return [
        Split(entry.uri, "parquet", start, stop, int(ends[stop] - ends[start]), entry.version)
        for start, stop in pairwise([*starts, footer.num_row_groups])
    ]


def read(split: Split, options: Input, trust: bool = False) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of the row groups of a split. Null counts as a missing field, as in JSON. Bad
    data never raises: a damaged row group is one reject, and reading continues with the next."""
    with ExitStack() as stack:
        path = storage.local_path(split.uri)
        source = stack.enter_context(pa.OSFile(str(path)) if path else storage.open_binary(split.uri))
        try:
            file = pq.ParquetFile(source, pre_buffer=path is None, page_checksum_verification=True)
            columns = _Columns(file.schema_arrow, options)
        except InvalidRecord as invalid:
            yield _reject_only(split, 0, str(invalid))
            return
        except _DAMAGE as error:
            yield _reject_only(split, 0, f"unreadable Parquet file: {damage(error)}")
            return
        groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
        row = sum(group.num_rows for group in groups[: split.start])
        for number in range(split.start, len(groups) if split.stop < 0 else split.stop):
            end = row + groups[number].num_rows
            batches = file.iter_batches(_batch_rows(groups[number]), [number], use_threads=False)
            while row < end:
                try:
                    batch, reason = next(batches, None), "it holds fewer rows than the footer says"
                except _DAMAGE as error:
                    batch, reason = None, damage(error)
                if batch is None:
                    error_message = f"row group {number} is damaged: {reason}; rows {row} to {end - 1} are lost"
                    yield _reject_only(split, row, error_message)
                    break
                for part in _halves(batch):
                    yield columns.documents(part, split.uri, row)
                    row += len(part)
            row = end


class _Columns:
    """Maps columns of a schema to parts of a document. Raises InvalidRecord without text."""

    def __init__(self, schema: pa.Schema, options: Input) -> None:
        self._source, self._longest = options.source, options.max_record_bytes
        fields = options.fields
        self._paths = {
            part: [path for name in getattr(fields, part) if (path := _path(schema, name))] for part in Fields.model_fields
        }
        mapped = [path for paths in self._paths.values() for path in paths]
        mapped_columns = {path[0] for path in mapped if len(path) == 1}
        self._nested = [".".join(path) for path in mapped if len(path) > 1]
        self._unmapped = [name for name in schema.names if name not in mapped_columns]
        if not self._paths["text"]:
            names = " or ".join(f"'{name}'" for name in fields.text)
            raise InvalidRecord(f"no text column {names}; the columns are: {', '.join(schema.names)}")
        for path in self._paths["text"]:
            kind = _type(schema, path)
            if not (_is_text(kind) or _is_binary(kind)):
                raise InvalidRecord(f"the text column '{'.'.join(path)}' is {kind}, not a string")
        for path in self._paths["id"]:
            kind = _type(schema, path)
            if not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
                raise InvalidRecord(f"the id column '{'.'.join(path)}' is {kind}; an id is a string or an integer")

    def documents(self, batch: pa.RecordBatch, uri: str, first_row: int) -> tuple[pa.RecordBatch, list[Reject]]:
        """The documents among the rows of `batch`, and a reject for each other row."""
        batch = _decode_columns(batch, {path[0] for path in self._paths["text"] if len(path) == 1})
        errors = _invalid_rows(batch)
        rows = np.setdiff1d(np.arange(len(batch)), list(errors))
        if errors:
            batch = batch.take(pa.array(rows))
        texts = self._column(batch, "text").cast(pa.large_string())
        length = pc.fill_null(pc.binary_length(texts), -1).to_numpy()
        for row in np.flatnonzero(length < 0):
            errors[int(rows[row])] = "the text is null"
        for row in np.flatnonzero(length > self._longest):
            errors[int(rows[row])] = f"a text of {length[row]} bytes; max_record_bytes is {self._longest}"
        valid = (length >= 0) & (length <= self._longest)
        if not valid.all():
            batch, texts = batch.filter(pa.array(valid)), texts.filter(pa.array(valid))
        sources = pc.fill_null(_empty_to_null(self._column(batch, "source")), self._source)
        ids = fill_ids(_empty_to_null(self._column(batch, "id")), sources, texts)
        optional = [self._column(batch, part) for part in ("url", "licence", "date")]
        columns = [ids, texts, sources, *optional, self._metadata(batch)]
        rejects = [Reject(uri, first_row + row, None, errors[row], "") for row in sorted(errors)]
        return pa.RecordBatch.from_arrays(columns, schema=documents.SCHEMA), rejects

    def _column(self, batch: pa.RecordBatch, part: str) -> pa.Array:
        arrays = [_strings(_column_at(batch, path)) for path in self._paths[part]]
        return pc.coalesce(*arrays) if arrays else pa.nulls(len(batch), pa.string())

    def _metadata(self, batch: pa.RecordBatch) -> pa.Array:
        records = batch.select(self._unmapped).to_pylist()
        for name in self._nested:
            for record in records:
                pop(record, name)
        return pa.array([canonical(record) for record in records], pa.string())


def _path(schema: pa.Schema | pa.StructType, name: str) -> list[str] | None:
    """The path of the field `name`, by the rules of `batch_builder.pop`."""
    fields = {field.name: field.type for field in schema}
    if name in fields:
        return [name]
    head, _, tail = name.partition(".")
    if not tail or not pa.types.is_struct(fields.get(head, pa.null())):
        return None
    inner = _path(fields[head], tail)
    return [head, *inner] if inner else None


def _type(schema: pa.Schema, path: list[str]) -> pa.DataType:
    kind = schema.field(path[0]).type
    for name in path[1:]:
        kind = kind.field(name).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _column_at(batch: pa.RecordBatch, path: list[str]) -> pa.Array:
    column = batch.column(path[0])
    return pc.struct_field(column, path[1:]) if len(path) > 1 else column


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _decode_columns(batch: pa.RecordBatch, texts: set[str]) -> pa.RecordBatch:
    """Decodes dictionaries, and converts times, views and binary columns of `texts` to strings.
    Times become strings because Python's types cannot hold all of them."""
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


def _invalid_rows(batch: pa.RecordBatch) -> dict[int, str]:
    """The rows with invalid UTF-8, which Parquet does not check and kernels cannot handle."""
    if _is_valid(batch):
        return {}
    return {row: "invalid UTF-8" for row in range(len(batch)) if not _is_valid(batch.slice(row, 1))}


def _is_valid(batch: pa.RecordBatch) -> bool:
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


def _empty_to_null(column: pa.Array) -> pa.Array:
    """Null for the empty string, because an empty id or source counts as missing."""
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column).cast(pa.string())


def _batch_rows(group: pq.RowGroupMetaData) -> int:
    """Rows of about `documents.BATCH_BYTES`, by the average of the row group."""
    return max(1, min(_MOST_ROWS, documents.BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)))


def _halves(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves the batch until each part has about `BATCH_BYTES`, since lengths vary."""
    if len(batch) < 2 or batch.nbytes <= 2 * documents.BATCH_BYTES:
        if len(batch):
            yield batch
        return
    middle = len(batch) // 2
    yield from _halves(batch.slice(0, middle))
    yield from _halves(batch.slice(middle))


def _reject_only(split: Split, row: int, error: str) -> tuple[pa.RecordBatch, list[Reject]]:
    empty = pa.RecordBatch.from_pylist([], schema=documents.SCHEMA)
    return empty, [Reject(split.uri, row, None, error, "")]
