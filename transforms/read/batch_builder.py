"""Collects records of any format into batches of documents, with field mapping, ids and rejects."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.core import documents
from tamis.transforms.read.input_options import Absent, Fields, Input, Loss, Reject, Skipped
from tamis.transforms.read.web.pages import extract_text

_JSON_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
_MAPPED = ("text", "id", "url", "source", "licence", "date")
_COMPUTED = {"quality", "tokens", "copies"}  # the columns that every shard of Tamis has beside a document's
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_INT64 = float(1 << 63)
_INEXACT = {float, dict, list}  # the types of values that may hold an inexact number
_EXPONENT = "e+" if b"e+" in orjson.dumps(1e30) else "e"  # every large float has it in JSON
_MOST_REJECTS = 1000  # in one batch, so that a file of nothing but rejects does not fill the memory

EXCERPT_CHARS = 200
"""Of what was rejected."""

NO_TEXT = "no text "
"""How the error of a record without a text field, or of a table without a text column, begins."""


class InvalidRecord(ValueError):
    """A record that cannot become a document; the message says why."""


class InexactNumber(InvalidRecord):
    """A record has a number whose digits orjson did not keep: `exact_record` does."""


class BatchBuilder:
    """Collects documents and rejects until there are enough for a batch."""

    def __init__(self, uri: str, options: Input) -> None:
        self._uri = uri
        self._source = options.source
        self._fields, self._extractor = options.fields, options.extractor
        self._mapper = FieldMapper(options.fields)
        self._partition = partition_fields(uri)
        self._rows: list[tuple[str | None, ...]] = []
        self._rejects: list[Loss] = []
        self._skipped: Counter[str] = Counter()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether the batch is large enough for `take`."""
        return self._bytes >= documents.BATCH_BYTES or len(self._rejects) >= _MOST_REJECTS

    def add(
        self,
        text: str,
        size: int,
        *,
        id: str | None = None,
        source: str | None = None,
        url: str | None = None,
        licence: str | None = None,
        date: str | None = None,
        metadata: str | None = None,
    ) -> None:
        """Adds one document; `size` is its approximate number of bytes."""
        self._rows.append((id or None, text, source or None, url, licence, date, metadata))
        self._bytes += size

    def add_record(self, record: object, size: int) -> None:
        """Adds one document from a parsed JSON value, which is consumed. Raises InvalidRecord."""
        if type(record) is not dict:
            array = " (a file that is one JSON array needs input.format: json)" if isinstance(record, list) else ""
            raise InvalidRecord(f"not a JSON object but {type(record).__name__}{array}")
        if self._partition:
            record = self._partition | record
        if self._fields.html:
            self._extract_page(record)
        text, id, url, source, licence, date, metadata = self._mapper.extract(record)
        self._rows.append((id or None, text, source or None, url, licence, date, metadata))
        self._bytes += size

    def _extract_page(self, record: dict[str, Any]) -> None:
        """Replaces the page of a record, if it has one, by its text. Raises InvalidRecord."""
        pages = [pop(record, name) for name in self._fields.html]
        page = next((page for page in pages if page is not None), None)
        if page is None:
            return
        if type(page) is not str:
            raise InvalidRecord(f"the HTML field is {_type_name(page)}, not a string")
        text, facts = extract_text(page, None, self._extractor)
        for name in self._fields.text:
            pop(record, name)
        record[(self._fields.text or ("text",))[0]] = text
        record.setdefault("page", facts)

    def reject(
        self,
        offset: int,
        error: str,
        excerpt: bytes | str = b"",
        line: int | None = None,
        start: int = 0,
        records: int = 1,
        estimated: bool = False,
    ) -> None:
        """Adds a reject: what could not be read, where and why, and how many records that is."""
        self._rejects.append(Reject(self._uri, offset, line, error, printable(excerpt), start, records, estimated))

    def skip(self, reason: str) -> None:
        """Counts a record that is no document on purpose."""
        self._skipped[reason] += 1

    def take(self) -> tuple[pa.RecordBatch, list[Loss]]:
        """Returns the current batch and what was lost beside it, and begins the next batch."""
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, documents.SCHEMA, strict=True)]
            absent = absent_parts(arrays, self._fields)
            arrays = fill(arrays, self._source)
        else:  # pa.array would import pandas, for a second in which a misnamed field could have been told
            absent = []
            arrays = [pa.nulls(0, field.type) for field in documents.SCHEMA]
        batch = pa.RecordBatch.from_arrays(arrays, schema=documents.SCHEMA)
        skipped = (Skipped(reason, count) for reason, count in sorted(self._skipped.items()))
        losses = [*self._rejects, *skipped, *absent]
        self._rows, self._rejects, self._bytes = [], [], 0
        self._skipped.clear()
        return batch, losses

    def flush(self) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]:
        """Yields the last batch unless it is empty."""
        if self._rows or self._rejects or self._skipped:
            yield self.take()


