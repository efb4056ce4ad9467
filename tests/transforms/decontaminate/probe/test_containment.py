"""A text has an item if it has half of its sequences of three words, as a slow reference counts them."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.decontaminate.benchmarks import Item
from tamis.transforms.decontaminate.probe.containment import Containment
from tamis.transforms.text.words import DEFAULT_WORDS

TEXTS = st.text("abcd", max_size=12).map(" ".join)
ITEMS = st.lists(st.tuples(TEXTS, st.lists(TEXTS, max_size=2)), min_size=1, max_size=6)


def sequences(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return set(zip(words, words[1:], words[2:], strict=False))


@given(ITEMS, st.lists(TEXTS, min_size=1, max_size=4))
def test_the_rule(parts: list[tuple[str, list[str]]], texts: list[str]) -> None:
    items = [Item("b", str(place), (question,), choices=tuple(choices)) for place, (question, choices) in enumerate(parts)]
    of_items = [set().union(sequences(question), *map(sequences, choices)) for question, choices in parts]
    anywhere = Counter(sequence for found in of_items for sequence in found)

    def has(text: str) -> bool:
        for (question, _), either in zip(parts, of_items, strict=True):
            own = {sequence for sequence in sequences(question) if anywhere[sequence] <= 2}
            for wanted in (either, own):
                if wanted and len(wanted & sequences(text)) >= 0.5 * len(wanted):
                    return True
        return False

    assert Containment(items, DEFAULT_WORDS).holds(texts).tolist() == [has(text) for text in texts]


def test_typography_numbers_and_blanks() -> None:
    items = [Item("b", "0", ("Anna buys 12 brass kettles for 3 dollars each at Mill Road.",)), Item("b", "1", ("dresser",))]
    texts = [
        "",
        " \n",
        "dresser",
        "ANNA BUYS 7 BRASS KETT\u00adLES\nfor 99 dollars!",
        "brass kettles for Anna",
        "七つの真鍮のやかん",
    ]
    assert Containment(items, DEFAULT_WORDS).holds(texts).tolist() == [False, False, False, True, False, False]
    assert Containment([], DEFAULT_WORDS).holds(texts).tolist() == [False] * len(texts)
    assert Containment(items, DEFAULT_WORDS).holds([]).tolist() == []
