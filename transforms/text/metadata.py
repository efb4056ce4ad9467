"""Reads fields of the metadata of documents, which is a JSON object as text."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa

from tamis.transforms.core.component import METADATA
from tamis.transforms.core.rater import Kind, Signal


def field_texts(metadata: pa.Array, name: str) -> pa.Array:
    """Field `name` of n JSON objects as text, numbers and booleans in JSON's notation; null if
    missing. This makes Python objects (1 µs per document)."""
    values = (_find(record, name) for record in _records(metadata))
    texts = [value if value is None or isinstance(value, str) else orjson.dumps(value).decode() for value in values]
    return pa.array(texts, pa.string())


def field_values(metadata: pa.Array, signals: Sequence[Signal]) -> tuple[list[pa.Array], list[int]]:
    """The fields that `signals` name (`metadata.a.b`), one typed column for each, null if missing;
    and for each document the number of fields with a value of another type, which are null, too."""
    names = [signal.name.removeprefix(METADATA) for signal in signals]
    columns: list[list[Any]] = [[] for _ in signals]
    mistyped = []
    for record in _records(metadata):
        wrong = 0
        for signal, name, column in zip(signals, names, columns, strict=True):
            value = _find(record, name)
            typed = _typed(value, signal.kind)
            wrong += typed is None and value is not None
            column.append(typed)
        mistyped.append(wrong)
    return [pa.array(column, signal.type()) for signal, column in zip(signals, columns, strict=True)], mistyped


def column_of(metadata: pa.Array, signal: Signal) -> pa.Array:
    """The field that `signal` names (`metadata.a.b`) of n JSON objects, null if missing or of another
    type. A label may be any value, as text."""
    if signal.has_labels:
        return field_texts(metadata, signal.name.removeprefix(METADATA))
    (values,), _ = field_values(metadata, [signal])
    return values


def _records(metadata: pa.Array) -> Iterator[dict[str, Any]]:
    for text in metadata.to_pylist():
        record = orjson.loads(text) if text else None
        yield record if isinstance(record, dict) else {}


def _find(record: dict[str, Any], name: str) -> Any:
    """Field `name`, or field `b` of object `a` for `a.b`, which may be JSON as a string. Records
    that keep all this in a field `metadata` (Dolma) are looked into."""
    value = _field(record, name)
    return value if value is not None or "metadata" not in record else _field(_object(record["metadata"]), name)


def _field(record: dict[str, Any], name: str) -> Any:
    if name in record or "." not in name:
        return record.get(name)
    head, tail = name.split(".", 1)
    return _field(_object(record.get(head)), tail)


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return {}
    return value if isinstance(value, dict) else {}


def _typed(value: Any, kind: Kind) -> Any:
    """The value if it is of this kind, else None. A whole number is a float64 and an int64."""
    if kind == "bool":
        return value if isinstance(value, bool) else None
    if kind == "string":
        return value if isinstance(value, str) else None
    if kind == "list<string>":
        return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if kind == "float64":
        return float(value)
    return int(value) if value == int(value) and -(1 << 63) <= value < 1 << 63 else None
