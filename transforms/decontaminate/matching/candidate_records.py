"""The candidates of documents as a column of a rated part: what a record holds, written and read.

A record says where a text of an item is copied, and which of its words are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.runtime.kernels import njit

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.matching.index import Index

# mypy: disable-error-code="no-untyped-def"

TYPE = pa.list_(pa.binary())
"""Of the column: for each document a list of records. A record is text, start and stop (int32, bytes
of the document), a byte of flags, and bits by word of the text: which are matched, which of them
follow the word before them as in the text, and, with the flag `CHANGED`, which have other digits."""

BEGINS: Final = 1
"""Flag: the copy begins where a line or sentence does."""
ENDS: Final = 2
"""Flag: the copy ends where a line or sentence does."""
CHANGED: Final = 4
WHOLE: Final = 8
"""Flag: the text is there as a whole, with its marks and digits (`whole_items`)."""
OFFERS: Final = 16
"""Flag: lines behind the copy begin with the letters of choices, the item's or others."""

HEADER: Final = 13
"""Bytes of a record before the bits of its words."""

_OFFERED = 1000  # bytes behind a copy in which choices begin


@dataclass(frozen=True, slots=True)
class Candidates:
    """c candidates, by document."""

    document: npt.NDArray[np.int64]
    """[c]: row of each."""
    text: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    flags: npt.NDArray[np.uint8]
    first: npt.NDArray[np.int64]
    """[c + 1]: words of candidate k are `first[k]` up to `first[k + 1]` of the following."""
    matched: npt.NDArray[np.bool_]
    joined: npt.NDArray[np.bool_]
    changed: npt.NDArray[np.bool_]


