"""Shifts are those of scipy for independent sets, and as rare as they say for sets that share documents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tamis.transforms.assess.shifts import LEAST_EXPECTED, holm, label_shift, number_shift

NUMBERS = st.lists(st.integers(0, 12).map(float), min_size=4, max_size=60).map(np.array)


@settings(max_examples=100, deadline=None)
@given(before=NUMBERS, after=NUMBERS)
def test_of_independent_sets_the_numbers_shift_as_scipy_says(before: np.ndarray, after: np.ndarray) -> None:
    expected = stats.ks_2samp(before, after, method="asymp")
    found = number_shift(before, after)
    assert found.effect == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue if found.effect else 1.0)


@settings(max_examples=100, deadline=None)
@given(counts=st.lists(st.tuples(st.integers(10, 60), st.integers(10, 60)), min_size=2, max_size=5))
def test_of_independent_sets_the_labels_shift_as_scipy_says(counts: list[tuple[int, int]]) -> None:
    table = np.array(counts).T
    before, after = ({str(number): int(count) for number, count in enumerate(side)} for side in table)
    expected = stats.chi2_contingency(table, correction=False)
    if (expected.expected_freq >= LEAST_EXPECTED).all():
        found = label_shift(before, after)
        assert found.p == pytest.approx(expected.pvalue)
        assert found.effect == pytest.approx(np.abs(table[0] / table[0].sum() - table[1] / table[1].sum()).sum() / 2)


def test_rare_labels_are_one() -> None:
    rare = {f"rare-{number}": 1 for number in range(20)}
    assert label_shift({"a": 50, **rare}, {"a": 70}).p == pytest.approx(label_shift({"a": 50, "rare": 20}, {"a": 70}).p)
    assert label_shift({"a": 50}, {"a": 30}).p == 1
    assert label_shift({"a": 50, "b": 1}, {"a": 50}).p == 1  # one label is left


@pytest.mark.parametrize("shared", [0, 300, 380])
def test_a_shift_by_chance_is_as_rare_as_its_p_value_says(shared: int) -> None:
    """Sets of 400 drawn from the same documents: about 5 % have p < .05, whatever they share."""
    draws, small = np.random.default_rng(shared), [0, 0]
    for _ in range(600):
        values = draws.normal(size=800 - shared)
        before, after = values[:400], values[400 - shared :]
        small[0] += number_shift(before, after, shared).p < 0.05
        labels = [dict(zip("abcd", np.histogram(side, [-9, -1, 0, 1, 9])[0].tolist(), strict=True)) for side in (before, after)]
        small[1] += label_shift(*labels, shared).p < 0.05
    low, high = stats.binom.interval(0.999, 600, 0.05)
    assert small[0] <= high
    assert low <= small[1] <= high
    assert small[0] >= low / 2  # few distinct values of the statistic make the test of numbers conservative


def test_the_same_set_does_not_shift_and_an_empty_one_is_refused() -> None:
    numbers = np.arange(5.0)
    assert number_shift(numbers, numbers, 5).p == 1
    assert label_shift({"a": 3, "b": 2}, {"a": 3, "b": 2}, 5).effect == 0
    for shift in (lambda: number_shift(numbers, np.empty(0)), lambda: label_shift({"a": 0}, {"a": 1})):
        with pytest.raises(ValueError, match="no documents"):
            shift()


def test_holm_corrects_as_published() -> None:
    """Holm 1979: the smallest of three times 3, the next times 2, none below one before it."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
