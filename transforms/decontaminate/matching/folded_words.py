"""Turns the words of texts into those that matching compares, which typography does not change.

Case, diacritics, punctuation, compatibility forms (full width, ligatures), tags, character
references, soft hyphens, zero-width characters, apostrophes (dont), hyphens at the end of a line and
Markdown's marks make no difference. Words of digits are all one word, `NUMBER`; `exact` tells them
apart, and other words with digits.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import characters, decode, encode
from tamis.transforms.text.hashing import word_hash64
from tamis.transforms.text.segment import ALPHABETIC, FOLDED, SYMBOL

if TYPE_CHECKING:
    from tamis.transforms.text.segment import SegmentedTexts

# mypy: disable-error-code="no-untyped-def"

NUMBER: Final = np.uint64(0x9D39247E33776D41)
"""The hash of every word of digits."""

_LONGEST_TAG = 300  # bytes; a `<` that no `>` follows within so many, in its line, is no tag
_SCRATCH = 1024  # bytes of a word that are hashed; what is behind them is left out
_ROOM = _SCRATCH - 64


@dataclass(frozen=True, slots=True)
class FoldedWords:
    """The words of n documents that matching compares, in text order."""

    first: npt.NDArray[np.int64]
    """[n + 1]: words of document d are `first[d]` up to `first[d + 1]`."""
    fold: npt.NDArray[np.uint64]
    """Hash of the folded word; `NUMBER` for words of digits."""
    begin: npt.NDArray[np.int32]
    """Position of its first word among those of the segmentation."""
    end: npt.NDArray[np.int32]
    """Position of its last word among those of the segmentation: another one if words were joined."""


def folded_words(texts: SegmentedTexts) -> FoldedWords:
    """The words of segmented texts that matching compares."""
    return FoldedWords(*_fold(*_source(texts), *tables()))


def exact(texts: SegmentedTexts, words: FoldedWords) -> npt.NDArray[np.uint64]:
    """Hash of each word with its digits; that of `fold` for words without digits. `1,000` is 1000."""
    found: npt.NDArray[np.uint64] = _exact(*_source(texts), words.fold, words.begin, words.end, *tables())
    return found


def _source(texts: SegmentedTexts) -> tuple[npt.NDArray[Any], ...]:
    spans = (texts.data, texts.text_start, texts.word_first, texts.word_start, texts.word_end)
    return *spans, texts.word_chars, texts.word_kind, texts.fold_hash


@functools.cache
def tables() -> tuple[npt.NDArray[Any], ...]:
    """For kernels: folding by code point, and the expansions of compatibility forms (NFKC) as the number
    of an expansion by code point, where each begins, and their code points."""
    number, start, points = np.zeros(0x110000, np.uint16), [0, 0], list[int]()
    for point in range(0x80, 0x30000):
        if unicodedata.decomposition(chr(point)).startswith("<"):
            expanded = unicodedata.normalize("NFKD", chr(point))
            points += [ord(c) for c in expanded if unicodedata.category(c) != "Mn"]
            number[point] = len(start) - 1
            start.append(len(points))
    return characters().folded, number, np.array(start, np.int64), np.array(points, np.uint32)


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def hash_joined(data, word_start, word_end, word_kind, first, last, digits, scratch, folded, number, start, points):
    """Hash of the folded characters of words `first` to `last` as one, 0 if none is left. `digits`: they
    stay as they are, and the point between them."""
    size = 0
    for k in range(first, last + 1):
        if word_kind[k] & SYMBOL:
            continue
        i = word_start[k]
        while i < word_end[k] and size < _ROOM:
            point, width = decode(data, i)
            i += width
            expansion = np.int64(number[point]) if point >= 0x80 else 0
            low = start[expansion] if expansion else 0
            high = start[expansion + 1] if expansion else 1
            for q in range(low, high):
                c = np.int64(points[q]) if expansion else point
                if digits and (0x30 <= c <= 0x39 or (c == 0x2E and size)):
                    size = encode(scratch, size, c)
                else:
                    f = np.int64(folded[c])
                    if f:
                        size = encode(scratch, size, c if digits and f == 0x30 else f)
    scratch[size : size + 8] = 0
    return word_hash64(scratch, 0, size) if size else np.uint64(0)


@njit(cache=True, nogil=True)
def has_digit(data, start, end):
    """Whether a span has an ASCII digit, or another that may be one."""
    found = False
    for i in range(start, end):
        found |= 0x30 <= data[i] <= 0x39
    return found


@njit(cache=True, nogil=True)
def _exact(
    data, text_start, word_first, word_start, word_end, word_chars, word_kind, fold_hash, fold, begin, end,
    folded, number, start, points,
):  # fmt: skip
    out = np.empty(len(fold), np.uint64)
    scratch = np.zeros(_SCRATCH, np.uint8)
    for t in range(len(fold)):
        out[t] = exact_word(
            data, word_start, word_end, word_kind, fold[t], begin[t], end[t], scratch, folded, number, start, points
        )
    return out


@njit(cache=True, nogil=True)
def exact_word(data, word_start, word_end, word_kind, fold, begin, end, scratch, folded, number, start, points):
    """Hash of one folded word with its digits."""
    unchanged = begin == end and word_kind[begin] & FOLDED  # a joined word has others behind its first
    if fold != NUMBER and (unchanged or not has_digit(data, word_start[begin], word_end[end])):
        return fold
    return hash_joined(data, word_start, word_end, word_kind, begin, end, True, scratch, folded, number, start, points)


@njit(cache=True, nogil=True)
def _end_of_tag(data, i, stop):
    """Behind the `>` of a tag whose `<` is before `i`; -1 if there is none."""
    c = data[i]
    if not (c == 0x2F or 0x61 <= (c | 0x20) <= 0x7A):
        return -1
    last = min(stop, i + _LONGEST_TAG)
    while i < last and data[i] != 0x3E and data[i] != 0x3C and data[i] != 0x0A:
        i += 1
    return i + 1 if i < last and data[i] == 0x3E else -1


@njit(cache=True, nogil=True, inline="always")
def _three(data, i, a, b, c):
    return data[i] == a and data[i + 1] == b and data[i + 2] == c


@njit(cache=True, nogil=True)
def _joins(data, mark, mark_end, following, comma):
    """Whether a mark that touches the word on its left joins it to the word at `following`."""
    soft = data[mark] == 0xC2 and data[mark + 1] == 0xAD
    touching = mark_end == following
    if touching:
        if soft or _three(data, mark, 0xE2, 0x80, 0x8B) or _three(data, mark, 0xE2, 0x81, 0xA0):
            return True
        if _three(data, mark, 0xEF, 0xBB, 0xBF) or _three(data, mark, 0xE2, 0x80, 0x98):
            return True  # zero width; a quotation mark as an apostrophe
        if data[mark] == 0x60 or (data[mark] == 0xC2 and data[mark + 1] == 0xB4):
            return True
        return comma and _three(data, mark, 0xEF, 0xBC, 0x8C)  # a comma of full width between digits
    if soft or (data[mark] == 0x2D and mark_end == mark + 1) or _three(data, mark, 0xE2, 0x80, 0x90):
        lines = 0
        for i in range(mark_end, following):
            lines += data[i] == 0x0A
        return lines == 1 and (0x61 <= data[following] <= 0x7A or data[following] >= 0xC3)
    return False


@njit(cache=True, nogil=True)
def _fold(
    data, text_start, word_first, word_start, word_end, word_chars, word_kind, fold_hash,
    folded, number, start, points,
):  # fmt: skip
    documents = len(word_first) - 1
    most = word_first[documents] - word_first[0]
    first = np.empty(documents + 1, np.int64)
    fold = np.empty(most, np.uint64)
    begin = np.empty(most, np.int32)
    end = np.empty(most, np.int32)
    scratch = np.zeros(_SCRATCH, np.uint8)
    t = 0
    for d in range(documents):
        first[d] = t
        stop = text_start[d + 1]
        last = word_first[d + 1]
        skip = np.int64(-1)  # words before this byte are part of a tag or a character reference
        behind = np.int64(-1)  # the end of the word before
        join = False
        for k in range(word_first[d], last):
            i, j = word_start[k], word_end[k]
            if i < skip:
                continue
            kind = word_kind[k]
            if kind & SYMBOL:
                byte = data[i]
                if byte == 0x3C and j < stop:
                    skip = max(skip, _end_of_tag(data, j, stop))
                elif byte == 0x26:
                    near = k + 2 < last and word_start[k + 1] == j and word_end[k + 1] == word_start[k + 2]
                    if near and data[word_start[k + 2]] == 0x3B:
                        skip = word_end[k + 2]
                elif behind == i and k + 1 < last:
                    join = _joins(data, i, j, word_start[k + 1], fold[t - 1] == NUMBER)
                continue
            if join or (behind == i and (data[i] == 0x27 or _three(data, i, 0xE2, 0x80, 0x99))):
                join = False
                end[t - 1] = k
                behind = j
                if fold[t - 1] != NUMBER or kind & ALPHABETIC:
                    fold[t - 1] = hash_joined(
                        data, word_start, word_end, word_kind, begin[t - 1], k, False, scratch, folded, number, start, points
                    )
                continue
            h = fold_hash[k]
            if word_chars[k] != j - i:
                h = hash_joined(data, word_start, word_end, word_kind, k, k, False, scratch, folded, number, start, points)
            if h == 0:
                continue
            fold[t] = h if kind & ALPHABETIC else NUMBER
            begin[t] = k
            end[t] = k
            behind = j
            t += 1
    first[documents] = t
    return first, fold[:t], begin[:t], end[:t]
