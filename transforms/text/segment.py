r"""Cuts a batch of texts once into words and lines, with hashes and lengths, for all heuristics,
shingles and matches.

By default a word is a match of `U\M*|S(?:(?:[./@:]|(?<=[0-9]),(?=[0-9]))S)*|['’]S|\.\.\.|[^\w\s]`,
where `\w` and `\s` are Python's, `\M` is a combining mark or a joiner, `U` a letter of a script
without spaces, and `S` a `\w[\w\M]*` without those: `3.14`, `1,000`, `user@host` and `...` are one
word each, `don’t` is `don` and `’t`, and every other mark is a word, also a hyphen; `हिन्दी` is one
word, `漢字` two. Among cheap definitions this one agrees best with the spaCy words of datatrove: on
98 % of the words of a sample of Common Crawl and, with `marks`, 96.5 % of its decisions by Gopher's
rules (`tests/peers`; white-space words: 76 %). With `clause` there is no U; with `icu`
U is a word of ICU. A white-space word is `U\M*|[^\sU]+`.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text import dictionary
from tamis.transforms.text.blocks import SIZE, classes
from tamis.transforms.text.characters import (
    EXTENDS,
    LETTER,
    PLAIN,
    PUNCTUATION,
    SPACE,
    UNSPACED,
    WORD,
    characters,
    decode,
    encode,
)
from tamis.transforms.text.hashing import (
    PADDING,
    load64,
    low_bytes,
    text_buffer,
    trailing_zeros,
    word_begin,
    word_finish,
    word_hash64,
    word_step,
    xxh64,
)
from tamis.transforms.text.words import DEFAULT_WORDS, Words

_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)

ALPHABETIC = 1
"""`word_kind`: contains a letter."""
SYMBOL = 2
"""`word_kind`: only punctuation, symbols, controls and underscores."""
HASH = 4
"""`word_kind`: is `#`; a white-space word: contains it."""
ELLIPSIS = 8
"""`word_kind`: is `...` or `…`; a white-space word: contains it."""
FOLDED = 16
"""`word_kind`: folding does not change it, so both hashes are equal."""

_WORDLIKE, _DIGIT, _DOT, _ANY = 1, 2, 4, 8  # kinds of bytes, by which a following byte may continue a word


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of n documents, and what else a rater has asked to see of them."""

    data: npt.NDArray[np.uint8]
    """UTF-8 bytes, read-only, and readable for 8 bytes past the last text."""
    text_start: npt.NDArray[np.int64]
    """[n + 1]: document d is `data[text_start[d]:text_start[d + 1]]`."""
    text_chars: npt.NDArray[np.int64]
    """[n]: code points of each document."""
    columns: Mapping[str, pa.Array] = field(default_factory=dict, kw_only=True)
    """What a rater needs beside the texts (`Rater.needs`), by name."""

    def __len__(self) -> int:
        return len(self.text_chars)

    def __getitem__(self, name: str) -> pa.Array:
        """A column that the rater needs, such as `url`: n values, some of which may be null."""
        if name not in self.columns:
            raise KeyError(f"'{name}' is not in the rater's needs ({', '.join(self.columns) or 'there are none'})")
        return self.columns[name]

    def with_columns(self, columns: Mapping[str, pa.Array]) -> Self:
        """The same texts with these columns."""
        return replace(self, columns=columns) if columns or self.columns else self

    def strings(self) -> Iterator[str]:
        """Each text as a str. This is slow: a rater of rules works on `data`."""
        for start, end in itertools.pairwise(self.text_start.tolist()):
            yield self.data[start:end].tobytes().decode()


