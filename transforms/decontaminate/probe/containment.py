"""Says which texts have so much of a benchmark item that a match with it would be right.

The rule knows nothing of the matcher. A text has an item if it has half of the three-word sequences of its
question and choices, or half of those of its question that at most two items have. Words are folded, and
all numbers are one word, so the item with other numbers counts as the item.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.decontaminate.benchmarks import PARTS, Item
from tamis.transforms.decontaminate.matching.folded_words import folded_words
from tamis.transforms.decontaminate.matching.item_texts import item_texts
from tamis.transforms.decontaminate.matching.ngram_counts import items_with, ngram_hashes
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import Words

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

_SEQUENCE = 3  # words
_SHARE = 0.5
_OWN = 2  # items that may have a sequence which still tells a question


class Containment:
    """The sequences of many items. Items without one, which have no three words in a row, are in no text."""

    def __init__(self, items: Sequence[Item], words: Words) -> None:
        texts = item_texts([items], words)
        key = ngram_hashes(texts.first, texts.fold, _SEQUENCE)
        part, item = texts.part[texts.owner], texts.item[texts.owner]
        question = part == PARTS.index("question")
        own = question & (items_with(texts, _SEQUENCE) <= _OWN) & (key != 0)
        either = (question | (part == PARTS.index("choices"))) & (key != 0)
        self._words = words
        self._pairs = [_pairs(key[some], item[some]) for some in (either, own)]
        self._totals = [np.bincount(owner, minlength=len(items)) for _, owner in self._pairs]

    def holds(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """[n]: whether each text has an item."""
        folded = folded_words(segment(pa.array(texts, pa.large_string()), self._words))
        key = ngram_hashes(folded.first, folded.fold, _SEQUENCE)
        text = np.repeat(np.arange(len(texts)), np.diff(folded.first))
        key, text = _pairs(key[key != 0], text[key != 0])
        found = np.zeros(len(texts), np.bool_)
        for (item_key, item), total in zip(self._pairs, self._totals, strict=True):
            first, last = (np.searchsorted(item_key, key, side) for side in ("left", "right"))
            count = last - first
            place = np.repeat(first - np.r_[0, np.cumsum(count)[:-1]], count) + np.arange(count.sum())
            pair, shared = np.unique(np.repeat(text, count) * len(total) + item[place], return_counts=True)
            found[pair[shared >= _SHARE * total[pair % max(1, len(total))]] // max(1, len(total))] = True
        return found


def _pairs(key: Hashes, owner: Ints) -> tuple[Hashes, Ints]:
    """The different pairs, by key."""
    order = np.lexsort((owner, key))
    key, owner = key[order], owner[order]
    new = np.r_[True, (key[1:] != key[:-1]) | (owner[1:] != owner[:-1])][: len(key)]
    return key[new], owner[new]
