"""Finds the seeds of the index in the words of documents.

A word costs two lookups in bit filters, which are small enough for a cache. What passes them is looked up
in the table of seeds, one step for all of a document before the next, so that waits for memory overlap.
Nearly all pages share seeds with some item, and few share the words around them: only documents that do
leave the scan.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import EMPTY, prefetch

# mypy: disable-error-code="no-untyped-def"

BESIDE: Final = 2
"""Words on either side of a seed that count."""
SEED_WORDS: Final = 3
TEXT, PLACE, WORDS_BESIDE, ENOUGH = range(4)
"""The numbers of an occurrence of a seed."""

MORE: Final = np.uint32(1 << 16)
"""A bit of `ENOUGH`: the next occurrence has the same key."""
WHOLE: Final = np.uint32(1 << 17)
"""A bit of `ENOUGH`: the record is an anchor of `whole_items`, no occurrence. It comes after those with its key."""

_FILTER_BITS = 16  # per seed, with two bits set
_PAIR = np.uint64(0x9E3779B97F4A7C15)  # tells two words from three
_UPPER = np.uint64(0xFFFFFFFF00000000)
_AROUND = 6  # words on either side of a seed that are compared
_CONTINUING = 0.3  # of them are the same


def seed_records(key: npt.NDArray[np.uint64], text: Any, place: Any, beside: Any, enough: Any) -> npt.NDArray[np.uint32]:
    """Occurrences of seeds, ascending by key, four numbers of each: its text; its first word there; a byte of the
    hash of each of the words beside it; a bit for each set of these, whether enough bits come together, and one
    that is set if the next occurrence has the same key."""
    records = np.empty((len(key), 4), np.uint32)
    for number, values in ((TEXT, text), (PLACE, place), (WORDS_BESIDE, beside), (ENOUGH, enough)):
        records[:, number] = values
    records[:-1, ENOUGH] |= (key[1:] == key[:-1]) * MORE
    return records.ravel()


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, inline="always")
def _rotated(h, bits):
    return (h << np.uint64(bits)) | (h >> np.uint64(64 - bits))


@njit(cache=True, nogil=True, inline="always")
def pair_key(a, b):
    """The key of two words: their hashes are mixed already."""
    return a ^ _rotated(b, 21) ^ _PAIR


@njit(cache=True, nogil=True, inline="always")
def triple_key(a, b, c):
    """The key of three words."""
    return a ^ _rotated(b, 21) ^ _rotated(c, 42)


@njit(cache=True, nogil=True, inline="always")
def _two_bits(h):
    return (np.uint64(1) << (h & np.uint64(63))) | (np.uint64(1) << ((h >> np.uint64(6)) & np.uint64(63)))


@njit(cache=True, nogil=True, inline="always")
def _place(h, size):
    """One of `size` places, by the upper half of a hash."""
    return ((h >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32)


@njit(cache=True, nogil=True)
def bit_filter(keys):
    """Two bits of one u64 for every key."""
    filled = np.zeros(max(1, (_FILTER_BITS * len(keys)) >> 6), np.uint64)
    for h in keys:
        filled[_place(h, len(filled))] |= _two_bits(h)
    return filled


@njit(cache=True, nogil=True, inline="always")
def _in_filter(h, filled):
    both = _two_bits(h)
    return filled[_place(h, len(filled))] & both == both


@njit(cache=True, nogil=True)
def seed_slots(keys):
    """A hash table of the occurrences with these keys, which ascend: the upper half of each key, and the first
    occurrence that has it, or `EMPTY`. Its size is a power of two, and at most two thirds of it are used."""
    distinct = 0
    for k in range(len(keys)):
        distinct += k == 0 or keys[k] != keys[k - 1]
    capacity = 2
    while 2 * capacity < 3 * distinct:
        capacity *= 2
    slots = np.full(capacity, EMPTY, np.uint64)
    for k in range(len(keys)):
        if k == 0 or keys[k] != keys[k - 1]:
            slot = np.int64(keys[k] & np.uint64(capacity - 1))
            while slots[slot] != EMPTY:
                slot = (slot + 1) & (capacity - 1)
            slots[slot] = (keys[k] & _UPPER) | np.uint64(k)
    return slots


@njit(cache=True, nogil=True, inline="always")
def _byte_at(fold, low, high, at):
    """A byte of the hash of a word; a number that is none outside of `low` to `high`."""
    return np.uint32(fold[at] & np.uint64(255)) if low <= at < high else np.uint32(256)


@njit(cache=True, nogil=True)
def _continues(fold, low, high, at, origin, n, word, vocabulary, i):
    """Whether enough of the words around a seed at word `at` are those around word i of a text, or shifted by one;
    or the text has hardly any."""
    stop = i + min(n, SEED_WORDS)
    begin, end = max(0, i - _AROUND), min(n, stop + _AROUND)
    there, same = i - begin + max(0, end - stop), 0
    inside = at - _AROUND > low and at + SEED_WORDS + _AROUND < high
    for k in range(begin, end):
        if i <= k < stop:
            continue
        h = vocabulary[word[origin + k]]
        j = at + k - i
        if inside:
            same += (fold[j] == h) | (fold[j - 1] == h) | (fold[j + 1] == h)
        else:
            same += (
                (low <= j < high and fold[j] == h)
                or (low < j <= high and fold[j - 1] == h)
                or (low - 1 <= j < high - 1 and fold[j + 1] == h)
            )
    return same >= _CONTINUING * there or there <= BESIDE


@njit(cache=True, nogil=True)
def _with_enough(fold, low, high, i, n, begin, stop, seeds, found, size):
    """Appends to `found` those of some occurrences of the n words at i that have enough of the words beside them,
    or shifted by one; returns its new size."""
    before = _byte_at(fold, low, high, i - 3), _byte_at(fold, low, high, i - 2), _byte_at(fold, low, high, i - 1)
    at = i + n
    after = _byte_at(fold, low, high, at), _byte_at(fold, low, high, at + 1), _byte_at(fold, low, high, at + 2)
    for q in range(begin, stop):
        beside, enough = seeds[4 * q + WORDS_BESIDE], seeds[4 * q + ENOUGH]
        a, b = beside & np.uint32(255), beside >> np.uint32(8) & np.uint32(255)
        c, d = beside >> np.uint32(16) & np.uint32(255), beside >> np.uint32(24)
        chosen = np.uint32((a == before[0]) | (a == before[1]) | (a == before[2]))
        chosen |= np.uint32((b == before[1]) | (b == before[2])) << np.uint32(1)
        chosen |= np.uint32((c == after[0]) | (c == after[1])) << np.uint32(2)
        chosen |= np.uint32((d == after[0]) | (d == after[1]) | (d == after[2])) << np.uint32(3)
        found[size] = q
        size += np.int64((enough | enough >> chosen) & np.uint32(1))
    return size


@njit(cache=True, nogil=True)
def occurrences(words, filters, table, texts):
    """Every occurrence of a seed with enough of the words beside it, of documents in which the text goes on around
    one of them: document, occurrence in `seeds`, word of the document, and whether the text goes on. Then every
    anchor: document, the last record with its key, and its first word."""
    first, fold = words
    pairs, triples = filters
    slots, seeds = table
    text_first, word, vocabulary = texts
    document = np.empty(256, np.int64)
    seed = np.empty(256, np.int64)
    place = np.empty(256, np.int64)
    goes_on = np.empty(256, np.bool_)
    anchors = np.empty((3, 256), np.int64)
    size, anchored = 0, 0
    mask = np.uint64(len(slots) - 1)
    most = 0
    for d in range(len(first) - 1):
        most = max(most, first[d + 1] - first[d])
    of_three = np.empty(most + 1, np.int64)
    of_two = np.empty(most + 1, np.int64)
    keys = np.empty(2 * most + 2, np.uint64)
    places = np.empty(2 * most + 2, np.int64)
    for d in range(len(first) - 1):
        low, high = first[d], first[d + 1]
        three, two = 0, 0
        for i in range(low, high - 2):  # without a branch, so that lookups overlap
            a, b, c = fold[i], fold[i + 1], fold[i + 2]
            of_three[three] = i
            three += _in_filter(triple_key(a, b, c), triples)
            of_two[two] = i
            two += _in_filter(pair_key(a, b), pairs)
        if high - low >= 2:
            of_two[two] = high - 2
            two += _in_filter(pair_key(fold[high - 2], fold[high - 1]), pairs)
        for k in range(three + two):
            i = of_three[k] if k < three else of_two[k - three]
            places[k] = i
            keys[k] = triple_key(fold[i], fold[i + 1], fold[i + 2]) if k < three else pair_key(fold[i], fold[i + 1])
            prefetch(slots, keys[k] & mask)
        running, of_triples = 0, 0
        for k in range(three + two):
            key = keys[k]
            slot = key & mask
            while slots[slot] != EMPTY and (slots[slot] ^ key) & _UPPER != 0:
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] != EMPTY:
                keys[running], places[running] = slots[slot] & ~_UPPER, places[k]
                prefetch(seeds, np.uint64(4) * keys[running])
                running += 1
            if k < three:
                of_triples = running
        begun = size
        for k in range(running):
            q = np.int64(keys[k])
            stop = q + 1
            while seeds[4 * stop - 1] & MORE != 0:
                stop += 1
            if seeds[4 * stop - 1] & WHOLE != 0:
                if anchored == anchors.shape[1]:
                    anchors = np.concatenate((anchors, np.empty_like(anchors)), axis=1)
                anchors[0, anchored], anchors[1, anchored], anchors[2, anchored] = d, stop - 1, places[k]
                anchored += 1
            while size + stop - q > len(seed):
                document = np.concatenate((document, np.empty_like(document)))
                seed = np.concatenate((seed, np.empty_like(seed)))
                place = np.concatenate((place, np.empty_like(place)))
                goes_on = np.concatenate((goes_on, np.empty_like(goes_on)))
            n = 3 if k < of_triples else 2
            several = _with_enough(fold, low, high, places[k], n, q, stop, seeds, seed, size)
            for s in range(size, several):
                document[s], place[s] = d, places[k]
                prefetch(text_first, seeds[4 * seed[s] + TEXT])
            size = several
        for s in range(begun, size):
            prefetch(word, text_first[seeds[4 * seed[s] + TEXT]] + seeds[4 * seed[s] + PLACE])
        some = False
        for s in range(begun, size):
            text, at, i = np.int64(seeds[4 * seed[s] + TEXT]), np.int64(seeds[4 * seed[s] + PLACE]), place[s]
            origin, n = text_first[text], text_first[text + 1] - text_first[text]
            goes_on[s] = _continues(fold, low, high, i, origin, n, word, vocabulary, at)
            some |= goes_on[s]
            place[s] = i - low
        if not some:
            size = begun
    found = document[:size], seed[:size], place[:size], goes_on[:size]
    return found, (anchors[0, :anchored], anchors[1, :anchored], anchors[2, :anchored])
