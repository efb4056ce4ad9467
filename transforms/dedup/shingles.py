"""Cuts documents into shingles: hashed word n-grams, or runs of characters, whose overlap measures similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import mix64

if TYPE_CHECKING:
    from tamis.transforms.dedup.minhash import ShortTexts
    from tamis.transforms.text.segment import SegmentedTexts
    from tamis.transforms.text.word_hashes import HashedWords

ROUNDING = 1e-6
"""More than the error of a product of a similarity and a number of shingles."""


def windows(
    texts: SegmentedTexts | HashedWords, ngram: int, fold: bool, short: ShortTexts | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """64-bit hashes of all `ngram`-word shingles of each document, in text order, with repeats.

    With `fold`, words are folded (lower case, no diacritics, every digit 0, no punctuation:
    datatrove `utils/text.py`), and words that fold to nothing are left out. A document with fewer
    than `ngram` words is a single shingle, so that short documents match only if they are equal (as
    in duplodocus `minhash_base.rs`). A document without words has no shingles. Those that are `short`
    are cut into runs of characters instead.

    Returns `first`, i64[n + 1], and `hashes`: the shingles of document d are
    `hashes[first[d]:first[d + 1]]`. Raises ValueError if `ngram` is less than 1.
    """
    if ngram < 1:
        raise ValueError(f"a shingle has at least one word; ngram is {ngram}")
    first, hashes = _windows(texts.word_first, texts.word_hashes(fold), ngram)
    return (first, hashes) if short is None else _with_short(first, hashes, texts, short, fold)


def shingles(
    texts: SegmentedTexts | HashedWords, ngram: int, fold: bool, short: ShortTexts | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """The same as `windows`, but sorted and unique in each document, as `jaccard` needs them."""
    first, hashes = _sets(*windows(texts, ngram, fold, short))
    return first, hashes


def _with_short(
    first: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.uint64],
    texts: SegmentedTexts | HashedWords,
    short: ShortTexts,
    fold: bool,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Windows of words, with those of short documents replaced by windows of characters."""
    from tamis.transforms.dedup.character_shingles import character_windows

    is_short, first_run, runs = character_windows(texts, short, fold)
    size = np.where(is_short, np.diff(first_run), np.diff(first))
    merged = np.empty(size.sum(), np.uint64)
    of_short = np.repeat(is_short, size)
    merged[of_short] = runs
    merged[~of_short] = hashes[np.repeat(~is_short, np.diff(first))]
    return np.append(0, np.cumsum(size)), merged


@njit(cache=True, nogil=True)
def least_overlap(a: int, b: int, floor: float) -> int:
    """The least number of common elements with which sets of these sizes reach a Jaccard similarity."""
    return max(1, int(np.ceil(floor / (1.0 + floor) * (a + b) - ROUNDING)))


@njit(cache=True, nogil=True)
def jaccard(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64], floor: float = 0.0) -> float:
    """Exact Jaccard similarity of two sorted arrays without repeats; 0 if both are empty.

    Returns 0 as soon as the similarity cannot reach `floor`.
    """
    needed = least_overlap(a.size, b.size, floor)
    i = j = both = 0
    while i < a.size and j < b.size and both + min(a.size - i, b.size - j) >= needed:
        left, right = a[i], b[j]
        both += left == right
        i += left <= right
        j += right <= left
    if both < needed:
        return 0.0
    return both / (a.size + b.size - both)


@njit(cache=True, nogil=True)
def _windows(word_first, word_hash, ngram):  # type: ignore[no-untyped-def]
    documents = word_first.size - 1
    longest = 0
    for d in range(documents):
        longest = max(longest, word_first[d + 1] - word_first[d])
    words = np.empty(longest, np.uint64)
    first = np.zeros(documents + 1, np.int64)
    hashes = np.empty(word_hash.size, np.uint64)  # a document has no more shingles than words
    total = 0
    for d in range(documents):
        count = 0
        for w in range(word_first[d], word_first[d + 1]):
            words[count] = word_hash[w]
            count += word_hash[w] != 0  # a word that folds to nothing
        if count:
            size = min(ngram, count)
            chained = hashes[total : total + count - size + 1]
            # Each word is mixed with the hash of the words before it. All windows advance together,
            # because they are independent of each other.
            chained[:] = np.uint64(size)
            for place in range(size):
                shifted = words[place : place + chained.size]
                for i in range(chained.size):
                    chained[i] = mix64(shifted[i], chained[i])
            total += chained.size
        first[d + 1] = total
    return first, hashes[:total]


@njit(cache=True, nogil=True)
def _sets(first, hashes):  # type: ignore[no-untyped-def]
    longest = 0
    for d in range(first.size - 1):
        longest = max(longest, first[d + 1] - first[d])
    ends = np.empty(longest + 2, np.int64)
    unique = np.empty(hashes.size, np.uint64)
    begin = np.zeros(first.size, np.int64)
    for d in range(first.size - 1):
        begin[d + 1] = begin[d] + sort_unique(hashes[first[d] : first[d + 1]], ends, unique[begin[d] :])
    return begin, unique[: begin[-1]]


@njit(cache=True, nogil=True)
def sort_unique(values: npt.NDArray[np.uint64], ends: npt.NDArray[np.int64], out: npt.NDArray[np.uint64]) -> int:
    """Writes the sorted distinct `values` to `out`; returns their number.

    `ends` is scratch of at least len(values) + 2. The values are uniform hashes, so a counting sort
    by their high bits brings each near its place; insertion does the rest.
    """
    n = values.size
    bits = 0
    while 2 << bits <= n:
        bits += 1
    shift = np.uint64(63 - bits)  # two steps, because a shift by 64 is undefined
    buckets = ends[: (1 << bits) + 1]
    buckets[:] = 0
    for i in range(n):
        buckets[np.int64((values[i] >> shift) >> np.uint64(1)) + 1] += 1
    for b in range(1, buckets.size):
        buckets[b] += buckets[b - 1]
    for i in range(n):
        bucket = np.int64((values[i] >> shift) >> np.uint64(1))
        out[buckets[bucket]] = values[i]
        buckets[bucket] += 1
    unique = 0
    for i in range(n):
        value = out[i]
        j = unique
        while j > 0 and out[j - 1] > value:
            j -= 1
        if j > 0 and out[j - 1] == value:
            continue
        for k in range(unique, j, -1):
            out[k] = out[k - 1]
        out[j] = value
        unique += 1
    return unique
