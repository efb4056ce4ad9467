"""Proposes which items of benchmarks a document may contain, and which words of them: no weights and
no verdict, which need other documents.

Seeds of the index that a document shares with a text of an item, near each other, are a cluster. In
the words around it, the text is aligned: the heaviest common subsequence, without words that stand
alone. Where a question aligns, the choices and answers of the item are aligned near it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from tamis.transforms.decontaminate.matching.align_words import align
from tamis.transforms.decontaminate.matching.candidate_records import HEADER, write_record, write_whole
from tamis.transforms.decontaminate.matching.folded_words import folded_words, tables
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

_SEEN = 512  # times 64 bits for the words near a question
_NEAR_WORDS = 20  # between a question and its choices


def propose(texts: SegmentedTexts, index: Index) -> pa.ListArray:
    """The candidates of each text, of `candidate_records.TYPE`."""
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


# --- kernels ----------------------------------------------------------------------------------------------------------


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
            while size + HEADER + 2 * ((n + 7) >> 3) > len(out):
                out = np.concatenate((out, np.empty_like(out)))
            if records + 2 > len(offsets):
                offsets = np.concatenate((offsets, np.empty_like(offsets)))
            size = write_whole(source, copy_text[c], d, copy_start[c], copy_stop[c], n, out, size)
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
            if align(source, folded, items, text, a, b, aligned, digits, room, scratch, table) < LEAST_ALIGNED * total[text]:
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
                    carried = align(source, folded, items, other, a, b, near, digits, room, scratch, table)
                    if carried < LEAST_NEAR * total[other] or carried == 0:
                        continue
                needed = size + HEADER + 3 * ((m + 7) >> 3)
                while needed > len(out):
                    out = np.concatenate((out, np.empty_like(out)))
                if records + 2 > len(offsets):
                    offsets = np.concatenate((offsets, np.empty_like(offsets)))
                size = write_record(source, folded, items, other, d, near, digits, out, size)
                records += 1
                offsets[records] = size
        listed[d + 1] = records
        h = g
    return listed, offsets[: records + 1], out[:size]
