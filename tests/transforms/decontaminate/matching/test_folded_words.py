"""Typography does not change the words that are compared; digits and letters do."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tamis.transforms.decontaminate.matching.folded_words import NUMBER, exact, folded_words
from tamis.transforms.text.segment import segment

TEXT = "The farmers don't question 1,000 efficient ideas"


def words(text: str) -> tuple[list[int], list[int]]:
    segmented = segment(pa.array([text], pa.large_string()))
    folded = folded_words(segmented)
    return folded.fold.tolist(), exact(segmented, folded).tolist()


@pytest.mark.parametrize(
    "same",
    [
        "THE FARMERS, DON’T question: 1000 efficient -- ideas!",
        "the farmers dont ques\u00adtion 1000 ef\ufb01cient ideas",
        "The farmers don't ques-\ntion <b class='x'>1,000</b> efficient&nbsp;ideas",
        "The farmers don't ques\u00ad\ntion 1,000 efficient ideas",
        "Ｔｈｅ　ｆａｒｍｅｒｓ ｄｏｎ't ｑｕｅｓｔｉｏｎ １，０００ efficient ideas",
        "The far\u200bmers don`t question **1,000** _efficient_ idea\ufeffs",
        "<p>The\tfarmers\r\ndon\u2018t question 1,000 e\u0301fficient ide\u00e1s</p>",
    ],
)
def test_typography_makes_no_difference(same: str) -> None:
    assert words(same) == words(TEXT)


@pytest.mark.parametrize(
    "other",
    [
        "The farmers don't question 1,001 efficient ideas",
        "The farmers don't question 100 efficient ideas",
        "The farmer don't question 1,000 efficient ideas",
        "The far mers don't question 1,000 efficient ideas",
        "The farmers don't < question 1,000 > efficient ideas again",
    ],
)
def test_other_words_and_numbers_do(other: str) -> None:
    assert words(other) != words(TEXT)


def test_numbers_are_one_word() -> None:
    fold, digits = words("7 apples, 3.14 pears and 1,000,000 plums")
    assert [h == int(NUMBER) for h in fold] == [True, False, True, False, False, True, False]
    assert len(set(digits)) == 7


@given(st.text(max_size=60))
@example("A`1")  # a word joined by a mark
def test_any_text_is_folded_and_case_makes_no_difference(text: str) -> None:
    fold, digits = words(text)
    assert len(fold) == len(digits)
    assert all(fold)
    ascii_only = "".join(c for c in text if c.isascii())
    assert words(ascii_only.upper()) == words(ascii_only.lower())


@given(st.lists(st.text("abcdefghij", min_size=5, max_size=9), min_size=1, max_size=8), st.data())
def test_soft_hyphens_anywhere_make_no_difference(letters: list[str], data: st.DataObject) -> None:
    hyphenated = []
    for word in letters:
        place = data.draw(st.integers(1, len(word) - 1))
        hyphenated.append(f"{word[:place]}\u00ad{word[place:]}")
    assert words(" ".join(hyphenated)) == words(" ".join(letters))
