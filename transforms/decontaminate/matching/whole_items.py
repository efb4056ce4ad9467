"""Finds items of marks and numbers as a whole: brackets, arithmetic, truth values, which no rare words tell apart.

Such a question is found word for word, with all its marks and digits, in any spacing and case. Three of its folded
words are its *anchor*, and stand in the table of seeds. Where a document has them, the tokens around them are
hashed, as many as the question has. The anchors of questions that begin alike, as far before the anchor, are one
record of that table: its text and place are the first of their entries and the one behind the last, its words
beside are the tokens before the anchor and a part of the hash of the first token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.decontaminate.matching.folded_words import folded_words
from tamis.transforms.decontaminate.matching.item_texts import Floats, Hashes, Ints
from tamis.transforms.decontaminate.matching.ngram_counts import BASE
from tamis.transforms.decontaminate.matching.seed_scan import MORE, PLACE, SEED_WORDS, TEXT, WHOLE, WORDS_BESIDE, triple_key
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.segment import ALPHABETIC, segment
from tamis.transforms.text.words import Words

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.matching.folded_words import FoldedWords
    from tamis.transforms.text.segment import SegmentedTexts

# mypy: disable-error-code="no-untyped-def"

FEWEST: Final = 8
"""Tokens of a question that is found as a whole: `2 + 2` is everywhere."""
PROSE: Final = 2 / 3
"""Of the tokens of such a question, that are words and occur once in it: `Which of these is true?` is everywhere,
too. `LONG` questions may have more."""
LONG: Final = 24
MOST_ALIKE: Final = 16
"""Questions with the same tokens."""

_FAR = 1 << 16


@dataclass(frozen=True, slots=True)
class WholeTexts:
    """Entries of e questions, by anchor, tokens before it, first token, and length."""

    text: npt.NDArray[np.int32]
    """[e]: number of the text in the index."""
    length: npt.NDArray[np.int32]
    """[e]: tokens."""
    hash: Hashes
    """[e]: of all its tokens."""
    records: tuple[Any, ...]
    """Key, text, place, beside and enough of the records of their anchors, for `seed_records`."""


def whole_texts(texts: Sequence[str], number: Ints, plain: Sequence[Floats], words: Words) -> WholeTexts:
    """The entries of those of some questions that can be found as a whole. `number`: of each text in the index;
    `plain`: bits of its words."""
    segmented = segment(pa.array(texts, pa.large_string()), words)
    folded = folded_words(segmented)
    carried = np.concatenate([np.empty(0), *plain])
    source = (segmented.word_first, segmented.word_hash, segmented.fold_hash, segmented.word_kind)
    key, lead, begins, length, total = _described(*source, folded.first, folded.fold, folded.begin, carried)
    kept = np.flatnonzero(length > 0)
    kept = kept[np.lexsort((number[kept], total[kept], length[kept], begins[kept], lead[kept], key[kept]))]
    alike = np.unique(total[kept], return_inverse=True, return_counts=True)
    kept = kept[alike[2][alike[1]] <= MOST_ALIKE]
    groups = np.stack([key[kept], lead[kept].astype(np.uint64), begins[kept]], axis=1)
    first = np.flatnonzero(np.append([True], (groups[1:] != groups[:-1]).any(axis=1))[: len(kept)])
    begin = kept[first]
    beside = lead[begin].astype(np.uint64) | begins[begin] << np.uint64(16)
    stop = np.append(first[1:], len(kept))[: len(first)]
    numbers = (each.astype(np.uint32) for each in (first, stop, beside, np.full(len(first), WHOLE)))
    return WholeTexts(number[kept].astype(np.int32), length[kept].astype(np.int32), total[kept], (key[begin], *numbers))


def whole_copies(anchors: Any, seeds: Any, entries: Any, texts: SegmentedTexts, words: FoldedWords) -> Any:
    """Where documents have whole questions: document, text, first token and the one behind the last. `anchors` are
    those of `occurrences`, `entries` the text, length and hash of each entry."""
    source = (texts.word_first, texts.word_hash, texts.fold_hash, texts.word_kind)
    return _copies(anchors, seeds, entries, source, words.begin)


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, inline="always")
def _token(word_hash, fold_hash, word_kind, k):
    """Hash of a word as a token: its case makes no difference, its digits do."""
    return fold_hash[k] if word_kind[k] & ALPHABETIC else word_hash[k]


@njit(cache=True, nogil=True)
def _described(word_first, word_hash, fold_hash, word_kind, first, fold, begin, plain):
    """Of each text: the key of its heaviest three words, tokens before them, a part of the hash of its first token,
    tokens, and their hash. Texts that cannot be found as a whole have no tokens."""
    count = len(first) - 1
    key = np.zeros(count, np.uint64)
    lead = np.zeros(count, np.int64)
    begins = np.zeros(count, np.uint64)
    length = np.zeros(count, np.int64)
    total = np.zeros(count, np.uint64)
    for t in range(count):
        low, high = word_first[t], word_first[t + 1]
        size = high - low
        if size < FEWEST or first[t + 1] - first[t] < SEED_WORDS:
            continue
        once = 0
        for k in range(low, high):
            h, seen = _token(word_hash, fold_hash, word_kind, k), 0
            for other in range(low, high):
                seen += _token(word_hash, fold_hash, word_kind, other) == h
            once += seen == 1 and word_kind[k] & ALPHABETIC != 0
            total[t] = total[t] * BASE + h
        if size < LONG and once > PROSE * size:
            continue
        most, anchor = -1.0, first[t]
        for i in range(first[t], first[t + 1] - 2):
            carried = plain[i] + plain[i + 1] + plain[i + 2]
            if carried > most:
                most, anchor = carried, i
        if begin[anchor] - low >= _FAR:
            continue
        key[t] = triple_key(fold[anchor], fold[anchor + 1], fold[anchor + 2])
        lead[t] = begin[anchor] - low
        begins[t] = _token(word_hash, fold_hash, word_kind, low) >> np.uint64(48)
        length[t] = size
    return key, lead, begins, length, total


@njit(cache=True, nogil=True)
def _copies(anchors, seeds, entries, source, begin):
    document, record, place = anchors
    text, length, total = entries
    word_first, word_hash, fold_hash, word_kind = source
    found = np.empty((4, 16), np.int64)
    size = 0
    for x in range(len(document)):
        low, high = word_first[document[x]], word_first[document[x] + 1]
        q, more = record[x], True
        while more:
            start = begin[place[x]] - np.int64(seeds[4 * q + WORDS_BESIDE] & np.uint32(0xFFFF))
            begins = np.uint64(seeds[4 * q + WORDS_BESIDE] >> np.uint32(16))
            if start >= low and _token(word_hash, fold_hash, word_kind, start) >> np.uint64(48) == begins:
                h, n = np.uint64(0), 0
                for e in range(seeds[4 * q + TEXT], seeds[4 * q + PLACE]):  # the shortest first
                    if start + length[e] > high:
                        break
                    while n < length[e]:
                        h = h * BASE + _token(word_hash, fold_hash, word_kind, start + n)
                        n += 1
                    if h == total[e]:
                        if size == found.shape[1]:
                            found = np.concatenate((found, np.empty_like(found)), axis=1)
                        found[0, size], found[1, size] = document[x], text[e]
                        found[2, size], found[3, size] = start, start + n
                        size += 1
            more = q > 0 and seeds[4 * q - 1] & MORE != 0 and seeds[4 * q - 1] & WHOLE != 0
            q -= 1
    return found[0, :size], found[1, :size], found[2, :size], found[3, :size]
