"""Finds, in one pass over the bytes, the lines that a rule of `repair` could change."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.core.arrays import Ints
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.blocks import SIZE, masks
from tamis.transforms.text.characters import decode
from tamis.transforms.text.hashing import text_buffer, trailing_zeros

PLAIN = r"\x00-\xa8\xaa-\xad\xaf-\u024f\u1e00-\u1eff"
"""Characters beside which a joiner does nothing: ASCII and the Latin blocks, but not © and ®, which are emoji."""

BREAKABLE = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
"""Thai, Lao, Khmer, Burmese and their relatives: a zero-width space beside them separates words (Unicode 16, section 23.2)."""

_SUSPECT = 1
"""Is reason enough to look at its line."""
_JOINER = 2
"""U+200C or U+200D, which are suspect beside PLAIN characters."""
_SPACE = 4
"""U+200B, which is suspect unless a BREAKABLE character is beside it."""
_PLAIN = 8
_BREAKABLE = 16
_SEPARATOR = 32
"""U+2028 and U+2029, which end a line."""

_BMP = 0x10000
"""Characters of mojibake are below; the last entry of a table of this size stands for all others."""

_notable = masks(((0x00, 0x09, 0), (0x0B, 0x15, 0), (0x26, 1, 0), (0x7F, 0x81, 0)))
"""A mask of controls other than tab and newline, `&`, and bytes of characters that are not ASCII."""


class Signs(NamedTuple):
    """What makes a line suspect, by code point."""

    flags: npt.NDArray[np.uint8]
    combining: npt.NDArray[np.uint8]
    """The canonical combining class; all 0 unless the normal form matters."""
    left: npt.NDArray[np.uint32]
    right: npt.NDArray[np.uint32]
    """Two neighbours are suspect if these two have a bit in common."""
    entities: bool
    line_ends: bool


@functools.cache
def signs(rules: frozenset[str]) -> Signs:
    """The signs for these rules (names of `RULES`), built once in a process in 0.2 s."""
    flags = np.zeros(sys.maxunicode + 1, np.uint8)
    combining = np.zeros_like(flags)
    left, right = np.zeros(_BMP, np.uint32), np.zeros(_BMP, np.uint32)
    everything = "".join(map(chr, range(_BMP)))

    def mark(flag: int, characters: str) -> None:
        flags[_points(characters)] |= flag

    mark(_PLAIN, "".join(re.findall(f"[{PLAIN}]", everything)))
    mark(_BREAKABLE, "".join(re.findall(f"[{BREAKABLE}]", everything)))
    if "controls" in rules:
        mark(_SUSPECT, "".join(re.findall(r"[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufff9-\ufffc]", everything)))
    if "zero_width" in rules:
        mark(_SUSPECT, "\u2060\ufeff")
        mark(_SPACE, "\u200b")
        mark(_JOINER, "\u200c\u200d")
    if "soft_hyphens" in rules:
        mark(_SUSPECT, "\xad")
    if "line_ends" in rules:
        mark(_SUSPECT, "\x85")
        mark(_SEPARATOR, "\u2028\u2029")
    if "normal_form" in rules:
        mark(_SUSPECT, _may_compose())
        marks = [chr(point) for point in range(sys.maxunicode + 1) if unicodedata.combining(chr(point))]
        combining[_points("".join(marks))] = list(map(unicodedata.combining, marks))
    if "mojibake" in rules:
        mark(_SUSPECT, "".join(map(chr, range(0x80, 0xA0))))
        for bit, (before, after) in enumerate(_odd_pairs()):
            left[_points("".join(re.findall(f"[{before}]", everything)))] |= np.uint32(1 << bit)
            right[_points("".join(re.findall(f"[{after}]", everything)))] |= np.uint32(1 << bit)
    right[ord("\n")] = 0
    tables = (flags, combining, left, right)
    for table in tables:
        table.flags.writeable = False
    return Signs(*tables, "entities" in rules, "line_ends" in rules)


def _points(characters: str) -> list[int]:
    return list(map(ord, characters))


def _may_compose() -> str:
    """The characters for which the quick check of NFC says No or Maybe (Unicode Standard Annex 15, section 9)."""
    found = {chr(point) for start, count in ((0x1161, 21), (0x11A8, 27)) for point in range(start, start + count)}  # Hangul
    for character in map(chr, range(sys.maxunicode + 1)):
        pair = unicodedata.decomposition(character)
        if pair and pair[0] != "<":
            if not unicodedata.is_normalized("NFC", character):
                found.add(character)
            elif " " in pair:
                found.add(chr(int(pair.split()[1], 16)))
    return "".join(sorted(found))


def _odd_pairs() -> tuple[tuple[str, str], ...]:
    """Two sets of characters, as in a regular expression, for each of the patterns by which ftfy 6.3
    knows mojibake (`BADNESS_RE`): in what the pattern matches, one of the second stands after one of
    the first. Patterns of one character (C1 controls) are not here."""
    from ftfy.badness import MOJIBAKE_CATEGORIES

    bad, law, currency, numeric, kaomoji, box, common, start, end, upper, lower, upper_common, lower_common = (
        MOJIBAKE_CATEGORIES[name]
        for name in (
            *("bad", "law", "currency", "numeric", "kaomoji", "box", "common", "start_punctuation", "end_punctuation"),
            *("upper_accented", "lower_accented", "upper_common", "lower_common"),
        )
    )
    accented = lower + upper
    return (
        (bad + accented + box + start + end + currency + numeric + law + lower_common + upper_common, bad),
        (bad, accented + box + start + end + currency + numeric + law),
        (lower + lower_common + box + end + currency + numeric, upper),
        (box + end + currency + numeric, lower),
        (lower + box + end + upper, currency),
        (upper + box, numeric + law),
        (start, numeric),
        (end + currency + numeric + box, start),
        (upper, start),
        (box, kaomoji + end),
        (accented + currency + numeric + start + end + law, box),
        (accented, start + end),
        ("Œœ", "^A-Za-z"),
        (upper, "°"),
        ("ÂÃÎÐ", f" €œŠš¢£Ÿž\xa0\xad®©°·»–—´¡{start}{end}"),
        ("×", "²³"),
        ("ØÙ", f"{common}{currency}{bad}{numeric}{start}ŸŠ®°µ»"),
        ("à", "²µ¹¼½¾"),
        ("√", "±∂†≠®™´≤≥¥µø"),
        ("≈", "°¢"),
        ("‚", "Äâó"),
        ("в", "Ђ"),
        ("ВГРС", f"\x80-\x9f{bad}{start}{end}{currency}°µ"),
        ("Г", "ў"),
        ("β", "€"),
        ("ΒΓΞΟ", f"\x80-\x9f{bad}{start}{end}{currency}°"),
        ("ā", "€"),
    )


@njit(cache=True, nogil=True)
def _entity(data, i, end):  # type: ignore[no-untyped-def]
    """Whether `&#?[0-9A-Za-z]{1,24};` matches at `i`."""
    i += 1
    if i < end and data[i] == 0x23:
        i += 1
    first = i
    while i < end and i - first <= 24:
        byte = data[i]
        if byte == 0x3B:
            return i > first
        if not (0x30 <= byte <= 0x39 or 0x41 <= byte & 0xDF <= 0x5A):
            return False
        i += 1
    return False


@njit(cache=True, nogil=True)
def _begins(data, i, first, line_ends):  # type: ignore[no-untyped-def]
    """Whether a line begins at `i`, inside a text that begins at `first`."""
    if i == first or data[i - 1] == 0x0A or (line_ends and data[i - 1] == 0x0D):
        return True
    return line_ends and i - first >= 3 and data[i - 3] == 0xE2 and data[i - 2] == 0x80 and data[i - 1] & 0xFE == 0xA8


@njit(cache=True, nogil=True)
def _ends(data, i, line_ends):  # type: ignore[no-untyped-def]
    """Whether a line ends before `i`."""
    if data[i] == 0x0A or (line_ends and data[i] == 0x0D):
        return True
    return line_ends and data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] & 0xFE == 0xA8


@njit(cache=True, nogil=True)
def _suspicious(point, before, after, signs):  # type: ignore[no-untyped-def]
    """Whether a character is a reason to look at its line. Beside it are the code points `before` and
    `after`, newlines if nothing is."""
    flag = signs.flags[point]
    if flag & _SUSPECT:
        return True
    if flag & _JOINER:
        return signs.flags[before] & _PLAIN != 0
    if flag & _SPACE:
        return (signs.flags[before] | signs.flags[after]) & _BREAKABLE == 0
    return signs.left[min(point, _BMP - 1)] & signs.right[min(after, _BMP - 1)] != 0


@njit(cache=True, nogil=True)
def _find(data: npt.NDArray[np.uint8], text_start: Ints, signs: Signs) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints]:
    line_of, line_start, line_stop = [0], [0], [0]
    end_of, end_start, end_stop = [0], [0], [0]
    for d in range(len(text_start) - 1):
        first, end = text_start[d], text_start[d + 1]
        i = last = first  # `last`: after the last character that was looked at and is not ASCII
        before, combining = 0x0A, 0
        while i < end:
            if data[i] < 0x80 and i + SIZE <= end:
                (notable,) = _notable(data, i)
                if notable == 0:
                    i += SIZE
                    continue
                i += int(trailing_zeros(notable))
            point, size = decode(data, i)
            suspicious = False
            if point < 0x80:
                if point == 0x0D and signs.line_ends:
                    end_of.append(d)
                    end_start.append(i)
                    end_stop.append(i + 1)
                elif point == 0x26:
                    suspicious = signs.entities and _entity(data, i, end)
                else:
                    suspicious = signs.flags[point] & _SUSPECT != 0
            else:
                if i != last:
                    before, combining = int(data[i - 1]), 0
                after = decode(data, i + size)[0] if i + size < end else 0x0A
                if signs.flags[point] & _SEPARATOR:
                    end_of.append(d)
                    end_start.append(i)
                    end_stop.append(i + size)
                    point = 0x0A
                else:
                    ordered = signs.combining[point] == 0 or signs.combining[point] >= combining
                    suspicious = not ordered or _suspicious(point, before, after, signs)
                before, combining = point, int(signs.combining[point])
                last = i + size
            if suspicious:
                line = i
                while not _begins(data, line, first, signs.line_ends):
                    line -= 1
                while i < end and not _ends(data, i, signs.line_ends):
                    i += 1
                line_of.append(d)
                line_start.append(line)
                line_stop.append(i)
                last = -1
            else:
                i += size
    return (
        np.array(line_of[1:]),
        np.array(line_start[1:]),
        np.array(line_stop[1:]),
        np.array(end_of[1:]),
        np.array(end_start[1:]),
        np.array(end_stop[1:]),
    )


class Found(NamedTuple):
    """What `find` finds in a batch of texts, in their order."""

    document: Ints
    """The text of each suspicious line."""
    start: Ints
    """The first byte of the line in the data."""
    stop: Ints
    """The byte after its last, without what ends it."""
    end_document: Ints
    """The text of each line end that is not a newline alone; none unless `line_ends` is a rule."""
    end_start: Ints
    end_stop: Ints
    """The bytes to be replaced, which are a carriage return or a separator."""


def find(data: npt.NDArray[np.uint8], text_start: Ints, rules: frozenset[str]) -> Found:
    """The lines that these rules (names of `RULES`) could change, and the line ends to replace.

    Lines end at newlines; if `line_ends` is a rule, at carriage returns and separators (U+2028,
    U+2029) as well. Each line that is not found stays as it is.
    """
    return Found(*_find(data, text_start, signs(rules)))


_MOJIBAKE = frozenset({"mojibake"})


def may_be_mojibake(text: str) -> bool:
    """Whether ftfy could take a text for mojibake."""
    data, text_start = text_buffer(pa.array([text], pa.large_string()))
    return len(find(data, text_start, _MOJIBAKE).document) > 0
