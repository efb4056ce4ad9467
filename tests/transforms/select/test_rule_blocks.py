"""Blocks give each source and language exactly the decisions of its own rules alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.select.rule_blocks import Rules
from tamis.transforms.select.thresholds import Threshold, evaluate

RULES: dict[str, Any] = {
    "thresholds": {"words": {"min": 50}, "share": {"max": 0.5}},
    "per_source": {
        "code": {"thresholds": {"share": {"max": 0.9, "action": "review"}, "words": {"min": 5}}},
        "books": {"thresholds": {"lines": {"min": 3}, "share": None}},
    },
    "language_pairs": [
        {"label": "metadata.lang", "score": "metadata.sure", "min": 0.9},
        {"label": "language.label", "score": "language.probability", "min": 0.5},
    ],
    "per_language": {"de": {"thresholds": {"words": None}}, "th": {"thresholds": {"words": {"min": 7}}}},
}

EN = {"language.label": "en", "language.probability": 0.9}


@pytest.mark.parametrize(
    ("source", "values", "limits", "sections"),
    [
        ("web", EN, {"words": 50, "share": 0.5}, {"words": "thresholds", "share": "thresholds"}),
        ("code", EN, {"words": 5, "share": 0.9}, {"words": "per_source.code", "share": "per_source.code"}),
        (
            "books",
            EN,
            {"words": 50, "lines": 3},
            {"words": "thresholds", "share": "per_source.books", "lines": "per_source.books"},
        ),
        (
            "code",
            {"language.label": "th", "language.probability": 0.9},
            {"words": 7, "share": 0.9},
            {"words": "per_language.th", "share": "per_source.code"},
        ),
        (
            "code",
            {"language.label": "de", "language.probability": 0.9},
            {"share": 0.9},
            {"words": "per_language.de", "share": "per_source.code"},
        ),
    ],
)
def test_a_language_overrides_a_source_which_overrides_the_recipe(
    source: str, values: dict[str, object], limits: dict[str, float], sections: dict[str, str]
) -> None:
    found = Rules.model_validate(RULES).of_document(source, values)
    assert {name: rule.min if rule.min is not None else rule.max for name, rule in found.rules.items()} == limits
    assert list(found.rules) == list(limits), "a rule that overrides another keeps its place"
    assert found.sections == sections


@pytest.mark.parametrize(
    ("lang", "sure", "label", "probability", "language"),
    [
        ("de", 0.9, "th", 0.5, "de"),
        ("de", 0.89, "th", 0.5, "th"),
        ("de", 0.89, "th", 0.49, None),
        (None, 1.0, "th", 0.5, "th"),
        ("de", None, None, None, None),
        ("de", math.nan, "th", 0.5, "th"),
        ("xx", 1.0, "th", 1.0, "xx"),  # sure of a language without a block: none holds
    ],
)
def test_the_first_pair_that_is_sure_tells_the_language(
    lang: str | None, sure: float | None, label: str | None, probability: float | None, language: str | None
) -> None:
    columns = pa.table(
        {
            "metadata.lang": pa.array([lang], pa.string()),
            "metadata.sure": pa.array([sure], pa.float64()),
            "language.label": pa.array([label], pa.string()),
            "language.probability": pa.array([probability], pa.float64()),
        }
    )
    assert Rules.model_validate(RULES).languages(columns).to_pylist() == [language]


limits_ = st.none() | st.builds(Threshold, min=st.integers(0, 4), action=st.sampled_from(["drop", "review"]))
blocks_ = st.fixed_dictionaries({"thresholds": st.dictionaries(st.sampled_from("xyz"), limits_, min_size=1)})
rules_ = st.fixed_dictionaries(
    {
        "thresholds": st.dictionaries(st.sampled_from("xy"), limits_.filter(bool)),
        "per_source": st.dictionaries(st.sampled_from(["a", "b", "gone"]), blocks_),
        "per_language": st.dictionaries(st.sampled_from(["de", "en"]), blocks_),
    }
)
rows_ = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["de", "en", "fr", None]),
    st.sampled_from([0.2, 0.65, None]),
    *[st.none() | st.integers(0, 5)] * 3,
)


@given(rules=rules_, rows=st.lists(rows_, max_size=12))
def test_each_document_is_decided_as_by_its_own_rules_alone(rules: dict[str, Any], rows: list[tuple[Any, ...]]) -> None:
    names = ("source", "language.label", "language.probability", "x", "y", "z")
    types = (pa.string(), pa.string(), pa.float64(), *[pa.int64()] * 3)
    columns = pa.table([pa.array([row[number] for row in rows], kind) for number, kind in enumerate(types)], names)
    found = Rules.model_validate(rules).evaluate(columns, columns["source"]).to_pylist()
    assert len(found) == len(rows)
    for number, (source, label, score, *_) in enumerate(rows):
        merged = dict(rules["thresholds"])
        merged |= rules["per_source"].get(source, {"thresholds": {}})["thresholds"]
        if score is not None and score >= 0.65:
            merged |= rules["per_language"].get(label, {"thresholds": {}})["thresholds"]
        own = {name: rule for name, rule in merged.items() if rule is not None}
        assert [found[number]] == evaluate(columns.slice(number, 1), own).to_pylist()


@given(rules=rules_, rows=st.lists(rows_, max_size=12))
def test_every_row_is_in_one_split(rules: dict[str, Any], rows: list[tuple[Any, ...]]) -> None:
    columns = pa.table(
        {
            "source": pa.array([row[0] for row in rows], pa.string()),
            "language.label": pa.array([row[1] for row in rows], pa.string()),
            "language.probability": pa.array([row[2] for row in rows], pa.float64()),
        }
    )
    split = [split_rows for _, split_rows in Rules.model_validate(rules).split(columns, columns["source"])]
    assert sorted(np.concatenate([np.empty(0, int), *split]).tolist()) == list(range(len(rows)))
