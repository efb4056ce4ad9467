"""Finds what to cut out of contaminated texts: the copies of items, with a margin.

GPT-3 removed the match and 200 characters on either side of it (Brown et al. 2020, arXiv
2005.14165, appendix C). What remained there were pieces; here they stay one document, and cutting
goes on until no copy arises where they meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.transforms.decontaminate.matching.candidate_records import unpack
from tamis.transforms.decontaminate.matching.candidates import propose
from tamis.transforms.decontaminate.matching.scores import Matches
from tamis.transforms.decontaminate.matching.verdicts import find, severities
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import EXTENDS, SPACE, UNSPACED, characters, decode, previous
from tamis.transforms.text.hashing import text_buffer
from tamis.transforms.text.segment import segment
from tamis.transforms.text.splice import splice

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.decontaminate.contamination_rater import Decontaminate
    from tamis.transforms.decontaminate.matching.candidate_records import Candidates
    from tamis.transforms.decontaminate.matching.index import Index
    from tamis.transforms.decontaminate.matching.run_evidence import Evidence
    from tamis.transforms.text.words import Words

# mypy: disable-error-code="no-untyped-def"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CopiedSpans:
    """Disjoint spans of texts, by document and place, and the match for which each is cut."""

    start: Ints
    """Byte in the own text."""
    stop: Ints
    matches: Matches
    """`document`: the text of each span. `start` and `stop`: of the match, when it was found, in what
    was left of the text by then."""


def copied_spans(texts: pa.Array, index: Index, evidence: Evidence, options: Decontaminate, words: Words) -> CopiedSpans:
    """What to cut, so that no text is a copy of an item any more: the aligned texts of such items with
    `margin` code points on either side, and then on to white space.

    Letters of scripts without spaces end at the words of `words` instead. If a copy arises where
    two pieces meet, it is cut, too. `evidence`: that of the run.
    """
    data, text_start = text_buffer(texts)
    cut = _Cut.none()  # positions in data
    current = texts
    while True:
        segmented = segment(current, words)
        candidates = unpack(propose(segmented, index), index)
        matches = find(candidates, index, evidence, options)
        matches = matches.take(np.flatnonzero(severities(matches, index, options) == 2))
        candidate, match = _of_matches(candidates, matches, index)
        if not len(candidate):
            origin = text_start[cut.matches.document]
            return CopiedSpans(cut.start - origin, cut.stop - origin, cut.matches)
        document = candidates.document[candidate]
        origin = segmented.text_start[document]
        start, stop = _widen(
            segmented.data,
            segmented.text_start,
            segmented.word_start,
            document,
            origin + candidates.start[candidate],
            origin + candidates.stop[candidate],
            options.margin,
            characters().flags,
        )
        first = segmented.text_start[0]
        new = _Cut(*_uncut(start - first, stop - first, cut, text_start[0]), matches.take(match))
        cut = _merged(_Cut.concatenated(cut, new))
        current = splice(data, text_start, cut.matches.document, cut.start, cut.stop, None)


@dataclass(frozen=True, slots=True)
class _Cut:
    start: Ints
    stop: Ints
    matches: Matches

    @classmethod
    def none(cls) -> _Cut:
        none = np.empty(0, np.int64)
        return cls(none, none, Matches(none, none, none, none, np.empty(0), none, none))

    @classmethod
    def concatenated(cls, one: _Cut, other: _Cut) -> _Cut:
        columns = [np.concatenate([getattr(one.matches, name), getattr(other.matches, name)]) for name in Matches.__slots__]
        return cls(np.concatenate([one.start, other.start]), np.concatenate([one.stop, other.stop]), Matches(*columns))

    def take(self, rows: npt.NDArray[Any]) -> _Cut:
        return _Cut(self.start[rows], self.stop[rows], self.matches.take(rows))


def _of_matches(candidates: Candidates, matches: Matches, index: Index) -> tuple[Ints, Ints]:
    """Every candidate of the document and item of a match, but the passage of another class; and the
    match."""
    count = len(index.benchmark)
    key = matches.document * count + matches.item  # ascending
    of = candidates.document * count + index.item[candidates.text]
    place = np.minimum(np.searchsorted(key, of), max(0, len(key) - 1))
    found = np.flatnonzero(key[place] == of) if len(key) else np.empty(0, np.int64)
    return found, place[found]


def _uncut(start: Ints, stop: Ints, cut: _Cut, first: np.int64) -> tuple[Ints, Ints]:
    """Where spans of the cut texts, offsets from their first byte, were in the uncut ones."""
    size = cut.stop - cut.start
    before = np.concatenate([[0], np.cumsum(size)])
    joint = cut.start - first - before[:-1]
    return (
        first + start + before[np.searchsorted(joint, start, side="right")],
        first + stop + before[np.searchsorted(joint, stop, side="left")],
    )


def _merged(cut: _Cut) -> _Cut:
    """Joins spans of a document that touch; the match with the highest score, then the earliest item,
    stands for all."""
    cut = cut.take(np.lexsort((cut.stop, cut.start, cut.matches.document)))
    document = cut.matches.document
    reach = np.maximum.accumulate(cut.stop)  # later documents lie behind
    begins = np.ones(len(reach), np.bool_)
    begins[1:] = (document[1:] != document[:-1]) | (cut.start[1:] > reach[:-1])
    group = np.cumsum(begins) - 1
    best = np.lexsort((cut.matches.item, -cut.matches.score, group))[begins]
    last = np.append(np.flatnonzero(begins)[1:], len(reach)) - 1
    return _Cut(cut.start[begins], reach[last], cut.matches.take(best))


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
