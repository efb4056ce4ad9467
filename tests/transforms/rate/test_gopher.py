"""Gopher quality signals equal a plain reading of the paper and of datatrove."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from rule_checks import batches, check, ratio, real_texts, rows, symbol

from tamis.testing import EDGES
from tamis.transforms.rate.gopher import Gopher, GopherRater
from tests.transforms.text.word_reference import words_of

RATER = GopherRater(Gopher())
WITH_MARKS = GopherRater(Gopher(marks=True))
NAMES = [signal.name.removeprefix("gopher.") for signal in RATER.signals]


def reference(text: str, marks: bool = False) -> list[float | None]:
    every = words_of(text)
    plain = [w for w in every if not symbol(w)]
    words = every if marks else plain
    lines = text.removesuffix("\n").split("\n") if text else []
    return [
        len(plain),
        ratio(sum(map(len, plain)), len(plain)),
        ratio(text.count("#"), len(words)),
        ratio(text.count("...") + text.count("…"), len(words)),
        ratio(sum(line.strip().startswith(("•", "-")) for line in lines), len(lines)),
        ratio(sum(line.strip().endswith(("...", "…")) for line in lines), len(lines)),
        ratio(sum(any(c.isalpha() for c in w) for w in words), len(words)),
        len({"the", "be", "to", "of", "and", "that", "have", "with"} & set(every)),
    ]


def reference_with_marks(text: str) -> list[float | None]:
    return reference(text, marks=True)


@settings(max_examples=200)
@given(batches)
def test_equals_the_reference(texts: list[str]) -> None:
    check(RATER, reference, texts)
    check(WITH_MARKS, reference_with_marks, texts)


def test_edges() -> None:
    check(RATER, reference, EDGES)
    check(WITH_MARKS, reference_with_marks, EDGES)


def test_real_texts(shared: Path) -> None:
    check(RATER, reference, real_texts(shared))


def values(text: str, rater: GopherRater = RATER) -> dict[str, float | None]:
    return dict(zip(NAMES, rows(rater, [text])[0], strict=True))


def test_a_page_by_hand() -> None:
    page = values("- The cat, and #the dog...\n• have with\nmore…\n")
    assert page["word_count"] == 8
    assert page["mean_word_length"] == (3 + 3 + 3 + 3 + 3 + 4 + 4 + 4) / 8
    assert page["hash_ratio"] == 1 / 8
    assert page["ellipsis_ratio"] == 2 / 8
    assert page["bullet_lines"] == 2 / 3
    assert page["ellipsis_lines"] == 2 / 3
    assert page["alphabetic_words"] == 1
    assert page["stop_words"] == 4


def test_marks_are_words_only_if_told() -> None:
    """The share of words with a letter falls with numbers; with `marks`, as in datatrove, with every comma."""
    sentence = "In 1815 Anna, Bela, Cato, Dora, Emil, and Fred met."
    assert values(sentence)["alphabetic_words"] == 9 / 10
    assert values(sentence, WITH_MARKS)["alphabetic_words"] == 9 / 16
    assert values("# a b c", WITH_MARKS)["hash_ratio"] == 1 / 4
    assert values("# a b c")["hash_ratio"] == 1 / 3


def test_shares_of_an_empty_text_are_null_not_zero() -> None:
    empty = values("")
    assert empty["word_count"] == empty["stop_words"] == 0
    assert {name for name, value in empty.items() if value is None} == set(NAMES) - {"word_count", "stop_words"}
    assert values("?!")["mean_word_length"] is values("?!")["alphabetic_words"] is None


def test_a_stop_word_counts_once_and_as_written() -> None:
    assert values("the the the")["stop_words"] == 1
    assert values("The THE")["stop_words"] == 0


def test_options_change_values_and_fingerprint() -> None:
    rater = GopherRater(Gopher(stop_words=("der", "die", "das"), bullets=("*",)))
    assert values("* der Hund, die Katze", rater)["stop_words"] == 2
    assert values("* der Hund, die Katze", rater)["bullet_lines"] == 1
    assert rater.fingerprint != RATER.fingerprint == GopherRater(Gopher()).fingerprint


def test_no_stop_words_at_all() -> None:
    assert values("the", GopherRater(Gopher(stop_words=())))["stop_words"] == 0
