"""Compares passages with benchmark items by TF-IDF: the cosine of their words and pairs of words.

A word or a pair counts once in a text. Its weight is 1 + log((1 + items) / (1 + items with it)), so
that what all items of a benchmark say counts little. The weights come from the items alone, so
passages can be compared as they are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.decontaminate.rephrased.windows import Windows, changes, windows
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import find, mix64, slots_of
from tamis.transforms.text.words import DEFAULT_WORDS, Words

# mypy: disable-error-code="no-untyped-def"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PAIR = np.uint64(0xD6E8FEB86659FD93)
_SLACK = 1 - 1e-9  # for the rounding of sums in another order


COMMON: Final = 0.01
"""A word is common if at least this share of the items has it."""

FEW: Final = 0.35
"""The share of a passage's length, as a vector, up to which its common words are few."""


class TfIdf:
    """The words and pairs of n items, and the lists of the items that hold each.

    Two bounds of Cauchy and Schwarz save most of the work and leave the cosine exact. Of an item, those
    common words are left out of the lists whose length as a vector is at most bound / FEW of the whole.
    So a passage reaches the bound by them alone only if its own common words are more than few; then all
    lists are looked up.
    """

    def __init__(self, texts: Sequence[str], words: Words = DEFAULT_WORDS) -> None:
        cut = windows(pa.array(texts, pa.large_string()), np.iinfo(np.int64).max // 4, words)
        self.items = len(texts)
        owner, gram = _grams_of(cut.terms, cut.document, cut.first, cut.last)
        order = np.lexsort((gram, owner))
        order = order[changes(owner[order], gram[order])]  # once in an item
        self.owner = owner[order]
        self.grams, self.gram = np.unique(gram[order], return_inverse=True)
        items_with = np.bincount(self.gram, minlength=len(self.grams))
        self.square = (1 + np.log((1 + self.items) / (1 + items_with))) ** 2
        self.common = float(self.square[items_with >= COMMON * self.items].max(initial=0.0))
        self.unknown = float((1 + np.log(1 + self.items)) ** 2)
        self.norm = np.sqrt(np.bincount(self.owner, self.square[self.gram], self.items))
        self.slots = slots_of(self.grams)
        self.first = np.searchsorted(self.owner, np.arange(self.items + 1))
        self.light = np.lexsort((self.gram, self.square[self.gram], self.owner))
        total = np.cumsum(self.square[self.gram[self.light]])
        self.lightest = total - np.concatenate([[0.0], total])[self.first[self.owner]]
        self.all = self._lists(np.ones(len(self.gram), np.bool_))
        self.limits = 0
        self.limit(np.zeros(self.items))

    def limit(self, bound: Floats) -> None:
        """Sets `bound`, [n]: the cosine of each item that a passage must exceed. It must not fall.

        The lists are those for a bound of before, until it was set twice as often.
        """
        self.bound = bound.copy()
        self.limits += 1
        if self.limits & (self.limits - 1):
            return
        rest = np.empty(len(self.light), np.bool_)
        rest[self.light] = self.lightest <= (bound * self.norm / FEW)[self.owner] ** 2
        rest &= self.square[self.gram] <= self.common
        self.heavy = self._lists(~rest)
        self.rest = (np.searchsorted(self.owner[rest], np.arange(self.items + 1)), self.gram[rest])
        self.rest_norm = np.sqrt(np.bincount(self.owner[rest], self.square[self.gram[rest]], self.items))

    def _lists(self, chosen: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
        """(first, items) of each gram, by its number."""
        owner, gram = self.owner[chosen], self.gram[chosen]
        order = np.lexsort((owner, gram))
        return np.searchsorted(gram[order], np.arange(len(self.grams) + 1)), owner[order]

    def scores(self, cut: Windows) -> tuple[Ints, Ints, Floats]:
        """(window, item, cosine) of every pair above the bound of the item, by window."""
        vocabulary = (self.grams, self.slots, self.square, self.common, self.unknown)
        items = (self.first, self.gram, self.norm, self.bound, self.rest_norm, *self.rest)
        return _scores(cut.terms, cut.first, cut.last, *vocabulary, *self.heavy, *self.all, *items)


@njit(cache=True, nogil=True, inline="always")
def _pair(first, second):
    return mix64(first * _PAIR + second, np.uint64(2))


@njit(cache=True, nogil=True)
def _grams_of(terms, document, first, last):
    """The words and pairs of each window, with repeats, and the document of each."""
    size = 0
    for w in range(len(first)):
        size += 2 * (last[w] - first[w]) - 1
    owner = np.empty(size, np.int64)
    gram = np.empty(size, np.uint64)
    k = 0
    for w in range(len(first)):
        for i in range(first[w], last[w]):
            owner[k] = document[w]
            gram[k] = terms[i]
            k += 1
            if i + 1 < last[w]:
                owner[k] = document[w]
                gram[k] = _pair(terms[i], terms[i + 1])
                k += 1
    return owner, gram


@njit(cache=True, nogil=True)
def _scores(
    terms, first, last, keys, slots, square, common, unknown, heavy_first, heavy, all_first, everyone, gram_first,
    gram_of, norm, bound, rest_norm, rest_first, rest_of,
):  # fmt: skip
    window = np.empty(256, np.int64)
    item = np.empty(256, np.int64)
    score = np.empty(256, np.float64)
    size = 0
    word = np.empty(len(terms), np.int64)
    pair = np.full(len(terms), -1, np.int64)
    longest = 0
    for i in range(len(terms)):
        word[i] = find(terms[i], keys, slots)
        if i + 1 < len(terms):
            pair[i] = find(_pair(terms[i], terms[i + 1]), keys, slots)
    for w in range(len(first)):
        longest = max(longest, last[w] - first[w])
    grams = np.empty(2 * longest, np.int64)
    in_window = np.full(len(keys), -1, np.int64)  # the last window with each gram
    shared = np.zeros(len(norm), np.float64)
    touched = np.empty(len(norm), np.int64)
    for w in range(len(first)):
        light = 0.0  # the squared length of its common words, and of the others
        other = 0.0
        found = 0
        for i in range(first[w], last[w]):
            for kind in range(1 + (i + 1 < last[w])):
                gram = pair[i] if kind else word[i]
                if gram < 0:
                    other += unknown
                elif in_window[gram] != w:
                    in_window[gram] = w
                    if square[gram] <= common:
                        light += square[gram]
                    else:
                        other += square[gram]
                    grams[found] = gram
                    found += 1
        length = np.sqrt(light + other)
        few = light <= FEW * FEW * (light + other)
        first_item = heavy_first if few else all_first
        items = heavy if few else everyone
        count = 0
        for gram in grams[:found]:
            weight = square[gram]
            for q in items[first_item[gram] : first_item[gram + 1]]:
                if shared[q] == 0:
                    touched[count] = q
                    count += 1
                shared[q] += weight
        light = np.sqrt(light)
        for q in touched[:count]:
            least = bound[q] * norm[q] * length
            if few and shared[q] + rest_norm[q] * light > least * _SLACK:
                for gram in rest_of[rest_first[q] : rest_first[q + 1]]:
                    if in_window[gram] == w:
                        shared[q] += square[gram]
            if shared[q] > least * _SLACK:
                total = 0.0  # once more, and in one order, so that it is the same bits whatever the bound was
                for gram in gram_of[gram_first[q] : gram_first[q + 1]]:
                    if in_window[gram] == w:
                        total += square[gram]
                cosine = total / (norm[q] * length)
                if cosine <= bound[q]:
                    shared[q] = 0.0
                    continue
                if size == len(window):
                    window = np.concatenate((window, np.empty_like(window)))
                    item = np.concatenate((item, np.empty_like(item)))
                    score = np.concatenate((score, np.empty_like(score)))
                window[size] = w
                item[size] = q
                score[size] = cosine
                size += 1
            shared[q] = 0.0
    return window[:size], item[:size], score[:size]