class FieldMapper:
    """Extracts the parts of a document from a record, by the names that `Fields` gives them."""

    def __init__(self, fields: Fields) -> None:
        self._names = [[(name, "." in name) for name in getattr(fields, part)] for part in _MAPPED]
        self._mapped = frozenset(name for names in self._names for name, _ in names)

    def extract(self, record: dict[str, Any]) -> list[str | None]:
        """Text, id, URL, source, licence, date, metadata; consumes it. Raises InvalidRecord."""
        field_names = tuple(record)
        values: list[Any] = []
        for names in self._names:
            value = None
            for name, dotted in names:  # remove all of them, so that a mapped field never becomes metadata
                if name in record:
                    candidate = record.pop(name)
                elif dotted:
                    candidate = pop(record, name)
                else:
                    continue
                if value is None:
                    value = candidate
            if value is not None and type(value) is not str and len(values) > 1:
                value = _exact_text(value)
            values.append(value)
        if type(values[0]) is not str:
            raise InvalidRecord(self._text_error(values[0], field_names))
        if values[1] is not None and type(values[1]) is not str:
            values[1] = id_text(values[1])
        if "metadata" in record and "metadata" not in self._mapped:
            unwrap_metadata(record)
        metadata = canonical(record) if record else None  # first, because it bounds the depth of nesting
        if metadata is not None and _EXPONENT in metadata and not _is_exact(record):
            raise InexactNumber
        values.append(metadata)
        return values

    def _text_error(self, text: object, field_names: tuple[str, ...]) -> str:
        if text is not None:
            return f"the text field is {_type_name(text)}, not a string"
        names = " or ".join(f"'{name}'" for name, _ in self._names[0])
        if any(name.split(".")[0] in field_names for name, _ in self._names[0]):
            return f"text field {names} is null"
        return (
            f"{NO_TEXT}field {names}; the fields are: {', '.join(sorted(map(str, field_names))[:20]) or 'none'}; "
            "name the right one in input.fields.text"
        )


def partition_fields(uri: str) -> dict[str, str]:
    """The columns that the folders of a path name, as Hive and Spark write them (`lang=en/…`)."""
    fields = {}
    for folder in uri.split("/")[:-1]:
        name, equals, value = folder.partition("=")
        if equals and name and value != _HIVE_NULL:
            fields[unquote(name)] = unquote(value)
    return fields


def unwrap_metadata(record: dict[str, Any]) -> None:
    """Turns a field `metadata` that is an object written as a string into fields of the record, and
    drops what Tamis computed: a shard that Tamis wrote gives the documents it was made of."""
    if record.keys() >= _COMPUTED:
        for name in (*_COMPUTED, "epoch", "copy_sources"):
            record.pop(name, None)
    text = record["metadata"]
    if type(text) is not str or not text.startswith("{"):
        return
    try:
        inner = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    if not _is_exact(inner):
        inner = exact_record(text.encode())
    if inner.keys().isdisjoint(record.keys() - {"metadata"}):
        del record["metadata"]
        record.update(inner)


