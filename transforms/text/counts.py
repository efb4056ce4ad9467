"""Counts per document: kinds of words, listed words, beginnings and ends of lines."""

import numpy as np

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import decode
from tamis.transforms.text.segment import ALPHABETIC, ELLIPSIS, HASH, SYMBOL

# mypy: disable-error-code="no-untyped-def"


@njit(cache=True, nogil=True)
def word_kinds(first, kind, chars):
    """i64[n, 5]: words but symbols, their code points, words with a letter, with `#`, with `…`."""
    counts = np.zeros((len(first) - 1, 5), np.int64)
    for d in range(len(first) - 1):
        plain = plain_chars = alphabetic = hashes = ellipses = 0
        for k in range(first[d], first[d + 1]):
            flags = kind[k]
            symbol = flags & SYMBOL != 0
            plain += not symbol
            plain_chars += 0 if symbol else chars[k]
            alphabetic += flags & ALPHABETIC != 0
            hashes += flags & HASH != 0
            ellipses += flags & ELLIPSIS != 0
        counts[d] = plain, plain_chars, alphabetic, hashes, ellipses
    return counts


@njit(cache=True, nogil=True)
def plain_words(first, kind, hashes, chars):
    """The words that are no symbols: first [n + 1], hashes, code points."""
    plain_first = np.empty_like(first)
    plain_hashes = np.empty_like(hashes)
    plain_chars = np.empty_like(chars)
    size = 0
    for d in range(len(first) - 1):
        plain_first[d] = size
        for k in range(first[d], first[d + 1]):
            plain_hashes[size] = hashes[k]
            plain_chars[size] = chars[k]
            size += kind[k] & SYMBOL == 0
    plain_first[-1] = size
    return plain_first, plain_hashes[:size], plain_chars[:size]


@njit(cache=True, nogil=True)
def distinct_members(first, hashes, members):
    """i64[n]: how many of the distinct hashes `members` occur among the words of each document."""
    counts = np.zeros(len(first) - 1, np.int64)
    size = 16
    while size < 32 * len(members):
        size *= 2
    mask = np.uint64(size - 1)
    pending = members.copy()
    # One pass without branches over the words for all members whose slots differ; a second pass is
    # seldom needed.
    while len(pending):
        keys = np.zeros(size, np.uint64)
        seen = np.zeros(size, np.bool_)
        current = remaining = 0
        slots = np.empty(len(pending), np.uint64)
        for member in pending:
            slot = member & mask
            if seen[slot]:
                pending[remaining] = member
                remaining += 1
            else:
                seen[slot] = True
                keys[slot] = member
                slots[current] = slot
                current += 1
        seen[:] = False
        for d in range(len(first) - 1):
            for k in range(first[d], first[d + 1]):
                slot = hashes[k] & mask
                seen[slot] |= keys[slot] == hashes[k]
            for slot in slots[:current]:
                counts[d] += seen[slot]
                seen[slot] = False
        pending = pending[:remaining]
    return counts


@njit(cache=True, nogil=True)
def line_edges(data, lines, words, opening, closing):
    """i64[n, 4]: lines not blank, beginning in `opening`, ending in `closing` or in an ellipsis.

    Lines are stripped first; but for `closing`, only a carriage return is stripped from their end.
    `opening` and `closing` are boolean tables by code point, false beyond their length.
    """
    line_first, _, line_end, _, line_word_first = lines
    _, word_start, word_end, _ = words
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
def short_lines(lines, limit):
    """i64[n]: lines that are not blank and have at most `limit` code points, unstripped."""
    line_first, _, _, line_chars, line_word_first = lines
    counts = np.zeros(len(line_first) - 1, np.int64)
    for d in range(len(line_first) - 1):
        for k in range(line_first[d], line_first[d + 1]):
            counts[d] += line_chars[k] <= limit and line_word_first[k] < line_word_first[k + 1]
    return counts
