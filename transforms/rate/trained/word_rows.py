"""Numbers the words of texts for a trained model: those of its vocabulary, and the others by their length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tamis.transforms.text.segment import SegmentedTexts

LENGTHS: Final = 24
"""Rows for the words that the vocabulary does not have, by code points; the last is for longer ones."""


def word_keys(texts: SegmentedTexts) -> npt.NDArray[np.uint64]:
    """[w]: the hash of each word, in lower case, without diacritics and with 0 for every digit, or of
    the word as it is where folding leaves nothing, as of marks."""
    return np.where(texts.fold_hash == 0, texts.word_hash, texts.fold_hash)


def vocabulary_of(keys: npt.NDArray[np.uint64], first: npt.NDArray[np.int64], least: int, most: int) -> npt.NDArray[np.uint64]:
    """The words that at least `least` of n documents have, at most `most`, the commonest; ascending.
    `first`: [n + 1], the words of document d are `keys[first[d]:first[d + 1]]`."""
    document = np.repeat(np.arange(len(first) - 1), np.diff(first))
    order = np.lexsort((document, keys))
    key, of = keys[order], document[order]
    new = np.ones(len(key), np.bool_)
    new[1:] = (np.diff(key) != 0) | (np.diff(of) != 0)
    words, documents = np.unique(key[new], return_counts=True)
    chosen = np.lexsort((words, -documents))[:most]
    return np.sort(words[chosen[documents[chosen] >= least]])


def rows_of(
    keys: npt.NDArray[np.uint64], chars: npt.NDArray[np.int32], vocabulary: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int32]:
    """[w]: the place of each word in the vocabulary of v words, or v + its length − 1 (at most
    v + `LENGTHS` − 1)."""
    place = np.searchsorted(vocabulary, keys)
    known = np.zeros(len(keys), np.bool_)
    if len(vocabulary):
        known = vocabulary[np.minimum(place, len(vocabulary) - 1)] == keys
    other = len(vocabulary) + np.clip(chars, 1, LENGTHS) - 1
    return np.where(known, place, other).astype(np.int32)
