"""Windows overlap so that no short passage is cut, and name their place in the text."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.decontaminate.rephrased.windows import windows

TEXT = "One, two – three! Four five six; seven: eight nine (ten) eleven."


def texts(size: int, *documents: str) -> list[tuple[int, str]]:
    cut = windows(pa.array(documents, pa.large_string()), size)
    return [(int(cut.document[window]), cut.text(window)) for window in range(len(cut))]


def test_windows_are_half_a_window_apart_and_the_last_ends_with_its_text() -> None:
    assert texts(4, TEXT, "", "… !", "Ten men") == [
        (0, "One, two – three! Four"),
        (0, "three! Four five six"),
        (0, "five six; seven: eight"),
        (0, "seven: eight nine (ten"),
        (0, "eight nine (ten) eleven"),
        (3, "Ten men"),
    ]


def test_a_text_of_one_window_is_one() -> None:
    assert texts(11, TEXT) == [(0, TEXT[:-1])]


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(1, 12))
def test_every_run_of_half_a_window_is_in_one(lengths: list[int], size: int) -> None:
    documents = [" ".join(f"d{number}w{k}" for k in range(length)) for number, length in enumerate(lengths)]
    found = texts(size, *documents)
    for number, document in enumerate(documents):
        words = document.split()
        own = [text.split() for owner, text in found if owner == number]
        assert all(len(window) <= size for window in own)
        runs = [words[k : k + max(1, size // 2)] for k in range(max(1, len(words) - size // 2 + 1)) if words]
        for run in runs:
            assert any(run == window[k : k + len(run)] for window in own for k in range(len(window)))


@pytest.mark.parametrize(("one", "other", "equal"), [("Él", "el", True), ("16", "17", False), ("a1", "a2", True)])
def test_numbers_differ_and_case_and_accents_do_not(one: str, other: str, equal: bool) -> None:
    first, second = windows(pa.array([f"{one} {other}"], pa.large_string()), 2).terms
    assert (first == second) == equal
