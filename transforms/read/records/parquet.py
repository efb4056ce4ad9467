"""Reads Parquet by row groups and columns; bad rows and unreadable row groups are rejects."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core import documents
from tamis.transforms.core.errors import damage
from tamis.transforms.read.batch_builder import (
    NO_TEXT,
    InvalidRecord,
    absent_parts,
    as_text,
    canonical,
    decimal_id,
    fill,
    float_id,
    partition_fields,
    pop,
    unwrap_metadata,
)
from tamis.transforms.read.input_options import TYPICAL_RECORD, Fields, Input, Loss, Reject, Split, split_count
from tamis.transforms.read.web.pages import extract_text

_MOST_ROWS = 1 << 16
_MOST_ROWS_PER_BYTE = 1 << 20  # the footer is damaged if it claims more, even of a single repeated value
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
_BAD_VALUES = (pa.ArrowException, ValueError, TypeError, OverflowError, KeyError)

Batch = tuple[pa.RecordBatch, list[Loss]]
Path = list[int]
"""The places of a column and of the fields of structs inside it."""


def plan(entry: storage.Entry, options: Input) -> list[Split]:
    """Ranges of row groups of about `split_bytes`; the whole file if its footer cannot be read."""
    whole_file = Split(entry.uri, "parquet", 0, -1, entry.size, entry.version)
    if not entry.size:
        return [whole_file]
    try:
        with ExitStack() as stack:
            footer = pq.read_metadata(open_file(entry.uri, stack))
            # A damaged footer says anything.
            sizes = [min(max(0, footer.row_group(group).total_byte_size), 1 << 40) for group in range(footer.num_row_groups)]
    except _DAMAGE as error:
        damage(error)
        return [whole_file]
    ends = np.cumsum([0, *sizes])
    count = split_count(int(ends[-1]), options.split_bytes)
    split = (ends[:-1] + ends[1:]) * count // (2 * max(1, int(ends[-1])))  # the split of a row group's middle
    starts = [0, *(int(group) + 1 for group in np.flatnonzero(np.diff(split)))]
    return [
        Split(entry.uri, "parquet", start, stop, int(ends[stop] - ends[start]), entry.version)
        for start, stop in pairwise([*starts, footer.num_row_groups])
    ]


def read(split: Split, options: Input, trust: bool = False) -> Iterator[Batch]:
    """The documents of the row groups of a split. Null counts as a missing field, as in JSON. Bad
    data never raises: what cannot be read of a row group is one reject with the number of its rows,
    and reading continues with the next."""
    with ExitStack() as stack:
        source = open_file(split.uri, stack)
        try:
            file = pq.ParquetFile(source, pre_buffer=not isinstance(source, pa.OSFile), page_checksum_verification=True)
            groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
            sizes = [max(0, group.num_rows) for group in groups]
        except _DAMAGE as error:
            yield _lost_file(split, damage(error))
            return
        stop = len(groups) if split.stop < 0 else min(split.stop, len(groups))
        row, rows = sum(sizes[: split.start]), sum(sizes[split.start : stop])
        if rows > _MOST_ROWS_PER_BYTE * max(1, split.size):
            yield _lost_file(split, f"its footer claims {rows} rows in {split.size} bytes")
            return
        try:
            columns = _Columns(file.schema_arrow, options, split.uri)
        except (InvalidRecord, *_DAMAGE) as error:
            reason = str(error) if isinstance(error, InvalidRecord) else f"unreadable Parquet file: {damage(error)}"
            yield _reject_only(split, row, reason, max(1, rows))
            return
        for number in range(split.start, stop):
            end = row + sizes[number]
            batches = file.iter_batches(_batch_rows(groups[number]), [number], use_threads=False)
            reason = "it holds fewer rows than the footer says"
            try:
                for batch in batches:
                    for part in _halves(batch):
                        yield columns.documents(part, row)
                        row += len(part)
            except _DAMAGE as error:
                reason = damage(error)
            if row < end:
                message = f"row group {number} is damaged: {reason}; rows {row} to {end - 1} are lost"
                yield _reject_only(split, row, message, end - row)
            row = end


def open_file(uri: str, stack: ExitStack) -> Any:
    """A file that can be read at any place; a stream is copied to the disk first."""
    path = storage.local_path(uri)
    if path is not None:
        return stack.enter_context(pa.OSFile(str(path)))
    stream = stack.enter_context(storage.open_binary(uri))
    if stream.seekable():
        return stream
    copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    shutil.copyfileobj(stream, copy, 1 << 20)
    copy.seek(0)
    return copy


class _Columns:
    """Maps columns of a schema to parts of a document. Raises InvalidRecord without text."""

    def __init__(self, schema: pa.Schema, options: Input, uri: str) -> None:
        self._uri, self._source, self._longest = uri, options.source, options.max_record_bytes
        self._extractor, self._fields = options.extractor, options.fields
        self._schema, self._names = schema, _unique(schema.names)
        fields = {part: getattr(options.fields, part) for part in Fields.model_fields}
        self._paths = {part: [path for name in names for path in _paths(schema, name)] for part, names in fields.items()}
        self._check_text(fields["text"])
        mapped = {name for names in fields.values() for name in names}
        self._nested = [name for name in mapped if any(len(path) > 1 for path in _paths(schema, name))]
        whole = {path[0] for paths in self._paths.values() for path in paths if len(path) == 1}
        self._unmapped = [place for place in range(len(schema)) if place not in whole]
        self._has_metadata = "metadata" in (schema.names[place] for place in self._unmapped)
        folders = {name: value for name, value in partition_fields(uri).items() if name not in schema.names}
        self._folder_parts = {
            part: next((folders[name] for name in names if name in folders), None) for part, names in fields.items()
        }
        self._folder_metadata = {name: value for name, value in folders.items() if name not in mapped}

    def _check_text(self, names: tuple[str, ...]) -> None:
        if not self._paths["text"] and not self._paths["html"]:
            quoted = " or ".join(f"'{name}'" for name in names)
            columns = f"the columns are: {', '.join(self._schema.names[:20])}"
            raise InvalidRecord(f"{NO_TEXT}column {quoted}; {columns}; name the right one in input.fields.text")
        for path in (*self._paths["text"], *self._paths["html"]):
            kind = _type(self._schema, path)
            if not (_is_text(kind) or _is_binary(kind) or pa.types.is_null(kind)):
                raise InvalidRecord(f"the text column '{self._schema.names[path[0]]}' is {kind}, not a string")

    def documents(self, batch: pa.RecordBatch, first_row: int) -> Batch:
        """The documents among the rows of `batch`, and a reject for each other row."""
        errors = _invalid_rows(batch)
        rows = np.setdiff1d(np.arange(len(batch)), list(errors))
        if errors:
            batch = batch.take(pa.array(rows))
        pieces = list(self._sound_rows(batch, rows, errors))
        arrays = (pieces[0] if len(pieces) == 1 else pa.concat_batches([_EMPTY, *pieces])).columns
        losses: list[Loss] = [Reject(self._uri, first_row + row, None, errors[row], "") for row in sorted(errors)]
        losses += absent_parts(arrays, self._fields)
        return pa.RecordBatch.from_arrays(fill(arrays, self._source), schema=documents.SCHEMA), losses

    def _sound_rows(
        self, batch: pa.RecordBatch, rows: npt.NDArray[np.int64], errors: dict[int, str]
    ) -> Iterator[pa.RecordBatch]:
        """The documents of `batch`, with null for an absent id or source, in halves around rows that
        cannot be converted. Adds `errors`."""
        try:
            yield self._convert(batch, rows, errors)
        except _BAD_VALUES as error:
            if len(batch) == 1:
                errors[int(rows[0])] = str(error).split("\n", 1)[0] or type(error).__name__
                return
            for half in np.array_split(np.arange(len(batch)), 2):
                yield from self._sound_rows(batch.take(pa.array(half)), rows[half], errors)

    def _convert(self, batch: pa.RecordBatch, rows: npt.NDArray[np.int64], errors: dict[int, str]) -> pa.RecordBatch:
        bad: dict[int, str] = {}
        columns = [_plain(column) for column in batch.columns]
        texts = self._part("text", columns, bad).cast(pa.large_string())
        pages: list[Any] = [None] * len(batch)
        if self._paths["html"]:
            texts, pages = self._page_texts(columns, texts, bad)
        length = pc.fill_null(pc.binary_length(texts), -1).to_numpy()
        sources = _empty_to_null(self._part("source", columns, bad))
        optional = [self._part(part, columns, bad) for part in ("url", "licence", "date")]
        ids = _empty_to_null(self._part("id", columns, bad))
        for row in np.flatnonzero(length < 0):
            bad.setdefault(int(row), "the text is null")
        for row in np.flatnonzero(length > self._longest):
            bad[int(row)] = f"a text of {length[row]} bytes; max_record_bytes is {self._longest}"
        if bad:
            valid = pa.array(np.isin(np.arange(len(batch)), list(bad), invert=True))
            columns = [column.filter(valid) for column in columns]
            texts, sources, ids = texts.filter(valid), sources.filter(valid), ids.filter(valid)
            optional = [column.filter(valid) for column in optional]
            pages = [page for row, page in enumerate(pages) if row not in bad]
        metadata = self._metadata(columns, pages)
        found = pa.RecordBatch.from_arrays([ids, texts, sources, *optional, metadata], schema=documents.SCHEMA)
        errors |= {int(rows[row]): error for row, error in bad.items()}
        return found

    def _part(self, part: str, columns: list[pa.Array], errors: dict[int, str]) -> pa.Array:
        """A part of each document as text. Adds the `errors` of rows whose value is none."""
        arrays = []
        for path in self._paths[part]:
            column = columns[path[0]]
            column = _plain(pc.struct_field(column, path[1:])) if len(path) > 1 else column
            arrays.append(_id_texts(column, errors) if part == "id" else _texts(column, part, errors))
        if self._folder_parts[part] is not None:
            arrays.append(pa.repeat(pa.scalar(self._folder_parts[part]), len(columns[0])))
        if len(arrays) > 1:
            arrays = [array.cast(pa.large_string()) for array in arrays]
        array = pc.coalesce(*arrays) if arrays else pa.nulls(len(columns[0]), pa.string())
        return array if part == "text" else array.cast(pa.string())

    def _page_texts(self, columns: list[pa.Array], texts: pa.Array, errors: dict[int, str]) -> tuple[pa.Array, list[Any]]:
        """The texts, those of pages in the place of others, and how the pages were read. Bytes are
        decoded as those of a page without a server. Adds the `errors` of pages that are not read."""
        values: list[Any] = texts.to_pylist()
        facts: list[Any] = [None] * len(texts)
        for path in reversed(self._paths["html"]):  # the first one counts
            column = columns[path[0]]
            column = _plain(pc.struct_field(column, path[1:])) if len(path) > 1 else column
            for row, page in enumerate(column.to_pylist()):
                if page is not None:
                    errors.pop(row, None)
                    try:
                        values[row], facts[row] = extract_text(page, extractor=self._extractor)
                    except InvalidRecord as invalid:
                        errors[row] = str(invalid)
        return pa.array(values, pa.large_string()), facts

    def _metadata(self, columns: list[pa.Array], pages: list[Any]) -> pa.Array:
        names = [self._names[place] for place in self._unmapped]
        records = pa.RecordBatch.from_arrays([columns[place] for place in self._unmapped], names).to_pylist()
        if not names:
            records = [{} for _ in range(len(columns[0]))]
        for record, page in zip(records, pages, strict=True):
            for name in self._nested:
                pop(record, name)
            if page is not None:
                record.setdefault("page", page)
            if self._has_metadata:
                unwrap_metadata(record)
            record.update(self._folder_metadata)
        return pa.array([canonical(record) for record in records], pa.string())


def _paths(schema: pa.Schema | pa.StructType, name: str) -> list[Path]:
    """The paths of the fields called `name`, the last one first (as of equal names in JSON the last
    one counts), by the rules of `batch_builder.pop`."""
    fields = list(schema)
    exact = [[place] for place, field in enumerate(fields) if field.name == name]
    if exact:
        return exact[::-1]
    head, _, tail = name.partition(".")
    structs = [place for place, field in enumerate(fields) if field.name == head and pa.types.is_struct(field.type)]
    return [[place, *path] for place in reversed(structs) for path in _paths(fields[place].type, tail)] if tail else []


def _type(schema: pa.Schema, path: Path) -> pa.DataType:
    kind = schema.field(path[0]).type
    for place in path[1:]:
        kind = kind.field(place).type
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _unique(names: list[str]) -> list[str]:
    """The names, those that repeat numbered as repeated ids are: `name#2`."""
    return [name if (count := names[:place].count(name)) == 0 else f"{name}#{count + 1}" for place, name in enumerate(names)]


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _plain(column: pa.Array) -> pa.Array:
    """The same values in types that Python represents at any value: times become strings, and
    dictionaries, views, extensions and repeated names of fields are resolved, also inside others."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
        return _plain(column.storage)
    if pa.types.is_struct(kind) and kind.num_fields:
        fields = [_plain(field) for field in column.flatten()]
        names = _unique([kind.field(place).name for place in range(kind.num_fields)])
        return pa.StructArray.from_arrays(fields, names, mask=column.is_null())
    plain = _plain_type(kind)
    if plain == kind:
        return column
    try:
        return column.cast(plain)
    except pa.ArrowInvalid:  # a time zone that this machine does not know
        return column.cast(_plain_type(kind, to_utc=True)).cast(plain)


