"""The cosine is that of its definition, and the bounds leave out nothing that exceeds them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.decontaminate.rephrased.tfidf import TfIdf
from tamis.transforms.decontaminate.rephrased.windows import windows


def grams(text: str) -> list[str]:
    words = text.lower().split()
    return [*words, *(f"{first} {second}" for first, second in pairwise(words))]


def cosines(items: Sequence[str], passage: str) -> list[float]:
    """Slow and plain. In a passage, what no item has counts as often as it occurs."""

    def square(gram: str) -> float:
        return (1 + math.log((1 + len(items)) / (1 + sum(gram in grams(item) for item in items)))) ** 2

    known = {gram for item in items for gram in grams(item)}
    own = [gram for gram in grams(passage) if gram not in known] + [*{*grams(passage)} & known]
    length = math.sqrt(sum(map(square, own)))
    result = []
    for item in items:
        shared = sum(square(gram) for gram in {*grams(item)} & {*own})
        result.append(shared / (length * math.sqrt(sum(map(square, {*grams(item)})))))
    return result


some_words = ("an", "ox", "saw", "no", "fly", "on", "red", "ice", "by", "day", "Ω", "12", "13")
words = st.lists(st.sampled_from(some_words), min_size=1, max_size=14).map(" ".join)


@given(st.lists(words, min_size=1, max_size=6), st.lists(words, min_size=1, max_size=6), st.floats(0, 1))
def test_it_equals_the_definition(items: list[str], passages: list[str], bound: float) -> None:
    scorer = TfIdf(items)
    cut = windows(pa.array(passages, pa.large_string()), 100)
    everything = {(w, q): score for w, q, score in zip(*scorer.scores(cut), strict=True)}
    for w, passage in enumerate(passages):
        for q, cosine in enumerate(cosines(items, passage)):
            assert everything.get((w, q), 0.0) == pytest.approx(cosine, abs=1e-12)
    scorer.limit(np.full(len(items), bound))
    above = {(w, q): score for w, q, score in zip(*scorer.scores(cut), strict=True)}
    assert above == {pair: score for pair, score in everything.items() if score > bound}  # the same bits


def test_a_common_word_counts_less_than_a_rare_one() -> None:
    items = [f"how many {name} are there" for name in ("hens", "pears", "bells", "coins")]
    cut = windows(pa.array(["how many", "hens"], pa.large_string()), 10)
    window, item, score = TfIdf(items).scores(cut)
    of_hens = {w: s for w, q, s in zip(window, item, score, strict=True) if q == 0}
    assert of_hens[1] > of_hens[0]
