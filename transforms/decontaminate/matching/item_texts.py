"""Cuts the texts of benchmark items into folded words, and says how many bits each word is worth.

A word is worth −log2 of its probability after the two words before it, as the *other* items predict
it (trigrams, backing off to bigrams and words). So the words of a template that many items share are
worth nearly nothing, and what tells its items apart is worth much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.decontaminate.benchmarks import PARTS, Item
from tamis.transforms.decontaminate.matching.folded_words import NUMBER, FoldedWords, exact, folded_words
from tamis.transforms.decontaminate.matching.ngram_counts import in_other_items
from tamis.transforms.text.segment import FOLDED, SegmentedTexts, segment
from tamis.transforms.text.words import Words

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

SCALE: Final = 8
"""Bits are kept in eighths."""

_UNSEEN = 0.5  # occurrences that every word has beside those in other items
_BIGRAM, _TRIGRAM = 4.0, 2.0  # weight of the shorter context, in occurrences
_COMMON = (
    "the of and to a in is that for it as was with be by on not he i this are or his from at which but have an had they "
    "you were their one all we can her has there been if more when will would who so no she other its may these what "
    "them than some him time into only do could new about out up any your my first made after over did most such well "
    "how where then our also must through before should people because each just those between same two under many "
    "like way good make see much now does very me use used long know even here while own both get"
)
"""The commonest words of English, the commonest first: so that few items do not make them rare."""
_COMMON_WORDS = 200_000
_NUMBERS = (
    "zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million"
)
"""Without one, which is more than a number."""
_TWO_BYTES = 0xC3
_MOST_BITS = 20.0
NUMBER_BITS = 6.0
"""That a number counts: small ones are everywhere."""
_LEAST_BITS = 0.2


_AT_ONCE = 5_000  # items that are cut into words together
_WORDS_AT_ONCE = 1 << 20  # that are weighed together


@dataclass(frozen=True, slots=True)
class ItemTexts:
    """The words of u texts of items, by item and part."""

    first: Ints
    """[u + 1]: words of text k are `first[k]` up to `first[k + 1]`."""
    word: npt.NDArray[np.int32]
    """[words]: position of each word in `vocabulary`."""
    number: npt.NDArray[np.int32]
    """[words]: position of each word with its digits in `vocabulary`."""
    varies: npt.NDArray[np.bool_]
    """[words]: whether it is a number, also as a word, a name, or a single letter."""
    vocabulary: Hashes
    """Hashes of words, ascending."""
    item: npt.NDArray[np.int32]
    """[u]: position of its item, ascending."""
    part: npt.NDArray[np.uint8]
    """[u]: position in `PARTS`."""

    @property
    def words_of(self) -> Ints:
        """Number of words of each text."""
        return np.diff(self.first)

    @property
    def fold(self) -> Hashes:
        """[words]: hash of each word."""
        return self.vocabulary[self.word]

    @property
    def owner(self) -> Ints:
        """[words]: the text of each word."""
        return np.repeat(np.arange(len(self.part)), self.words_of)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Texts that were cut into words together. Words are positions in a vocabulary of their own."""

    words_of: Ints
    word: npt.NDArray[np.int32]
    number: npt.NDArray[np.int32]
    capital: npt.NDArray[np.bool_]
    letter: npt.NDArray[np.bool_]
    vocabulary: Hashes
    item: npt.NDArray[np.int32]
    part: npt.NDArray[np.uint8]


def item_texts(several: Iterable[Sequence[Item]], words: Words) -> ItemTexts:
    """The words of every text of the items. An answer that repeats a choice is left out."""
    cuts: list[_Cut] = []
    count = 0
    for items in several:
        for begin in range(0, len(items), _AT_ONCE):
            some = items[begin : begin + _AT_ONCE]
            cuts.append(_cut(some, count, words))
            count += len(some)
    vocabulary = np.unique(np.concatenate([np.empty(0, np.uint64), *(cut.vocabulary for cut in cuts)]))
    places = [np.searchsorted(vocabulary, cut.vocabulary).astype(np.int32) for cut in cuts]
    first = np.cumsum(np.concatenate([[0], *(cut.words_of for cut in cuts)]))
    word, number = np.empty(first[-1], np.int32), np.empty(first[-1], np.int32)
    varies = np.empty(first[-1], np.bool_)
    uncapital = np.zeros(len(vocabulary), np.bool_)  # words that have a small letter first in some text
    filled = 0
    for cut, place in zip(cuts, places, strict=True):
        here = slice(filled, filled + len(cut.word))
        word[here], number[here] = place[cut.word], place[cut.number]
        uncapital[word[here][~cut.capital]] = True
        filled = here.stop
    numbers = np.isin(vocabulary, np.append(folded_words(segment(pa.array([_NUMBERS], pa.large_string()))).fold, NUMBER))
    filled = 0
    for cut in cuts:
        here = slice(filled, filled + len(cut.word))
        varies[here] = cut.letter | (cut.capital & ~uncapital[word[here]]) | numbers[word[here]]
        filled = here.stop
    item, part = (
        np.concatenate([np.empty(0, dtype), *(getattr(cut, name) for cut in cuts)])
        for name, dtype in (("item", np.int32), ("part", np.uint8))
    )
    return ItemTexts(first, word, number, varies, vocabulary, item, part)


