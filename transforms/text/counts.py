"""Counts a document over its words and lines: kinds of words, listed words, how lines begin and end."""

from __future__ import annotations

import numpy as np

from transforms.kernels import njit
from transforms.text.characters import decode
from transforms.text.segment import ALPHABETIC, ELLIPSIS, HASH, SYMBOL

# mypy: disable-error-code="no-untyped-def"


@njit(cache=True, nogil=True)
def word_kinds(first, kind, chars):
    """Columns of i64[n, 5]: words that are no symbol, their code points, words with a letter, `#`, ellipses."""
    counts = np.zeros((len(first) - 1, 5), np.int64)
    for d in range(len(first) - 1):
        for k in range(first[d], first[d + 1]):
            flags = kind[k]
            if not flags & SYMBOL:
                counts[d, 0] += 1
                counts[d, 1] += chars[k]
            counts[d, 2] += flags & ALPHABETIC != 0
            counts[d, 3] += flags & HASH != 0
            counts[d, 4] += flags & ELLIPSIS != 0
    return counts


@njit(cache=True, nogil=True)
def distinct_members(first, hashes, members):
    """i64[n]: how many of the distinct hashes `members` occur among the words of each document."""
    mask = 15
    while mask < 8 * len(members):
        mask = 2 * mask + 1
    slots = np.full(mask + 1, -1, np.int64)
    for m in range(len(members)):
        slot = np.int64(members[m]) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = m
    last_document = np.full(len(members), -1, np.int64)
    found = np.zeros(len(first) - 1, np.int64)
    for d in range(len(first) - 1):
        for k in range(first[d], first[d + 1]):
            slot = np.int64(hashes[k]) & mask
            while slots[slot] >= 0:
                member = slots[slot]
                if members[member] == hashes[k]:
                    if last_document[member] != d:
                        last_document[member] = d
                        found[d] += 1
                    break
                slot = (slot + 1) & mask
    return found


@njit(cache=True, nogil=True)
def line_edges(data, line_first, line_end, line_word_first, word_start, word_end, opening, closing):
    """Columns of i64[n, 4]: lines not blank, first character in `opening`, last in `closing`, ending in an ellipsis.

    Lines are stripped, but for `closing` of no more than a carriage return at their end. `opening` and `closing` are
    boolean tables by code point, false beyond their length.
    """
    counts = np.zeros((len(line_first) - 1, 4), np.int64)
    for d in range(len(line_first) - 1):
        for k in range(line_first[d], line_first[d + 1]):
            if line_word_first[k] == line_word_first[k + 1]:
                continue
            start = word_start[line_word_first[k]]
            end = word_end[line_word_first[k + 1] - 1]
            counts[d, 0] += 1
            point = decode(data, start)[0]
            counts[d, 1] += point < len(opening) and opening[point]
            last = end - 1
            while data[last] & 0xC0 == 0x80:
                last -= 1
            point = decode(data, last)[0]
            if end == line_end[k] or (end == line_end[k] - 1 and data[end] == 0x0D):
                counts[d, 2] += point < len(closing) and closing[point]
            dots = end - start >= 3 and data[end - 1] == 0x2E and data[end - 2] == 0x2E and data[end - 3] == 0x2E
            counts[d, 3] += point == 0x2026 or dots
    return counts


@njit(cache=True, nogil=True)
def short_lines(line_first, line_chars, line_word_first, limit):
    """i64[n]: lines that are not blank and have at most `limit` code points as written."""
    counts = np.zeros(len(line_first) - 1, np.int64)
    for d in range(len(line_first) - 1):
        for k in range(line_first[d], line_first[d + 1]):
            counts[d] += line_chars[k] <= limit and line_word_first[k] < line_word_first[k + 1]
    return counts
