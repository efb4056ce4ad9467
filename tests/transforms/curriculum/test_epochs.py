"""Copies of repeated documents lie as far apart as asked wherever there is room, and the last ones stay where they stood."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.curriculum.epochs import positions, step
from transforms.curriculum.spread import closest

Integers = npt.NDArray[np.int64]


def order(tokens: Integers, copies: Integers, distance: float) -> tuple[Integers, Integers]:
    """(document, copy) in the order of a corpus that is ranked by positions."""
    through = np.cumsum(tokens * copies)
    stands = through / through[-1]
    apart = step(np.full(len(tokens), distance), np.full(len(tokens), copies.max()))
    turn = np.repeat(np.arange(len(tokens)), copies)
    copy = np.arange(len(turn)) - np.repeat(np.cumsum(copies) - copies, copies)
    by = np.lexsort((copy, stands[turn], positions(stands[turn], copies[turn], apart[turn], copy)))
    return turn[by], copy[by]


@given(st.integers(0, 2**32), st.integers(1, 5), st.floats(0, 0.2), st.booleans())
def test_copies_are_as_far_apart_as_asked_or_as_there_is_room_for(seed: int, most: int, distance: float, top: bool) -> None:
    draw = np.random.default_rng(seed)
    tokens, copies = draw.integers(1, 20, 400), draw.integers(1, most + 1, 400)
    if top:
        copies = np.sort(copies)  # the best are repeated most: the copies lie at one end
    copies[-1] = most
    document, copy = order(tokens, copies, distance)
    whole = int((tokens * copies).sum())
    assert len(document) == copies.sum()
    for of in (0, 399):
        assert (np.diff(copy[document == of]) == 1).all()
    gap = closest(document, tokens[document])
    if most == 1:
        assert gap is None
        assert (np.diff(document) > 0).all()
    elif gap is not None:
        room = min(distance, 1 / (most * (most - 1)))
        assert gap >= room * whole - 3 * 20 * most


@pytest.mark.parametrize("copies", [2, 3, 7])
def test_where_there_is_no_room_each_epoch_is_a_pass_of_its_own(copies: int) -> None:
    document, copy = order(np.ones(50, np.int64), np.full(50, copies), 0.99)
    np.testing.assert_array_equal(document, np.tile(np.arange(50), copies))
    np.testing.assert_array_equal(copy, np.repeat(np.arange(copies), 50))


def test_without_a_distance_copies_follow_each_other() -> None:
    document, _ = order(np.array([5, 1, 3]), np.array([1, 2, 3]), 0.0)
    np.testing.assert_array_equal(document, [0, 1, 1, 2, 2, 2])


def test_the_best_copies_stay_at_the_end() -> None:
    document, copy = order(np.ones(1000, np.int64), np.where(np.arange(1000) < 900, 1, 2), 0.05)
    assert set(document[-50:]) == set(range(950, 1000))
    assert (copy[-50:] == 1).all()
