"""Scans texts for their lines, paragraphs or sentences, and hashes each within its group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.transforms.dedup.repeats.repeat_options import Repeats
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import SPACE, characters, decode, strip
from tamis.transforms.text.hashing import load64, trailing_zeros, xxh64

# mypy: disable-error-code="no-untyped-def"

Hashes = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.uint32]

_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)


@dataclass(frozen=True, slots=True)
class Units:
    """Pieces of n texts that are not blank, in text order. Offsets are bytes in the own text."""

    document: npt.NDArray[np.int64]
    key: Hashes
    """[k, 2]: 128 bits of the piece and its group."""
    after: Offsets
    """Where the last piece that ends before this one begins, ends; 0 for the first."""
    start: Offsets
    stop: Offsets
    """The piece as it stands there."""
    following: Offsets
    """Where a text goes on if the piece is cut: behind its line break, or where the next piece begins; 0 if
    it does not."""


def units_of(data: npt.NDArray[np.uint8], text_start: npt.NDArray[np.int64], group: Hashes, options: Repeats) -> Units:
    """The pieces of the texts `data[text_start[d]:text_start[d + 1]]`, each of less than 4 GiB, which
    belong to the groups u64[n, 2].

    - A line ends at a line feed. A paragraph is lines without a blank one between them. Both are
      stripped as by `str.strip` before they are hashed; the start and stop of a line are those of the
      whole line, of a paragraph those of the stripped one.
    - A sentence ends with its line, or with `.`, `?`, `!`, `…`, `。`, `？`, `！` or `।`, with more of them
      and closing quotes and brackets, if white space comes then; behind full-width marks it need not.
      A piece is `options.length` sentences in a row; white space between them counts as one space.

    The key is XXH64 with the two halves of the group as seeds. Among n different pairs of group and
    piece, two share a key with a chance of n² / 2^129: 1.5e-15 for 10^12.
    """
    flags, group, least = characters().flags, np.ascontiguousarray(group), options.characters
    if options.unit == "line":
        return Units(*_lines(data, text_start, group, flags, least))
    if options.unit == "paragraph":
        pieces = _paragraphs(data, text_start, flags)
        return Units(*_joined(data, text_start, group, *pieces, 1, flags, least))
    return Units(*_joined(data, text_start, group, *_sentences(data, text_start, flags), options.length, flags, least))


@njit(cache=True, nogil=True, inline="always")
def _break(data, i, end):
    """The first line break in `data[i:end]`, or `end`."""
    while i < end:
        unlike = load64(data, i) ^ _ONES * np.uint64(0x0A)
        breaks = (unlike - _ONES) & ~unlike & _HIGH  # the lowest one bit is exact
        if breaks:
            return min(i + np.int64(trailing_zeros(breaks) >> np.uint64(3)), end)
        i += 8
    return end


@njit(cache=True, nogil=True)
def _lines(data, text_start, group, flags, least):
    n = len(text_start) - 1
    most = n
    for byte in data[text_start[0] : text_start[n]]:
        most += byte == 0x0A
    document = np.empty(most, np.int64)
    key = np.empty((most, 2), np.uint64)
    after = np.empty(most, np.uint32)
    start = np.empty(most, np.uint32)
    stop = np.empty(most, np.uint32)
    following = np.empty(most, np.uint32)
    size = 0
    for d in range(n):
        origin = text_start[d]
        end = text_start[d + 1]
        before = origin
        i = origin
        while i < end:
            line_end = _break(data, i, end)
            first, last = strip(data, i, line_end, flags)
            if first < last and _characters(data, first, last) < least:
                before = line_end  # it stays
            elif first < last:
                document[size] = d
                for half in range(2):
                    key[size, half] = xxh64(data, first, last, group[d, half])
                after[size] = before - origin
                start[size] = i - origin
                stop[size] = line_end - origin
                following[size] = line_end + 1 - origin if line_end < end else 0
                before = line_end
                size += 1
            i = line_end + 1
    return document[:size], key[:size], after[:size], start[:size], stop[:size], following[:size]


@njit(cache=True, nogil=True, inline="always")
def _characters(data, start, end):
    """Code points of `data[start:end]`."""
    count = 0
    for i in range(start, end):
        count += data[i] & 0xC0 != 0x80
    return count


@njit(cache=True, nogil=True)
def _paragraphs(data, text_start, flags):
    """Document, start and stop (in `data`) of each paragraph, stripped."""
    n = len(text_start) - 1
    most = n
    for byte in data[text_start[0] : text_start[n]]:
        most += byte == 0x0A
    document, start, stop = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    size = 0
    for d in range(n):
        inside = False
        i, end = text_start[d], text_start[d + 1]
        while i < end:
            line_end = _break(data, i, end)
            first, last = strip(data, i, line_end, flags)
            if first == last:
                inside = False
            else:
                if not inside:
                    document[size], start[size] = d, first
                    size += 1
                    inside = True
                stop[size - 1] = last
            i = line_end + 1
    return document[:size], start[:size], stop[:size]


@njit(cache=True, nogil=True, inline="always")
def _ends_sentence(point):
    """0: `point` ends no sentence; 1: it does if white space follows; 2: it does."""
    if point in (0x2E, 0x3F, 0x21, 0x2026, 0x0964):  # . ? ! … ।
        return 1
    return 2 * (point in (0x3002, 0xFF1F, 0xFF01, 0xFF61))  # 。 ？ ！ ｡


@njit(cache=True, nogil=True, inline="always")
def _closes(point):
    """Whether `point` is a closing quote or bracket."""
    return point in (0x22, 0x27, 0x29, 0x5D, 0xBB, 0x2019, 0x201D, 0x300D, 0x300F, 0x3011, 0xFF09)


@njit(cache=True, nogil=True)
def _sentences(data, text_start, flags):
    """Document, start and stop (in `data`) of each sentence, stripped."""
    n = len(text_start) - 1
    most = n
    for i in range(text_start[0], text_start[n]):
        byte = data[i]
        most += byte == 0x0A or byte == 0x2E or byte == 0x3F or byte == 0x21
        # The others take three bytes; the last one rules out most characters.
        most += byte >= 0xE0 and data[i + 2] in (0xA6, 0xA4, 0x82, 0x9F, 0x81, 0xA1)
    document, start, stop = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    size = 0
    for d in range(n):
        i, end = text_start[d], text_start[d + 1]
        begin = i
        while i < end:
            point, width = decode(data, i)
            kind = 2 if point == 0x0A else _ends_sentence(point)
            i += width
            if not kind:
                continue
            if point != 0x0A:
                while i < end:
                    point, width = decode(data, i)
                    more = _ends_sentence(point)
                    if not more and not _closes(point):
                        break
                    kind = max(kind, more)
                    i += width
                if kind == 1 and i < end and not flags[point] & SPACE:
                    continue
            first, last = strip(data, begin, i, flags)
            if first < last:
                document[size], start[size], stop[size] = d, first, last
                size += 1
            begin = i
        first, last = strip(data, begin, end, flags)
        if first < last:
            document[size], start[size], stop[size] = d, first, last
            size += 1
    return document[:size], start[:size], stop[:size]


@njit(cache=True, nogil=True)
def _joined(data, text_start, group, document, first, last, length, flags, least):
    """Every `length` pieces in a row of one text, as the arrays of `Units`."""
    n = len(document)
    kept = np.empty(n, np.int64)
    key = np.empty((n, 2), np.uint64)
    longest = 0
    for k in range(n - length + 1):
        if document[k] == document[k + length - 1]:
            longest = max(longest, last[k + length - 1] - first[k])
    room = np.empty(longest + length + 8, np.uint8)
    size = 0
    for k in range(n - length + 1):
        d = document[k]
        if document[k + length - 1] != d:
            continue
        filled = 0
        for j in range(k, k + length):
            if j > k:
                room[filled] = 0x20
                filled += 1
            for i in range(first[j], last[j]):
                room[filled] = data[i]
                filled += 1
        if _characters(room, 0, filled) < least:
            continue
        kept[size] = k
        for half in range(2):
            key[size, half] = xxh64(room, 0, filled, group[d, half])
        size += 1
    document_of = np.empty(size, np.int64)
    after, start = np.empty(size, np.uint32), np.empty(size, np.uint32)
    stop, following = np.empty(size, np.uint32), np.empty(size, np.uint32)
    for u in range(size):
        k = kept[u]
        end = k + length - 1
        d = document[k]
        document_of[u] = d
        after[u] = last[k - 1] - text_start[d] if k and document[k - 1] == d else 0
        start[u] = first[k] - text_start[d]
        stop[u] = last[end] - text_start[d]
        goes_on = end + 1 < n and document[end + 1] == d
        following[u] = first[end + 1] - text_start[d] if goes_on else 0
    return document_of, key[:size], after, start, stop, following
