"""Finds what a document says more than once: lines, paragraphs, word n-grams."""

from __future__ import annotations

import numpy as np

from transforms.kernels import njit
from transforms.text.hashing import xxh64

# mypy: disable-error-code="no-untyped-def"

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
"""The n of Gopher's table A1: for TOP the most frequent n-gram is measured, for DUPLICATE all repeated ones."""


@njit(cache=True, nogil=True, inline="always")
def _identity(key, keys, known, slots, bits):
    """Index of `key` in `keys[:known]`, through the hash table `slots` of 2^bits entries; `known` if it was added."""
    mask = (1 << bits) - 1
    slot = np.int64((key * _GOLDEN) >> np.uint64(64 - bits))
    while slots[slot]:
        if keys[slots[slot] - 1] == key:
            return slots[slot] - 1
        slot = (slot + 1) & mask
    keys[known] = key
    slots[slot] = known + 1
    return known


@njit(cache=True, nogil=True, inline="always")
def _clear(slots, items):
    """Empties the part of the table that `items` keys need at half load; returns its size in bits."""
    bits = 4
    while 1 << bits < 2 * items:
        bits += 1
    slots[: 1 << bits] = 0
    return bits


@njit(cache=True, nogil=True)
def _table(first):
    """An empty hash table large enough for the document with the most items, and that number."""
    most = 0
    for d in range(len(first) - 1):
        most = max(most, first[d + 1] - first[d])
    size = 16
    while size < 2 * most:
        size *= 2
    return np.zeros(size, np.int32), most


@njit(cache=True, nogil=True)
def duplicates(first, hashes, chars, counted):
    """Columns of i64[n, 3]: counted items of each document, those equal to an earlier one, the code points of these."""
    counts = np.zeros((len(first) - 1, 3), np.int64)
    slots, most = _table(first)
    keys = np.empty(most, np.uint64)
    for d in range(len(first) - 1):
        bits = _clear(slots, first[d + 1] - first[d])
        known = 0
        for k in range(first[d], first[d + 1]):
            if counted[k]:
                counts[d, 0] += 1
                if _identity(hashes[k], keys, known, slots, bits) == known:
                    known += 1
                else:
                    counts[d, 1] += 1
                    counts[d, 2] += chars[k]
    return counts


@njit(cache=True, nogil=True)
def paragraphs(data, line_first, line_start, line_end, word_first, word_start, word_end):
    r"""Pieces of the stripped text between two newlines or more: first of each document [n + 1], XXH64, length."""
    first = np.zeros(len(line_first), np.int64)
    starts = np.empty(len(line_start), np.int64)
    ends = np.empty(len(line_start), np.int64)
    found = 0
    for d in range(len(line_first) - 1):
        if word_first[d] < word_first[d + 1]:
            text_start = word_start[word_first[d]]
            text_end = word_end[word_first[d + 1] - 1]
            inside = False
            for k in range(line_first[d], line_first[d + 1]):
                if line_end[k] <= text_start or line_start[k] >= text_end:
                    continue
                if line_start[k] == line_end[k]:
                    inside = False
                    continue
                if not inside:
                    starts[found] = max(line_start[k], text_start)
                    found += 1
                    inside = True
                ends[found - 1] = min(line_end[k], text_end)
        first[d + 1] = found
    hashes = np.empty(found, np.uint64)
    chars = np.zeros(found, np.int32)
    for k in range(found):
        hashes[k] = xxh64(data, starts[k], ends[k], np.uint64(0))
        for i in range(starts[k], ends[k]):
            chars[k] += data[i] & 0xC0 != 0x80
    return first, hashes, chars


@njit(cache=True, nogil=True)
def repeated_ngrams(first, hashes, chars):
    """Code points in repeated word n-grams of each document: i64[n, 3] for TOP, i64[n, 6] for DUPLICATE.

    For TOP: occurrences times length, one space between words, of the most frequent n-gram (the first among equals); 0
    if none occurs twice. For DUPLICATE: read from left to right, an n-gram that was read before counts with the length
    of its words and is stepped over whole, else the reading moves on by one word.

    Exact but for collisions of the 64-bit word hashes: an n-gram is the pair of its two (n - 1)-grams, so where one
    word ends and the next begins always matters, and only pairs in which both repeat are looked at, which soon leaves
    few.
    """
    documents = len(first) - 1
    top = np.zeros((documents, len(TOP)), np.int64)
    duplicate = np.zeros((documents, len(DUPLICATE)), np.int64)
    slots, most = _table(first)
    keys = np.empty(most, np.uint64)
    times = np.empty(most, np.int32)
    earliest = np.empty(most, np.int32)
    place = np.empty(most, np.int32)
    gram = np.empty(most, np.int32)
    before = np.empty(most + 1, np.int64)  # code points of the words before each word
    before[0] = 0
    for d in range(documents):
        words = first[d + 1] - first[d]
        bits = _clear(slots, words)
        known = 0
        for i in range(words):
            k = first[d] + i
            before[i + 1] = before[i] + chars[k]
            g = _identity(hashes[k], keys, known, slots, bits)
            if g == known:
                times[g] = 0
                known += 1
            times[g] += 1
            place[i] = i
            gram[i] = g
        active = _repeated(place, gram, times, words)
        for n in range(2, DUPLICATE[-1] + 1):
            if active < 2:
                break
            bits = _clear(slots, active)
            known = 0
            pairs = 0
            for j in range(active - 1):
                if place[j + 1] != place[j] + 1:
                    continue
                key = np.uint64(gram[j]) << np.uint64(32) | np.uint64(gram[j + 1])
                g = _identity(key, keys, known, slots, bits)
                if g == known:
                    times[g] = 0
                    earliest[g] = place[j]
                    known += 1
                times[g] += 1
                place[pairs] = place[j]
                gram[pairs] = g
                pairs += 1
            if n <= TOP[-1]:
                best = 0
                for g in range(1, known):
                    if times[g] > times[best]:
                        best = g
                if known and times[best] > 1:
                    start = earliest[best]
                    top[d, n - TOP[0]] = (before[start + n] - before[start] + n - 1) * times[best]
            active = _repeated(place, gram, times, pairs)
            if n >= DUPLICATE[0]:
                earliest[:known] = -1  # now: not read yet
                free = 0
                for j in range(active):
                    if place[j] < free:
                        continue
                    if earliest[gram[j]] < 0:
                        earliest[gram[j]] = place[j]
                    else:
                        duplicate[d, n - DUPLICATE[0]] += before[place[j] + n] - before[place[j]]
                        free = place[j] + n
    return top, duplicate


@njit(cache=True, nogil=True, inline="always")
def _repeated(place, gram, times, items):
    """Keeps, in place and in order, the items whose n-gram occurs more than once; returns how many."""
    kept = 0
    for j in range(items):
        if times[gram[j]] > 1:
            place[kept] = place[j]
            gram[kept] = gram[j]
            kept += 1
    return kept
