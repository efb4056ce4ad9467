"""Changes of one text: the difference of two texts, and the composition of changes made in turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_ANCHOR = 3
"""Characters that must agree for two texts to be together again after a difference."""
_WINDOW = 64
"""Characters, of both texts together, within which that must be. It bounds the time of a long text."""
_STRIDE = 4096
"""Characters that are compared at once where texts agree."""


@dataclass(frozen=True)
class Change:
    """Characters `start` up to `stop` of a text are replaced by `new`, for the reason with this number."""

    start: int
    stop: int
    new: str
    reason: int = 0


def changed(text: str, changes: Iterable[Change]) -> str:
    """The text after its changes, which are in order and do not overlap."""
    pieces, left = [], 0
    for change in changes:
        pieces += [text[left : change.start], change.new]
        left = change.stop
    return "".join([*pieces, text[left:]])


def in_bytes(text: str, changes: Iterable[Change]) -> Iterator[tuple[int, int, Change]]:
    """The changes with the bytes of the text in UTF-8 at which they start and stop."""
    at = byte = 0
    for change in changes:
        start = byte + len(text[at : change.start].encode())
        byte = start + len(text[change.start : change.stop].encode())
        at = change.stop
        yield start, byte, change


def difference(before: str, after: str, reason: int = 0) -> list[Change]:
    """Changes that turn one text into the other, in order.

    Where the texts part, the nearest place is taken at which the next `_ANCHOR` characters agree.
    If there is none in the window, all up to the end that they share is one change, so that the
    time stays proportional to the length.
    """
    if before == after:
        return []
    shared = _agreement(before[::-1], after[::-1], 0, 0)
    last = len(before) - shared, len(after) - shared
    changes: list[Change] = []
    i = j = 0
    while True:
        same = min(_agreement(before, after, i, j), last[0] - i, last[1] - j)
        i, j = i + same, j + same
        if (i, j) == last:
            return changes
        to_i, to_j = _together(before, after, i, j, last)
        changes.append(Change(i, to_i, after[j:to_j], reason))
        i, j = to_i, to_j


def _agreement(one: str, other: str, i: int, j: int) -> int:
    """How many characters agree from these places on."""
    first, stride = i, _STRIDE
    while stride:
        if i + stride <= len(one) and one[i : i + stride] == other[j : j + stride]:
            i, j = i + stride, j + stride
        else:
            stride //= 2
    return i - first


def _together(before: str, after: str, i: int, j: int, last: tuple[int, int]) -> tuple[int, int]:
    """The nearest places from which the texts agree again; the last ones, if none is near."""
    for total in range(1, _WINDOW + 1):
        for further in range(total + 1):
            to_i, to_j = i + further, j + total - further
            if to_i > last[0] or to_j > last[1]:
                continue
            if (to_i, to_j) == last or (
                to_i + _ANCHOR <= len(before) and before[to_i : to_i + _ANCHOR] == after[to_j : to_j + _ANCHOR]
            ):
                return to_i, to_j
    return last


def composed(text: str, earlier: Sequence[Change], later: Sequence[Change]) -> list[Change]:
    """One set of changes of `text` that does what `earlier` does, and then `later` to its result.

    Changes that overlap become one, with the reason of the first. What is changed back is no change.
    """
    middle = changed(text, earlier)
    spans: list[tuple[int, int, int, Change]] = []  # in `middle`; earlier changes come first at one place
    shift = 0
    for change in earlier:
        start = change.start + shift
        spans.append((start, start + len(change.new), 0, change))
        shift += len(change.new) - (change.stop - change.start)
    spans += [(change.start, change.stop, 1, change) for change in later]
    spans.sort(key=lambda span: span[:3])
    result = []
    shift = at = 0  # `shift`: how much further a place in `middle` is than in `text`
    while at < len(spans):
        low, high = spans[at][:2]
        end = at + 1
        while end < len(spans) and spans[end][0] < high:
            high = max(high, spans[end][1])
            end += 1
        group = spans[at:end]
        further = [Change(change.start - low, change.stop - low, change.new) for *_, later, change in group if later]
        before = [change for *_, later, change in group if not later]
        new = changed(middle[low:high], further)
        start = low - shift
        shift += sum(len(change.new) - (change.stop - change.start) for change in before)
        stop = high - shift
        if text[start:stop] != new:
            result.append(Change(start, stop, new, (before or [change for *_, change in group])[0].reason))
        at = end
    return result
