"""No two kept documents of a cluster are more similar than allowed, and the result is that of a slow greedy loop."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.select.similarity import representatives

Vectors = npt.NDArray[np.float32]


def greedy(embedding: Vectors, order: list[int], cluster: list[int], ceiling: float) -> list[int]:
    kept: list[int] = []
    result = list(range(len(embedding)))
    for document in order:
        a = embedding[document].astype(float)
        for other in kept:
            b = embedding[other].astype(float)
            length = np.linalg.norm(a) * np.linalg.norm(b)
            if cluster[other] == cluster[document] and length and a @ b / length > ceiling + 1e-12:
                result[document] = other
                break
        else:
            kept.append(document)
    return result


@given(st.integers(0, 60), st.integers(1, 4), st.integers(1, 5), st.floats(-0.5, 0.99), st.integers(0, 2**32))
def test_the_result_is_that_of_a_greedy_loop(documents: int, clusters: int, width: int, ceiling: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    embedding = draw.normal(size=(documents, width)).astype(np.float32)
    order, cluster = draw.permutation(documents), draw.integers(0, clusters, documents) * 7 - 3
    result = representatives(embedding, order, cluster, ceiling)
    assert result.tolist() == greedy(embedding, order.tolist(), cluster.tolist(), ceiling)
    unit = embedding.astype(float) / np.linalg.norm(embedding.astype(float), axis=1, keepdims=True)
    kept = np.flatnonzero(result == np.arange(documents))
    same = cluster[kept][:, None] == cluster[kept][None]
    cosine = unit[kept] @ unit[kept].T
    assert not (same & (cosine > ceiling + 1e-9) & ~np.eye(len(kept), dtype=bool)).any()
    assert (result[result] == result).all()


def test_the_best_of_similar_documents_is_kept() -> None:
    vectors = np.array([[1, 0], [0.99, 0.1], [0, 1]], np.float32)
    assert representatives(vectors, np.array([1, 0, 2])).tolist() == [1, 1, 2]
    assert representatives(vectors, np.array([1, 0, 2]), np.array([0, 1, 0])).tolist() == [0, 1, 2]


def test_a_zero_vector_is_similar_to_nothing() -> None:
    assert representatives(np.zeros((3, 2), np.float32), np.arange(3), ceiling=-1).tolist() == [0, 1, 2]


def test_equal_vectors_are_similar_below_a_ceiling_of_one() -> None:
    vectors = np.array([[1, 0], [2, 0]], np.float32)
    assert representatives(vectors, np.arange(2), ceiling=0.9999).tolist() == [0, 0]
    assert representatives(vectors, np.arange(2), ceiling=1.0).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("vectors", "order", "cosine", "message"),
    [
        ([[1.0], [1.0]], [0, 0], 0.9, "not a permutation"),
        ([[1.0], [np.nan]], [0, 1], 0.9, "not finite"),
        ([[1.0]], [0], 1.5, "between -1 and 1"),
    ],
)
def test_bad_arguments_are_named(vectors: list[list[float]], order: list[int], cosine: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        representatives(np.array(vectors, np.float32), np.array(order), ceiling=cosine)
