"""Judges whether a passage is a rephrased benchmark item: by rule, or by a model behind an endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from tamis.transforms.decontaminate.rephrased.nearest import Near

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_WORD = re.compile(r"[^\W\d_]+")
_IN_SENTENCE = re.compile(r"(?<=[^.?!:\s] )[^\W\d_]{2,}")

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_IN_DIGITS: Final = {
    **{word: str(number) for number, word in enumerate(_UNITS.split()) if word != "one"},  # "one" is rarely a number
    **{word: str(10 * number) for number, word in enumerate(_TENS.split(), 2)},
    "twice": "2",
    "double": "2",
    "doubled": "2",
    "triple": "3",
    "tripled": "3",
    "dozen": "12",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of a passage. A failure is as suspicious as a rephrased item."""

    verdict: Literal["rephrased", "different", "failed"]
    detail: str

    @property
    def suspicious(self) -> bool:
        """Whether the passage may be a rephrased item: whatever was not found to be another."""
        return self.verdict != "different"


class Judge(Protocol):
    """Says whether passages are rephrased items."""

    def judge(self, item: str, near: Near) -> Verdict:
        """The verdict on a passage near an item. Does not raise for what concerns one passage alone."""


@dataclass(frozen=True)
class Rule:
    """Rephrased is what scores at least `score` and keeps the numbers and the names of the item.

    Of GSM8K's rephrasings (Yang et al. 2023, arXiv 2311.04850) 94 % are called so, and 1 % of the other passages
    near an item, which are of web pages and of GSM8K's training split.
    """

    score: float
    numbers: float = 0.66
    """The least share of the distinct numbers of the item that the passage has."""
    names: float = 0.5
    """The least share of its names; None of a passage in another script are looked for."""

    def judge(self, item: str, near: Near) -> Verdict:
        wanted, called = numbers(item), names(item)
        kept = _share(wanted, numbers(near.text))
        said = _share(called, {word.lower() for word in _WORD.findall(near.text)})
        same = near.score >= self.score and kept >= self.numbers and (said >= self.names or _other_script(item, near.text))
        detail = f"{kept:.0%} of {len(wanted)} numbers, {said:.0%} of {len(called)} names"
        return Verdict("rephrased" if same else "different", detail)


def numbers(text: str) -> set[str]:
    """The numbers of a text in digits: 1,000 is 1000, 2.50 is 2.5, and English words up to ninety count."""
    digits = {_plain(number) for number in _NUMBER.findall(text)}
    return digits | {_IN_DIGITS[word] for word in map(str.lower, _WORD.findall(text)) if word in _IN_DIGITS}


def names(text: str) -> set[str]:
    """The capitalised words of a text that begin no sentence, in lower case."""
    return {word.lower() for word in _IN_SENTENCE.findall(text) if word[0].isupper()}


def _plain(digits: str) -> str:
    whole, _, rest = digits.replace(",", "").partition(".")
    rest = rest.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{rest}" if rest else "")


def _share(wanted: set[str], found: set[str]) -> float:
    return len(wanted & found) / len(wanted) if wanted else 1.0


def _other_script(item: str, passage: str) -> bool:
    """Whether most letters of one text are ASCII, and of the other are not."""
    shares = []
    for text in (item, passage):
        letters = "".join(_WORD.findall(text))
        shares.append(sum(map(str.isascii, letters)) / max(1, len(letters)))
    return (shares[0] > 0.5) != (shares[1] > 0.5)
