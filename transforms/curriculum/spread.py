"""Keeps copies apart: epochs of a document, and near-duplicates of it, at least a set distance of tokens from each other.

Sorted by quality, the copies of a document lie side by side, which is when the second teaches least.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.kernels import njit

Integers = npt.NDArray[np.int64]


def closest(copy_of: npt.ArrayLike, tokens: npt.ArrayLike) -> int | None:
    """Least number of tokens between the end of a copy and the start of the next one of the same; None without copies.

    `copy_of` names, for each document in training order, what it is a copy of: any integer that only its copies share.
    """
    key, size = np.asarray(copy_of), np.asarray(tokens, np.int64)
    end = np.cumsum(size)
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    gap = (end - size)[order][1:] - end[order][:-1]
    return int(gap[same].min()) if same.any() else None


def spread(copy_of: npt.ArrayLike, tokens: npt.ArrayLike, distance: int) -> Integers:
    """The training order with copies at least `distance` tokens apart: positions of the given order, in the new one.

    Of copies too near, the last stays and earlier ones move towards the start, each no further than it must: an order that
    rises keeps its best end. What finds no room before the start moves back towards the end. Where a document repeats more
    often than the run has room for, its copies lie as far apart as this leaves them (`closest`).
    O(n log n) in documents; the order of documents without copies among each other does not change.
    """
    if distance < 0:
        raise ValueError(f"copies lie a distance of 0 tokens or more apart, not {distance}")
    _, key = np.unique(np.asarray(copy_of), return_inverse=True)
    size = np.asarray(tokens, np.int64)
    order = _deferred(key[::-1], size[::-1], distance)
    order = len(key) - 1 - order[::-1]
    return np.asarray(order[_deferred(key[order], size[order], distance)])


@njit(cache=True, nogil=True)
def _deferred(key: Any, tokens: Any, distance: int) -> Any:
    """Emits documents in order, a copy that comes too soon as soon as it may; at the end, those left in the order they may."""
    documents = len(key)
    free = np.full(documents, -(1 << 62), np.int64)  # of each key: the token from which its next copy may begin
    order = np.empty(documents, np.int64)
    waiting = [(np.int64(0), np.int64(0))][:0]
    now, following, emitted = np.int64(0), 0, 0
    while emitted < documents:
        chosen = np.int64(-1)
        if waiting and (waiting[0][0] <= now or following == documents):
            ready, first = heappop(waiting)
            if free[key[first]] > ready:  # another copy came in between
                heappush(waiting, (free[key[first]], first))
                continue
            chosen = first
        else:
            chosen = np.int64(following)
            following += 1
            if free[key[chosen]] > now:
                heappush(waiting, (free[key[chosen]], chosen))
                continue
        order[emitted] = chosen
        emitted += 1
        now += tokens[chosen]
        free[key[chosen]] = now + distance
    return order
