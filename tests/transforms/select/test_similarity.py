"""No two kept documents of a cluster are more alike than allowed, and the choice is the one a slow greedy loop makes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.select.similarity import diverse

Vectors = npt.NDArray[np.float32]


def greedy(embedding: Vectors, order: list[int], cluster: list[int], most_alike: float) -> list[int]:
    kept: list[int] = []
    stands = list(range(len(embedding)))
    for document in order:
        a = embedding[document].astype(float)
        for other in kept:
            b = embedding[other].astype(float)
            length = np.linalg.norm(a) * np.linalg.norm(b)
            if cluster[other] == cluster[document] and length and a @ b / length > most_alike + 1e-12:
                stands[document] = other
                break
        else:
            kept.append(document)
    return stands


@settings(deadline=None)  # the first example compiles
@given(st.integers(0, 60), st.integers(1, 4), st.integers(1, 5), st.floats(-0.5, 0.99), st.integers(0, 2**32))
def test_the_choice_is_the_greedy_one(documents: int, clusters: int, width: int, most_alike: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    embedding = draw.normal(size=(documents, width)).astype(np.float32)
    order, cluster = draw.permutation(documents), draw.integers(0, clusters, documents) * 7 - 3
    stands = diverse(embedding, order, cluster, most_alike)
    assert stands.tolist() == greedy(embedding, order.tolist(), cluster.tolist(), most_alike)
    unit = embedding.astype(float) / np.linalg.norm(embedding.astype(float), axis=1, keepdims=True)
    kept = np.flatnonzero(stands == np.arange(documents))
    same = cluster[kept][:, None] == cluster[kept][None]
    cosine = unit[kept] @ unit[kept].T
    assert not (same & (cosine > most_alike + 1e-9) & ~np.eye(len(kept), dtype=bool)).any()
    assert (stands[stands] == stands).all()


def test_the_best_of_those_alike_stays() -> None:
    vectors = np.array([[1, 0], [0.99, 0.1], [0, 1]], np.float32)
    assert diverse(vectors, np.array([1, 0, 2])).tolist() == [1, 1, 2]
    assert diverse(vectors, np.array([1, 0, 2]), np.array([0, 1, 0])).tolist() == [0, 1, 2]


def test_a_vector_of_zeros_is_like_nothing() -> None:
    assert diverse(np.zeros((3, 2), np.float32), np.arange(3), most_alike=-1).tolist() == [0, 1, 2]


def test_equal_vectors_are_alike_below_one_and_allowed_at_one() -> None:
    vectors = np.array([[1, 0], [2, 0]], np.float32)
    assert diverse(vectors, np.arange(2), most_alike=0.9999).tolist() == [0, 0]
    assert diverse(vectors, np.arange(2), most_alike=1.0).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("vectors", "order", "cosine", "said"),
    [
        ([[1.0], [1.0]], [0, 0], 0.9, "no permutation"),
        ([[1.0], [np.nan]], [0, 1], 0.9, "no finite number"),
        ([[1.0]], [0], 1.5, "between -1 and 1"),
    ],
)
def test_what_is_wrong_is_said(vectors: list[list[float]], order: list[int], cosine: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        diverse(np.array(vectors, np.float32), np.array(order), most_alike=cosine)
