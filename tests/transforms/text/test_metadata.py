"""Fields of metadata are found wherever datasets put them, as text or as typed values; a value of another type is counted."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from tamis.transforms.core.rater import Kind, Signal
from tamis.transforms.text.metadata import field_texts, field_values


def values(kind: Kind, records: list[Any], name: str = "a") -> tuple[list[Any], list[int]]:
    metadata = pa.array([None if record is None else json.dumps(record) for record in records], pa.string())
    (column,), mistyped = field_values(metadata, [Signal(f"metadata.{name}", kind, "", "none", "")])
    return column.to_pylist(), mistyped


def test_fields_as_text_are_in_the_notation_of_json() -> None:
    metadata = pa.array(['{"a":"x","b":true}', '{"a":3,"b":[1,"y"]}', None, "{}"])
    assert field_texts(metadata, "a").to_pylist() == ["x", "3", None, None]
    assert field_texts(metadata, "b").to_pylist() == ["true", '[1,"y"]', None, None]


@pytest.mark.parametrize(
    "record",
    [
        {"a": {"b": 3}},
        {"a.b": 3},
        {"a": '{"b": 3}'},  # JSON as a string
        {"metadata": {"a": {"b": 3}}},  # Dolma
        {"metadata": '{"a": {"b": 3}}'},
    ],
)
def test_a_field_is_found_where_datasets_put_it(record: dict[str, Any]) -> None:
    assert values("int64", [record], "a.b") == ([3], [0])


@pytest.mark.parametrize("record", [None, {}, {"a": None}, {"b": 1}])
def test_a_missing_value_is_null_for_every_kind(record: Any) -> None:
    for kind in ("int64", "float64", "bool", "string", "list<string>"):
        assert values(kind, [record]) == ([None], [0])


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("float64", [1, 2.5, -3, 10**18], ["1", True, [1.0], {"x": 1}]),
        ("int64", [1, 2.0, -3, 2**63 - 1], ["1", True, 2.5, 1e300]),
        ("bool", [True, False], ["true", 1, 0.0]),
        ("string", ["x", "", "語"], [1, True, ["x"]]),
        ("list<string>", [["x", "y"], []], ["x", [1], {"x": "y"}]),
    ],
)
def test_a_value_of_another_type_is_missing_and_counted(kind: Kind, good: list[Any], bad: list[Any]) -> None:
    assert values(kind, [{"a": value} for value in good]) == (good, [0] * len(good))
    assert values(kind, [{"a": value} for value in bad]) == ([None] * len(bad), [1] * len(bad))


def test_what_is_no_object_has_no_fields() -> None:
    for text in ("[1]", "3", '{"a": "{broken", "b": "{"}', '{"a": 5}'):
        assert field_texts(pa.array([text]), "a.x").to_pylist() == [None]
