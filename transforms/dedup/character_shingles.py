"""Cuts short texts into hashed runs of characters, since they have few runs of words or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import SPACE, characters, decode
from tamis.transforms.text.hashing import mix64

if TYPE_CHECKING:
    from tamis.transforms.dedup.minhash import ShortTexts
    from tamis.transforms.text.segment import SegmentedTexts
    from tamis.transforms.text.word_hashes import HashedWords

_BLANK = 0x20
_SEED = np.uint64(1 << 32)
"""Above the number of words in a shingle, which seeds its hash: runs of characters never equal runs of words."""


def character_windows(
    texts: SegmentedTexts | HashedWords, short: ShortTexts, fold: bool
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Which documents are short, bool[n], and `first` and `hashes` as of `shingles.windows`, without those
    of other documents.

    A document is short if fewer than `short.words` of its words do not fold to nothing. Its characters are
    code points, with one blank for white space between others; with `fold` they are folded as words are. One
    with fewer characters than a run has is a single run.
    """
    is_short = short_texts(texts, short)
    table = characters()
    first, hashes = _windows(texts.data, texts.text_start, is_short, table.flags, table.folded, fold, short.characters)
    return is_short, first, hashes


def short_texts(texts: SegmentedTexts | HashedWords, short: ShortTexts | None) -> npt.NDArray[np.bool_]:
    """Which documents are cut into runs of characters, bool[n]: none without `short`."""
    if short is None:
        return np.zeros(len(texts.word_first) - 1, np.bool_)
    few: npt.NDArray[np.bool_] = _few_words(texts.word_first, texts.word_hashes(True), short.words)
    return few


@njit(cache=True, nogil=True)
def _few_words(word_first, fold_hash, words):  # type: ignore[no-untyped-def]
    few = np.empty(word_first.size - 1, np.bool_)
    for d in range(few.size):
        count = 0
        for hashed in fold_hash[word_first[d] : word_first[d + 1]]:
            count += hashed != 0
            if count == words:
                break
        few[d] = count < words
    return few


@njit(cache=True, nogil=True)
def _windows(data, text_start, is_short, flags, folded, fold, size):  # type: ignore[no-untyped-def]
    longest = total = 0
    for d in range(is_short.size):
        if is_short[d]:
            longest = max(longest, text_start[d + 1] - text_start[d])
            total += text_start[d + 1] - text_start[d]
    points = np.empty(longest, np.uint64)
    hashes = np.empty(total, np.uint64)  # a text has no more runs than bytes
    first = np.zeros(is_short.size + 1, np.int64)
    total = 0
    for d in range(is_short.size):
        count = 0
        i = text_start[d] if is_short[d] else text_start[d + 1]
        blank = False
        while i < text_start[d + 1]:
            point, width = decode(data, i)
            i += width
            if flags[point] & SPACE:
                blank = count > 0
                continue
            if fold:
                point = np.int64(folded[point])
                if not point:
                    continue
            if blank:
                points[count] = _BLANK
                count += 1
                blank = False
            points[count] = point
            count += 1
        length = min(size, count)
        for start in range(count - length + 1 if count else 0):
            chained = _SEED + np.uint64(length)
            for point in points[start : start + length]:
                chained = mix64(point, chained)
            hashes[total] = chained
            total += 1
        first[d + 1] = total
    return first, hashes[:total]
