"""Negatives are like items and are none: each kind has what its name says and too little of every item."""

from __future__ import annotations

from collections import Counter

from tamis.transforms.decontaminate.benchmarks import Item
from tamis.transforms.decontaminate.probe.containment import Containment
from tamis.transforms.decontaminate.probe.draws import Draws
from tamis.transforms.decontaminate.probe.mutations import question_of
from tamis.transforms.decontaminate.probe.negatives import NEGATIVES, Family, negative
from tamis.transforms.text.words import DEFAULT_WORDS

VOCABULARY = ["river", "stone", "light", "house"]
THINGS = ("rye rolls", "tin whistles", "glass floats", "wool caps", "oak spoons", "cedar boxes", "brass bells", "silk kites")
PLACES = ("harbour", "abbey", "station", "orchard", "lighthouse", "fairground", "quarry", "museum")
ITEMS = [
    Item(
        "b",
        str(place),
        (f"Read the text with care. A trader makes {place + 2} {thing} each morning and sells them at the {where}.",),
        choices=(f"all {thing}", f"only the {where}"),
    )
    for place, (thing, where) in enumerate((thing, where) for thing in THINGS for where in PLACES)
]
READING = [
    Item("r", str(place), (f"Which of the {word} sank?",), (f"The {word} left at dawn. It sank there. Nobody saw it.",))
    for place, word in enumerate(["barge", "yawl", "ketch"])
]
FAMILY = Family(ITEMS)


def of(kind: str, place: int, seed: int = 0, family: Family = FAMILY) -> str:
    text = negative(family, place, kind, seed, VOCABULARY)
    assert text is not None
    return text


def test_a_topic_has_the_words_of_the_question_and_not_their_order() -> None:
    family = Family([*ITEMS, Item("b", "x", ("Who tunes carillon chimes in Mechelen today?",))])
    words = of("topic", len(ITEMS), family=family).split()
    assert Counter(words[::3]) == Counter(["Who", "tunes", "carillon", "in", "Mechelen", "today?", "chimes"])
    assert {*words[1::3], *words[2::3]} <= {*VOCABULARY}


def test_a_recombined_question_has_at_most_half_of_each() -> None:
    for place in range(0, len(ITEMS), 7):
        pieces = of("recombined", place).split("\n")
        assert 2 <= len(pieces) <= 4
        halves = [next(item for item in ITEMS if piece in question_of(item)) for piece in pieces]
        assert all(len(piece.split()) <= len(question_of(item).split()) / 2 for piece, item in zip(pieces, halves, strict=True))


def test_a_template_keeps_what_many_questions_have() -> None:
    words, old = of("template", 5).split("\n")[0].split(), question_of(ITEMS[5]).split()
    assert len(words) == len(old)
    kept = [word for word, before in zip(words, old, strict=True) if word == before]
    assert {"Read", "trader", "makes", "each", "morning"} <= {*kept}
    assert {word for word in words if word not in old} <= {*VOCABULARY}
    assert "7" not in words


def test_a_quote_is_a_sentence_of_the_passage_or_a_quarter_of_the_question() -> None:
    assert of("quote", 0, family=Family(READING)) in {"The barge left at dawn.", "It sank there.", "Nobody saw it."}
    assert of("quote", 3) in question_of(ITEMS[3])
    assert len(of("quote", 3).split()) == len(question_of(ITEMS[3]).split()) // 4


def test_boilerplate_is_what_several_items_have() -> None:
    assert of("boilerplate", 0) == "Read the text with care."
    assert negative(Family(READING), 0, "boilerplate", 0, VOCABULARY) is None  # three words are no sentence


def test_the_seed_decides() -> None:
    for kind in ("topic", "recombined", "template", "quote"):
        family = FAMILY if kind != "topic" else Family([*ITEMS, Item("b", "x", ("Who tunes carillon chimes in Mechelen?",))])
        texts = [
            [negative(family, place, kind, seed, VOCABULARY) for place in (0, len(family.items) - 1)] for seed in (1, 1, 2)
        ]
        assert texts[0] == texts[1] != texts[2], kind


def test_most_negatives_of_a_benchmark_have_no_item() -> None:
    """Otherwise the rule would leave nothing; those that have one are what it is for."""
    words = [
        first + second for first in ("ba", "de", "fi", "go", "lu", "ma", "ne", "pi") for second in ("rt", "sk", "lm", "nd", "x")
    ]
    draws = Draws("words")
    items = [Item("w", str(place), (" ".join(draws.choice(words) for _ in range(16)),)) for place in range(60)]
    containment = Containment(items, DEFAULT_WORDS)
    quotes = [of("quote", place, family=Family(items)) for place in range(60)]
    recombined = [of("recombined", place, family=Family(items)) for place in range(60)]
    assert containment.holds(quotes).mean() == 0
    assert containment.holds(recombined).mean() <= 0.1
    assert containment.holds([question_of(item) for item in items]).all()


def test_odd_items_have_none_or_one() -> None:
    for question in ("", " ", "why", "x" * 1_000_000, "誰が鐘を鳴らすのか", "?"):
        family = Family([Item("b", "0", (question,)), Item("b", "1", ())])
        for kind in NEGATIVES:
            assert negative(family, 0, kind, 0, VOCABULARY) is None, (kind, question[:9])
