"""Scores are combined by published laws: each combination is monotone in every score, ignores what is missing, and AND punishes
what is bad by one rater."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.select.quality.combine import (
    COMBINATIONS,
    Combination,
    combine,
    log_odds,
    log_sigmoid,
    portable_exp,
    sigmoid,
)

SCORES = st.floats(0, 1)


def combined(scores: list[float], combination: Combination, weights: list[float] | None = None) -> float:
    given_weights = np.array(weights or [1.0] * len(scores))
    return float(combine(np.array([scores]), given_weights, combination, np.full(len(scores), 0.5))[0])


def test_all_at_the_reference_is_minus_m_ln_2() -> None:
    """arXiv 2402.00742: u(r_ref) = −ln 2, and the judgments of m raters add up."""
    for raters in (1, 2, 5):
        assert log_sigmoid(np.zeros(raters)).sum() == pytest.approx(-raters * math.log(2), abs=1e-15)
    assert combined([0.5] * 5, "and") == pytest.approx(0.5, abs=1e-15)


def test_and_prefers_two_decent_scores_to_an_excellent_and_a_terrible_one() -> None:
    decent, uneven = log_sigmoid(np.array([0.5, 0.5])).sum(), log_sigmoid(np.array([4.0, -4.0])).sum()
    assert decent == pytest.approx(-0.9482, abs=5e-5)
    assert uneven == pytest.approx(-4.0363, abs=5e-5)
    scores = [sigmoid(np.array(pair)).tolist() for pair in ([0.5, 0.5], [4.0, -4.0])]
    assert combined(scores[0], "and") > combined(scores[1], "and")


def test_a_score_is_good_enough_at_its_reference() -> None:
    references = np.array([0.9, 0.1])
    assert combine(references[None], np.ones(2), "and", references)[0] == pytest.approx(0.5, abs=1e-12)


@given(st.floats(-800, 800))
def test_portable_functions_agree_with_the_math_library(x: float) -> None:
    assert portable_exp(np.array([x]))[0] == pytest.approx(math.exp(x) if x < 709 else math.exp(709), rel=1e-14, abs=1e-307)
    expected = -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))
    assert log_sigmoid(np.array([x]))[0] == pytest.approx(expected, rel=1e-13, abs=2e-16)
    assert log_odds(sigmoid(np.array([x / 50])))[0] == pytest.approx(x / 50, abs=1e-8)


def slow(scores: list[float], weights: list[float], combination: Combination) -> float:
    there = [(score, weight) for score, weight in zip(scores, weights, strict=True) if not math.isnan(score)]
    if not there:
        return math.nan
    total = sum(weight for _, weight in there)
    if combination == "min":
        return min(score for score, _ in there)
    if combination == "mean":
        return sum(score * weight for score, weight in there) / total
    if combination == "product":
        return math.prod(score ** (weight / total) for score, weight in there)
    return math.prod(min(max(score, 1e-9), 1 - 1e-9) ** (weight / total) for score, weight in there)  # σ(logit s) = s


@given(
    st.lists(st.tuples(SCORES | st.just(math.nan), st.floats(0.1, 10)), min_size=1, max_size=5), st.sampled_from(COMBINATIONS)
)
def test_combinations_agree_with_their_formulas(rows: list[tuple[float, float]], combination: Combination) -> None:
    scores, weights = [list(column) for column in zip(*rows, strict=True)]
    assert combined(scores, combination, weights) == pytest.approx(slow(scores, weights, combination), abs=1e-9, nan_ok=True)


@given(SCORES, SCORES, SCORES, st.floats(0.1, 10), st.sampled_from(COMBINATIONS))
def test_a_better_score_never_lowers_the_quality(a: float, b: float, other: float, weight: float, how: Combination) -> None:
    low, high = min(a, b), max(a, b)
    assert 0 <= combined([low, other], how, [weight, 1]) <= combined([high, other], how, [weight, 1]) + 1e-12 <= 1 + 2e-12
