"""Finds the lines, paragraphs and word n-grams that a document repeats."""

import numpy as np

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import xxh64

# mypy: disable-error-code="no-untyped-def"

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)  # unsigned, because numba indexes by unsigned numbers without a test for negative ones
_NOWHERE = np.uint32(0xFFFFFFFF)

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
"""Values of n in Gopher's table A1: TOP for the most frequent n-gram, DUPLICATE for all repeated
n-grams."""


@njit(cache=True, nogil=True, inline="always")
def _bits(items):
    """log2 of the size of a hash table that `items` fill to a third at most."""
    bits = 4
    while 1 << bits < 3 * items:
        bits += 1
    return bits


@njit(cache=True, nogil=True)
def _most(first):
    """The largest number of items in a document."""
    most = 0
    for d in range(len(first) - 1):
        most = max(most, first[d + 1] - first[d])
    return most


@njit(cache=True, nogil=True)
def duplicates(first, hashes, chars, counted):
    """i64[n, 3]: items with `counted`, those equal to an earlier one, and their code points."""
    counts = np.zeros((len(first) - 1, 3), np.int64)
    table = np.empty(1 << _bits(_most(first)), np.uint32)
    for d in range(len(first) - 1):
        start = np.uint64(first[d])
        bits = _bits(first[d + 1] - first[d])
        table[: 1 << bits] = _NOWHERE
        for k in range(first[d], first[d + 1]):
            if counted[k]:
                counts[d, 0] += 1
                slot = hashes[k] * _GOLDEN >> np.uint64(64 - bits)
                while table[slot] != _NOWHERE and hashes[start + table[slot]] != hashes[k]:
                    slot = slot + _ONE & np.uint64((1 << bits) - 1)
                if table[slot] == _NOWHERE:
                    table[slot] = k - first[d]
                else:
                    counts[d, 1] += 1
                    counts[d, 2] += chars[k]
    return counts


@njit(cache=True, nogil=True)
def paragraphs(data, lines, line_hash, words):
    r"""Parts of the stripped text between two or more newlines: first [n + 1], hashes, lengths.

    A hash combines the hashes of the lines; only lines that stripping the text cuts are read again.
    """
    line_first, line_start, line_end, line_chars, _ = lines
    word_first, word_start, word_end, _ = words
    first = np.zeros(len(line_first), np.int64)
    hashes = np.empty(len(line_start), np.uint64)
    chars = np.empty(len(line_start), np.int32)
    size = 0
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
                    hashes[size] = 0
                    chars[size] = -1  # no newline precedes the first line
                    size += 1
                    inside = True
                line = line_hash[k]
                length = 1 + line_chars[k]
                if line_start[k] < text_start or line_end[k] > text_end:
                    line = xxh64(data, max(line_start[k], text_start), min(line_end[k], text_end), np.uint64(0))
                    for i in range(line_start[k], line_end[k]):
                        length -= (i < text_start or i >= text_end) and data[i] & 0xC0 != 0x80
                hashes[size - 1] = hashes[size - 1] * _GOLDEN + line
                chars[size - 1] += length
        first[d + 1] = size
    return first, hashes[:size], chars[:size]