def id_text(value: object) -> str | None:
    """An id as text: a whole number as an integer, NaN as none. Raises InvalidRecord."""
    if isinstance(value, bool | orjson.Fragment):
        return _json(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not _is_exact(value):
            raise InexactNumber
        return float_id(value)
    raise InvalidRecord(f"the id is {_type_name(value)}; an id is a string or a number")


def float_id(value: float) -> str | None:
    """A number as pandas makes it of an integer column with missing values."""
    if math.isnan(value):
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def decimal_id(value: Decimal) -> str:
    """A decimal as text; a whole one as an integer."""
    return str(int(value)) if value == value.to_integral_value() else str(value)


def exact_record(data: bytes) -> Any:
    """The JSON value with each number digit for digit, which orjson does up to 64 bits. Numbers
    beyond the range of a double become strings. Raises InvalidRecord."""
    try:
        record = json.loads(data, parse_int=_exact_integer, parse_float=_exact_float, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(f"broken JSON: {error}") from error
    _json(record)  # raises on lone surrogates, which json lets through
    return record


def _exact_integer(digits: str) -> int | orjson.Fragment | str:
    if len(digits) < 19:
        return int(digits)
    return orjson.Fragment(digits.encode()) if len(digits) <= 308 else digits


def _exact_float(digits: str) -> float | orjson.Fragment | str:
    value = float(digits)
    if not math.isfinite(value):
        return digits
    return value if _is_exact(value) else orjson.Fragment(digits.encode())


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_exact(value: Any) -> bool:
    """Whether no number is so large that orjson made a float of an integer of more than 64 bits."""
    kind = type(value)
    if kind is float:
        return -_INT64 < value < 2 * _INT64
    if kind is dict:
        value = list(value.values())
    elif kind is not list:
        return True
    kinds = set(map(type, value))
    if kinds == {float}:  # an embedding
        return not value or (min(value) > -_INT64 and max(value) < 2 * _INT64)
    return kinds.isdisjoint(_INEXACT) or all(map(_is_exact, value))


def pop(record: dict[str, Any], name: str) -> Any:
    """Removes and returns field `name`, or field `b` of object `a` for `a.b`; None if absent."""
    if name in record or "." not in name:
        return record.pop(name, None)
    head, tail = name.split(".", 1)
    inner = record.get(head)
    return pop(inner, tail) if isinstance(inner, dict) else None


def canonical(record: dict[str, Any]) -> str | None:
    """JSON with sorted keys, without null or empty fields; None if empty. Raises InvalidRecord."""
    fields = {key: value for key, value in record.items() if value is not None and value != {}}
    return _json(fields) if fields else None


def as_text(value: Any) -> str | None:
    """A string unchanged, any other value as JSON, None for null. Raises InvalidRecord."""
    if value is None or isinstance(value, str):
        return value
    return _json(value).strip('"')


def _exact_text(value: Any) -> str | None:
    text = as_text(value)
    if not _is_exact(value):
        raise InexactNumber
    return text


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_to_string, option=_JSON_OPTIONS).decode()
    except orjson.JSONEncodeError as error:  # orjson parses deeper nesting than it writes
        raise InvalidRecord(f"a field cannot be kept as JSON: {error}") from error


def _to_string(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _type_name(value: Any) -> str:
    return {dict: "an object", list: "a list", bool: "a boolean", int: "an integer", float: "a number"}.get(
        type(value), f"of type {type(value).__name__}"
    )


def absent_parts(arrays: Sequence[pa.Array], fields: Fields) -> list[Absent]:
    """How many documents lack each part that the options name. `arrays`: the columns of
    `documents.SCHEMA`, before ids and sources are filled."""
    nulls = {part: arrays[documents.SCHEMA.get_field_index(part)].null_count for part in fields.chosen}
    return [Absent(part, count) for part, count in nulls.items() if count]


def fill(arrays: Sequence[pa.Array], source: str) -> list[pa.Array]:
    """The columns of `documents.SCHEMA` with `source` for each null of the sources, then a hash for
    each null of the ids."""
    ids, texts, sources, *others = arrays
    sources = pc.fill_null(sources, source)
    return [fill_ids(ids, sources, texts), texts, sources, *others]


def fill_ids(ids: pa.Array, sources: pa.Array, texts: pa.Array) -> pa.Array:
    """Replaces each null of `ids` with the 128-bit hash of source and text, in hexadecimal. The
    hash depends on nothing else, so the id of a document survives any re-sharding of the input."""
    if not ids.null_count:
        return ids
    from tamis.transforms.text.hashing import hash128, mix  # takes a second, which a misnamed field should not

    missing = ids.is_null()
    source, text = hash128(sources.filter(missing)), hash128(texts.filter(missing))
    halves = [mix(mix(source[:, half], seed=half) + text[:, half], seed=half) for half in (0, 1)]
    digits = np.stack(halves, axis=1).astype(">u8").tobytes().hex().encode()
    offsets = np.arange(0, len(digits) + 1, 32, dtype=np.int32)
    hashed = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(digits))
    return pc.replace_with_mask(ids, missing, hashed)


def printable(excerpt: bytes | str, characters: int = EXCERPT_CHARS) -> str:
    """The first characters, with U+FFFD for each one that is not printable."""
    text = excerpt[: characters * 4].decode("utf-8", "replace") if isinstance(excerpt, bytes) else excerpt
    text = text[:characters]
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)
