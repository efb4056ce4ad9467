"""What the documents of a run say of the words of items: how much each tells, and which n-grams are frequent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from tamis.transforms.decontaminate.matching.folded_words import NUMBER
from tamis.transforms.decontaminate.matching.index import totals
from tamis.transforms.decontaminate.matching.item_texts import NUMBER_BITS, SCALE
from tamis.transforms.decontaminate.matching.scores import MOST_BITS, ngram_ends

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.contamination_rater import Decontaminate
    from tamis.transforms.decontaminate.matching.candidate_records import Candidates
    from tamis.transforms.decontaminate.matching.index import Index

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PARTIAL: Final = 0.6
"""Documents that have less of a text say how common its words are; those with more are copies."""

_PRIOR = 2.0  # documents, with which a word's own bits count beside the documents of the run


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Counts of documents by word of the index, each column ascending by word."""

    words: Ints
    matched: Ints
    """Documents with a part of its text in which the word is matched."""
    joined: Ints
    """The same, behind the word before it."""
    grams: Ints
    """Words at which an n-gram ends that a document has."""
    documents: Ints
    """Those that have it."""

    @classmethod
    def none(cls) -> RunCounts:
        """Those of no document."""
        return cls(*[np.empty(0, np.int64)] * 5)

    @classmethod
    def of(cls, candidates: Candidates, index: Index, options: Decontaminate) -> RunCounts:
        """Those of the documents of some candidates. n-grams are counted only if the score asks for it."""
        grams = _ngrams(candidates, index, options.ngram) if _counts_ngrams(options) else (np.empty(0, np.int64),) * 2
        return cls(*_partial(candidates, index), *grams)

    @classmethod
    def total(cls, counts: Iterable[RunCounts]) -> RunCounts:
        """The sum of those of several parts."""
        each = [cls.none(), *counts]
        matched, joined = (np.concatenate([getattr(one, name) for one in each]) for name in ("matched", "joined"))
        words, which = np.unique(np.concatenate([one.words for one in each]), return_inverse=True)
        grams, of_gram = np.unique(np.concatenate([one.grams for one in each]), return_inverse=True)
        documents = np.concatenate([one.documents for one in each])
        added = ((which, matched, words), (which, joined, words), (of_gram, documents, grams))
        sums = [np.bincount(place, values, minlength=len(keys)).astype(np.int64) for place, values, keys in added]
        return cls(words, sums[0], sums[1], grams, sums[2])


@dataclass(frozen=True, slots=True)
class Evidence:
    """What scores are made with."""

    bits: Floats
    """[w]: what each word of the index is worth; see `word_bits`."""
    frequent: npt.NDArray[np.bool_] | None
    """[w]: whether the n-gram that ends at the word is in at least `mincount` documents; None if all n-grams count."""


def evidence(index: Index, counts: RunCounts, options: Decontaminate) -> Evidence:
    """The evidence of a run with these counts."""
    frequent = None
    if _counts_ngrams(options):
        frequent = np.zeros(len(index.bits), np.bool_)
        frequent[counts.grams[counts.documents >= options.mincount]] = True
    return Evidence(word_bits(index, counts), frequent)


def _counts_ngrams(options: Decontaminate) -> bool:
    return options.score != "weighted" and options.mincount > 1


def _ngrams(candidates: Candidates, index: Index, n: int) -> tuple[Ints, Ints]:
    """Words at which n-grams end that documents have, and in how many."""
    found = [np.empty((0, 2), np.int64)]
    for k, text in enumerate(candidates.text):
        words = slice(candidates.first[k], candidates.first[k + 1])
        matched = candidates.matched[words] & ~candidates.changed[words]
        ends = index.first[text].astype(np.int64) + ngram_ends(matched, candidates.joined[words], n)
        found.append(np.column_stack((ends, np.full(len(ends), candidates.document[k], np.int64))))
    once = np.unique(np.concatenate(found), axis=0)
    return np.unique(once[:, 0], return_counts=True)


def _partial(candidates: Candidates, index: Index) -> tuple[Ints, Ints, Ints]:
    """The first three columns of `RunCounts`."""
    place = np.repeat(index.first[candidates.text] - candidates.first[:-1], np.diff(candidates.first))
    place += np.arange(candidates.first[-1])
    plain = index.plain[place].astype(np.int64)
    covered = totals(plain * candidates.matched, candidates.first) / np.maximum(1, totals(plain, candidates.first))
    partial = np.repeat(covered < PARTIAL, np.diff(candidates.first)) & candidates.matched
    words, which = np.unique(place[partial], return_inverse=True)
    follows = candidates.joined[partial].astype(np.int64)
    seen = np.bincount(which, minlength=len(words))
    return words, seen, np.bincount(which, follows, minlength=len(words)).astype(np.int64)


def word_bits(index: Index, seen: RunCounts) -> Floats:
    """[w]: the bits that each word of the index is worth in a run with these counts: at most those among the items,
    and as surprising after the word before it as the documents show that have a part of the text."""
    bits: Floats = np.minimum(index.bits / SCALE, MOST_BITS)
    numbers = index.vocabulary[index.word] == NUMBER
    bits[numbers] = np.minimum(bits[numbers], NUMBER_BITS)
    words, matched, joined = seen.words, seen.matched, seen.joined
    before = np.zeros(len(bits))
    before[words] = matched
    before = np.concatenate([[0.0], before[:-1]]) if len(bits) else before
    before[index.first[:-1][np.diff(index.first) > 0]] = 0
    probability = 2.0 ** -bits[words]
    expected = (joined + _PRIOR * probability) / (np.maximum(before[words], joined) + _PRIOR)
    bits[words] = np.minimum(bits[words], -np.log2(np.clip(expected, probability, 1)))
    return bits
