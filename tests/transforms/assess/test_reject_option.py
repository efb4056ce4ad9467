"""Doubtful documents go to review for the right reason, and a wider margin decides fewer of them, more of them right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.assess.reject_option import common_labels, common_numbers, coverage_curve, verdicts

SCORE = st.floats(0, 1) | st.just(float("nan"))


def test_the_reasons_of_a_review() -> None:
    scores = np.array([[0.9, 0.8], [0.1, 0.2], [0.52, 0.5], [0.1, 0.9], [0.9, 0.9], [np.nan, np.nan], [0.9, np.nan]])
    inside = np.array([True, True, True, True, False, True, True])
    assert verdicts(scores, 0.5, 0.05, 0.4, inside).tolist() == [
        "keep",
        "drop",
        "review: margin",
        "review: disagreement",
        "review: range",
        "review: missing",
        "keep",
    ]


@given(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=30), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_doubt_only_moves_documents_to_review(rows: list[tuple[float, float]], limit: float, a: float, b: float) -> None:
    scores, inside = np.array(rows), np.ones(len(rows), bool)
    sure = verdicts(scores, limit, 0.0, 1.0, inside)
    narrow, wide = (verdicts(scores, limit, margin, 0.5, inside) for margin in sorted((a, b)))
    for verdict, near, far in zip(sure, narrow, wide, strict=True):
        assert near.startswith("review") or near == verdict
        assert far.startswith("review") or far == near
    assert {"keep", "drop", "review: missing"} >= set(sure)


def test_a_wider_margin_covers_less_and_is_right_more_often() -> None:
    draw = np.random.default_rng(1)
    score = draw.random(20_000)
    good = (draw.random(20_000) < score).astype(float)
    scores, inside = np.append(score, np.nan)[:, None], np.ones(20_001, bool)
    curve = coverage_curve(scores, np.append(good, 1), 0.5, 1.0, inside, [0, 0.1, 0.2, 0.4])
    assert [point.coverage for point in curve] == pytest.approx([1, 0.8, 0.6, 0.2], abs=0.02)
    accuracy = [point.accuracy or 0 for point in curve]
    precision = [point.precision or 0 for point in curve]
    assert accuracy == sorted(accuracy)
    assert precision == sorted(precision)
    assert accuracy[-1] == pytest.approx(0.95, abs=0.02)
    with pytest.raises(ValueError, match="both a score and a label"):
        coverage_curve(np.array([[np.nan]]), np.array([1.0]), 0.5, 1.0, np.ones(1, bool), [0])


def test_what_goes_to_review_for_any_reason_is_not_covered() -> None:
    scores = np.array([[0.9, 0.9], [0.9, 0.1], [0.9, 0.9], [0.1, 0.1]])
    good, inside = np.array([1.0, 0.0, 0.0, 0.0]), np.array([True, True, False, True])
    (careless,) = coverage_curve(scores, good, 0.5, 1.0, np.ones(4, bool), [0])
    (careful,) = coverage_curve(scores, good, 0.5, 0.5, inside, [0])
    assert (careless.coverage, careless.precision, careless.accuracy) == (1, pytest.approx(1 / 3), 0.5)
    assert (careful.coverage, careful.precision, careful.accuracy) == (0.5, 1, 1)


def test_rare_values_are_outside_the_range_of_a_reference_set() -> None:
    reference = np.append(np.arange(1000.0), [1e9, np.nan])
    assert common_numbers(np.array([0, 5, 500, 994, 1000, 1e9, np.nan]), reference).tolist() == [
        False, True, True, True, False, False, True,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no document of the reference set"):
        common_numbers(np.ones(1), np.array([np.nan]))
    languages = np.array(["en"] * 990 + ["de"] * 9 + ["fr"], object)
    assert common_labels(np.array(["en", "de", "fr", "ja"], object), languages).tolist() == [True, True, False, False]
