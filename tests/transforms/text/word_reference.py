"""The words of a text by a regular expression, which the kernels must equal."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import cache

import numpy as np

from tamis.transforms.text.words import DEFAULT_WORDS, Words

EVERY = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
SCRIPTS = ("CJK", "IDEOGRAPHIC ITERATION", "IDEOGRAPHIC CLOSING", "IDEOGRAPHIC NUMBER", "VERTICAL IDEOGRAPHIC", "HANGZHOU")
SCRIPTS += ("HIRAGANA", "KATAKANA", "HENTAIGANA", "HALFWIDTH KATAKANA", "VERTICAL KANA", "MASU")
SCRIPTS += ("THAI ", "LAO ", "KHMER", "MYANMAR", "TAI ", "NEW TAI LUE")


def ranges(characters: Iterable[str]) -> str:
    """Ranges for a class of a regular expression, because long lists are slow."""
    points = np.array(sorted(map(ord, characters)))
    breaks = np.flatnonzero(np.diff(points, prepend=-2) != 1)
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in np.split(points, breaks[1:]))


MARKS = ranges(c for c in EVERY if unicodedata.category(c)[0] == "M" or c in "\u200c\u200d")


@cache
def pattern(words: Words) -> re.Pattern[str]:
    """The regular expression of a definition of words."""
    letters = (c for c in EVERY if c.isalnum() and not c.isdecimal() and unicodedata.name(c, "").startswith(SCRIPTS))
    unspaced = "" if words.unspaced == "clause" else ranges(letters)
    unspaced_run = f"(?P<unspaced>(?:[{unspaced}][{MARKS}]*){'+' if words.unspaced == 'icu' else ''})|" if unspaced else ""
    if words.definition == "whitespace":
        return re.compile(rf"{unspaced_run}[^\s{unspaced}]+")
    run = rf"[^\W{unspaced}](?:[^\W{unspaced}]|[{MARKS}])*"
    return re.compile(rf"{unspaced_run}{run}(?:(?:[./@:]|(?<=[0-9]),(?=[0-9])){run})*|['’]{run}|\.\.\.|[^\w\s]")


def words_of(text: str, words: Words = DEFAULT_WORDS) -> list[str]:
    """All matches; ICU cuts runs of unspaced letters further."""
    if words.unspaced == "icu":
        from icu4py.breakers import WordBreaker

    result: list[str] = []
    for match in pattern(words).finditer(text):
        if words.unspaced == "icu" and match["unspaced"]:
            for piece in WordBreaker(match.group(), "und"):
                if re.match(f"[{MARKS}]", piece):
                    result[-1] += piece
                else:
                    result.append(piece)
        else:
            result.append(match.group())
    return result
