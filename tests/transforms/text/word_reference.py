"""The words of a text from their description: a regular expression on Python's Unicode, that the kernels must equal."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import cache

import numpy as np

from tamis.transforms.text.words import DEFAULT, Words

EVERY = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
SCRIPTS = ("CJK", "IDEOGRAPHIC ITERATION", "IDEOGRAPHIC CLOSING", "IDEOGRAPHIC NUMBER", "VERTICAL IDEOGRAPHIC", "HANGZHOU")
SCRIPTS += ("HIRAGANA", "KATAKANA", "HENTAIGANA", "HALFWIDTH KATAKANA", "VERTICAL KANA", "MASU")
SCRIPTS += ("THAI ", "LAO ", "KHMER", "MYANMAR", "TAI ", "NEW TAI LUE")


def ranges(characters: Iterable[str]) -> str:
    """For a class of a regular expression, which is slow over long lists."""
    points = np.array(sorted(map(ord, characters)))
    breaks = np.flatnonzero(np.diff(points, prepend=-2) != 1)
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in np.split(points, breaks[1:]))


MARKS = ranges(c for c in EVERY if unicodedata.category(c)[0] == "M" or c in "\u200c\u200d")


@cache
def pattern(words: Words) -> re.Pattern[str]:
    """The words of a text, from their description."""
    letters = (c for c in EVERY if c.isalnum() and not c.isdecimal() and unicodedata.name(c, "").startswith(SCRIPTS))
    apart = "" if words.unspaced == "clause" else ranges(letters)
    alone = f"(?P<apart>(?:[{apart}][{MARKS}]*){'+' if words.unspaced == 'icu' else ''})|" if apart else ""
    if words.definition == "whitespace":
        return re.compile(rf"{alone}[^\s{apart}]+")
    run = rf"[^\W{apart}](?:[^\W{apart}]|[{MARKS}])*"
    return re.compile(rf"{alone}{run}(?:(?:[./@:]|(?<=[0-9]),(?=[0-9])){run})*|['’]{run}|\.\.\.|[^\w\s]")


def words_of(text: str, words: Words = DEFAULT) -> list[str]:
    """The matches, one by one; of a run that ICU cuts, its pieces."""
    if words.unspaced == "icu":
        from icu4py.breakers import WordBreaker

    found: list[str] = []
    for match in pattern(words).finditer(text):
        if words.unspaced == "icu" and match["apart"]:
            for piece in WordBreaker(match.group(), "und"):
                if re.match(f"[{MARKS}]", piece):
                    found[-1] += piece
                else:
                    found.append(piece)
        else:
            found.append(match.group())
    return found
