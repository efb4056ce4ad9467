"""Rankings are compared by the field's measures, and a large learning rate gets a warning since it flips them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tamis.transforms.proxy.agreement import (
    interval,
    pairwise_agreement,
    pairwise_differences,
    rank_correlation,
    ranking_warnings,
    scale_rate,
    top_k_regret,
)

RANKINGS = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 6).map(float), min_size=n, max_size=n).map(np.array)] * 2)
)


def test_rank_correlation_has_mean_ranks_for_ties_and_nothing_to_rank_is_nan() -> None:
    assert rank_correlation(np.array([1.0, 2, 2, 3]), np.array([1.0, 3, 2, 4])) == pytest.approx(0.9486833)
    for constant, other in ((np.ones(3), np.arange(3.0)), (np.arange(3.0), np.ones(3)), (np.zeros(0), np.zeros(0))):
        assert np.isnan(rank_correlation(constant, other))


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


def test_differences_cancel_the_luck_of_a_seed() -> None:
    luck = np.array([0.0, 5.0, -3.0, 1.0])
    losses = np.array([luck, luck + 0.1 + np.array([0.01, -0.01, 0, 0]), luck + np.array([0.1, -0.1, 0.1, -0.1])])
    intervals = {(i, j): between for i, j, between in pairwise_differences(losses)}
    assert list(intervals) == [(0, 1), (0, 2), (1, 2)]
    assert intervals[0, 1].high < 0
    assert intervals[0, 2].low < 0 < intervals[0, 2].high


def test_losses_of_different_data_sets_cannot_be_compared() -> None:
    for compare in (pairwise_agreement, rank_correlation):
        with pytest.raises(ValueError, match="one loss for each data set"):
            compare(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="k is 3, but there are 2"):
        top_k_regret(np.zeros(2), np.zeros(2), 3)


def test_only_learning_rates_that_flip_rankings_get_a_warning_at_any_width() -> None:
    assert scale_rate(1e-5, 768) == 1e-5
    for width in (64, 256, 768, 2048):
        assert ranking_warnings(scale_rate(1e-5, width), width, 3) == []
        assert ["[flips]" in warning for warning in ranking_warnings(scale_rate(3e-4, width), width, 3)] == [True]
    assert "[one-seed]" in ranking_warnings(1e-6, 768, 1)[0]


def test_a_constructed_pair_flips_at_a_large_step_and_not_at_a_small_one() -> None:
    """One step on two data sets: the one whose gradient helps more is the sharper. Δloss = −η g·g_val + η²/2 gᵀHg."""
    validation, curvature = np.array([1.0, 0.0]), np.diag([1.0, 100.0])
    sharp, blunt = np.array([1.0, 1.0]), np.array([0.7, 0.0])

    def losses(rate: float) -> np.ndarray:
        return np.array([-rate * g @ validation + rate**2 / 2 * g @ curvature @ g for g in (sharp, blunt)])

    tuned = np.array([min(losses(rate)[row] for rate in np.geomspace(1e-4, 1, 400)) for row in (0, 1)])
    aligned = -np.array([sharp @ validation, blunt @ validation])
    assert rank_correlation(losses(1e-4), aligned) == pytest.approx(1)
    assert rank_correlation(losses(0.1), aligned) == pytest.approx(-1)
    assert tuned[1] < tuned[0]