@dataclass(frozen=True, slots=True)
class SegmentedTexts(Texts):
    """Words and lines of n documents, in text order.

    Spans are byte offsets into `data`; lengths are code points. The lines of a document are
    `text.split("\\n")`: an empty document has one line, and an empty line follows a final newline.
    Every character except white space belongs to exactly one word, and no word crosses a line. So a
    blank line has no words, and a stripped line extends from the start of its first word to the end
    of its last.
    """

    word_first: npt.NDArray[np.int64]
    """[n + 1]: words of document d are `word_first[d]` up to `word_first[d + 1]`."""
    word_start: npt.NDArray[np.int64]
    word_end: npt.NDArray[np.int64]
    word_hash: npt.NDArray[np.uint64]
    """`word_hash64` of the unfolded word."""
    fold_hash: npt.NDArray[np.uint64]
    """`word_hash64` of the word in lower case, without diacritics and punctuation, each digit 0; 0
    if nothing remains."""
    word_chars: npt.NDArray[np.int32]
    word_kind: npt.NDArray[np.uint8]
    """Flags ALPHABETIC, SYMBOL, HASH, ELLIPSIS, FOLDED."""
    line_first: npt.NDArray[np.int64]
    """[n + 1]: lines of document d are `line_first[d]` up to `line_first[d + 1]`."""
    line_start: npt.NDArray[np.int64]
    line_end: npt.NDArray[np.int64]
    """The newline is no part of the line."""
    line_chars: npt.NDArray[np.int32]
    line_hash: npt.NDArray[np.uint64]
    """XXH64 with seed 0 of the unstripped line."""
    line_word_first: npt.NDArray[np.int64]
    """[lines + 1]: words of line k are `line_word_first[k]` up to `line_word_first[k + 1]`."""

    def word_hashes(self, fold: bool) -> npt.NDArray[np.uint64]:
        """`fold_hash` or `word_hash`."""
        return self.fold_hash if fold else self.word_hash

    @property
    def words(self) -> tuple[npt.NDArray[Any], ...]:
        """`word_first`, `word_start`, `word_end` and `word_chars`, as kernels take them."""
        return self.word_first, self.word_start, self.word_end, self.word_chars

    @property
    def lines(self) -> tuple[npt.NDArray[Any], ...]:
        """The five `line_` columns but the hashes, as kernels take them."""
        return self.line_first, self.line_start, self.line_end, self.line_chars, self.line_word_first


class Rules(NamedTuple):
    """A definition of words as tables."""

    flags: npt.NDArray[np.uint16]
    """The flags of `characters`, by code point; WORD marks the characters of words."""
    after: npt.NDArray[np.uint8]
    """[256]: the kinds of bytes after this byte for which a run of ASCII letters and digits may not
    end before it."""
    alone: npt.NDArray[np.uint8]
    """[256]: the kinds of bytes after this byte for which it may be more than a word of one
    character."""
    kinds: npt.NDArray[np.uint8]
    """[256]: the kinds of a following byte."""
    whitespace: bool


@cache
def rules_of(words: Words) -> Rules:
    """The tables of a definition."""
    flags = characters().flags.copy()
    if words.unspaced == "clause":
        flags &= ~np.uint16(UNSPACED)
    after = np.full(256, _ANY, np.uint8)
    alone = after.copy()
    kinds = after.copy()
    for byte in range(0x80):
        character = chr(byte)
        alphanumeric = character.isalnum()
        kinds[byte] |= _WORDLIKE * (alphanumeric or character == "_")
        kinds[byte] |= _DIGIT * character.isdecimal() | _DOT * (character == ".")
        if words.definition == "whitespace":
            after[byte] = _ANY * (not alphanumeric and not character.isspace())
        elif character != "_":
            after[byte] = _WORDLIKE * (character in "./@:") | _DIGIT * (character == ",")
            if not character.isspace():
                alone[byte] = _WORDLIKE * (character == "'") | _DOT * (character == ".")
    kinds[0x80:] |= _WORDLIKE
    if words.definition == "whitespace":
        flags[flags & SPACE == 0] |= WORD
    return Rules(flags, after, alone, kinds, words.definition == "whitespace")


def unsegmented(texts: pa.Array) -> Texts:
    """A string or large_string array without nulls, not cut. Raises as `text_buffer` does."""
    data, text_start = text_buffer(texts)
    return Texts(data, text_start, np.array(pc.utf8_length(texts), np.int64))


