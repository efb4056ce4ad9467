"""Repetition signals equal datatrove's definitions, except for marks, word boundaries and single occurrences."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_checks import batches, check, ratio, real_texts, rows, symbol

from tamis.testing import EDGES
from tamis.transforms.rate.repetition import Repetition, RepetitionRater
from tests.transforms.text.word_reference import words_of

RATER = RepetitionRater(Repetition())
WITH_MARKS = RepetitionRater(Repetition(marks=True))
NAMES = [signal.name.removeprefix("repetition.") for signal in RATER.signals]


def repeats(items: list[str]) -> list[str]:
    return [item for k, item in enumerate(items) if item in set(items[:k])]


def top(words: list[str], n: int) -> int:
    grams = [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
    if not grams:
        return 0
    gram, times = Counter(grams).most_common(1)[0]
    return len(" ".join(gram)) * times if times > 1 else 0


def duplicate_chars(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    chars = k = 0
    while k + n <= len(words):
        gram = tuple(words[k : k + n])
        if gram in seen:
            chars += sum(map(len, gram))
            k += n
        else:
            seen.add(gram)
            k += 1
    return chars


def reference(text: str, marks: bool = False) -> list[float | None]:
    lines = [line for line in text.split("\n") if line]
    paragraphs = re.split(r"\n{2,}", text.strip()) if text.strip() else []
    words = [word for word in words_of(text) if marks or not symbol(word)]
    return [
        ratio(len(repeats(lines)), len(lines)),
        ratio(len("".join(repeats(lines))), len(text)),
        ratio(len(repeats(paragraphs)), len(paragraphs)),
        ratio(len("".join(repeats(paragraphs))), len(text)),
        *(ratio(top(words, n), len(text)) for n in (2, 3, 4)),
        *(ratio(duplicate_chars(words, n), len(text)) for n in (5, 6, 7, 8, 9, 10)),
    ]


def reference_with_marks(text: str) -> list[float | None]:
    return reference(text, marks=True)


few_words = st.lists(st.sampled_from(["a ", "b ", "c ", "ab ", "a. ", "\n", "\n\n"]), max_size=80).map("".join)


@settings(max_examples=200)
@given(st.lists(st.one_of(few_words, few_words.map(lambda t: t * 3)), max_size=4))
def test_equals_the_reference_on_repetitive_texts(texts: list[str]) -> None:
    check(RATER, reference, texts)
    check(WITH_MARKS, reference_with_marks, texts)


@settings(max_examples=150)
@given(batches)
def test_equals_the_reference(texts: list[str]) -> None:
    check(RATER, reference, texts)


def test_edges() -> None:
    check(RATER, reference, EDGES)


def test_real_texts(shared: Path) -> None:
    check(RATER, reference, real_texts(shared))


def values(text: str) -> dict[str, float | None]:
    return dict(zip(NAMES, rows(RATER, [text])[0], strict=True))


def test_an_ngram_that_occurs_once_is_no_repetition() -> None:
    assert values("two words")["top_2gram_chars"] == 0
    assert values("two words two words")["top_2gram_chars"] == len("two words") * 2 / len("two words two words")


def test_word_ends_matter() -> None:
    assert values("ab c d e f. a bc d e f.")["duplicate_5gram_chars"] == 0


def test_an_underline_repeats_only_if_marks_are_words() -> None:
    page = "Abstract\n========\nThis is what we propose.\n"
    assert values(page)["duplicate_5gram_chars"] == values(page)["top_2gram_chars"] == 0
    marked = dict(zip(NAMES, rows(WITH_MARKS, [page])[0], strict=True))
    assert marked["top_2gram_chars"] == 7 * len("= =") / len(page)


def test_lines_and_paragraphs_by_hand() -> None:
    text = "one\ntwo\n\none\ntwo\n\nthree"
    page = values(text)
    assert page["duplicate_line_share"] == 2 / 5
    assert page["duplicate_line_chars"] == 6 / len(text)
    assert page["duplicate_paragraph_share"] == 1 / 3
    assert page["duplicate_paragraph_chars"] == 7 / len(text)


@pytest.mark.parametrize("text", ["", "\n", "  "])
def test_shares_of_blank_texts_are_null(text: str) -> None:
    assert values(text)["duplicate_paragraph_share"] is None


def test_all_repeated_words_are_duplicates() -> None:
    sentence = "every word of this sentence will be read exactly twice here "
    page = values(sentence * 2)
    assert page["duplicate_10gram_chars"] == pytest.approx(len(sentence.replace(" ", "")) / len(sentence * 2), abs=0.1)
