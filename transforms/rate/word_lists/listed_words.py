"""Finds words and phrases of a list in texts, whatever their case.

The hash of a word leads to the entries that begin with it, the longest first. In scripts without
spaces, that of a character does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache, reduce
from typing import Final

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Ints
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import EXTENDS, SPACE, WORD, characters, decode, previous

# mypy: disable-error-code="no-untyped-def"

COUNT, DISTINCT, LISTED, UNITS = range(4)
"""Columns of `ListedWords.counts`: entries in the text, distinct ones, words in entries, and words; in
scripts without spaces, characters instead of words."""

_BUCKETS: Final = 1 << 12
_MULTIPLIER: Final = 0x9E3779B1


@dataclass(frozen=True)
class ListedWords:
    """The e entries of a list as code points, by bucket, the longest first."""

    points: npt.NDArray[np.uint32]
    start: Ints
    """[e + 1]"""
    key: npt.NDArray[np.int64]
    """[e]: hash of what each entry begins with: its first word, if entries are whole words; else one
    character."""
    bucket: Ints
    """[buckets + 1]: entries of bucket b are `bucket[b]` up to `bucket[b + 1]`."""
    whole: bool
    """Whether an entry stands between characters that belong to no word, as in most languages."""

    def counts(self, data: npt.NDArray[np.uint8], first: Ints, stop: Ints) -> Ints:
        """i64[n, 4] of the texts `data[first[k]:stop[k]]`. At each place the longest entry counts, and
        the next one begins behind it."""
        table = (self.points, self.start, self.key, self.bucket)
        count = _whole_words if self.whole else _anywhere
        return count(data, first, stop, table, characters().flags, _small())


@cache
def listed_words(entries: tuple[str, ...], whole: bool) -> ListedWords:
    """The table of entries in lower case, with single spaces between words."""
    flags = characters().flags

    def key(entry: str) -> int:
        words = (n for n, character in enumerate(entry) if not flags[ord(character)] & (WORD | EXTENDS))
        size = max(1, next(words, len(entry))) if whole else 1
        return reduce(_hash_step, map(ord, entry[:size]), 0)

    keyed = sorted((key(entry) & (_BUCKETS - 1), -len(entry), entry) for entry in entries)
    ordered = [entry for _, _, entry in keyed]
    points = np.array([ord(character) for entry in ordered for character in entry], np.uint32)
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(entry) for entry in ordered], dtype=np.int64)])
    bucket = np.searchsorted(np.array([number for number, _, _ in keyed], np.int64), np.arange(_BUCKETS + 1))
    return ListedWords(points, start, np.array([key(entry) for entry in ordered], np.int64), bucket, whole)


@cache
def _small() -> npt.NDArray[np.uint32]:
    """The code point of each character in lower case, if it is one character."""
    small = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    for point in range(0x1F000):  # no letter behind has case
        if not 0xD800 <= point < 0xE000 and len(lower := chr(point).lower()) == 1:
            small[point] = ord(lower)
    return small


@njit(cache=True, nogil=True, inline="always")
def _hash_step(h, point):
    h = (h ^ point) * _MULTIPLIER
    return (h ^ (h >> 15)) & 0x3FFFFFFF


@njit(cache=True, nogil=True)
def _end_of(data, i, stop, points, first, last, flags, small):
    """Where the entry `points[first:last]` ends that begins at `data[i]`; -1 if another text is there. A
    space of the entry is any white space."""
    i = np.int64(i)
    for p in range(first, last):
        if i >= stop:
            return -1
        point, size = decode(data, i)
        if points[p] == 0x20 and flags[point] & SPACE:
            i += size
            while i < stop:
                point, size = decode(data, i)
                if not flags[point] & SPACE:
                    break
                i += size
            continue
        if small[point] != points[p]:
            return -1
        i += size
    return i


@njit(cache=True, nogil=True, inline="always")
def _longest(data, i, stop, h, table, flags, small, whole):
    """The longest entry with the key `h` that begins at `data[i]`, and where it ends; (-1, -1) if there
    is none."""
    points, start, keys, bucket = table
    b = h & (_BUCKETS - 1)
    entry, after = np.int64(-1), np.int64(-1)
    for e in range(bucket[b], bucket[b + 1]):
        if keys[e] == h and entry < 0:
            end = _end_of(data, i, stop, points, start[e], start[e + 1], flags, small)
            if end >= 0 and (not whole or end >= stop or not flags[decode(data, end)[0]] & (WORD | EXTENDS)):
                entry, after = np.int64(e), end
    return entry, after


@njit(cache=True, nogil=True)
def _whole_words(data, starts, stops, table, flags, small):
    counts = np.zeros((len(starts), 4), np.int64)
    seen = np.full(len(table[1]), -1, np.int64)
    for d in range(len(starts)):
        i, stop = np.int64(starts[d]), np.int64(stops[d])
        behind = i  # where the last entry ends
        while i < stop:
            first = i
            h = np.int64(0)
            size = 0
            while i < stop:
                point, size = decode(data, i)
                if not flags[point] & (WORD | EXTENDS):
                    break
                h = _hash_step(h, np.int64(small[point]))
                i += size
            in_word = i > first
            if not in_word:
                if flags[point] & SPACE:
                    i += size
                    continue
                h = _hash_step(np.int64(0), np.int64(small[point]))
                i += size
            counts[d, UNITS] += in_word
            if first < behind:
                counts[d, LISTED] += in_word
                continue
            if in_word or first == starts[d] or not _word_before(data, first, flags):
                e, end = _longest(data, first, stop, h, table, flags, small, True)
                if e >= 0:
                    counts[d, COUNT] += 1
                    counts[d, DISTINCT] += seen[e] != d
                    counts[d, LISTED] += in_word
                    seen[e], behind = d, end
    return counts


@njit(cache=True, nogil=True, inline="always")
def _word_before(data, i, flags):
    """Whether the character before `data[i]` belongs to a word."""
    return flags[decode(data, previous(data, i))[0]] & (WORD | EXTENDS) != 0


@njit(cache=True, nogil=True)
def _anywhere(data, starts, stops, table, flags, small):
    counts = np.zeros((len(starts), 4), np.int64)
    seen = np.full(len(table[1]), -1, np.int64)
    for d in range(len(starts)):
        i, stop = np.int64(starts[d]), np.int64(stops[d])
        behind = i
        while i < stop:
            point, size = decode(data, i)
            unit = flags[point] & WORD != 0
            counts[d, UNITS] += unit
            if i < behind:
                counts[d, LISTED] += unit
            else:
                h = _hash_step(np.int64(0), np.int64(small[point]))
                e, end = _longest(data, i, stop, h, table, flags, small, False)
                if e >= 0:
                    counts[d, COUNT] += 1
                    counts[d, DISTINCT] += seen[e] != d
                    counts[d, LISTED] += unit
                    seen[e], behind = d, end
            i += size
    return counts
