"""Copies of benchmark items as they leak into web pages: whole, in part, edited, in other typography.

A mutation is a function of an item, of draws and of a vocabulary, the words that edits put in. It
returns the text to plant, or None if the item has nothing that it changes. Words are separated by white
space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

from tamis.transforms.decontaminate.benchmarks import Item
from tamis.transforms.decontaminate.probe.draws import Draws

Mutation = Callable[[Item, Draws, Sequence[str]], str | None]

DILUTED: Final = "diluted"
"""The mutation that is planted into a sentence of a document, not on lines of its own."""

_PERCENT = (5, 10, 20)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PUNCTUATION = re.compile(r"[;!?\"“”„«»…]|[.,:](?!\w)")
_LONG_WORD = 6  # letters, to be hyphenated
_MARKED = 4  # one word in so many is emphasised


def question_of(item: Item) -> str:
    """The question of an item as one text."""
    return "\n".join(item.question)


def whole(item: Item, choices: Sequence[str], answer: bool = True) -> str:
    """The item as a page shows it: passage, question, lettered choices, answer."""
    lines = [*item.passage, *item.question]
    lines += [f"{_LETTERS[place % 26]}. {choice}" for place, choice in enumerate(choices)]
    lines += [f"Answer: {text}" for text in item.answer] if answer else []
    return "\n".join(lines)


def _verbatim(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    return whole(item, item.choices)


def _question(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    return question_of(item)


def _without_answer(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    return whole(item, item.choices, answer=False) if item.answer else None


def _choices_shuffled(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    if len(set(item.choices)) < 2:
        return None
    choices = draws.shuffled(item.choices)
    while choices == list(item.choices):
        choices = draws.shuffled(item.choices)
    return whole(item, choices)


def _choice_replaced(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """A wrong choice of as many words instead of one."""
    wrong = [place for place, choice in enumerate(item.choices) if choice not in item.answer]
    if len(item.choices) < 2 or not wrong:
        return None
    choices, place = list(item.choices), draws.choice(wrong)
    choices[place] = " ".join(_other(word, draws, vocabulary) for word in choices[place].split() or [""])
    return whole(item, choices)


def _numbers_changed(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """Every number of the question becomes another one of as many digits."""

    def other(match: re.Match[str]) -> str:
        least, most = (10 ** (len(match[0]) - 1), 10 ** len(match[0])) if len(match[0]) > 1 else (1, 10)
        number = least + draws.below(most - least)
        while str(number) == match[0]:
            number = least + draws.below(most - least)
        return str(number)

    changed = re.sub(r"[0-9]+", other, question_of(item))
    return changed if changed != question_of(item) else None


def _substituted(item: Item, draws: Draws, vocabulary: Sequence[str], percent: int) -> str | None:
    return _edited(item, draws, percent, lambda word: _other(word, draws, vocabulary))


def _deleted(item: Item, draws: Draws, vocabulary: Sequence[str], percent: int) -> str | None:
    return _edited(item, draws, percent, lambda word: "") if len(question_of(item).split()) > 1 else None


def _inserted(item: Item, draws: Draws, vocabulary: Sequence[str], percent: int) -> str | None:
    return _edited(item, draws, percent, lambda word: f"{word} {draws.choice(vocabulary)}")


def _edited(item: Item, draws: Draws, percent: int, edit: Callable[[str], str]) -> str | None:
    """The question with so many of its words edited, at least one."""
    pieces = re.split(r"(\s+)", question_of(item))
    words = [place for place, piece in enumerate(pieces) if piece and not piece.isspace()]
    if not words:
        return None
    for place in draws.places(len(words), max(1, round(len(words) * percent / 100))):
        pieces[words[place]] = edit(pieces[words[place]])
    return "".join(pieces)


def _other(word: str, draws: Draws, vocabulary: Sequence[str]) -> str:
    """Another word, so one must be in the vocabulary."""
    other = draws.choice(vocabulary)
    while other.casefold() == word.casefold():
        other = draws.choice(vocabulary)
    return other


def _case(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    text = whole(item, item.choices)
    changed = draws.choice((text.upper(), text.lower()))
    return changed if changed != text else None


def _punctuation(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """Without the marks between words; those within words, numbers and formulas stay."""
    text = whole(item, item.choices)
    changed = _PUNCTUATION.sub("", text)
    return changed if changed != text else None


def _wrapped(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """Lines of a few words, wherever they end."""
    words, width = whole(item, item.choices).split(), 4 + draws.below(9)
    return "\n".join(" ".join(words[first : first + width]) for first in range(0, len(words), width))


def _markup(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """HTML, Markdown, or emphasised words."""
    question, answer = question_of(item), "\n".join(item.answer)
    form = draws.below(3)
    if form == 0:
        choices = "".join(f"<li>{choice}</li>" for choice in item.choices)
        return f"<p><b>{'<br/>'.join(question.splitlines())}</b></p>\n<ul>{choices}</ul>"
    if form == 1:
        return "\n".join([f"**{question}**", "", *(f"* _{choice}_" for choice in item.choices), "", f"**Answer:** {answer}"])
    return re.sub(r"\S+", lambda match: f"<em>{match[0]}</em>" if draws.below(_MARKED) == 0 else match[0], question)


def _soft_hyphens(item: Item, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """One in the middle of every long word."""

    def hyphenated(match: re.Match[str]) -> str:
        middle = len(match[0]) // 2
        return f"{match[0][:middle]}\u00ad{match[0][middle:]}"

    question = question_of(item)
    changed = re.sub(rf"[A-Za-z]{{{_LONG_WORD},}}", hyphenated, question)
    return changed if changed != question else None


MUTATIONS: Final[Mapping[str, Mutation]] = MappingProxyType(
    {
        "verbatim": _verbatim,
        "question": _question,
        "answer-removed": _without_answer,
        "choices-shuffled": _choices_shuffled,
        "choice-replaced": _choice_replaced,
        "case": _case,
        "punctuation": _punctuation,
        "wrapped": _wrapped,
        "markup": _markup,
        "soft-hyphens": _soft_hyphens,
        DILUTED: _question,
        "numbers-changed": _numbers_changed,
        **{f"substituted-{percent}": partial(_substituted, percent=percent) for percent in _PERCENT},
        **{f"deleted-{percent}": partial(_deleted, percent=percent) for percent in _PERCENT},
        **{f"inserted-{percent}": partial(_inserted, percent=percent) for percent in _PERCENT},
    }
)
"""All mutations by name. The number of an edit is the percentage of the question's words that it touches."""


def mutated(item: Item, mutation: str, seed: int, vocabulary: Sequence[str]) -> str | None:
    """The copy of an item by a mutation of `MUTATIONS`: the same for the same seed. `vocabulary` has two
    words at least that differ in more than their capitals."""
    text = MUTATIONS[mutation](item, Draws(seed, item.benchmark, item.id, mutation), vocabulary)
    return text if text is not None and text.strip() and question_of(item).strip() else None


def planted(host: str, text: str, within: bool) -> str:
    """A document with a text on lines of its own in its middle, or within the words of its longest line."""
    lines = host.split("\n")
    if not within:
        middle = len(lines) // 2
        return "\n".join([*lines[:middle], text, *lines[middle:]])
    longest = max(range(len(lines)), key=lambda place: len(lines[place]))
    words = lines[longest].split(" ")
    lines[longest] = " ".join([*words[: len(words) // 2], *text.split(), *words[len(words) // 2 :]])
    return "\n".join(lines)
