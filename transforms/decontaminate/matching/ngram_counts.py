"""Counts the n-grams of the texts of items in a table of bounded size, which takes them in parts, by their hash.

Sorting all n-grams takes some hundred bytes a word. Here a word takes the twelve of its hash and its count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import mix64

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.matching.item_texts import ItemTexts

# mypy: disable-error-code="no-untyped-def"

BASE = np.uint64(0xD6E8FEB86659FD93)
"""Of the polynomial hash of words modulo 2^64; odd, so no word is ever shifted out."""
BEGIN = np.uint64(0x9E3779B97F4A7C15)
"""Times the number of its part, stands before the first word of a text."""

TABLE: Final = 1 << 22
"""Slots of the table at most, of 20 bytes. At most half of them are used."""

Counts = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]


def in_other_items(texts: ItemTexts, n: int, table: int = TABLE) -> Counts:
    """[words + texts]: how often the n words that end at each word occur in other items. A mark, which says the part,
    stands before each text and is a word. 0 for words with fewer before them."""
    first = texts.first + np.arange(len(texts.first))
    hashes = _ending_hashes(texts.first, texts.word, texts.part, texts.vocabulary, n)
    return _counted(hashes, _items(first, texts.item), True, table)


def items_with(texts: ItemTexts, n: int, some: npt.NDArray[np.bool_] | None = None, table: int = TABLE) -> Counts:
    """[words]: how many items have the n words that begin at each word; 0 where the text ends before. `some`: the
    texts that count."""
    hashes = ngram_hashes(texts.first, texts.fold, n)
    if some is not None:
        hashes[np.repeat(~some, texts.words_of)] = 0
    return _counted(hashes, _items(texts.first, texts.item), False, table)


def _items(first: npt.NDArray[np.int64], item: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Where the words of each item that has texts begin, and where the last one ends."""
    begins = np.flatnonzero(np.diff(item, prepend=-1))
    return np.append(first[begins], first[-1])


def _counted(hashes: Hashes, item_first: npt.NDArray[np.int64], elsewhere: bool, table: int) -> Counts:
    capacity, parts = 2, 0
    while capacity < min(table, 2 * len(hashes)):
        capacity *= 2
    while capacity << parts < 2 * len(hashes):  # hashes are even, so that no part fills the table
        parts += 1
    counts: Counts = _count(hashes, item_first, elsewhere, capacity, parts)
    return counts


# --- kernels ----------------------------------------------------------------------------------------------------------


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


@njit(cache=True, nogil=True)
def _ending_hashes(first, word, part, vocabulary, n):
    """Hash of the n words that end at each, behind the mark of each text; 0 for words with fewer before them."""
    out = np.zeros(len(word) + len(part), np.uint64)
    for k in range(len(part)):
        begin = first[k] + k
        mark = np.uint64(part[k] + 1) * BEGIN
        for i in range(n - 1, first[k + 1] - first[k] + 1):
            h = np.uint64(0)
            for j in range(i - n + 1, i + 1):
                h = h * BASE + (vocabulary[word[first[k] + j - 1]] if j else mark)
            out[begin + i] = mix64(h, np.uint64(n))
    return out


@njit(cache=True, nogil=True, inline="always")
def _slot(h, keys, total):
    """The slot of a key, or the empty one where it belongs."""
    mask = np.uint64(len(keys) - 1)
    slot = h & mask
    while total[slot] and keys[slot] != h:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(cache=True, nogil=True, inline="always")
def _is_in(h, part, parts):
    return h != 0 and (parts == 0 or h >> np.uint64(64 - parts) == part)


@njit(cache=True, nogil=True)
def _count(hashes, item_first, elsewhere, capacity, parts):
    """Of each hash: how often other items have it, or how many items do."""
    out = np.zeros(len(hashes), np.uint32)
    keys = np.empty(capacity, np.uint64)
    total = np.empty(capacity, np.uint32)
    of_items = np.empty(capacity, np.uint32)
    own = np.empty(capacity, np.uint32)
    last = np.empty(capacity, np.int32)
    for p in range(1 << parts):
        part = np.uint64(p)
        total[:] = 0
        of_items[:] = 0
        last[:] = -1
        for item in range(len(item_first) - 1):
            for i in range(item_first[item], item_first[item + 1]):
                if _is_in(hashes[i], part, parts):
                    slot = _slot(hashes[i], keys, total)
                    keys[slot] = hashes[i]
                    total[slot] += np.uint32(1)
                    of_items[slot] += np.uint32(last[slot] != item)
                    last[slot] = item
        last[:] = -1
        for item in range(len(item_first) - 1):
            begin, stop = item_first[item], item_first[item + 1]
            for i in range(begin, stop if elsewhere else begin):
                if _is_in(hashes[i], part, parts):
                    slot = _slot(hashes[i], keys, total)
                    own[slot] = np.uint32(1) + (own[slot] if last[slot] == item else np.uint32(0))
                    last[slot] = item
            for i in range(begin, stop):
                if _is_in(hashes[i], part, parts):
                    slot = _slot(hashes[i], keys, total)
                    out[i] = total[slot] - own[slot] if elsewhere else of_items[slot]
    return out
