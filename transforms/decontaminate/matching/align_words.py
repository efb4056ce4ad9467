"""Aligns a text of an item with the words of a document: the heaviest common subsequence, without words that stand alone."""

from __future__ import annotations

import numpy as np

from tamis.transforms.decontaminate.matching.folded_words import exact_word
from tamis.transforms.runtime.kernels import njit

# mypy: disable-error-code="no-untyped-def"

_EXACT_BONUS = np.float32(32.0)  # eighths of a bit, for equal digits
_JOINED_BONUS = np.float32(16.0)  # for a word that follows the one before it as in the text
_GAP = 4  # words of the document in one place of a text, and one for eight of its words


@njit(cache=True, nogil=True)
def align(source, folded, items, text, low, high, aligned, digits, room, scratch, table):
    """Aligns a text with words `low` to `high` of a document: `aligned[i]` is the word for word i of the
    text, or −1. Words without a near neighbour are left out. Returns the eighths of bits aligned."""
    data, _, word_start, word_end, word_kind = source
    _, fold, begin, end = folded
    first, word, number, plain, _, vocabulary = items
    heads, chain, best, argument, latest = room
    origin = first[text]
    n = first[text + 1] - origin
    capacity = 1
    while capacity < 2 * n:
        capacity *= 2
    heads[:capacity] = -1
    for i in range(n):  # a table of the words of the text; equal words are chained, the last first
        h = vocabulary[word[origin + i]]
        slot = np.int64(h & np.uint64(capacity - 1))
        while heads[slot] >= 0 and word[origin + heads[slot]] != word[origin + i]:
            slot = (slot + 1) & (capacity - 1)
        chain[i] = heads[slot]
        heads[slot] = i
    best[: n + 1] = 0
    argument[: n + 1] = -1
    size, top, top_value = 0, np.int64(-1), np.float32(0.0)
    of_text = np.empty(64, np.int64)
    of_document = np.empty(64, np.int64)
    before = np.empty(64, np.int64)
    values = np.empty(64, np.float32)
    latest[:n] = -1
    for j in range(low, high):
        h = fold[j]
        slot = np.int64(h & np.uint64(capacity - 1))
        while heads[slot] >= 0 and vocabulary[word[origin + heads[slot]]] != h:
            slot = (slot + 1) & (capacity - 1)
        i = heads[slot]
        while i >= 0:
            value, last, q = np.float32(0.0), np.int64(-1), i
            while q > 0:  # the best chain that ends before word i of the text
                if best[q] > value:
                    value, last = best[q], argument[q]
                q -= q & -q
            before_it = latest[i - 1] if i else np.int64(-1)
            # The word before that is right before it, rather than words elsewhere.
            if before_it >= 0 and of_document[before_it] == j - 1 and values[before_it] + _JOINED_BONUS > value:
                value, last = values[before_it] + _JOINED_BONUS, before_it
            value += np.float32(plain[origin + i])
            if number[origin + i] == word[origin + i]:
                value += _EXACT_BONUS
            else:
                if digits[j - folded[0][0]] == 0:
                    digits[j - folded[0][0]] = exact_word(
                        data, word_start, word_end, word_kind, h, begin[j], end[j], scratch, *table
                    )
                if digits[j - folded[0][0]] == vocabulary[number[origin + i]]:
                    value += _EXACT_BONUS
            if size == len(of_text):
                of_text = np.concatenate((of_text, np.empty_like(of_text)))
                of_document = np.concatenate((of_document, np.empty_like(of_document)))
                before = np.concatenate((before, np.empty_like(before)))
                values = np.concatenate((values, np.empty_like(values)))
            of_text[size], of_document[size], before[size], values[size] = i, j, last, value
            latest[i] = size
            q = i + 1
            while q <= n:
                if value > best[q]:
                    best[q], argument[q] = value, size
                q += q & -q
            if value > top_value:
                top, top_value = np.int64(size), value
            size += 1
            i = chain[i]
    aligned[:n] = -1
    while top >= 0:
        aligned[of_text[top]] = of_document[top]
        top = before[top]
    previous, previous_at = np.int64(-9), np.int64(-9)  # the last aligned word, also if it stood alone
    for i in range(n):
        at = aligned[i]
        if at < 0:
            continue
        near = n == 1 or (i - previous <= 2 and at - previous_at <= i - previous + 1)
        for k in range(i + 1, min(i + 3, n)):
            near |= aligned[k] >= 0 and aligned[k] - at <= k - i + 1
        if number[origin + i] != word[origin + i]:  # a number elsewhere is another number
            near &= (
                at - previous_at == i - previous
                or (i + 1 < n and aligned[i + 1] == at + 1)
                or (n == 1 and digits[at - folded[0][0]] == vocabulary[number[origin]])
            )
        previous, previous_at = np.int64(i), at
        if not near:
            aligned[i] = -1
    return _without_strays(aligned, n, plain, origin)


@njit(cache=True, nogil=True)
def _without_strays(aligned, n, plain, origin):
    """Leaves the heaviest stretch of aligned words without a wide gap in the document; returns its bits."""
    most, heaviest, heaviest_stop = np.int64(0), np.int64(0), np.int64(0)
    carried, begin, previous = np.int64(0), np.int64(0), np.int64(-1)
    for i in range(n):
        if aligned[i] < 0:
            continue
        if previous >= 0 and aligned[i] - aligned[previous] - (i - previous) > _GAP + (n >> 3):
            carried, begin = np.int64(0), np.int64(i)
        carried += np.int64(plain[origin + i])
        if carried > most:
            most, heaviest, heaviest_stop = carried, begin, np.int64(i + 1)
        previous = np.int64(i)
    aligned[:heaviest] = -1
    aligned[heaviest_stop:n] = -1
    return most
