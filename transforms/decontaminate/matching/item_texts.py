"""Cuts the texts of benchmark items into folded words, and says how many bits each word is worth.

A word is worth −log2 of its probability after the two words before it, as the *other* items predict
it (trigrams, backing off to bigrams and words). So the words of a template that many items share are
worth nearly nothing, and what tells its items apart is worth much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.decontaminate.benchmarks import PARTS, Item
from tamis.transforms.decontaminate.matching.folded_words import NUMBER, FoldedWords, exact, folded_words
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import mix64
from tamis.transforms.text.segment import FOLDED, SegmentedTexts, segment
from tamis.transforms.text.words import Words

# mypy: disable-error-code="no-untyped-def"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

BASE = np.uint64(0xD6E8FEB86659FD93)
"""Of the polynomial hash of words modulo 2^64; odd, so no word is ever shifted out."""

_BEGIN = np.uint64(0x9E3779B97F4A7C15)  # stands before the first word of a text, by part
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


@dataclass(frozen=True, slots=True)
class ItemTexts:
    """The words of u texts of items, by item and part."""

    first: Ints
    """[u + 1]: words of text k are `first[k]` up to `first[k + 1]`."""
    fold: Hashes
    exact: Hashes
    item: Ints
    """[u]: position of its item, ascending."""
    part: npt.NDArray[np.uint8]
    """[u]: position in `PARTS`."""
    owner: Ints
    """[words]: the text of each word."""
    varies: npt.NDArray[np.bool_]
    """[words]: whether it is a number, also as a word, a name, or a single letter."""

    @property
    def words_of(self) -> Ints:
        """Number of words of each text."""
        return np.diff(self.first)


def item_texts(items: Sequence[Item], words: Words) -> ItemTexts:
    """The words of every text of the items. An answer that repeats a choice is left out."""
    texts: list[str] = []
    item: list[int] = []
    part: list[int] = []
    for number, one in enumerate(items):
        for name, text in one.texts():
            if name == "answer" and text in one.choices:
                continue
            texts.append(text)
            item.append(number)
            part.append(PARTS.index(name))
    segmented = segment(pa.array(texts, pa.large_string()), words)
    folded = folded_words(segmented)
    owner = np.repeat(np.arange(len(texts)), np.diff(folded.first))
    return ItemTexts(
        folded.first,
        folded.fold,
        exact(segmented, folded),
        np.array(item, np.int64),
        np.array(part, np.uint8),
        owner,
        _varies(segmented, folded),
    )


def _varies(texts: SegmentedTexts, words: FoldedWords) -> npt.NDArray[np.bool_]:
    """Whether each word is one that others replace within a template. A name is a word that has a capital,
    and never a small letter, in any text."""
    start = texts.word_start[words.begin]
    initial = texts.data[start]
    capital = (initial >= ord("A")) & (initial <= ord("Z"))
    capital |= (initial >= _TWO_BYTES) & (texts.word_kind[words.begin] & FOLDED == 0)
    small = np.unique(words.fold[~capital])
    place = np.minimum(np.searchsorted(small, words.fold), max(0, len(small) - 1))
    name = capital & (small[place] != words.fold) if len(small) else capital
    letter = (texts.word_end[words.end] - start == 1) & ((initial | 32) != ord("a")) & (initial != ord("I"))
    number = folded_words(segment(pa.array([_NUMBERS], pa.large_string()))).fold
    return name | letter | (words.fold == NUMBER) | np.isin(words.fold, number)


def plain_bits(texts: ItemTexts) -> Floats:
    """−log2 of the share of each word among all words of items and of common English, at most 20."""
    vocabulary, which, counts = np.unique(texts.fold, return_inverse=True, return_counts=True)
    found: Floats = np.minimum(np.log2((len(texts.fold) + _COMMON_WORDS) / (counts + _common(vocabulary))), _MOST_BITS)
    found[vocabulary == NUMBER] = np.minimum(found[vocabulary == NUMBER], NUMBER_BITS)
    return found[which]


def _common(vocabulary: Hashes) -> Floats:
    """How often each word of an ascending vocabulary occurs in `_COMMON_WORDS` words of English."""
    words = folded_words(segment(pa.array([_COMMON], pa.large_string()))).fold
    counts = np.zeros(len(vocabulary))
    place = np.minimum(np.searchsorted(vocabulary, words), max(0, len(vocabulary) - 1))
    there = vocabulary[place] == words if len(vocabulary) else np.zeros(len(words), np.bool_)
    counts[place[there]] = (0.12 * _COMMON_WORDS / (np.arange(len(words)) + 2))[there]
    return counts


def bits(texts: ItemTexts) -> Floats:
    """−log2 of the probability of each word after the two before it, as the other items predict it."""
    if not len(texts.fold):
        return np.empty(0)
    count = len(texts.part)
    first = texts.first + np.arange(count + 1)
    word = np.empty(first[-1], np.uint64)
    begins = np.zeros(len(word), np.bool_)
    begins[first[:-1]] = True
    word[begins] = (texts.part + np.uint64(1)) * _BEGIN
    word[~begins] = texts.fold
    owner = np.repeat(np.arange(count), np.diff(first))
    item, place = texts.item[owner], np.arange(len(word)) - first[owner]
    vocabulary, which = np.unique(word, return_inverse=True)
    one = _in_other_items(word, item)
    probability = (one + _common(vocabulary)[which] + _UNSEEN) / (len(word) + _COMMON_WORDS + _UNSEEN * len(vocabulary))
    two = _shifted(_in_other_items(ngram_hashes(first, word, 2), item), 1, place)
    probability = (two + _BIGRAM * probability) / (_shifted(one, 1, place) + _BIGRAM)
    three = _shifted(_in_other_items(ngram_hashes(first, word, 3), item), 2, place)
    probability = (three + _TRIGRAM * probability) / (_shifted(two, 1, place) + _TRIGRAM)
    found: Floats = np.clip(-np.log2(probability[~begins]), _LEAST_BITS, _MOST_BITS)
    return found


def items_with(key: Hashes, item: Ints) -> Ints:
    """The number of items that have each key."""
    order = np.lexsort((item, key))
    sorted_key, sorted_item = key[order], item[order]
    begins = np.r_[True, sorted_key[1:] != sorted_key[:-1]][: len(key)]
    distinct = begins.copy()
    distinct[1:] |= sorted_item[1:] != sorted_item[:-1]
    run = np.cumsum(begins) - 1
    counts = np.empty(len(key), np.int64)
    counts[order] = np.bincount(run[distinct], minlength=1)[run]
    return counts


def _in_other_items(key: Hashes, item: Ints) -> Floats:
    """How often each key occurs in other items; 0 for the key 0, which is none."""
    order = np.lexsort((item, key))
    sorted_key, sorted_item = key[order], item[order]
    begins = np.r_[True, sorted_key[1:] != sorted_key[:-1]]
    own = begins.copy()
    own[1:] |= sorted_item[1:] != sorted_item[:-1]
    of_key, of_item = np.cumsum(begins) - 1, np.cumsum(own) - 1
    counts = np.empty(len(key))
    counts[order] = np.bincount(of_key)[of_key] - np.bincount(of_item)[of_item]
    counts[key == 0] = 0
    return counts


def _shifted(values: Floats, by: int, place: Ints) -> Floats:
    """Values that belong to the word `by` words before; 0 where the text has none."""
    out = np.zeros(len(values))
    out[by:] = values[:-by]
    out[place < by] = 0
    return out


@njit(cache=True, nogil=True)
def ngram_hashes(first, word, n):
    """Hash of the n words from each; 0 where the text ends before."""
    out = np.zeros(len(word), np.uint64)
    for k in range(len(first) - 1):
        for i in range(first[k], first[k + 1] - n + 1):
            h = np.uint64(0)
            for j in range(i, i + n):
                h = h * BASE + word[j]
            out[i] = mix64(h, np.uint64(n))
    return out