def segment(texts: pa.Array, words: Words = DEFAULT_WORDS) -> SegmentedTexts:
    """Segments a string or large_string array without nulls. Raises as `text_buffer` does.

    Raises ImportError if `words` needs ICU and it is not installed.
    """
    rules = rules_of(words)
    data, text_start = text_buffer(texts)
    joints = joints_of(data, text_start, words)
    text_chars, word_first, spans, hashes, line_first, lines, line_word_first = _cut(
        data, text_start, rules, characters().folded, joints
    )
    word_start, word_end, word_chars, word_kind = spans
    word_hash, fold_hash = hashes
    line_start, line_end, line_chars = lines
    return SegmentedTexts(
        data=data,
        text_start=text_start,
        text_chars=text_chars,
        word_first=word_first,
        word_start=word_start,
        word_end=word_end,
        word_hash=word_hash,
        fold_hash=fold_hash,
        word_chars=word_chars,
        word_kind=word_kind,
        line_first=line_first,
        line_start=line_start,
        line_end=line_end,
        line_chars=line_chars,
        line_hash=_hash_lines(data, line_start, line_end),
        line_word_first=line_word_first,
    )


def joints_of(data: npt.NDArray[np.uint8], text_start: npt.NDArray[np.int64], words: Words) -> npt.NDArray[np.int64]:
    """Where a word of letters without spaces goes on: ascending byte offsets, none unless `words` are ICU's.

    Raises ImportError if ICU is needed and not installed.
    """
    return dictionary.joints(data, text_start, rules_of(words).flags) if words.unspaced == "icu" else np.empty(0, np.int64)


@njit(cache=True, nogil=True, inline="always")
def _between(block, low, high):  # type: ignore[no-untyped-def]
    """Sets the high bit of each ASCII byte in [low, high]: the additions carry into it."""
    return (block + _ONES * np.uint64(0x80 - low)) & ~(block + _ONES * np.uint64(0x7F - high)) & _HIGH


@njit(cache=True, nogil=True, inline="always")
def _letters(block):  # type: ignore[no-untyped-def]
    return _between(block | _ONES << np.uint64(5), 0x61, 0x7A)


@njit(cache=True, nogil=True, inline="always")
def _fold(block):  # type: ignore[no-untyped-def]
    """Lower-cases the letters and zeroes the digits of a block of ASCII letters and digits."""
    digits = _between(block, 0x30, 0x39)
    return (block | _between(block, 0x41, 0x5A) >> np.uint64(2)) & ~((digits >> np.uint64(7)) * np.uint64(0x0F))


@njit(cache=True, nogil=True, inline="always")
def _word_at(data, i, end, flags):  # type: ignore[no-untyped-def]
    return i < end and flags[decode(data, i)[0]] & (WORD | UNSPACED) == WORD


@njit(cache=True, nogil=True, inline="always")
def _digit(byte):  # type: ignore[no-untyped-def]
    return 0x30 <= byte <= 0x39


@njit(cache=True, nogil=True, inline="always")
def _joins(data, i, end, flags):  # type: ignore[no-untyped-def]
    r"""Whether a mark continues a word: `. / @ :` before `\w`, or a comma between digits."""
    byte = data[i]
    if byte == 0x2E or byte == 0x2F or byte == 0x40 or byte == 0x3A:
        return _word_at(data, i + 1, end, flags)
    return byte == 0x2C and i + 1 < end and _digit(data[i - 1]) and _digit(data[i + 1])


@njit(cache=True, nogil=True)
def _run(data, i, end, flags, chars, some, every):  # type: ignore[no-untyped-def]
    r"""Skips word characters and marks from `i`; returns the next index, their count and flags.

    `some` and `every` are the bitwise or and and of the flags.
    """
    while i < end:
        point, size = decode(data, i)
        flag = np.int64(flags[point])
        if not flag & (WORD | EXTENDS) or flag & UNSPACED:
            break
        i += size
        chars += 1
        some |= flag
        every &= flag
    return i, chars, some, every


