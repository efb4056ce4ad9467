"""Gathers records of any format into batches of documents: field mapping, ids of those that have none, rejects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.core import documents
from tamis.transforms.read.input_options import Fields, Input, Reject
from tamis.transforms.text.hashing import hash128, mix

EXCERPT = 200
_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
_AS_TEXT = 2  # parts of a record from here on may be of any type
_MOST_REJECTS = 1000  # in one batch, so that a file of nothing else does not pile up


class Unfit(ValueError):
    """A record that is no document; the message says why."""


class Rows:
    """Documents and rejects on their way into a batch."""

    def __init__(self, uri: str, options: Input) -> None:
        self._uri = uri
        self._source = options.source
        self._mapping = Mapping(options.fields)
        self._rows: list[tuple[str | None, ...]] = []
        self._rejects: list[Reject] = []
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether it is time to `take`."""
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
        """One document; `size` is its bytes, about."""
        self._rows.append((id or None, text, source or self._source, url, licence, date, metadata))
        self._bytes += size

    def add_record(self, record: object, size: int) -> None:
        """One document from a JSON object, which is consumed. Raises Unfit, for what is no object too."""
        if type(record) is not dict:
            array = " (a file that is one JSON array must be turned into lines first: jq -c '.[]')"
            raise Unfit(f"not a JSON object but {type(record).__name__}{array if isinstance(record, list) else ''}")
        text, id, url, source, licence, date, metadata = self._mapping.take(record)
        self._rows.append((id or None, text, source or self._source, url, licence, date, metadata))
        self._bytes += size

    def reject(self, offset: int, error: str, excerpt: bytes | str = b"", line: int | None = None, start: int = 0) -> None:
        """What could not be read, where and why."""
        self._rejects.append(Reject(self._uri, offset, line, error, safe(excerpt), start))

    def take(self) -> tuple[pa.RecordBatch, list[Reject]]:
        """The batch so far; begins the next."""
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(documents.SCHEMA)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, documents.SCHEMA, strict=True)]
        arrays[0] = fill_ids(arrays[0], arrays[2], arrays[1])
        taken = pa.RecordBatch.from_arrays(arrays, schema=documents.SCHEMA), self._rejects
        self._rows, self._rejects, self._bytes = [], [], 0
        return taken

    def rest(self) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
        """The last batch, if there is anything in it."""
        if self._rows or self._rejects:
            yield self.take()


class Mapping:
    """Takes a document's parts out of a record by the names that `Fields` gives them."""

    def __init__(self, fields: Fields) -> None:
        self._names = [getattr(fields, part) for part in ("text", "id", "url", "source", "licence", "date")]

    def take(self, record: dict[str, Any]) -> list[str | None]:
        """Text, id, URL, source, licence and date; what is left of `record` is the metadata, last. Raises Unfit."""
        had = tuple(record)
        values: list[Any] = []
        for names in self._names:
            first = None
            for name in names:  # all are taken out, so that a mapped name is never metadata
                if name in record:
                    value = record.pop(name)
                elif "." in name:
                    value = pop(record, name)
                else:
                    continue
                if first is None:
                    first = value
            if first is not None and type(first) is not str and len(values) >= _AS_TEXT:
                first = as_text(first)
            values.append(first)
        if type(values[0]) is not str:
            raise Unfit(self._textless(values[0], had))
        if type(values[1]) is not str and values[1] is not None:
            if type(values[1]) is not int:
                raise Unfit(f"the id is {_kind(values[1])}; an id is a string or an integer of at most 64 bits")
            values[1] = str(values[1])
        values.append(canonical(record) if record else None)
        return values

    def _textless(self, text: object, had: tuple[str, ...]) -> str:
        if text is not None:
            return f"the text field is {_kind(text)}, not a string"
        names = self._names[0]
        wanted, seen = " or ".join(f"'{name}'" for name in names), ", ".join(sorted(had)[:20]) or "none"
        present = any(name.split(".")[0] in had for name in names)
        return f"text field {wanted} is null" if present else f"no text field {wanted}; the fields are: {seen}"


def pop(record: dict[str, Any], name: str) -> Any:
    """Takes a field out: the one of this very name, else `b` of the object `a` for `a.b`; None when there is none."""
    if name in record or "." not in name:
        return record.pop(name, None)
    head, tail = name.split(".", 1)
    inner = record.get(head)
    return pop(inner, tail) if isinstance(inner, dict) else None


def canonical(record: dict[str, Any]) -> str | None:
    """The record as JSON with sorted keys, without its null and empty fields; None when nothing is left. Raises Unfit."""
    left = {key: value for key, value in record.items() if value is not None and value != {}}
    if not left:
        return None
    return _json(left)


def as_text(value: Any) -> str | None:
    """A string as it is, anything else as JSON; None for null. Raises Unfit."""
    if value is None or isinstance(value, str):
        return value
    return _json(value).strip('"')


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_plain, option=_CANONICAL).decode()
    except orjson.JSONEncodeError as error:  # what is read may be nested four times as deep as what is written
        raise Unfit(f"a field cannot be kept as JSON: {error}") from error


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", bool: "a boolean", int: "an integer", float: "a number"}.get(
        type(value), f"of type {type(value).__name__}"
    )


def fill_ids(ids: pa.Array, sources: pa.Array, texts: pa.Array) -> pa.Array:
    """`ids` with each null replaced by the 128-bit hash of source and text, as 32 hexadecimal digits.

    It depends on nothing else, so the id of a document survives any re-sharding of the input.
    """
    if not ids.null_count:
        return ids
    missing = ids.is_null()
    source, text = hash128(sources.filter(missing)), hash128(texts.filter(missing))
    halves = [mix(mix(source[:, half], seed=half) + text[:, half], seed=half) for half in (0, 1)]
    digits = np.stack(halves, axis=1).astype(">u8").tobytes().hex().encode()
    offsets = np.arange(0, len(digits) + 1, 32, dtype=np.int32)
    hashed = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(digits))
    return pc.replace_with_mask(ids, missing, hashed)


def safe(excerpt: bytes | str) -> str:
    """The first `EXCERPT` characters, fit for a terminal and a JSON file: what cannot be printed becomes U+FFFD."""
    text = excerpt[: EXCERPT * 4].decode("utf-8", "replace") if isinstance(excerpt, bytes) else excerpt
    return "".join(char if char.isprintable() else "\ufffd" for char in text[:EXCERPT])