def unpack(column: pa.ListArray, index: Index) -> Candidates:
    """The candidates of documents; a null has none."""
    records = column.flatten()
    document = np.repeat(np.arange(len(column)), column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    offsets = np.frombuffer(records.buffers()[1], np.int32)[records.offset :][: len(records) + 1].astype(np.int64)
    buffer = records.buffers()[2]
    data = np.frombuffer(buffer, np.uint8) if buffer is not None and buffer.size else np.empty(0, np.uint8)
    if not len(records):
        offsets = np.zeros(1, np.int64)
    text, start, stop, flags = _headers(offsets, data)
    first = np.concatenate([[0], np.cumsum(index.first[text + 1] - index.first[text])])
    return Candidates(document, text, start, stop, flags, first, *_bits(offsets, data, flags, first))


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _headers(offsets, data):
    n = len(offsets) - 1
    numbers = np.zeros((3, n), np.int64)
    flags = np.empty(n, np.uint8)
    for k in range(n):
        for f in range(3):
            for b in range(4):
                numbers[f, k] |= np.int64(data[offsets[k] + 4 * f + b]) << (8 * b)
        flags[k] = data[offsets[k] + 12]
    return numbers[0], numbers[1], numbers[2], flags


@njit(cache=True, nogil=True)
def _bits(offsets, data, flags, first):
    matched = np.zeros(first[-1], np.bool_)
    joined = np.zeros(first[-1], np.bool_)
    changed = np.zeros(first[-1], np.bool_)
    for k in range(len(flags)):
        n = first[k + 1] - first[k]
        size = (n + 7) >> 3
        at = offsets[k] + HEADER
        for i in range(n):
            shift, byte = i & 7, i >> 3
            matched[first[k] + i] = data[at + byte] >> shift & 1
            joined[first[k] + i] = data[at + size + byte] >> shift & 1
            if flags[k] & CHANGED:
                changed[first[k] + i] = data[at + 2 * size + byte] >> shift & 1
    return matched, joined, changed


@njit(cache=True, nogil=True)
def _ends_sentence(data, start, stop):
    """Whether a line or sentence ends in the bytes between two words."""
    for i in range(start, stop):
        b = data[i]
        if b == 0x0A or b == 0x2E or b == 0x3F or b == 0x21 or b == 0x3A or b == 0x3B or b == 0x3E or b == 0x22 or b == 0x2A:
            return True
        if b == 0xE3 and data[i + 1] == 0x80 and data[i + 2] == 0x82:  # 。
            return True
        if b == 0xEF and data[i + 1] == 0xBC and (data[i + 2] == 0x9F or data[i + 2] == 0x8E or data[i + 2] == 0x9A):
            return True  # ？ ． ：
    return False


@njit(cache=True, nogil=True)
def _boundary(source, folded, low, high, t):
    """Whether a line or sentence ends before word `t` of a document with words `low` to `high`."""
    data, _, word_start, word_end, _ = source
    _, _, begin, end = folded
    if t <= low or t >= high:
        return True
    return _ends_sentence(data, word_end[end[t - 1]], word_start[begin[t]])


@njit(cache=True, nogil=True)
def _beside_boundary(source, folded, low, high, t):
    """The same one word before or after: an edit there moves it."""
    return _boundary(source, folded, low, high, t - 1) or _boundary(source, folded, low, high, t + 1)


@njit(cache=True, nogil=True, inline="always")
def _opens(b):
    """Whether a byte may stand before the letter of a choice: white space, a bracket, or the mark of a list."""
    return b <= 0x20 or b == 0x28 or b == 0x2A or b == 0x2D or b == 0x5B


@njit(cache=True, nogil=True, inline="always")
def _closes(b):
    """Whether a byte may stand behind the letter of a choice."""
    return b == 0x2E or b == 0x29 or b == 0x3A or b == 0x5D


@njit(cache=True, nogil=True)
def _offers(data, start, stop):
    """Whether lines after the first begin with the letters A, then B, of choices."""
    seen, i = 0, start
    while i < stop and seen < 2:
        while i < stop and data[i] != 0x0A:
            i += 1
        while i < stop and _opens(data[i]):
            i += 1
        seen += i + 1 < stop and data[i] | 0x20 == 0x61 + seen and _closes(data[i + 1])
    return seen == 2


@njit(cache=True, nogil=True)
def write_record(source, folded, items, text, document, aligned, digits, out, size):
    """Appends the record of an aligned text to `out`; returns the new size."""
    data, text_start, word_start, word_end, _word_kind = source
    words_first, _fold, begin, end = folded
    first, word, number, _, _, vocabulary = items
    origin = first[text]
    n = first[text + 1] - origin
    bytes_of = (n + 7) >> 3
    low, high = words_first[document], words_first[document + 1]
    one, last = -1, -1
    for i in range(n):
        if aligned[i] >= 0:
            one = i if one < 0 else one
            last = i
    start = word_start[begin[aligned[one]]] - text_start[document]
    stop = word_end[end[aligned[last]]] - text_start[document]
    flags = 0
    t = aligned[one] - one
    if _boundary(source, folded, low, high, t) or (one > 0 and _beside_boundary(source, folded, low, high, t)):
        flags |= BEGINS
    t = aligned[last] + n - last
    if _boundary(source, folded, low, high, t) or (last < n - 1 and _beside_boundary(source, folded, low, high, t)):
        flags |= ENDS
    behind = word_end[end[aligned[last]]]
    if _offers(data, behind, min(behind + _OFFERED, text_start[document + 1])):
        flags |= OFFERS
    at = size + HEADER
    out[size : at + 3 * bytes_of] = 0
    for i in range(n):
        j = aligned[i]
        if j < 0:
            continue
        bit = np.uint8(1 << (i & 7))
        out[at + (i >> 3)] |= bit
        if i == 0 or aligned[i - 1] == j - 1:
            out[at + bytes_of + (i >> 3)] |= bit
        if number[origin + i] != word[origin + i] and digits[j - words_first[0]] != vocabulary[number[origin + i]]:
            out[at + 2 * bytes_of + (i >> 3)] |= bit
            flags |= CHANGED
    for k in range(4):
        out[size + k] = text >> (8 * k) & 255
        out[size + 4 + k] = start >> (8 * k) & 255
        out[size + 8 + k] = stop >> (8 * k) & 255
    out[size + 12] = flags
    return at + (3 if flags & CHANGED else 2) * bytes_of


@njit(cache=True, nogil=True)
def write_whole(source, text, document, start, stop, n, out, size):
    """Appends the record of a text of n words that is there as a whole, in these tokens; returns the new size."""
    _data, text_start, word_start, word_end, _word_kind = source
    numbers = text, word_start[start] - text_start[document], word_end[stop - 1] - text_start[document]
    for f in range(3):
        for k in range(4):
            out[size + 4 * f + k] = numbers[f] >> (8 * k) & 255
    out[size + 12] = BEGINS | ENDS | WHOLE
    at = size + HEADER
    bytes_of = (n + 7) >> 3
    out[at : at + 2 * bytes_of] = 255
    return at + 2 * bytes_of