@njit(cache=True, nogil=True)
def next_word(data, i, end, flags, joints, g):  # type: ignore[no-untyped-def]
    """The word at `i`, where there is no white space, one character after another. Callable from kernels.

    `g` is the first joint that may be of use. Returns where the word ends, its code points, the bitwise or and and of their
    flags, and the next `g`.
    """
    point, size = decode(data, i)
    flag = np.int64(flags[point])
    i += size
    chars = 1
    some = flag
    every = flag
    if flag & UNSPACED:
        while i < end:
            point, size = decode(data, i)
            flag = np.int64(flags[point])
            if flag & UNSPACED:
                while g < len(joints) and joints[g] < i:
                    g += 1
                if g == len(joints) or joints[g] > i:
                    break
            elif not flag & EXTENDS:
                break
            i += size
            chars += 1
            some |= flag
            every &= flag
    elif flag & WORD:
        i, chars, some, every = _run(data, i, end, flags, 1, some, every)
        while i < end and data[i] != 0x20 and _joins(data, i, end, flags):
            i, chars, some, every = _run(data, i + 1, end, flags, chars + 1, some, every & np.int64(flags[data[i]]))
    elif (point == 0x27 or point == 0x2019) and _word_at(data, i, end, flags):
        i, chars, some, every = _run(data, i, end, flags, chars, some, every)
    elif point == 0x2E and i + 1 < end and data[i] == 0x2E and data[i + 1] == 0x2E:
        i += 2
        chars = 3
    return i, chars, some, every, g


@njit(cache=True, nogil=True)
def folded_hash(data, start, end, folded, scratch):  # type: ignore[no-untyped-def]
    """`fold_hash` of a word by the table of folded code points; 0 if it folds to nothing. Callable from kernels."""
    if 2 * (end - start) + PADDING > len(scratch):  # folding turns two bytes into three at worst
        scratch = np.zeros(2 * (end - start) + PADDING, np.uint8)
    size = 0
    while start < end:
        point, width = decode(data, start)
        start += width
        if folded[point]:
            size = encode(scratch, size, folded[point])
    return word_hash64(scratch, 0, size) if size else np.uint64(0)


@njit(cache=True, nogil=True)
def _marks(data, start, end):  # type: ignore[no-untyped-def]
    """The flags HASH and ELLIPSIS of a white-space word."""
    kind = 0
    for i in range(start, end):
        if data[i] == 0x23:
            kind |= HASH
        elif (data[i] == 0x2E and i + 2 < end and data[i + 1] == 0x2E and data[i + 2] == 0x2E) or (
            data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0xA6
        ):
            kind |= ELLIPSIS
    return kind


