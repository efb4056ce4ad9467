"""An iterator read ahead gives the same items, order and errors, makes no more than may wait, and leaves no thread."""

from __future__ import annotations

import threading

import pytest

from tamis.transforms.runtime.prefetch import prefetch


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_it_gives_the_items_in_their_order(count, depth):
    assert list(prefetch(iter(range(count)), depth)) == list(range(count))
    assert not threads()


def test_an_error_comes_where_it_was_made():
    def items():
        yield 1
        raise OSError(5, "disk")

    got = prefetch(items())
    assert next(got) == 1
    with pytest.raises(OSError, match="disk"):
        next(got)
    assert not threads()


@pytest.mark.parametrize("depth", [1, 2])
def test_no_more_is_made_than_may_wait(depth):
    made = []

    def items():
        for item in range(10):
            made.append(item)
            yield item

    for taken, _ in enumerate(prefetch(items(), depth), 1):
        assert len(made) <= taken + depth


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


def test_the_next_item_is_made_while_the_present_one_is_worked_on():
    begun = threading.Event()

    def items():
        yield 1
        begun.set()
        yield 2

    for item in prefetch(items()):
        assert item == 2 or begun.wait(10)
