"""Prefetching keeps items, order and errors, makes no more than it may, and leaves no thread."""

from __future__ import annotations

import threading

import pytest

from tamis.transforms.runtime.prefetch import prefetch


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_items_keep_their_order(count, depth):
    assert list(prefetch(iter(range(count)), depth)) == list(range(count))
    assert not threads()


def test_an_error_is_raised_in_its_turn():
    def items():
        yield 1
        raise OSError(5, "disk")

    prefetched = prefetch(items())
    assert next(prefetched) == 1
    with pytest.raises(OSError, match="disk"):
        next(prefetched)
    assert not threads()


@pytest.mark.parametrize("depth", [1, 2])
def test_no_more_items_are_made_than_the_depth_allows(depth):
    made = []

    def items():
        for item in range(10):
            made.append(item)
            yield item

    for count, _ in enumerate(prefetch(items(), depth), 1):
        assert len(made) <= count + depth


def test_closed_early_it_closes_what_it_reads():
    closed = []

    def items():
        try:
            yield from range(10)
        finally:
            closed.append(True)

    for _ in prefetch(item for item in prefetch(items())):
        break
    assert closed
    assert not threads()


def test_the_next_item_is_made_while_the_current_one_is_processed():
    begun = threading.Event()

    def items():
        yield 1
        begun.set()
        yield 2

    for item in prefetch(items()):
        assert item == 2 or begun.wait(10)
