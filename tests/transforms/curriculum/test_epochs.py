"""Copies of repeated documents lie as far apart as asked wherever there is room, and the last ones stay where they stood."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.curriculum.epochs import copy_positions, copy_spacing, earliest_positions

Integers = npt.NDArray[np.int64]


def closest(document: Integers, tokens: Integers) -> int | None:
    """Least number of tokens from the end of a copy to the start of the next one of the same document; None without copies."""
    end, by = np.cumsum(tokens), np.argsort(document, kind="stable")
    gap = (end - tokens)[by][1:] - end[by][:-1]
    again = document[by][1:] == document[by][:-1]
    return int(gap[again].min()) if again.any() else None


def order(tokens: Integers, copies: Integers, distance: float) -> tuple[Integers, Integers]:
    """(document, copy) in the order of a corpus that is ranked by positions."""
    through = np.cumsum(tokens * copies)
    stands = through / through[-1]
    apart = copy_spacing(np.full(len(tokens), distance), np.full(len(tokens), copies.max()))
    turn = np.repeat(np.arange(len(tokens)), copies)
    copy = np.arange(len(turn)) - np.repeat(np.cumsum(copies) - copies, copies)
    by = np.lexsort((copy, stands[turn], copy_positions(stands[turn], copies[turn], apart[turn], copy)))
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


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 3), st.floats(0, 0.1), st.integers(1, 4))
def test_copies_lie_apart_across_the_boundary_of_two_phases(
    seed: int, first: int, second: int, share: float, ratio: int
) -> None:
    """Two phases in orders of their own; the last copy in the first and the first one in the second."""
    draw, size = np.random.default_rng(seed), 4000
    tokens = draw.integers(1, 20, size)
    copies = [draw.integers(1, most + 1, size) for most in (first, second)]
    taken = draw.random(size) < 1 / ratio  # the second phase may be shorter
    copies[1][~taken] = 0
    whole = [int((tokens * times).sum()) for times in copies]
    distance = share * min(whole)
    start, ends, begins = np.zeros(size), np.zeros(size), np.zeros(size)
    for phase, most in enumerate((first, second)):
        times, stands = copies[phase], np.empty(size)
        shuffled = draw.permutation(size)
        stands[shuffled] = np.cumsum((tokens * times)[shuffled]) / whole[phase]
        apart = copy_spacing(np.full(size, share), np.full(size, most))
        turn = np.repeat(np.arange(size), times)
        copy = np.arange(len(turn)) - np.repeat(np.cumsum(times) - times, times)
        where = copy_positions(stands[turn], times[turn], apart[turn], copy, start[turn])
        by = np.lexsort((copy, stands[turn], where))
        end = np.cumsum(tokens[turn][by])
        if phase == 0:
            ends[turn[by]] = end  # of several the last
            last = copy_positions(stands, times, apart, times - 1)
            every = np.ones(size, np.int64)
            start = earliest_positions(
                last, whole[0] * every, first * every, whole[1] * every, second * every, distance * every
            )
        else:
            begins[turn[by][::-1]] = (end - tokens[turn][by])[::-1]
    gap = (whole[0] - ends + begins)[copies[1] > 0]
    assert gap.min() >= 0.97 * distance - 3 * 20 * second


def test_without_a_distance_copies_follow_each_other() -> None:
    document, _ = order(np.array([5, 1, 3]), np.array([1, 2, 3]), 0.0)
    np.testing.assert_array_equal(document, [0, 1, 1, 2, 2, 2])


def test_the_best_copies_stay_at_the_end() -> None:
    document, copy = order(np.ones(1000, np.int64), np.where(np.arange(1000) < 900, 1, 2), 0.05)
    assert set(document[-50:]) == set(range(950, 1000))
    assert (copy[-50:] == 1).all()