def _plain_type(kind: pa.DataType, to_utc: bool = False) -> pa.DataType:
    """The type that `_plain` gives; with `to_utc`, times only lose their time zone."""
    if pa.types.is_temporal(kind):
        return (pa.timestamp(kind.unit) if pa.types.is_timestamp(kind) else kind) if to_utc else pa.string()
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type, to_utc)
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type, to_utc), _plain_type(kind.item_type, to_utc))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type, to_utc)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_plain_type(kind.value_type, to_utc)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type, to_utc)), kind.list_size)
    if pa.types.is_struct(kind):
        fields = (kind.field(place) for place in range(kind.num_fields))
        return pa.struct([field.with_type(_plain_type(field.type, to_utc)) for field in fields])
    return kind


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, in columns with different names that Python represents at any value."""
    return pa.RecordBatch.from_arrays([_plain(column) for column in batch.columns], _unique(batch.schema.names))


def _invalid_rows(batch: pa.RecordBatch) -> dict[int, str]:
    """The rows with values that their type forbids, which Parquet does not check and kernels cannot
    handle: invalid UTF-8, times outside the day."""
    errors: dict[int, str] = {}
    if not _invalid(batch):
        return errors
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if _is_text(column.type) and not pa.types.is_string_view(column.type):
            raw = column.view(pa.binary() if pa.types.is_string(column.type) else pa.large_binary())
            bad = {row: "invalid UTF-8" for row, value in enumerate(raw.to_pylist()) if value and not _is_utf8(value)}
        else:
            bad = dict(_invalid_values(column, np.arange(len(column))))
        errors |= {row: f"{error} in column '{name}'" for row, error in bad.items()}
    return errors


def _invalid_values(column: pa.Array, rows: npt.NDArray[np.int64]) -> Iterator[tuple[int, str]]:
    """The rows of a column that are not valid, by halves: rows of nested columns are checked one by
    one only after a copy, which leaves the values of the others out."""
    error = _invalid(column)
    if not error:
        return
    if len(column) > 1:
        for half in np.array_split(np.arange(len(column)), 2):
            yield from _invalid_values(column.take(pa.array(half)), rows[half])
    elif len(column):
        error = _invalid(column.take(pa.array([0])))
        if error:
            yield int(rows[0]), error


def _invalid(data: pa.RecordBatch | pa.Array) -> str | None:
    try:
        data.validate(full=True)
    except pa.ArrowException as error:
        message = str(error).split("\n", 1)[0]
        return "invalid UTF-8" if "UTF8" in message else message
    return None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _texts(column: pa.Array, part: str, errors: dict[int, str]) -> pa.Array:
    """The values of a plain column as text, other values than strings as JSON."""
    kind = column.type
    if _is_text(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    if not _is_binary(kind):
        return pa.array([as_text(value) for value in column.to_pylist()], pa.string())
    column = column.cast(pa.large_binary())
    texts = column.view(pa.large_string())
    if _invalid(texts) is None:
        return texts
    values = column.to_pylist()
    for row, value in enumerate(values):
        if value is not None and not _is_utf8(value):
            errors[row], values[row] = f"invalid UTF-8 in the {part}", None
    return pa.array(values, pa.large_binary()).view(pa.large_string())


def _id_texts(column: pa.Array, errors: dict[int, str]) -> pa.Array:
    """Ids as text: whole numbers as integers, bytes that are no text in hexadecimal."""
    kind = column.type
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float_id(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_decimal(kind):
        return pa.array([None if value is None else decimal_id(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_boolean(kind):
        return column.cast(pa.string())
    if _is_binary(kind):
        values = column.to_pylist()
        if pa.types.is_fixed_size_binary(kind):
            return pa.array([None if value is None else value.hex() for value in values], pa.string())
        texts = (None if value is None else value.decode() if _is_utf8(value) else value.hex() for value in values)
        return pa.array(texts, pa.string())
    if pa.types.is_nested(kind):
        for row in np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)):
            errors[int(row)] = f"the id is {kind}; an id is a string or a number"
        return pa.nulls(len(column), pa.string())
    return _texts(column, "id", errors)


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


_EMPTY = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in documents.SCHEMA], schema=documents.SCHEMA)


def _reject_only(split: Split, row: int, error: str, records: int) -> Batch:
    return _EMPTY, [Reject(split.uri, row, None, error, "", records=records)]


def _lost_file(split: Split, error: str) -> Batch:
    """The reject of a file whose number of rows is unknown."""
    records = max(1, split.size // TYPICAL_RECORD)
    return _EMPTY, [Reject(split.uri, 0, None, f"unreadable Parquet file: {error}", "", records=records, estimated=True)]
