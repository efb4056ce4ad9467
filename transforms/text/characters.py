"""Tables by code point for kernels: class (letter, space, …) and folding."""

import functools
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import digest, njit
from tamis.transforms.runtime.mapped_arrays import cached, map_arrays, save_arrays

WORD = 1
r"""Python's `\w`: letters and numbers of every script, and `_`; not combining marks."""
SPACE = 2
r"""Python's `\s`."""
LETTER = 4
"""`str.isalpha`."""
LOWER = 8
"""`str.islower`."""
PUNCTUATION = 16
"""Not a letter, number, mark or space: punctuation, symbols, controls, and `_`."""
DIGIT = 32
r"""Python's `\d`."""
PLAIN = 64
"""Folds to itself."""
EXTENDS = 128
"""Part of the word character before it: a combining mark (M), or a joiner, U+200C or U+200D (UAX
#29, rule WB4)."""
UNSPACED = 256
"""A letter of a script that puts no spaces between words: Han, kana, Thai, Lao, Khmer, Burmese and
their relatives."""
UPPER = 512
"""`str.isupper`."""

_JOINERS = "\u200c\u200d"
_UNSPACED = (
    range(0x0E00, 0x0F00),  # Thai, Lao
    range(0x1000, 0x10A0),  # Myanmar
    range(0x1780, 0x1800),  # Khmer
    range(0x1950, 0x19E0),  # Tai Le, New Tai Lue
    range(0x1A20, 0x1AB0),  # Tai Tham
    range(0x3005, 0x3008),  # 々 〆 〇
    range(0x3021, 0x3100),  # Hangzhou numerals, Hiragana, Katakana
    range(0x31F0, 0x3200),  # Katakana, phonetic extensions
    range(0x3400, 0x4DC0),  # Han, extension A
    range(0x4E00, 0xA000),  # Han
    range(0xA9E0, 0xAA00),  # Myanmar, extended B
    range(0xAA60, 0xAAE0),  # Myanmar, extended A; Tai Viet
    range(0xF900, 0xFB00),  # Han, compatibility
    range(0xFF66, 0xFFA0),  # Katakana, half width
    range(0x116D0, 0x11700),  # Myanmar, extended C
    range(0x1AFF0, 0x1B170),  # kana, extended and supplement
    range(0x20000, 0x40000),  # Han, the planes of its extensions
)
"""Blocks of the Unicode Character Database, because Python does not know scripts. UAX #14 calls
them ID and SA."""

_ASSIGNED = (range(0x40000), range(0xE0000, 0xE0200))
"""The ranges with assigned characters; all other code points are private or unassigned, and treated
alike."""


@dataclass(frozen=True, slots=True)
class Characters:
    """Two read-only tables, indexed by code point."""

    flags: npt.NDArray[np.uint16]
    """WORD, SPACE, …"""
    folded: npt.NDArray[np.uint32]
    """The code point in lower case without diacritics, '0' for a digit, 0 for characters that
    folding removes."""


@functools.cache
def characters() -> Characters:
    """The tables of this Python's Unicode version. They take a tenth of a second, so they are cached."""

    def key() -> str:
        return f"{unicodedata.unidata_version}-{digest(Path(__file__))}"

    def load(path: str) -> Characters:
        return Characters(**map_arrays(path))

    def save(tables: Characters, path: str) -> None:
        save_arrays(path, {"flags": tables.flags, "folded": tables.folded})

    return cached("tamis-characters", key, load, _tables, save)


def _tables() -> Characters:
    flags = np.full(sys.maxunicode + 1, PUNCTUATION, np.uint16)
    folded = np.zeros(sys.maxunicode + 1, np.uint32)
    for block in _ASSIGNED:
        text = "".join(map(chr, block))
        category = np.frombuffer("".join(map(unicodedata.category, text)).encode(), "S2")
        word = _test_each(str.isalnum, text)
        space = _test_each(str.isspace, text)
        mark = category.view("S1")[::2] == b"M"
        punctuation = ~(word | space | mark)
        lower = np.arange(block.start, block.stop, dtype=np.uint32)
        changed = [c for c in text if unicodedata.decomposition(c) or c.lower() != c]
        lower[[ord(c) - block.start for c in changed]] = list(map(_fold, changed))
        lower[category == b"Nd"] = ord("0")
        lower[punctuation | (category == b"Mn")] = 0
        folded[block.start : block.stop] = lower
        flags[block.start : block.stop] = (
            word * WORD
            + space * SPACE
            + _test_each(str.isalpha, text) * LETTER
            + _test_each(str.islower, text) * LOWER
            + punctuation * PUNCTUATION
            + _test_each(str.isdecimal, text) * DIGIT
            + (lower == np.arange(block.start, block.stop)) * PLAIN
            + mark * EXTENDS
            + _test_each(str.isupper, text) * UPPER
        )
    flags[ord("_")] |= WORD
    flags[0] &= ~np.uint16(PLAIN)
    flags[list(map(ord, _JOINERS))] |= EXTENDS
    for script in _UNSPACED:
        script_flags = flags[script.start : script.stop]
        script_flags[(script_flags & (WORD | DIGIT)) == WORD] |= UNSPACED
    for table in (flags, folded):
        table.flags.writeable = False
    return Characters(flags, folded)


