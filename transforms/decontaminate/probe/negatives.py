"""Texts that look like benchmark items and are none, made of the items themselves: a matcher must not flag them.

A kind of negative is a function of the items of a benchmark, of one of them, of draws and of a vocabulary,
as mutations are. By chance it may have too much of an item after all; `containment` says of which texts
this is true, and these must not be used.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Final

from tamis.transforms.decontaminate.benchmarks import Item
from tamis.transforms.decontaminate.probe.draws import Draws
from tamis.transforms.decontaminate.probe.mutations import question_of, whole

QUOTED: Final = "quote"
"""The kind that is planted into a sentence of a document, not on lines of its own."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")
_EDGES = re.compile(r"^\W+|\W+$")
_COMMON_SHARE = 0.01  # of the items: a word that more have is of the template
_COMMON_ITEMS = 3
_PIECES = 4  # of a recombined question
_BETWEEN = 2  # words of the vocabulary after each of a topic
_LEAST_WORDS = 4  # of a quote, and of a sentence that items share
_MOST_SHARED = 5  # sentences


class Family:
    """The items of one benchmark, by their words and sentences."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items

    @cached_property
    def with_word(self) -> Mapping[str, Sequence[int]]:
        """The items whose question has a word, ascending."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for place, item in enumerate(self.items):
            for word in dict.fromkeys(map(_folded, question_of(item).split())):
                found[word].append(place)
        return found

    def common(self, word: str) -> bool:
        """Whether a word is of the template: many questions have it."""
        return len(self.with_word.get(_folded(word), ())) >= max(_COMMON_ITEMS, _COMMON_SHARE * len(self.items))

    @cached_property
    def shared(self) -> Sequence[str]:
        """Sentences of any part that several items have, by first occurrence."""
        count: defaultdict[str, int] = defaultdict(int)
        for item in self.items:
            for sentence in dict.fromkeys(sentence for _, text in item.texts() for sentence in _sentences(text)):
                count[sentence] += 1
        return [
            sentence for sentence, items in count.items() if items >= _COMMON_ITEMS and len(sentence.split()) >= _LEAST_WORDS
        ]


Negative = Callable[[Family, int, Draws, Sequence[str]], str | None]


def _topic(family: Family, place: int, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """The words that tell the question from others, in another order, with other words between them."""
    words = dict.fromkeys(word for word in question_of(family.items[place]).split() if not family.common(word))
    if len(words) < _COMMON_ITEMS:
        return None
    return " ".join(
        " ".join([word, *(draws.choice(vocabulary) for _ in range(_BETWEEN))]) for word in draws.shuffled(list(words))
    )


def _recombined(family: Family, place: int, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """Pieces of the question and of those that share its rarest words: at most half of each."""
    pieces = [_piece(question_of(family.items[one]), draws) for one in (place, *_related(family, place))]
    return "\n".join(draws.shuffled(pieces)) if len(pieces) > 1 else None


def _template(family: Family, place: int, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """The words that many questions have, where they stand, with other words for all others and for the choices."""
    item = family.items[place]
    kept = [family.common(word) for word in question_of(item).split()]
    if all(kept) or not any(kept):
        return None
    question = re.sub(r"\S+", lambda word: word[0] if family.common(word[0]) else draws.choice(vocabulary), question_of(item))
    choices = [" ".join(draws.choice(vocabulary) for _ in choice.split()) for choice in item.choices]
    return whole(Item(item.benchmark, item.id, (question,)), choices)


def _quote(family: Family, place: int, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """A sentence of the passage, or a quarter of the question."""
    item = family.items[place]
    if item.passage:
        sentences = [sentence for text in item.passage for sentence in _sentences(text)]
        return draws.choice(sentences) if len(sentences) > 1 else None
    words = question_of(item).split()
    if len(words) < 4 * _LEAST_WORDS:
        return None
    first = draws.below(len(words) - len(words) // 4 + 1)
    return " ".join(words[first : first + len(words) // 4])


def _boilerplate(family: Family, place: int, draws: Draws, vocabulary: Sequence[str]) -> str | None:
    """Sentences that several items have: instructions, imports, notes of rights."""
    if not family.shared:
        return None
    return "\n".join(draws.shuffled(family.shared)[:_MOST_SHARED])


def _related(family: Family, place: int) -> Iterator[int]:
    """Items that share the rarest words of one: of each word the next item that has it."""
    rare = [family.with_word[word] for word in dict.fromkeys(map(_folded, question_of(family.items[place]).split()))]
    found = {place}
    for others in sorted((items for items in rare if len(items) > 1), key=len):
        other = next((one for one in (*others[others.index(place) + 1 :], *others) if one not in found), None)
        if other is not None:
            found.add(other)
            yield other
        if len(found) == _PIECES:
            return


def _piece(text: str, draws: Draws) -> str:
    """The first or the second half of a text's words."""
    words = text.split()
    return " ".join(words[: len(words) // 2] if draws.below(2) else words[(len(words) + 1) // 2 :])


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in map(str.strip, _SENTENCE_END.split(text)) if sentence]


def _folded(word: str) -> str:
    return _EDGES.sub("", word).casefold()


NEGATIVES: Final[Mapping[str, Negative]] = MappingProxyType(
    {"topic": _topic, "recombined": _recombined, "template": _template, QUOTED: _quote, "boilerplate": _boilerplate}
)
"""All kinds by name."""


def negative(family: Family, place: int, kind: str, seed: int, vocabulary: Sequence[str]) -> str | None:
    """A text of a kind of `NEGATIVES` that is made of an item, the same for the same seed; or None if there is
    nothing to make it of. `vocabulary` is not empty."""
    item = family.items[place]
    text = NEGATIVES[kind](family, place, Draws(seed, item.benchmark, item.id, kind), vocabulary)
    return text if text is not None and text.strip() else None
