"""Pairs are all those of a group in which one document is better, as two loops find them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.rate.trained.ranked_pairs import ranked_pairs


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])), max_size=20))
def test_pairs_agree_with_a_reference(rows: list[tuple[int, float]]) -> None:
    groups, targets = np.array([group for group, _ in rows], np.int64), np.array([target for _, target in rows], np.float64)
    n = range(len(rows))
    expected = {(i, j) for i in n for j in n if groups[i] == groups[j] and targets[i] > targets[j]}
    found = [tuple(pair) for pair in ranked_pairs(groups, targets).tolist()]
    assert len(found) == len(set(found))
    assert set(found) == expected
