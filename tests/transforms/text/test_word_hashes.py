"""Hashes of words alone are those that `segment` finds, on any Unicode text and at any place in a block."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.text.segment import segment
from tamis.transforms.text.word_hashes import hashed_words
from tamis.transforms.text.words import DEFAULT_WORDS, Words
from tests.transforms.text.test_segment import DEFINITIONS, EDGES, alphabet, texts
from tests.transforms.text.word_reference import EVERY

JOINTS = st.text(st.sampled_from("aB0_.,-/@:'’# \n语é\u0301"), max_size=200)
"""Texts of which nearly every place may join words, long enough for several blocks."""


def check(array: pa.Array, words: Words = DEFAULT_WORDS) -> None:
    cut = segment(array, words)
    for fold in (False, True):
        found = hashed_words(array, words, fold)
        kept = cut.word_hashes(fold) != 0
        assert found.word_hashes(fold).tolist() == cut.word_hashes(fold)[kept].tolist()
        assert found.word_first.tolist() == np.append(0, np.cumsum(kept))[cut.word_first].tolist()


@settings(max_examples=150)
@given(texts, st.sampled_from([*DEFINITIONS, Words(unspaced="icu")]))
def test_equal_those_of_segments(documents: list[str], words: Words) -> None:
    check(pa.array(documents, pa.large_string()), words)


@settings(max_examples=150)
@given(st.lists(JOINTS | st.text(alphabet, max_size=200), max_size=3), st.sampled_from(DEFINITIONS), st.integers(0, 2))
def test_equal_those_of_segments_over_several_blocks(documents: list[str], words: Words, first: int) -> None:
    check(pa.array(documents, pa.string()).slice(first), words)


@pytest.mark.parametrize("words", DEFINITIONS, ids=str)
def test_edges(words: Words) -> None:
    check(pa.array(EDGES, pa.large_string()), words)


@pytest.mark.parametrize("words", DEFINITIONS, ids=str)
def test_words_that_meet_the_ends_of_blocks(words: Words) -> None:
    behind = ("b", "b.", "# ", "é", " ", "'b", "_", "...", ".b")
    documents = [before * count + word * 70 for count in range(60, 68) for before in "a .語_" for word in behind]
    check(pa.array(documents, pa.large_string()), words)


@pytest.mark.parametrize("words", DEFINITIONS, ids=str)
def test_nothing_is_joined_to_the_next_text(words: Words) -> None:
    check(pa.array(["x.", "y", "1,", "2'", "t.", "...", "."]), words)


def test_every_code_point() -> None:
    check(pa.array(["a".join(EVERY[k : k + 5000]) for k in range(0, 0x40000, 5000)], pa.large_string()))


def test_other_hashes_than_were_made_are_refused() -> None:
    for fold, kind in ((True, "folded"), (False, "not folded")):
        with pytest.raises(ValueError, match=f"these words are {kind}"):
            hashed_words(pa.array(["words"]), DEFAULT_WORDS, fold).word_hashes(not fold)
