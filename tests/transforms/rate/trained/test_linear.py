"""The linear model is TF-IDF and logistic regression, as a slow reference computes them."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.rate.trained.linear import CELLS, features, linear_scores
from tamis.transforms.rate.trained.linear_training import train_linear
from tamis.transforms.text.hashing import mix

PAIR = 0x9E3779B97F4A7C15

Documents = st.lists(st.lists(st.integers(0, 40), max_size=12), min_size=1, max_size=6)


def keys_of(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    words = np.array([word for document in documents for word in document], np.uint64)
    return mix(words, 1), np.concatenate([[0], np.cumsum([len(document) for document in documents])])


def cells_of(keys: list[int]) -> Counter[int]:
    pairs = np.array([(a * PAIR + b) % 2**64 for a, b in itertools.pairwise(keys)], np.uint64)
    return Counter([key % CELLS for key in keys] + [int(cell) % CELLS for cell in mix(pairs, PAIR)])


@given(Documents)
def test_scores_agree_with_a_reference(documents: list[list[int]]) -> None:
    draws = np.random.default_rng(3)
    model = {
        "idf": draws.uniform(0, 3, CELLS).astype(np.float32),
        "weight": draws.normal(0, 1, CELLS).astype(np.float32),
        "bias": np.array([0.3], np.float32),
    }
    keys, first = keys_of(documents)
    for d, score in enumerate(linear_scores(keys, first, model)):
        counts = cells_of(keys[first[d] : first[d + 1]].tolist())
        values = {cell: (1 + math.log(count)) * float(model["idf"][cell]) for cell, count in counts.items()}
        length = math.sqrt(sum(value * value for value in values.values())) or 1
        product = sum(value * float(model["weight"][cell]) for cell, value in values.items()) / length
        assert math.isclose(score, 1 / (1 + math.exp(-product - float(model["bias"][0]))), rel_tol=1e-9)


@given(Documents)
def test_features_are_the_counts_of_words_and_pairs(documents: list[list[int]]) -> None:
    keys, first = keys_of(documents)
    starts, cells, values = features(keys, first)
    for d in range(len(documents)):
        own = slice(starts[d], starts[d + 1])
        counts = cells_of(keys[first[d] : first[d + 1]].tolist())
        assert cells[own].tolist() == sorted(counts)
        np.testing.assert_allclose(values[own], [1 + math.log(counts[cell]) for cell in sorted(counts)])


def test_training_separates_what_differs_in_some_words() -> None:
    draws = np.random.default_rng(0)
    documents = [[*draws.integers(0, 1000, 30).tolist(), 2000 + k % 2] for k in range(200)]
    keys, first = keys_of(documents)
    targets = np.arange(200) % 2 * 1.0
    scores = linear_scores(keys, first, train_linear(keys, first, targets, np.ones(200)))
    assert scores[targets == 1].min() > scores[targets == 0].max()
