"""An index of documents by their rarest shingles, which finds those that can reach a similarity.

Shingles of a document are ordered, rarest first. If the sets of sizes a and b share o shingles, the
first common one is in place a - o or before it in one, and b - o or before it in the other (the
prefix filter of Chaudhuri, Ganti, Kaushik, ICDE 2006; with the places, that of PPJoin: Xiao et al.,
WWW 2008). A similarity needs a least overlap, so the other shingles need not be looked at. Pages of
one template share its shingles, which are frequent, and so late: they are not even candidates.
If containment counts, a short document may share any shingle of a long one, so all of these are in
the index, and the first few of the short one are looked up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms.dedup.drop_rule import DropRule, least_jaccard
from tamis.transforms.dedup.shingles import ROUNDING, least_overlap
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import mix64

_CLASSES = 8  # of sizes, in each octave: documents of a class need about the same overlap
_COUNTERS, _SLOTS = 1 << 24, 1 << 26  # at most
_RARE = np.uint64(40)  # bits of a key below the frequency


class PrefixIndex(NamedTuple):
    """The index, with room for all documents that it may get."""

    frequency: npt.NDArray[np.uint32]
    """Documents with a shingle, by its low bits; others may be counted with it."""
    newest: npt.NDArray[np.int64]
    """1 + the newest entry of each slot, which is the hash of a shingle and a class of sizes."""
    older: npt.NDArray[np.int64]
    """1 + the entry before, of the same slot."""
    document: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    """Of the shingle in the order of its document."""
    size: npt.NDArray[np.int64]
    """[2]: entries, and the shingles of the largest document."""


def empty_index(sizes: npt.NDArray[np.int64], rule: DropRule) -> PrefixIndex:
    """An index for up to as many documents as there are `sizes`, numbers of their shingles. Memory
    that is never written costs nothing: 20 bytes for each shingle of a prefix, at most, are."""
    least = 0 if rule.containment else np.ceil(rule.threshold * sizes - ROUNDING).astype(np.int64)
    entries = int((sizes - least + 2).sum())
    counters = min(1 << int(sizes.sum()).bit_length(), _COUNTERS)
    slots = min(1 << entries.bit_length(), _SLOTS)
    return PrefixIndex(
        np.zeros(counters, np.uint32),
        np.zeros(slots, np.int64),
        np.empty(entries, np.int64),
        np.empty(entries, np.int32),
        np.empty(entries, np.int32),
        np.zeros(2, np.int64),
    )


@njit(cache=True, nogil=True)
def count_shingles(index, shingles):  # type: ignore[no-untyped-def]
    """Counts a document in the frequencies of its shingles. No documents may be in the index yet."""
    mask = np.uint64(index.frequency.size - 1)
    for i in range(shingles.size):
        index.frequency[shingles[i] & mask] += np.uint32(1)


@njit(cache=True, nogil=True)
def rarest_first(index, shingles, out):  # type: ignore[no-untyped-def]
    """The sorted keys of a document's shingles: frequency, then hash. Different shingles may have one
    key; that only adds candidates."""
    mask = np.uint64(index.frequency.size - 1)
    keys = out[: shingles.size]
    for i in range(shingles.size):
        frequency = min(np.uint64(index.frequency[shingles[i] & mask]), (np.uint64(1) << np.uint64(24)) - np.uint64(1))
        keys[i] = frequency << _RARE | shingles[i] >> np.uint64(24)
    keys.sort()
    return keys


@njit(cache=True, nogil=True)
def insert(index, document, keys, rule):  # type: ignore[no-untyped-def]
    """Adds a document. A similar one has at least `threshold` times as many shingles, and so many are
    shared; one that is contained may be of any size."""
    size = keys.size
    entry = index.size[0]
    index.size[1] = max(index.size[1], size)
    fewest = 1
    if rule.containment == 0:
        fewest = least_overlap(np.int64(np.ceil(rule.threshold * size - ROUNDING)), size, rule.threshold)
    for place in range(size - fewest + 1):
        if keys[place] >> _RARE > np.uint64(1):
            slot = _slot(index, keys[place], _class(size))
            index.document[entry] = document
            index.place[entry] = place
            index.older[entry] = index.newest[slot]
            entry += 1
            index.newest[slot] = entry
    index.size[0] = entry


@njit(cache=True, nogil=True)
def candidates(index, keys, sizes, rule, limit, seen, mark, out):  # type: ignore[no-untyped-def]
    """Writes the documents for which one with these `keys` may be dropped to `out`, in no useful order; returns their
    number, or -1 if more than `limit` entries had to be read.

    `sizes`: shingles of each document. `seen` becomes `mark` for the documents in `out`, and was
    not before.
    """
    a = keys.size
    least = max(1, np.int64(np.ceil(rule.threshold * a - ROUNDING)))
    most = np.int64(a / rule.threshold + ROUNDING) if rule.containment == 0 else max(1, index.size[1])
    contained = max(1, np.int64(np.ceil(rule.containment * a - ROUNDING)))
    count = entries = 0
    for group in range(_class(least), _class(most) + 1):
        smallest = max(least, np.int64(2.0 ** (group / _CLASSES) - ROUNDING))
        fewest = least_overlap(a, smallest, rule.threshold)
        if rule.containment > 0 and group >= _class(a):
            fewest = min(fewest, contained)
        for i in range(a - fewest + 1):
            if keys[i] >> _RARE < np.uint64(2):
                continue
            entry = index.newest[_slot(index, keys[i], group)]
            while entry:
                entries += 1
                if entries > limit:
                    for other in out[:count]:
                        seen[other] = -1
                    return -1
                document, j = index.document[entry - 1], index.place[entry - 1]
                b = sizes[document]
                if seen[document] != mark and min(a - i, b - j) >= least_overlap(a, b, least_jaccard(rule, a, b)):
                    seen[document] = mark
                    out[count] = document
                    count += 1
                entry = index.older[entry - 1]
    return count


@njit(cache=True, nogil=True, inline="always")
def _class(size):  # type: ignore[no-untyped-def]
    return np.int64(np.log2(size) * _CLASSES)


@njit(cache=True, nogil=True, inline="always")
def _slot(index, key, group):  # type: ignore[no-untyped-def]
    return mix64(key, np.uint64(group)) & np.uint64(index.newest.size - 1)
