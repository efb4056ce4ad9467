"""Judges by rule whether a passage is a rephrased benchmark item: numbers and names are kept, and words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NAME = re.compile(r"(?<![.?!:]\s)(?<!^)\b[A-Z][^\W\d_]+", re.MULTILINE)

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS: Final = {
    **{word: str(number) for number, word in enumerate(_UNITS.split())},
    **{word: str(10 * number) for number, word in enumerate(_TENS.split(), 2)},
    **{"twice": "2", "double": "2", "doubled": "2", "triple": "3", "tripled": "3", "thrice": "3", "dozen": "12"},
}


def numbers(text: str) -> set[str]:
    """The numbers of a text, in digits: 1,000 is 1000, 2.50 is 2.5, twenty is 20."""
    digits = {_plain(match[0]) for match in _NUMBER.finditer(text)}
    return digits | {WORDS[word] for match in _WORD.finditer(text) if (word := match[0].lower()) in WORDS and word != "one"}


def _plain(digits: str) -> str:
    whole, point, rest = digits.replace(",", "").partition(".")
    rest = rest.rstrip("0")
    return (whole.lstrip("0") or "0") + (point + rest if rest else "")


def names(text: str) -> set[str]:
    return {match[0].lower() for match in _NAME.finditer(text)}

def content(text):
    return {m[0].lower() for m in _WORD.finditer(text) if len(m[0])>3}
