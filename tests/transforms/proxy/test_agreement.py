"""Rankings are compared as the field compares them, and a large learning rate is warned of because it does flip them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tamis.transforms.proxy.agreement import (
    at_width,
    differences,
    interval,
    pairwise_agreement,
    spearman,
    top_k_regret,
    warnings,
)

RANKINGS = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 6).map(float), min_size=n, max_size=n).map(np.array)] * 2)
)


@given(RANKINGS)
def test_spearman_is_scipys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = pair
    if np.ptp(one) and np.ptp(other):
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    else:
        assert np.isnan(spearman(one, other))


@given(RANKINGS)
def test_agreement_counts_pairs(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = pair
    same = [np.sign(one[i] - one[j]) == np.sign(other[i] - other[j]) for i in range(len(one)) for j in range(i)]
    assert pairwise_agreement(one, other) == pytest.approx(sum(same) / len(same))
    assert pairwise_agreement(one, one) == 1
    if len(set(one)) == len(one):
        assert pairwise_agreement(one, -one) == 0


@given(RANKINGS)
def test_regret_falls_with_k_to_nothing(pair: tuple[np.ndarray, np.ndarray]) -> None:
    proxy, target = pair
    regrets = [top_k_regret(proxy, target, k) for k in range(1, len(proxy) + 1)]
    assert regrets == sorted(regrets, reverse=True)
    assert regrets[-1] == 0 == top_k_regret(target, target, 1)


def test_regret_by_hand() -> None:
    proxy, target = np.array([1.0, 2, 3, 4]), np.array([3.5, 3.2, 3.9, 3.0])
    assert [round(top_k_regret(proxy, target, k), 9) for k in (1, 2, 3, 4)] == [0.5, 0.2, 0.2, 0]
    assert top_k_regret(np.zeros(4), target, 1) == pytest.approx(0.9)


def test_intervals() -> None:
    values = np.array([3.1, 3.3, 3.2, 3.4])
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert interval(values) == pytest.approx((3.25, low, high))
    assert interval(values[:1]) == (3.1, -np.inf, np.inf)
    with pytest.raises(ValueError, match="at least one"):
        interval(values[:0])


def test_differences_are_free_of_the_seeds_luck() -> None:
    luck = np.array([0.0, 5.0, -3.0, 1.0])
    losses = np.array([luck, luck + 0.1 + np.array([0.01, -0.01, 0, 0]), luck + np.array([0.1, -0.1, 0.1, -0.1])])
    found = {(i, j): between for i, j, between in differences(losses)}
    assert list(found) == [(0, 1), (0, 2), (1, 2)]
    assert found[0, 1].high < 0
    assert found[0, 2].low < 0 < found[0, 2].high


def test_what_cannot_be_compared() -> None:
    for compare in (pairwise_agreement, spearman):
        with pytest.raises(ValueError, match="the same ones"):
            compare(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="best 3 of 2"):
        top_k_regret(np.zeros(2), np.zeros(2), 3)


def test_the_learning_rates_of_the_paper_are_told_apart_at_any_width() -> None:
    assert at_width(1e-5, 768) == 1e-5
    for width in (64, 256, 768, 2048):
        assert warnings(at_width(1e-5, width), width, 3) == []
        assert ["flips" in one for one in warnings(at_width(3e-4, width), width, 3)] == [True]
    assert "One seed" in warnings(1e-6, 768, 1)[0]


def test_a_constructed_pair_flips_at_a_large_step_and_not_at_a_small_one() -> None:
    """One step on two data sets: the one whose gradient helps more is the sharper. Δloss = −η g·g_val + η²/2 gᵀHg."""
    validation, curvature = np.array([1.0, 0.0]), np.diag([1.0, 100.0])
    sharp, blunt = np.array([1.0, 1.0]), np.array([0.7, 0.0])

    def losses(rate: float) -> np.ndarray:
        return np.array([-rate * g @ validation + rate**2 / 2 * g @ curvature @ g for g in (sharp, blunt)])

    tuned = np.array([min(losses(rate)[row] for rate in np.geomspace(1e-4, 1, 400)) for row in (0, 1)])
    aligned = -np.array([sharp @ validation, blunt @ validation])
    assert spearman(losses(1e-4), aligned) == 1
    assert spearman(losses(0.1), aligned) == -1
    assert tuned[1] < tuned[0]
