"""Choices among trainings: corrected p-values agree with a slow reference, and luck is seldom taken for a gain."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tamis.transforms.proxy.choice import LEVEL, choose, compare_paired, holm


def closed_test(p: np.ndarray, weights: np.ndarray) -> list[float]:
    """Holm's p-values by closed testing: a hypothesis falls if every set of hypotheses with it falls by Bonferroni's test."""
    sets = [list(group) for size in range(1, len(p) + 1) for group in combinations(range(len(p)), size)]
    least = [min(1.0, (p[group] * weights[group].sum() / weights[group]).min()) for group in sets]
    return [max(value for group, value in zip(sets, least, strict=True) if at in group) for at in range(len(p))]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 9)), min_size=1, max_size=7).map(np.array))
def test_holm_is_closed_testing(pairs: np.ndarray) -> None:
    p, weights = pairs.T
    assert holm(p, weights) == pytest.approx(closed_test(p, weights))


def test_holm_by_published_values() -> None:
    """The four p-values of the article on the method in Wikipedia: the first and the last stay below 0.05."""
    assert holm(np.array([0.01, 0.04, 0.03, 0.005]), np.ones(4)) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_gains_are_paired_and_their_intervals_hold_together() -> None:
    luck = np.array([0.0, 0.4, -0.3, 0.2, 0.1])
    reference = 4 + luck
    losses = np.array(
        [reference, reference - 0.1 + np.array([0.01, -0.01, 0, 0.02, 0]), reference + np.array([1, -1, 1, -1, 0])]
    )
    found = compare_paired(losses, reference)
    tests = [stats.ttest_rel(reference, row) for row in losses[1:]]
    assert found.number == 2
    assert (found.gain[0], found.low[0], found.high[0], found.p[0]) == (0, 0, 0, 1)
    assert found.gain[1:] == pytest.approx((reference - losses[1:]).mean(axis=1))
    assert found.p[1:] == pytest.approx(closed_test(np.array([test.pvalue for test in tests]), np.ones(2)))
    bounds = [test.confidence_interval(1 - 0.05 / 2) for test in tests]
    assert found.low[1:] == pytest.approx([bound.low for bound in bounds])
    assert found.high[1:] == pytest.approx([bound.high for bound in bounds])
    assert found.better.tolist() == [False, True, False]


def test_the_first_question_has_half_of_the_weight() -> None:
    losses = np.random.default_rng(0).normal(size=(5, 4))
    found = compare_paired(losses, losses[0], first=2)
    tests = [stats.ttest_rel(losses[0], row) for row in losses[1:]]
    weights = np.array([1, 3, 1, 1])
    assert found.p[1:] == pytest.approx(closed_test(np.array([test.pvalue for test in tests]), weights))
    for at, test in enumerate(tests):
        bound = test.confidence_interval(1 - 0.05 * weights[at] / 6)
        assert (found.low[at + 1], found.high[at + 1]) == pytest.approx((bound.low, bound.high))


@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 1000))
def test_a_way_that_is_trained_twice_counts_once(ways: int, seeds: int, draw: int) -> None:
    losses = np.random.default_rng(draw).normal(size=(ways, seeds))
    once, twice = (compare_paired(each, losses[0]) for each in (losses, np.concatenate([losses, losses])))
    assert once.number == twice.number == ways - 1
    for one, both in zip(once[:4], twice[:4], strict=True):
        assert both.tolist() == [*one.tolist(), *one.tolist()]


def test_one_seed_tells_nothing() -> None:
    found = compare_paired(np.array([[4.0], [3.0]]), np.array([4.0]))
    assert found.p.tolist() == [1, 1]
    assert (found.low[1], found.high[1]) == (-np.inf, np.inf)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_all_is_luck_the_simplest_way_is_taken(seeds: int) -> None:
    """Of 2,000 draws of eight ways that are equally good at most 5 % leave the first, give or take 3 standard errors."""
    draw = np.random.default_rng(seeds)
    noise = draw.normal(size=(2000, 8, seeds))
    noise[:, 1::2] += noise[:, :1]  # as trainings with a part in common
    left = np.mean([choose(losses, (0, 1)).taken != 0 for losses in noise + draw.normal(size=(2000, 1, seeds))])
    assert left <= LEVEL + 3 * np.sqrt(LEVEL / 2000)


def test_a_simple_way_is_left_only_for_a_better_one() -> None:
    small = 0.01 * np.array([1.0, -1, 0, 0.5, -0.5])
    uniform, ascending, weighted = 4 + small, 3.9 - small, 3.895 + small
    losses = np.array([uniform, ascending, weighted])
    choice = choose(losses, (0, 1))
    assert (choice.taken, choice.reference) == (1, 1)
    assert 0.005 < choice.against.high[2] < 0.05  # what the third may gain at most
    assert choose(losses[[0, 2, 1]], (0,)).taken == 1  # without a second simple way: the best that beats the first
    assert choose(np.array([uniform, ascending, weighted - 0.1]), (0, 1)).taken == 2
    assert choose(np.array([uniform, uniform, uniform]), (0, 1)).taken == 0
