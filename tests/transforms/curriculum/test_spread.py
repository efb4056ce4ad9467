"""Copies are spread at least the distance asked for, where there is room, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.curriculum.spread import closest, spread


def plainly(keys: list[int], tokens: list[int], distance: int) -> list[int]:
    """One sweep, written out: of all that may come now, first who waits longest, then who is next in order."""
    last: dict[int, int] = {}
    waiting: list[int] = []
    coming, order, now = list(range(len(keys))), [], 0

    def due(index: int) -> tuple[int, int]:
        return last.get(keys[index], -(10**9) - distance) + distance, index

    while coming or waiting:
        able = sorted(due(index) for index in waiting if due(index)[0] <= now or not coming)
        if able:
            index = able[0][1]
            waiting.remove(index)
        else:
            index = coming.pop(0)
            if due(index)[0] > now:
                waiting.append(index)
                continue
        order.append(index)
        now += tokens[index]
        last[keys[index]] = now
    return order


def swept(keys: list[int], tokens: list[int], distance: int) -> list[int]:
    """From the end to the start, then from the start to the end."""
    back = [len(keys) - 1 - index for index in plainly(keys[::-1], tokens[::-1], distance)[::-1]]
    again = plainly([keys[index] for index in back], [tokens[index] for index in back], distance)
    return [back[index] for index in again]


CORPORA = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 20)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(CORPORA, st.integers(0, 120))
def test_it_is_the_sweep_written_out(corpus: list[tuple[int, int]], distance: int) -> None:
    keys, tokens = [key for key, _ in corpus], [size for _, size in corpus]
    found = spread(np.array(keys, np.int64), np.array(tokens, np.int64), distance).tolist()
    assert sorted(found) == list(range(len(corpus)))
    assert found == swept(keys, tokens, distance)


@settings(max_examples=100, deadline=None)
@given(CORPORA)
def test_closest_is_the_least_gap(corpus: list[tuple[int, int]]) -> None:
    keys, tokens = [key for key, _ in corpus], [size for _, size in corpus]
    starts = np.cumsum([0, *tokens])
    gaps = [int(starts[j] - starts[i + 1]) for i in range(len(keys)) for j in range(i + 1, len(keys)) if keys[i] == keys[j]]
    assert closest(np.array(keys, np.int64), np.array(tokens, np.int64)) == (min(gaps) if gaps else None)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32), st.integers(0, 4_000))
def test_where_there_is_room_every_copy_keeps_its_distance(epochs: int, seed: int, distance: int) -> None:
    """A tenth of 2,000 documents, up to four times each, side by side in an ascending order of about 100,000 tokens."""
    rng = np.random.default_rng(seed)
    times = np.where(rng.random(2_000) < 0.1, epochs, 1)
    keys = np.repeat(np.arange(2_000), times)
    tokens = np.repeat(rng.integers(1, 100, 2_000), times)
    order = spread(keys, tokens, distance)
    found = closest(keys[order], tokens[order])
    assert found is None or found >= distance
    once = np.flatnonzero(np.repeat(times, times) == 1)
    assert (np.diff(order[np.isin(order, once)]) > 0).all()
    np.testing.assert_array_equal(keys[order][-1], 1_999)


def test_without_copies_or_distance_nothing_moves() -> None:
    tokens = np.arange(50)
    np.testing.assert_array_equal(spread(np.arange(50), tokens, 1_000), np.arange(50))
    np.testing.assert_array_equal(spread(np.zeros(50, np.int64), tokens, 0), np.arange(50))
    assert len(spread(np.array([], np.int64), np.array([], np.int64), 5)) == 0
    with pytest.raises(ValueError, match="0 tokens or more"):
        spread(np.arange(2), np.arange(2), -1)


def test_copies_move_towards_the_start_and_the_last_stays() -> None:
    keys = np.array([0, 1, 2, 3, 3])
    order = spread(keys, np.full(5, 10), 20)
    assert keys[order].tolist() == [0, 3, 1, 2, 3]