def membership(points: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """A boolean table by code point, true for `points`; it ends after the highest of them."""
    table = np.zeros(max(map(ord, points), default=0) + 1, np.bool_)
    table[[ord(point) for point in points]] = True
    return table


def _test_each(test: Any, text: str) -> npt.NDArray[np.bool_]:
    return np.fromiter(map(test, text), np.bool_, len(text))


def _fold(character: str) -> int:
    """Lower case, then NFD without nonspacing marks, then NFC (for Hangul syllables)."""
    base = "".join(c for c in unicodedata.normalize("NFD", character.lower()) if unicodedata.category(c) != "Mn")
    composed = unicodedata.normalize("NFC", base)
    return ord(composed) if len(composed) == 1 else ord(character.lower()[0])


@njit(cache=True, nogil=True, inline="always")
def decode(data: npt.NDArray[np.uint8], i: int) -> tuple[int, int]:
    """The code point at `data[i]` (valid UTF-8) and its bytes. Callable from kernels."""
    a = int(data[i])
    if a < 0x80:
        return a, 1
    if a < 0xE0:
        return (a & 0x1F) << 6 | int(data[i + 1]) & 0x3F, 2
    if a < 0xF0:
        return (a & 0x0F) << 12 | (int(data[i + 1]) & 0x3F) << 6 | int(data[i + 2]) & 0x3F, 3
    return ((a & 0x07) << 18 | (int(data[i + 1]) & 0x3F) << 12 | (int(data[i + 2]) & 0x3F) << 6 | int(data[i + 3]) & 0x3F, 4)


@njit(cache=True, nogil=True, inline="always")
def previous(data: npt.NDArray[np.uint8], i: int) -> int:
    """Where the code point before `data[i]` begins. Callable from kernels."""
    i -= 1
    while data[i] & 0xC0 == 0x80:
        i -= 1
    return i


@njit(cache=True, nogil=True)
def strip(data: npt.NDArray[np.uint8], start: int, stop: int, flags: npt.NDArray[np.uint16]) -> tuple[int, int]:
    """Where `data[start:stop]` begins and ends without white space; `stop` twice if it is blank.
    Callable from kernels."""
    first = int(start)
    while first < stop:
        point, size = decode(data, first)
        if not flags[point] & SPACE:
            break
        first += size
    last = int(stop)
    while last > first:
        i = previous(data, last)
        if not flags[decode(data, i)[0]] & SPACE:
            break
        last = i
    return first, last


@njit(cache=True, nogil=True)
def prefix(
    data: npt.NDArray[np.uint8],
    text_start: npt.NDArray[np.int64],
    text_chars: npt.NDArray[np.int64],
    chars: int,
    flags: npt.NDArray[np.uint16],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Ends of the first `chars` code points of each text, i64[n]; whether any is a letter."""
    n = len(text_chars)
    ends = np.empty(n, np.int64)
    lettered = np.zeros(n, np.bool_)
    for d in range(n):
        i = text_start[d]
        end = text_start[d + 1]
        if text_chars[d] > chars:
            remaining = chars  # code points; the first byte of the next one ends the last
            end = i
            while remaining or data[end] & 0xC0 == 0x80:
                remaining -= data[end] & 0xC0 != 0x80
                end += 1
        ends[d] = end
        while i < end and not lettered[d]:
            point, size = decode(data, i)
            lettered[d] = flags[point] & LETTER != 0
            i += size
    return ends, lettered


@njit(cache=True, nogil=True, inline="always")
def encode(data: npt.NDArray[np.uint8], i: int, point: int) -> int:
    """Writes the UTF-8 of `point` at `data[i]`; returns the next index. Callable from kernels."""
    if point < 0x80:
        data[i] = point
        return i + 1
    if point < 0x800:
        data[i] = 0xC0 | point >> 6
        data[i + 1] = 0x80 | point & 0x3F
        return i + 2
    if point < 0x10000:
        data[i] = 0xE0 | point >> 12
        data[i + 1] = 0x80 | point >> 6 & 0x3F
        data[i + 2] = 0x80 | point & 0x3F
        return i + 3
    data[i] = 0xF0 | point >> 18
    data[i + 1] = 0x80 | point >> 12 & 0x3F
    data[i + 2] = 0x80 | point >> 6 & 0x3F
    data[i + 3] = 0x80 | point & 0x3F
    return i + 4