@njit(cache=True, nogil=True)
def _cut(data, text_start, rules, folded, joints):  # type: ignore[no-untyped-def]
    flags = rules.flags
    n = len(text_start) - 1
    most_words = text_start[n] - text_start[0]  # one per byte; memory that is never written costs nothing
    most_lines = n
    for byte in data[text_start[0] : text_start[n]]:
        most_lines += byte == 0x0A
    text_chars = np.empty(n, np.int64)
    word_first = np.empty(n + 1, np.int64)
    line_first = np.empty(n + 1, np.int64)
    word_start = np.empty(most_words, np.int64)
    word_end = np.empty(most_words, np.int64)
    word_chars = np.empty(most_words, np.int32)
    word_kind = np.empty(most_words, np.uint8)
    word_hash = np.empty(most_words, np.uint64)
    fold_hash = np.empty(most_words, np.uint64)
    line_start = np.empty(most_lines, np.int64)
    line_end = np.empty(most_lines, np.int64)
    line_chars = np.empty(most_lines, np.int32)
    line_word_first = np.empty(most_lines + 1, np.int64)
    scratch = np.zeros(1024, np.uint8)
    tail = np.zeros(SIZE, np.uint8)
    outside = space = np.uint64(0)
    words = 0
    lines = 0
    g = 0
    for d in range(n):
        i = text_start[d]
        end = text_start[d + 1]
        word_first[d] = words
        line_first[d] = lines
        line_start[lines] = i
        line_word_first[lines] = words
        origin = i  # start of the line plus its continuation bytes so far, so that `i - origin` counts code points
        chars_before = 0
        base = i - SIZE
        while i < end:
            place = i - base
            stops = np.uint64(0) if place >= SIZE else outside >> np.uint64(place)
            if not stops:  # the block ends here, or the word may continue after it
                base = i
                place = 0
                if i + SIZE <= len(data):
                    word, space = classes(data, i)
                else:
                    tail[:] = 0
                    tail[: end - i] = data[i:end]
                    word, space = classes(tail, 0)
                outside = ~word
                if end - i < SIZE:
                    outside |= np.uint64(1) << np.uint64(end - i)
                stops = outside
            if space >> np.uint64(place) & np.uint64(1):
                i += 1
                continue
            byte = data[i]
            block = load64(data, i)
            j = i + np.int64(trailing_zeros(stops))  # i + SIZE inside a long word, because stops is 0
            symbol = i == j
            if stops and not (rules.alone if symbol else rules.after)[data[j]] & rules.kinds[data[j + 1]]:
                j += symbol
                length = j - i
                h = word_begin(length)
                f = h
                letters = np.uint64(0)
                other = np.uint64(0)
                k = i
                while k + 8 < j:
                    fold = _fold(block)
                    letters |= _letters(block)
                    other |= fold ^ block
                    h = word_step(h, block)
                    f = word_step(f, fold)
                    k += 8
                    block = load64(data, k)
                block = load64(data, j - 8) if length > 8 else low_bytes(block, length)
                fold = _fold(block)
                letters |= _letters(block)
                other |= fold ^ block
                word_start[words] = i
                word_end[words] = j
                word_chars[words] = length
                kind = (ALPHABETIC if letters else 0) | (0 if other else FOLDED)
                word_kind[words] = (SYMBOL | HASH * (byte == 0x23)) if symbol else kind
                word_hash[words] = word_finish(h, block)
                fold_hash[words] = np.uint64(0) if symbol else word_finish(f, fold)
                words += 1
                i = j + np.int64(space >> np.uint64(j - 1 - base) >> np.uint64(1) & np.uint64(1))
                continue
            point, size = decode(data, i)
            flag = np.int64(flags[point])
            if flag & SPACE:
                if point == 0x0A:
                    line_end[lines] = i
                    line_chars[lines] = i - origin
                    chars_before += i + 1 - origin
                    lines += 1
                    line_start[lines] = i + 1
                    line_word_first[lines] = words
                    origin = i + 1
                i += size
                origin += size - 1
                continue
            start = i
            i, chars, some, every, g = next_word(data, i, end, flags, joints, g)
            if rules.whitespace:
                kind = _marks(data, start, i)
            elif point == 0x23:
                kind = HASH
            else:
                kind = ELLIPSIS if point == 0x2026 or (point == 0x2E and chars == 3) else 0
            if some & LETTER:
                kind |= ALPHABETIC
            h = word_hash64(data, start, i)
            f = h
            if every & PLAIN:
                kind |= FOLDED
            elif every & PUNCTUATION:
                kind |= SYMBOL
                f = np.uint64(0)
            else:
                f = folded_hash(data, start, i, folded, scratch)
            word_start[words] = start
            word_end[words] = i
            word_chars[words] = chars
            word_kind[words] = kind
            word_hash[words] = h
            fold_hash[words] = f
            words += 1
            origin += i - start - chars
        line_end[lines] = end
        line_chars[lines] = end - origin
        lines += 1
        text_chars[d] = chars_before + end - origin
    word_first[n] = words
    line_first[n] = lines
    line_word_first[lines] = words
    return (
        text_chars,
        word_first,
        (word_start[:words], word_end[:words], word_chars[:words], word_kind[:words]),
        (word_hash[:words], fold_hash[:words]),
        line_first,
        (line_start, line_end, line_chars),
        line_word_first,
    )


@njit(cache=True, nogil=True)
def _hash_lines(data, start, end):  # type: ignore[no-untyped-def]
    line_hash = np.empty(len(start), np.uint64)
    for k in range(len(start)):
        line_hash[k] = xxh64(data, start[k], end[k], np.uint64(0))
    return line_hash