def _cut(items: Sequence[Item], before: int, words: Words) -> _Cut:
    """The texts of some items. `before`: the number of items before them."""
    texts: list[str] = []
    item: list[int] = []
    part: list[int] = []
    for number, one in enumerate(items, before):
        for name, text in one.texts():
            if name == "answer" and text in one.choices:
                continue
            texts.append(text)
            item.append(number)
            part.append(PARTS.index(name))
    segmented = segment(pa.array(texts, pa.large_string()), words)
    folded = folded_words(segmented)
    vocabulary, which = np.unique(np.concatenate([folded.fold, exact(segmented, folded)]), return_inverse=True)
    word, digits = which.astype(np.int32).reshape(2, -1)
    capital, letter = _initials(segmented, folded)
    owner, kind = np.array(item, np.int32), np.array(part, np.uint8)
    return _Cut(np.diff(folded.first), word, digits, capital, letter, vocabulary, owner, kind)


def _initials(texts: SegmentedTexts, words: FoldedWords) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Of each word: whether it begins with a capital, and whether it is a single letter that others may replace. A
    word that never begins with a small one is a name."""
    start = texts.word_start[words.begin]
    initial = texts.data[start]
    capital = (initial >= ord("A")) & (initial <= ord("Z"))
    capital |= (initial >= _TWO_BYTES) & (texts.word_kind[words.begin] & FOLDED == 0)
    letter = (texts.word_end[words.end] - start == 1) & ((initial | 32) != ord("a")) & (initial != ord("I"))
    return capital, letter


def plain_bits(texts: ItemTexts) -> Floats:
    """[vocabulary]: −log2 of the share of each word among all words of items and of common English, at most 20."""
    counts = np.bincount(texts.word, minlength=len(texts.vocabulary)) + _common(texts.vocabulary)
    counts = np.maximum(counts, _UNSEEN)  # a word with its digits may be no folded word
    found: Floats = np.minimum(np.log2((len(texts.word) + _COMMON_WORDS) / counts), _MOST_BITS)
    number = texts.vocabulary == NUMBER
    found[number] = np.minimum(found[number], NUMBER_BITS)
    return found


def _common(vocabulary: Hashes) -> Floats:
    """How often each word of an ascending vocabulary occurs in `_COMMON_WORDS` words of English."""
    words = folded_words(segment(pa.array([_COMMON], pa.large_string()))).fold
    counts = np.zeros(len(vocabulary))
    place = np.minimum(np.searchsorted(vocabulary, words), max(0, len(vocabulary) - 1))
    there = vocabulary[place] == words if len(vocabulary) else np.zeros(len(words), np.bool_)
    counts[place[there]] = (0.12 * _COMMON_WORDS / (np.arange(len(words)) + 2))[there]
    return counts


def bits(texts: ItemTexts) -> npt.NDArray[np.uint8]:
    """[words]: −log2 of the probability of each word after the two before it, as the other items predict it, in
    eighths of a bit, at least one."""
    count, size = len(texts.part), len(texts.word)
    one, two, three = (in_other_items(texts, n) for n in (1, 2, 3))
    common = _common(texts.vocabulary)
    distinct = np.count_nonzero(np.bincount(texts.word, minlength=len(common))) + len(np.unique(texts.part))
    every = size + count + _COMMON_WORDS + _UNSEEN * distinct
    found = np.empty(size, np.uint8)
    cuts = np.unique(np.searchsorted(texts.first, np.arange(0, size + _WORDS_AT_ONCE, _WORDS_AT_ONCE)).clip(0, count))
    for low, high in pairwise(cuts.tolist()):
        words_of = texts.words_of[low:high]
        word = np.arange(texts.first[low], texts.first[high])
        at = word + np.repeat(np.arange(low, high), words_of) + 1  # among words and marks
        probability = (one[at] + common[texts.word[word]] + _UNSEEN) / every
        probability = (two[at] + _BIGRAM * probability) / (one[at - 1] + _BIGRAM)
        probability = (three[at] + _TRIGRAM * probability) / (two[at - 1] + _TRIGRAM)
        kept = np.clip(-np.log2(probability), _LEAST_BITS, _MOST_BITS)
        found[word] = np.maximum(1, np.round(kept * SCALE))
    return found
