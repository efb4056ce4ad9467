"""Gain and Z agree with published values and with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.decontaminate.performance_gain import performance_gain, z_value

TABLE_51 = [
    ("HellaSwag 70B", (7391, 80.0, 82.5, -5.73), (2651, 89.5, 82.4, 9.56), (9194, 81.6, 82.5, -2.27), (848, 92.2, 82.5, 7.42)),
    ("HellaSwag 7B", (7391, 70.5, 73.3, -5.46), (2651, 81.3, 73.4, 9.17), (9194, 72.4, 73.4, -2.06), (848, 83.7, 73.3, 6.84)),
    ("Humanities 70B", (3996, 62.2, 65.3, -4.08), (709, 82.7, 65.3, 9.71), (4185, 62.7, 65.3, -3.50), (520, 85.8, 65.3, 9.80)),
    ("Humanities 7B", (3996, 40.8, 42.9, -2.75), (709, 54.9, 42.8, 6.50), (4185, 41.1, 42.9, -2.25), (520, 56.9, 42.8, 6.49)),
    ("MMLU 70B", (11862, 68.0, 68.9, -2.00), (2180, 73.5, 68.9, 4.64), (12506, 67.7, 68.9, -2.75), (1536, 78.2, 68.9, 7.87)),
]
"""Touvron et al. 2023, Table 51: items, mean, expected mean and Z of the clean, not clean, not dirty and dirty items."""


@pytest.mark.parametrize(("name", "subsets"), [(name, subsets) for name, *subsets in TABLE_51])
def test_z_is_that_of_llama_2(name: str, subsets: list[tuple[int, float, float, float]]) -> None:
    for items, mean, expected, z in subsets:
        assert z_value(mean / 100, expected / 100, items) == pytest.approx(z, abs=0.2)


def subsets_of(items: list[tuple[int, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """(results, scores) of items given as (how many, share that is right, score)."""
    correct = [np.arange(n) < round(n * share) for n, share, _ in items]
    return np.concatenate(correct).astype(float), np.concatenate([np.full(n, score) for n, _, score in items])


def test_gain_and_evidence_of_hellaswag() -> None:
    """Table 51, HellaSwag 70B: 7,391 clean items at 80.0, 2,651 others at 89.5, 848 of which at 92.2."""
    correct, scores = subsets_of([(7391, 0.800, 0.0), (2651 - 848, 0.882, 0.5), (848, 0.922, 0.9)])
    found = performance_gain(correct, scores, [0.2, 0.8])
    clean, dirty = found.sweep
    assert (clean.clean.items, clean.contaminated.items) == (7391, 2651)
    assert (dirty.clean.items, dirty.contaminated.items) == (9194, 848)
    assert found.mean == pytest.approx(0.825, abs=0.001)
    assert clean.gain == pytest.approx(0.025, abs=0.001)
    assert [clean.clean.z, clean.contaminated.z] == pytest.approx([-5.73, 9.56], abs=0.2)
    assert [dirty.clean.z, dirty.contaminated.z] == pytest.approx([-2.27, 7.42], abs=0.2)
    assert found.evident


def test_one_subset_without_evidence_is_enough_for_none() -> None:
    correct, scores = subsets_of([(7391, 0.800, 0.0), (2651 - 848, 0.95, 0.5), (848, 0.84, 0.9)])
    assert not performance_gain(correct, scores).evident


def test_a_threshold_is_contaminated_itself() -> None:
    found = performance_gain(np.array([1.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.3]), [0.2])
    assert (found.sweep[0].clean.items, found.sweep[0].contaminated.items) == (1, 2)


def test_empty_and_uniform_subsets_have_no_values() -> None:
    (all_contaminated,) = performance_gain(np.array([1.0, 0.0]), np.array([1.0, 1.0]), [0.5]).sweep
    assert all_contaminated.gain is None
    assert (all_contaminated.clean.items, all_contaminated.clean.mean, all_contaminated.clean.z) == (0, None, None)
    (all_right,) = performance_gain(np.array([1.0, 1.0]), np.array([0.0, 1.0]), [0.5]).sweep
    assert (all_right.gain, all_right.clean.z, all_right.contaminated.z) == (0.0, None, None)


@pytest.mark.parametrize(("correct", "message"), [([], "no items"), ([2.0], "between 0"), ([float("nan")], "between 0")])
def test_what_is_no_result_is_refused(correct: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        performance_gain(np.array(correct), np.zeros(len(correct)))


results = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60)


@given(results, st.floats(0, 1))
def test_the_two_subsets_are_the_whole(items: list[tuple[bool, float]], threshold: float) -> None:
    """Nothing is lost, and the weighted means of the subsets are the mean of all."""
    correct, scores = np.array([float(right) for right, _ in items]), np.array([score for _, score in items])
    found = performance_gain(correct, scores, [threshold])
    (at,) = found.sweep
    assert at.clean.items + at.contaminated.items == len(items)
    total = sum(subset.items * (subset.mean or 0.0) for subset in (at.clean, at.contaminated))
    assert total == pytest.approx(found.mean * len(items))
    if at.clean.z is not None and at.contaminated.z is not None:
        assert at.clean.z * at.contaminated.z <= 1e-12  # on opposite sides of the mean
