"""Shuffling moves words to the places of others, and leaves all else where it was."""

from __future__ import annotations

import re
from itertools import permutations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.proxy.shuffled_words import shuffle_words

TEXTS = st.lists(st.text(st.sampled_from("ab é,漢字 \n\t")), max_size=6)
SPACED = st.lists(st.text(st.sampled_from("ab é,. \n\t")), max_size=6)


def shuffle(texts: list[str], seed: int = 0) -> list[str]:
    shuffled: list[str] = shuffle_words(pa.array(texts, pa.large_string()), seed).to_pylist()
    return shuffled


@given(SPACED)
def test_words_change_places_and_white_space_does_not(texts: list[str]) -> None:
    for text, shuffled in zip(texts, shuffle(texts), strict=True):
        assert sorted(text.split()) == sorted(shuffled.split())
        assert re.findall(r"\s+", text) == re.findall(r"\s+", shuffled)


@given(TEXTS)
def test_every_character_stays(texts: list[str]) -> None:
    for text, shuffled in zip(texts, shuffle(texts), strict=True):
        assert sorted(text) == sorted(shuffled)
        assert re.findall(r"\s", text) == re.findall(r"\s", shuffled)


@given(TEXTS)
def test_each_text_is_shuffled_by_itself(texts: list[str]) -> None:
    assert shuffle(texts) == [shuffle([text])[0] for text in texts]
    array = pa.array(["before", *texts], pa.large_string())
    assert shuffle_words(array.slice(1), 0).to_pylist() == shuffle(texts)


def test_every_order_comes_up() -> None:
    orders = {f" {one} {two}\n{three}" for one, two, three in permutations(("one", "two", "three."))}
    assert {shuffle([" one two\nthree."], seed)[0] for seed in range(60)} == orders


def test_a_script_without_spaces_is_shuffled_by_characters() -> None:
    assert {shuffle(["漢字"], seed)[0] for seed in range(20)} == {"漢字", "字漢"}
