"""Thresholds decide as a plain loop over documents would, say why, and never pass what was not measured."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.select.thresholds import Threshold, check_name, evaluate

COLUMNS = pa.table(
    {
        "words": pa.array([12, 50, 100, 101, None], pa.int64()),
        "share": pa.array([0.1, 0.2999999999, math.nan, 0.3, 0.123456789]),
        "label": pa.array(["en", "fr", "de", None, "en"]),
        "flag": pa.array([True, False, None, False, False]),
    }
)


def verdicts(rules: dict[str, Threshold], columns: pa.Table = COLUMNS) -> list[tuple[str, str | None, str | None]]:
    return [(row["decision"], row["reason"], row["detail"]) for row in evaluate(columns, rules).to_pylist()]


KEEP = ("keep", None, None)


def test_limits_are_allowed_values() -> None:
    assert verdicts({"words": Threshold(min=50, max=100)}) == [
        ("drop", "words", "12 < 50"),
        KEEP,
        KEEP,
        ("drop", "words", "101 > 100"),
        ("drop", "words", "missing"),
    ]


def test_a_value_is_rounded_but_never_to_its_limit() -> None:
    details = [detail for _, _, detail in verdicts({"share": Threshold(min=0.3)})]
    assert details == ["0.1 < 0.3", "0.2999999999 < 0.3", "missing", None, "0.123457 < 0.3"]


def test_what_is_not_explained_is_decided_alike() -> None:
    rules = {"words": Threshold(min=50, max=100), "share": Threshold(min=0.3, action="review")}
    found = evaluate(COLUMNS, rules, explained=False)
    assert found["detail"].null_count == len(found)
    assert found.drop_columns("detail").to_pylist() == evaluate(COLUMNS, rules).drop_columns("detail").to_pylist()


def test_labels_and_flags() -> None:
    assert [detail for _, _, detail in verdicts({"label": Threshold(one_of=("en", "de"))})] == [
        None,
        "fr not in en,de",
        None,
        "missing",
        None,
    ]
    assert [detail for _, _, detail in verdicts({"flag": Threshold(max=0)})] == ["1 > 0", None, "missing", None, None]


def test_the_first_rule_that_fails_is_the_reason() -> None:
    rules = {"words": Threshold(min=50), "label": Threshold(one_of=("de",))}
    assert [reason for _, reason, _ in verdicts(rules)] == ["words", "label", None, "label", "words"]
    assert [reason for _, reason, _ in verdicts(dict(reversed(rules.items())))] == ["label", "label", None, "label", "label"]


def test_drop_beats_an_earlier_review_and_review_never_a_drop() -> None:
    rules = {
        "label": Threshold(one_of=("de",), action="review"),
        "words": Threshold(min=50),
        "flag": Threshold(max=0, action="review"),
    }
    assert verdicts(rules) == [
        ("drop", "words", "12 < 50"),
        ("review", "label", "fr not in de"),
        ("review", "flag", "missing"),
        ("review", "label", "missing"),
        ("drop", "words", "missing"),
    ]


def test_values_near_a_limit_are_reviewed_on_both_sides() -> None:
    columns = pa.table({"words": [40, 45, 49, 50, 55, 56, 89, 90, 100, 110, 111]})
    rows = verdicts({"words": Threshold(min=50, max=100, margin=0.1)}, columns)
    assert [decision for decision, _, _ in rows] == ["drop"] + ["review"] * 4 + ["keep"] * 2 + ["review"] * 3 + ["drop"]
    assert rows[1] == ("review", "words", "45 within 10% of 50")
    assert rows[9] == ("review", "words", "110 within 10% of 100")


NUMBERS = st.one_of(st.none(), st.just(math.nan), st.floats(-100, 100))


@given(st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from([None, "en", "fr"])), max_size=30))
def test_decisions_equal_those_of_a_loop(rows: list[tuple[float | None, float | None, str | None]]) -> None:
    rules = {
        "a": Threshold(min=-20, max=50, action="review"),
        "b": Threshold(max=10, margin=0.5),
        "c": Threshold(one_of=("en",)),
    }

    def one(values: dict[str, float | str | None]) -> tuple[str, str | None]:
        found: tuple[str, str | None] = ("keep", None)
        for name, rule in rules.items():
            value = values[name]
            if value is None or value != value:
                outcome: str | None = rule.action
            elif isinstance(value, str):
                outcome = None if value in (rule.one_of or ()) else rule.action
            else:
                limits = [limit for limit in (rule.min, rule.max) if limit is not None]
                beyond = (rule.min is not None and value < rule.min) or (rule.max is not None and value > rule.max)
                near = rule.margin > 0 and any(abs(value - limit) <= rule.margin * abs(limit) for limit in limits)
                outcome = "review" if near else rule.action if beyond else None
            if outcome == "drop" and found[0] != "drop":
                found = ("drop", name)
            elif outcome == "review" and found[0] == "keep":
                found = ("review", name)
        return found

    columns = pa.table(
        {
            "a": pa.array([a for a, _, _ in rows], pa.float64()),
            "b": pa.array([b for _, b, _ in rows], pa.float64()),
            "c": pa.array([c for _, _, c in rows], pa.string()),
        }
    )
    found = evaluate(columns, rules).to_pylist()
    assert [(row["decision"], row["reason"]) for row in found] == [one({"a": a, "b": b, "c": c}) for a, b, c in rows]
    assert all((row["detail"] is None) == (row["decision"] == "keep") for row in found)


def test_no_rules_keep_everything_and_no_documents_are_no_rows() -> None:
    assert verdicts({}) == [KEEP] * 5
    assert verdicts({"words": Threshold(min=1)}, COLUMNS.slice(0, 0)) == []


def test_chunked_dictionary_and_batch_columns_read_alike() -> None:
    rules = {"label": Threshold(one_of=("en",)), "words": Threshold(min=50)}
    expected = evaluate(COLUMNS, rules).to_pylist()
    chunked = pa.concat_tables([COLUMNS.slice(0, 2), COLUMNS.slice(2)])
    assert evaluate(chunked, rules).to_pylist() == expected
    encoded = COLUMNS.set_column(2, "label", COLUMNS["label"].dictionary_encode())
    assert evaluate(encoded, rules).to_pylist() == expected
    assert evaluate(COLUMNS.to_batches()[0], rules).to_pylist() == expected


def test_a_column_nothing_was_measured_for_passes_nobody() -> None:
    columns = pa.table({"x": pa.nulls(2)})
    for rule in (Threshold(min=0), Threshold(one_of=("en",))):
        assert verdicts({"x": rule}, columns) == [("drop", "x", "missing")] * 2


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"label": Threshold(min=1)}, "'label' is text: use one_of"),
        ({"words": Threshold(one_of=("en",))}, "'words' is a number: use min and max"),
    ],
)
def test_a_rule_of_the_wrong_kind_names_its_signal(rules: dict[str, Threshold], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        evaluate(COLUMNS, rules)


def test_a_misspelt_signal_names_the_nearest() -> None:
    signals = ["gopher.word_count", "gopher.mean_word_length", "language.label"]
    check_name("gopher.word_count", signals)
    with pytest.raises(ValueError, match=r"no signal 'gopher\.wordcount': did you mean 'gopher\.word_count'\?"):
        check_name("gopher.wordcount", signals)
    with pytest.raises(ValueError, match="there are those of gopher, language; `tamis raters` lists all"):
        check_name("zzz", signals)
    with pytest.raises(ValueError, match="no rater is set up"):
        check_name("zzz", [])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs min, max or one_of"),
        ({"min": 2, "max": 1}, "min 2 is above max 1"),
        ({"one_of": []}, "one_of is empty"),
        ({"one_of": ["en"], "min": 1}, "do not mix them"),
        ({"min": float("nan")}, "finite"),
        ({"minimum": 1}, "minimum"),
    ],
)
def test_a_threshold_that_cannot_decide_says_why(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Threshold.model_validate(options)
