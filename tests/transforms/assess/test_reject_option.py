"""Doubtful documents go to review for the right reason, and a wider margin decides fewer of them, more of them right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.assess.reject_option import coverage_curve, verdicts

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
    curve = coverage_curve(np.append(score, np.nan), np.append(good, 1), 0.5, [0, 0.1, 0.2, 0.4])
    assert [point.coverage for point in curve] == pytest.approx([1, 0.8, 0.6, 0.2], abs=0.02)
    accuracy = [point.accuracy or 0 for point in curve]
    precision = [point.precision or 0 for point in curve]
    assert accuracy == sorted(accuracy)
    assert precision == sorted(precision)
    assert accuracy[-1] == pytest.approx(0.95, abs=0.02)
    with pytest.raises(ValueError, match="both a score and a label"):
        coverage_curve(np.array([np.nan]), np.array([1.0]), 0.5, [0])
