"""Proposes which items of benchmarks a document may contain, and which words of them: no weights and
no verdict, which need other documents.

Seeds of the index that a document shares with a text of an item, near each other, are a cluster. In
the words around it, the text is aligned: the heaviest common subsequence, without words that stand
alone. Where a question aligns, the choices and answers of the item are aligned near it, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.decontaminate.matching.folded_words import exact_word, folded_words, tables
from tamis.transforms.decontaminate.matching.index import CHOICES, PASSAGE
from tamis.transforms.decontaminate.matching.seed_scan import BESIDE, PLACE, SEED_WORDS, TEXT, occurrences
from tamis.transforms.decontaminate.matching.whole_items import whole_copies
from tamis.transforms.runtime.kernels import njit

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.matching.index import Index
    from tamis.transforms.text.segment import SegmentedTexts

# mypy: disable-error-code="no-untyped-def"

LEAST_SEEDS: Final = 0.15
"""Of the bits of a text, that the seeds of a cluster carry."""
LEAST_ALIGNED: Final = 0.4
"""Of the bits of a text, that its aligned words carry, to be a candidate."""
LEAST_NEAR: Final = 0.5
"""The same for a choice or an answer near its question."""

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

_HEADER = 13
_EXACT_BONUS = np.float32(32.0)  # eighths of a bit, for equal digits
_JOINED_BONUS = np.float32(16.0)  # for a word that follows the one before it as in the text
_SEEN = 512  # times 64 bits for the words near a question
_NEAR_WORDS = 20  # between a question and its choices
_OFFERED = 1000  # bytes behind a copy in which choices begin
_GAP = 4  # words of the document in one place of a text, and one for eight of its words


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


def propose(texts: SegmentedTexts, index: Index) -> pa.ListArray:
    """The candidates of each text, of `TYPE`."""
    words = folded_words(texts)
    filters, table, every = (
        (index.pairs, index.triples),
        (index.slots, index.seeds),
        (index.first, index.word, index.vocabulary),
    )
    found, anchors = occurrences((words.first, words.fold), filters, table, every)
    entries = (index.whole_text, index.whole_length, index.whole_hash)
    copies = whole_copies(anchors, index.seeds, entries, texts, words)
    source = (texts.data, texts.text_start, texts.word_start, texts.word_end, texts.word_kind)
    folded = (words.first, words.fold, words.begin, words.end)
    items = (index.first, index.word, index.number, index.plain, index.plain_total, index.vocabulary)
    shape = (index.item, index.part, index.text_first, max(1, index.longest))
    listed, offsets, data = _candidates(source, folded, found, copies, index.seeds, items, shape, tables())
    records = pa.BinaryArray.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    return pa.ListArray.from_arrays(pa.array(listed), records)


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
        at = offsets[k] + _HEADER
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
def _align(source, folded, items, text, low, high, aligned, digits, room, scratch, table):
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


@njit(cache=True, nogil=True)
def _record(source, folded, items, text, document, aligned, digits, out, size):
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
    if _boundary(source, folded, low, high, t) or (
        one > 0 and (_boundary(source, folded, low, high, t - 1) or _boundary(source, folded, low, high, t + 1))
    ):
        flags |= BEGINS
    t = aligned[last] + n - last
    if _boundary(source, folded, low, high, t) or (
        last < n - 1 and (_boundary(source, folded, low, high, t - 1) or _boundary(source, folded, low, high, t + 1))
    ):
        flags |= ENDS
    behind = word_end[end[aligned[last]]]
    if _offers(data, behind, min(behind + _OFFERED, text_start[document + 1])):
        flags |= OFFERS
    at = size + _HEADER
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
def _mark(fold, low, high, seen):
    """Sets a bit for each of some words of a document."""
    seen[:] = 0
    for j in range(low, high):
        seen[(fold[j] >> np.uint64(6)) & np.uint64(_SEEN - 1)] |= np.uint64(1) << (fold[j] & np.uint64(63))


@njit(cache=True, nogil=True)
def _seen_bits(items, text, seen):
    """Eighths of bits of the words of a text that may be among those marked: it cannot align better."""
    first, word, _, plain, _, vocabulary = items
    carried = np.int64(0)
    for i in range(first[text], first[text + 1]):
        h = vocabulary[word[i]]
        if seen[(h >> np.uint64(6)) & np.uint64(_SEEN - 1)] >> (h & np.uint64(63)) & np.uint64(1):
            carried += plain[i]
    return carried


@njit(cache=True, nogil=True)
def _whole_record(source, text, document, start, stop, n, out, size):
    """Appends the record of a text of n words that is there as a whole, in these tokens; returns the new size."""
    _data, text_start, word_start, word_end, _word_kind = source
    numbers = text, word_start[start] - text_start[document], word_end[stop - 1] - text_start[document]
    for f in range(3):
        for k in range(4):
            out[size + 4 * f + k] = numbers[f] >> (8 * k) & 255
    out[size + 12] = BEGINS | ENDS | WHOLE
    at = size + _HEADER
    bytes_of = (n + 7) >> 3
    out[at : at + 2 * bytes_of] = 255
    return at + 2 * bytes_of


@njit(cache=True, nogil=True)
def _candidates(source, folded, found, copies, seeds, items, shape, table):
    _data, _text_start, _word_start, _word_end, _word_kind = source
    words_first, fold, _begin, _end = folded
    document, seed, place, goes_on = found
    copy_document, copy_text, copy_start, copy_stop = copies
    first, word, _number, plain, total, vocabulary = items
    item, part, text_first, longest = shape
    capacity = 1
    while capacity < 2 * longest:
        capacity *= 2
    room = (
        np.empty(capacity, np.int64),
        np.empty(longest, np.int64),
        np.empty(longest + 1, np.float32),
        np.empty(longest + 1, np.int64),
        np.empty(longest, np.int64),
    )
    aligned = np.empty(longest, np.int64)
    near = np.empty(longest, np.int64)
    covered = np.zeros(longest, np.bool_)
    seen = np.empty(_SEEN, np.uint64)
    digits = np.empty(len(fold), np.uint64)  # of words by `exact_word`, once they were needed
    scratch = np.zeros(1024, np.uint8)
    listed = np.zeros(len(words_first), np.int32)
    offsets = np.zeros(64, np.int32)
    out = np.empty(4096, np.uint8)
    records, size, h, c = 0, 0, 0, 0
    for d in range(len(words_first) - 1):
        g = h
        while g < len(document) and document[g] == d:
            g += 1
        count = g - h
        while c < len(copy_document) and copy_document[c] == d:
            n = first[copy_text[c] + 1] - first[copy_text[c]]
            while size + _HEADER + 2 * ((n + 7) >> 3) > len(out):
                out = np.concatenate((out, np.empty_like(out)))
            if records + 2 > len(offsets):
                offsets = np.concatenate((offsets, np.empty_like(offsets)))
            size = _whole_record(source, copy_text[c], d, copy_start[c], copy_stop[c], n, out, size)
            records += 1
            offsets[records] = size
            c += 1
        if count == 0:
            listed[d + 1] = records
            continue
        event = np.empty(count, np.int64)
        for x in range(count):
            event[x] = np.int64(seeds[4 * seed[h + x] + TEXT]) << 32 | place[h + x]
        order = np.argsort(event, kind="mergesort")
        low, high = words_first[d], words_first[d + 1]
        digits[low - words_first[0] : high - words_first[0]] = 0
        x = 0
        while x < count:
            text = event[order[x]] >> 32
            n = first[text + 1] - first[text]
            last, at = event[order[x]] & 0xFFFFFFFF, np.int64(0)
            some = False
            y = x
            while y < count and event[order[y]] >> 32 == text and (event[order[y]] & 0xFFFFFFFF) - last <= n + n // 2 + 12:
                if np.int64(seeds[4 * seed[h + order[y]] + PLACE]) < at - n // 3:
                    break  # the text begins again
                last, at = event[order[y]] & 0xFFFFFFFF, np.int64(seeds[4 * seed[h + order[y]] + PLACE])
                some |= goes_on[h + order[y]]
                y += 1
            if not some:
                x = y
                continue
            covered[:n] = False
            carried = 0
            a, b = np.int64(1) << 40, np.int64(0)
            for z in range(x, y):
                at, i = event[order[z]] & 0xFFFFFFFF, np.int64(seeds[4 * seed[h + order[z]] + PLACE])
                for k in range(max(np.int64(0), i - BESIDE), min(n, i + SEED_WORDS + BESIDE)):
                    j = low + at + k - i
                    if not covered[k] and low <= j < high and fold[j] == vocabulary[word[first[text] + k]]:
                        covered[k] = True
                        carried += plain[first[text] + k]
                a = min(a, at - i - (i >> 2) - 4)
                b = max(b, at + (n - i) + ((n - i) >> 2) + 4)
            x = y
            if carried < LEAST_SEEDS * total[text]:
                continue
            a, b = low + max(0, a), min(high, low + b)
            if _align(source, folded, items, text, a, b, aligned, digits, room, scratch, table) < LEAST_ALIGNED * total[text]:
                continue
            anchor = part[text]
            around = 0
            for other in range(text_first[item[text]], text_first[item[text] + 1]):
                around += first[other + 1] - first[other] + 2
            start, stop = np.int64(-1), np.int64(0)
            for k in range(n):
                if aligned[k] >= 0:
                    start = aligned[k] if start < 0 else start
                    stop = aligned[k]
            marked = False
            for other in range(text_first[item[text]], text_first[item[text] + 1]):
                m = first[other + 1] - first[other]
                if other == text:
                    near[:n] = aligned[:n]
                elif anchor == PASSAGE or part[other] == PASSAGE or m == 0 or (part[other] < CHOICES) == (anchor < CHOICES):
                    continue
                else:
                    if anchor < CHOICES:
                        a, b = max(low, start - _NEAR_WORDS - m), min(high, stop + 1 + around + around // 2 + _NEAR_WORDS)
                    else:
                        a, b = max(low, start - around - around // 2 - _NEAR_WORDS), min(high, stop + 1 + _NEAR_WORDS + m)
                    if not marked:
                        reach = around + around // 2 + _NEAR_WORDS
                        _mark(fold, max(low, start - reach), min(high, stop + 1 + reach), seen)
                        marked = True
                    if _seen_bits(items, other, seen) < LEAST_NEAR * total[other]:
                        continue
                    carried = _align(source, folded, items, other, a, b, near, digits, room, scratch, table)
                    if carried < LEAST_NEAR * total[other] or carried == 0:
                        continue
                needed = size + _HEADER + 3 * ((m + 7) >> 3)
                while needed > len(out):
                    out = np.concatenate((out, np.empty_like(out)))
                if records + 2 > len(offsets):
                    offsets = np.concatenate((offsets, np.empty_like(offsets)))
                size = _record(source, folded, items, other, d, near, digits, out, size)
                records += 1
                offsets[records] = size
        listed[d + 1] = records
        h = g
    return listed, offsets[: records + 1], out[:size]
