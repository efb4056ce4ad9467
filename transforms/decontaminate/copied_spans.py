"""Finds what to cut out of contaminated texts: the copies of passages, with a margin.

GPT-3 removed the match and 200 characters on either side of it (Brown et al. 2020, arXiv
2005.14165, appendix C). What remained there were pieces; here they stay one document, and cutting
goes on until no copy arises where they meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import EXTENDS, SPACE, UNSPACED, characters, decode, previous
from tamis.transforms.text.hashing import text_buffer
from tamis.transforms.text.segment import segment
from tamis.transforms.text.splice import splice

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.decontaminate.index import Index
    from tamis.transforms.text.words import Words

# mypy: disable-error-code="no-untyped-def"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CopiedSpans:
    """Disjoint spans of texts, by document and place, and the best covered passage in each."""

    document: Ints
    start: Ints
    """Byte in the own text."""
    stop: Ints
    passage: Ints
    coverage: npt.NDArray[np.float64]
    """Of that passage in the whole document, when it was found."""

    def ordered(self, order: npt.NDArray[np.intp]) -> CopiedSpans:
        """Rows in this order."""
        places = (self.document[order], self.start[order], self.stop[order])
        return CopiedSpans(*places, self.passage[order], self.coverage[order])


def copied_spans(texts: pa.Array, index: Index, words: Words, least: float, margin: int) -> CopiedSpans:
    """What to cut, so that no text covers a share of `least` of any passage: the copies of those
    passages with `margin` code points on either side, and then on to white space.

    Letters of scripts without spaces end at the words of `words` instead. If a copy arises where
    two pieces meet, it is cut, too.
    """
    data, text_start = text_buffer(texts)
    none = np.empty(0, np.int64)
    cut = CopiedSpans(none, none, none, none, np.empty(0))  # positions in data
    current = texts
    while True:
        segmented = segment(current, words)
        found = index.copies(segmented, least)
        if not len(found.document):
            origin = text_start[cut.document]
            return CopiedSpans(cut.document, cut.start - origin, cut.stop - origin, cut.passage, cut.coverage)
        start, stop = _widen(
            segmented.data,
            segmented.text_start,
            segmented.word_start,
            found.document,
            segmented.word_start[found.first],
            segmented.word_end[found.last],
            margin,
            characters().flags,
        )
        first = segmented.text_start[0]
        new = (found.document, *_uncut(start - first, stop - first, cut, text_start[0]), found.passage, found.coverage)
        old = (cut.document, cut.start, cut.stop, cut.passage, cut.coverage)
        cut = _merged(CopiedSpans(*(np.concatenate(pair) for pair in zip(old, new, strict=True))))
        current = splice(data, text_start, cut.document, cut.start, cut.stop, None)


def _uncut(start: Ints, stop: Ints, cut: CopiedSpans, first: np.int64) -> tuple[Ints, Ints]:
    """Where spans of the cut texts, offsets from their first byte, were in the uncut ones."""
    size = cut.stop - cut.start
    before = np.concatenate([[0], np.cumsum(size)])
    joint = cut.start - first - before[:-1]
    return (
        first + start + before[np.searchsorted(joint, start, side="right")],
        first + stop + before[np.searchsorted(joint, stop, side="left")],
    )


def _merged(spans: CopiedSpans) -> CopiedSpans:
    """Joins spans of a document that touch; the passage with the highest coverage, then the
    earliest, stands for all."""
    spans = spans.ordered(np.lexsort((spans.stop, spans.start, spans.document)))
    reach = np.maximum.accumulate(spans.stop)  # later documents lie behind
    begins = np.ones(len(reach), np.bool_)
    begins[1:] = (spans.document[1:] != spans.document[:-1]) | (spans.start[1:] > reach[:-1])
    group = np.cumsum(begins) - 1
    best = np.lexsort((spans.passage, -spans.coverage, group))[begins]
    last = np.append(np.flatnonzero(begins)[1:], len(reach)) - 1
    return CopiedSpans(spans.document[begins], spans.start[begins], reach[last], spans.passage[best], spans.coverage[best])


@njit(cache=True, nogil=True, inline="always")
def _between_words(data, i, word_start, flags, to_the_left):
    """Whether the text to the left, or to the right, of `data[i]` may stay without its neighbour."""
    left = flags[decode(data, previous(data, i))[0]]
    right = flags[decode(data, i)[0]]
    # What stays on the right begins with white space, or it would go on with the word on the left.
    if right & SPACE or (left & SPACE and to_the_left):
        return True
    if not (right | (left if to_the_left else 0)) & UNSPACED or right & EXTENDS:
        return False
    k = np.searchsorted(word_start, i)
    return k < len(word_start) and word_start[k] == i


@njit(cache=True, nogil=True)
def _widen(data, text_start, word_start, document, start, stop, margin, flags):
    """The spans with `margin` code points on either side, and on to the end of a word."""
    wider_start = start.copy()
    wider_stop = stop.copy()
    for k in range(len(start)):
        low = text_start[document[k]]
        high = text_start[document[k] + 1]
        i = start[k]
        chars = 0
        while i > low and (chars < margin or not _between_words(data, i, word_start, flags, True)):
            i = previous(data, i)
            chars += 1
        wider_start[k] = i
        i = stop[k]
        chars = 0
        while i < high and (chars < margin or not _between_words(data, i, word_start, flags, False)):
            i += decode(data, i)[1]
            chars += 1
        wider_stop[k] = i
    return wider_start, wider_stop
