"""A mutation changes what it says and nothing else, and is the same for the same seed."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.decontaminate.benchmarks import Item
from tamis.transforms.decontaminate.probe.draws import Draws
from tamis.transforms.decontaminate.probe.mutations import DILUTED, MUTATIONS, mutated, planted, question_of, whole

VOCABULARY = ["river", "stone", "light", "house", "River"]
ITEM = Item(
    "b",
    "7",
    question=(
        "A baker makes 12 trays of rye rolls every morning, and sells each roll for 3.50 dollars at the harbour market.",
        "How much does she earn?",
    ),
    passage=("The harbour opens at 6.",),
    choices=("42 dollars", "17 dollars", "no more than before"),
    answer=("17 dollars",),
)
BARE = Item("b", "8", question=("why?",))


def of(mutation: str, item: Item = ITEM, seed: int = 0) -> str:
    text = mutated(item, mutation, seed, VOCABULARY)
    assert text is not None
    return text


def test_parts_of_an_item() -> None:
    assert of("question") == of(DILUTED) == "\n".join(ITEM.question)
    assert of("verbatim") == "\n".join(
        [*ITEM.passage, *ITEM.question, "A. 42 dollars", "B. 17 dollars", "C. no more than before", "Answer: 17 dollars"]
    )
    assert of("answer-removed") == of("verbatim").removesuffix("\nAnswer: 17 dollars")


def test_choices_are_shuffled_or_one_wrong_one_is_replaced() -> None:
    def choices(text: str) -> list[str]:
        return re.findall(r"^[A-C]\. (.*)$", text, re.MULTILINE)

    for seed in range(20):
        shuffled, replaced = (choices(of(name, seed=seed)) for name in ("choices-shuffled", "choice-replaced"))
        assert sorted(shuffled) == sorted(ITEM.choices)
        assert shuffled != list(ITEM.choices)
        different = [(old, new) for old, new in zip(ITEM.choices, replaced, strict=True) if old != new]
        assert len(different) == 1
        assert different[0][0] != "17 dollars"
        assert len(different[0][0].split()) == len(different[0][1].split())


def test_numbers_change_and_words_do_not() -> None:
    for seed in range(20):
        changed = of("numbers-changed", seed=seed)
        assert re.sub(r"[0-9]", "0", changed) == re.sub(r"[0-9]", "0", question_of(ITEM))
        old, new = (re.findall(r"[0-9]+", text) for text in (question_of(ITEM), changed))
        assert all(before != after for before, after in zip(old, new, strict=True))


QUESTIONS = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=2, max_size=60)


@given(QUESTIONS, st.sampled_from([5, 10, 20]), st.integers(0, 2**63))
def test_edits_touch_as_many_words_as_they_say(words: list[str], percent: int, seed: int) -> None:
    item = Item("b", "1", question=(" ".join(words),))
    edits = max(1, round(len(words) * percent / 100))
    substituted = of(f"substituted-{percent}", item, seed).split()
    assert sum(old != new for old, new in zip(words, substituted, strict=True)) == edits
    deleted = of(f"deleted-{percent}", item, seed).split()
    assert len(deleted) == len(words) - edits
    assert not Counter(deleted) - Counter(words)
    inserted = of(f"inserted-{percent}", item, seed).split()
    assert [word for word in inserted if word not in VOCABULARY] == words
    assert len(inserted) == len(words) + edits


def test_typography_keeps_every_letter_and_digit() -> None:
    full = re.sub(r"\W", "", whole(ITEM, ITEM.choices))
    for seed in range(12):
        assert re.sub(r"\W", "", of("case", seed=seed)).lower() == full.lower()
        assert of("case", seed=seed) in (whole(ITEM, ITEM.choices).upper(), whole(ITEM, ITEM.choices).lower())
        assert of("wrapped", seed=seed).split() == whole(ITEM, ITEM.choices).split()
        assert all(len(line.split()) <= 12 for line in of("wrapped", seed=seed).split("\n"))
        plain = re.sub(r"<[^>]*>|[*_]", " ", of("markup", seed=seed))
        assert " ".join(plain.split()).startswith(" ".join(question_of(ITEM).split()))
    assert of("soft-hyphens").replace("\u00ad", "") == question_of(ITEM)
    assert "mor\u00adning" in of("soft-hyphens")
    assert re.sub(r"\W", "", of("punctuation")) == full
    assert "3.50 dollars at the harbour market\nHow much does she earn\n" in of("punctuation")


def test_an_item_without_what_a_mutation_changes_has_none() -> None:
    nothing = [name for name in MUTATIONS if mutated(BARE, name, 0, VOCABULARY) is None]
    deletions = ["deleted-5", "deleted-10", "deleted-20"]
    parts = ["answer-removed", "choices-shuffled", "choice-replaced"]
    assert nothing == [*parts, "soft-hyphens", "numbers-changed", *deletions]
    assert all(
        mutated(Item("b", "9", question=("",), passage=("a passage",)), name, 0, VOCABULARY) is None for name in MUTATIONS
    )


def test_a_seed_decides() -> None:
    def texts(seed: int, item: Item = ITEM) -> list[str]:
        return [of(name, item, seed) for name in MUTATIONS]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_draws_are_even_and_the_same_on_every_machine() -> None:
    draws = Draws("a", 1)
    assert [draws.below(1000) for _ in range(4)] == [70, 94, 623, 420]
    counts = Counter(draws.below(5) for _ in range(5000))
    assert all(abs(counts[number] - 1000) < 150 for number in range(5))
    assert draws.places(10, 10) == list(range(10))
    assert sorted(draws.shuffled("abcdef")) == list("abcdef")


@pytest.mark.parametrize("within", [True, False])
def test_a_document_keeps_its_words_around_a_plant(within: bool) -> None:
    host = "one two\nthree four five six\nseven"
    text = planted(host, "A question\nof two lines", within)
    lines = {True: "one two\nthree four A question of two lines five six\nseven",
             False: "one two\nA question\nof two lines\nthree four five six\nseven"}  # fmt: skip
    assert text == lines[within]
    assert planted("", "text", within).strip() == "text"
