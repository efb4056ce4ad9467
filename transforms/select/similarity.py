"""Finds, for each document of a cluster, whether a better document is too similar to it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit


def representatives(
    embedding: npt.NDArray[np.float32],
    order: npt.NDArray[np.int64],
    cluster: npt.NDArray[np.int64] | None = None,
    ceiling: float = 0.9,
) -> npt.NDArray[np.int64]:
    """The document that represents each of n documents with f32[n, d] embeddings: itself if it is
    kept.

    Documents are visited in `order`, the best first. A document is kept unless its cosine to one
    kept before it in its cluster is above `ceiling`; then the first such document represents it.
    (This is the repr filter of DEITA, src/deita/selection, which has no clusters; a zero vector is
    similar to nothing.) Without `cluster`, all documents are one. O(n · kept of a cluster · d).
    Sums run in a fixed order in float64, so the result is the same on every machine.

    Raises ValueError if the order is not a permutation, an embedding is not finite, or the ceiling
    is no cosine.
    """
    documents = len(embedding)
    if not np.array_equal(np.sort(order), np.arange(documents)):
        raise ValueError(f"the order is not a permutation of {documents} documents")
    if not np.isfinite(embedding).all():
        raise ValueError("an embedding has a value that is not finite")
    if not -1 <= ceiling <= 1:
        raise ValueError(f"a cosine lies between -1 and 1, not at {ceiling:g}")
    group = np.zeros(documents, np.int64) if cluster is None else np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    visits = np.asarray(order, np.int64)
    visits = visits[np.argsort(group[visits], kind="stable")]
    vectors = np.ascontiguousarray(embedding, np.float64)
    return np.asarray(_representatives(vectors, _lengths(vectors), visits, group, ceiling))


@njit(cache=True, nogil=True)
def _lengths(vectors: Any) -> Any:
    lengths = np.empty(len(vectors))
    for row in range(len(vectors)):
        total = 0.0
        for value in vectors[row]:
            total += value * value
        lengths[row] = np.sqrt(total)
    return lengths


@njit(cache=True, nogil=True)
def _representatives(vectors: Any, lengths: Any, visits: Any, group: Any, ceiling: float) -> Any:
    """`visits` goes cluster by cluster, so those kept of the current one end `kept`."""
    representative = np.empty(len(visits), np.int64)
    kept = np.empty(len(visits), np.int64)
    size, first = 0, 0
    for index in range(len(visits)):
        document = visits[index]
        if index and group[document] != group[visits[index - 1]]:
            first = size
        representative[document] = document
        for at in range(first, size):
            other = kept[at]
            product = 0.0
            for column in range(vectors.shape[1]):
                product += vectors[document, column] * vectors[other, column]
            if product > ceiling * lengths[document] * lengths[other] and lengths[document] and lengths[other]:
                representative[document] = other
                break
        if representative[document] == document:
            kept[size] = document
            size += 1
    return representative