@njit(cache=True, nogil=True)
def repeated_ngrams(first, hashes, chars):
    """Code points in repeated word n-grams of each document: i64[n, 3] and i64[n, 6].

    For TOP: the number of occurrences of the most frequent n-gram (the first of equals) times its
    length with one space between words; 0 if no n-gram occurs twice. For DUPLICATE: the n-grams are
    read from left to right; one that was read before counts with the length of its words and is
    skipped, otherwise reading advances by one word.

    The result is exact except for collisions of the 64-bit word hashes. An n-gram is the pair of
    its two (n - 1)-grams, so word boundaries always matter, and only pairs of two repeated shorter
    ones are examined, soon very few. Most repeats continue in the same way as their first
    occurrence, and then need no lookup in the table.
    """
    documents = len(first) - 1
    top = np.zeros((documents, len(TOP)), np.int64)
    duplicate = np.zeros((documents, len(DUPLICATE)), np.int64)
    most = _most(first)
    table = np.empty(1 << _bits(most), np.uint32)
    link = np.empty(most, np.uint32)
    place = np.empty(most, np.uint32)  # of the repeated n-grams, ascending
    candidates = np.empty(most, np.uint32)  # places whose n-gram must be looked up in the table
    origin = np.empty(most + 1, np.uint32)  # the first place of the n-gram at each place; _NOWHERE if it does not repeat
    longer = np.empty(most + 1, np.uint32)  # the same for n + 1
    times = np.empty(most + 1, np.uint32)  # occurrences of an n-gram, at its first place
    before = np.empty(most + 1, np.int64)  # code points of the words before each word
    before[0] = 0
    for d in range(documents):
        start = first[d]
        words = first[d + 1] - start
        unused = np.uint32(words)  # a place that may be overwritten
        for i in range(words):
            before[i + 1] = before[i] + chars[start + i]
            candidates[i] = i
            origin[i] = _NOWHERE
        origin[words] = _NOWHERE
        _trace(hashes[start : start + words], candidates, words - 1, origin, times, table, link)
        active = 0
        for i in range(words):
            place[active] = i
            active += origin[i] != _NOWHERE
        for n in range(TOP[0], DUPLICATE[-1] + 1):
            if n > TOP[0]:
                unlike = 0
                for j in range(active):
                    p = place[j]
                    q = origin[p]
                    tail = origin[p + _ONE]
                    repeats = tail != _NOWHERE
                    alike = repeats & (origin[q + _ONE] == tail)
                    o = q if alike & (p != q) else unused
                    longer[p] = _NOWHERE if o == unused else o
                    longer[o] = o
                    times[p] = 1
                    times[o] += np.uint32(1)
                    candidates[unlike] = p
                    unlike += repeats & (not alike)
                _trace(origin, candidates, unlike, longer, times, table, link)
                repeating = 0
                for j in range(active):
                    p = place[j]
                    o = longer[p]
                    origin[p] = o
                    place[repeating] = p
                    repeating += o != _NOWHERE
                active = repeating
            if not active:
                break
            if n <= TOP[-1]:
                best = np.uint32(0)
                most_times = np.uint32(0)
                for j in range(active):
                    o = origin[place[j]]
                    if times[o] > most_times:
                        best, most_times = o, times[o]
                top[d, n - TOP[0]] = (before[best + n] - before[best] + n - 1) * most_times
            else:
                free = np.int64(0)
                for j in range(active):
                    p = np.int64(place[j])
                    if p < free:
                        continue
                    o = origin[p]
                    if times[o]:
                        times[o] = 0  # marks it as read before
                    else:
                        duplicate[d, n - DUPLICATE[0]] += before[p + n] - before[p]
                        free = p + n
    return top, duplicate


@njit(cache=True, nogil=True, inline="always")
def _trace(ids, candidates, items, origin, times, table, link):
    """Finds equal pairs (`ids[p]`, `ids[p + 1]`) among the ascending `candidates[:items]`.

    `candidates` is overwritten. For a repeated pair, `origin[p]` becomes its first place, and
    `times` at that place its number of occurrences. The table holds the last place of each hash and
    `link` the one before it, so few pairs that do not repeat are ever compared.
    """
    shift = np.uint64(64 - _bits(items))
    table[: 1 << _bits(items)] = _NOWHERE
    collisions = 0
    for j in range(items):
        p = candidates[j]
        slot = (np.uint64(ids[p]) * _GOLDEN + np.uint64(ids[p + _ONE])) * _GOLDEN >> shift
        q = table[slot]
        table[slot] = p
        link[p] = q
        candidates[collisions] = p
        collisions += q != _NOWHERE
    for j in range(collisions):
        p = candidates[j]
        q = link[p]
        while q != _NOWHERE and not ((ids[q] == ids[p]) & (ids[q + _ONE] == ids[p + _ONE])):
            q = link[q]
        if q != _NOWHERE:
            o = origin[q]
            if o == _NOWHERE:
                o = q
                origin[q] = q
                times[q] = 1
            origin[p] = o
            times[o] += np.uint32(1)
