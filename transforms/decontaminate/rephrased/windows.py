"""Cuts texts into overlapping windows of words: the passages that are compared with benchmark items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.segment import ALPHABETIC, SYMBOL, SegmentedTexts, segment
from tamis.transforms.text.words import DEFAULT_WORDS, Words

# mypy: disable-error-code="no-untyped-def"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """w windows of n documents, by document and place. Marks are no words here."""

    document: Ints
    """[w]"""
    first: Ints
    """[w]: position of the first word in `terms`."""
    last: Ints
    """[w]: position behind the last word in `terms`."""
    terms: npt.NDArray[np.uint64]
    """The hash of each word: in lower case, without diacritics, but with its digits if it has no
    letters."""
    start: Ints
    """[w]: first byte in `data`."""
    stop: Ints
    data: npt.NDArray[np.uint8]
    text_start: Ints
    """[n + 1]: document d is `data[text_start[d]:text_start[d + 1]]`."""

    def __len__(self) -> int:
        return len(self.document)

    def text(self, window: int) -> str:
        """The text of a window, from its first word to its last."""
        return self.data[self.start[window] : self.stop[window]].tobytes().decode()


def windows(texts: pa.Array, size: int, words: Words = DEFAULT_WORDS) -> Windows:
    """Windows of `size` words, each half a window after the one before; the last ends where its document
    does. A document of at most `size` words is one window; one without words has none.

    `texts`: a string or large_string array without nulls. So every run of up to `size / 2` words is in
    one window.
    """
    cut = segment(texts, words)
    terms, place = _terms(cut)
    first_of = np.searchsorted(place, cut.word_first)
    document, first, last = _windows(first_of, size)
    start, stop = cut.word_start[place[first]], cut.word_end[place[last - 1]]
    return Windows(document, first, last, terms, start, stop, cut.data, cut.text_start)


def _terms(cut: SegmentedTexts) -> tuple[npt.NDArray[np.uint64], Ints]:
    """The hashes of the words that are not marks, and their places among all."""
    number = cut.word_kind & (ALPHABETIC | SYMBOL) == 0
    hashes = np.where(number, cut.word_hash, cut.fold_hash)
    place = np.flatnonzero(hashes)
    return hashes[place], place


@njit(cache=True, nogil=True)
def _windows(first_of, size):
    step = max(1, size // 2)
    count = 0
    for d in range(len(first_of) - 1):
        words = first_of[d + 1] - first_of[d]
        count += words > 0
        if words > size:
            count += (words - size + step - 1) // step
    document = np.empty(count, np.int64)
    first = np.empty(count, np.int64)
    last = np.empty(count, np.int64)
    k = 0
    for d in range(len(first_of) - 1):
        end = first_of[d + 1]
        start = first_of[d]
        while start < end:
            document[k] = d
            first[k] = max(first_of[d], min(start, end - size))
            last[k] = min(first[k] + size, end)
            k += 1
            if start + size >= end:
                break
            start += step
    return document, first, last


def changes(*columns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """True at the first row of every run of equal rows."""
    changes = np.zeros(len(columns[0]), np.bool_)
    changes[:1] = True
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return changes
