"""A diverse choice: of documents that lie close to each other only the best stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit


def diverse(
    embedding: npt.NDArray[np.float32],
    order: npt.NDArray[np.int64],
    cluster: npt.NDArray[np.int64] | None = None,
    most_alike: float = 0.9,
) -> npt.NDArray[np.int64]:
    """For n documents with f32[n, d] embeddings, taken in `order` (the best first): the document that stands for each, which
    is itself when it is kept.

    A document is kept unless its cosine to one kept before it in its cluster is above `most_alike`; then the first such one
    stands for it. So no two kept documents of a cluster are more alike. (The repr filter of DEITA, src/deita/selection, which
    has no clusters; a vector of zeros is like nothing.) Without clusters all are one. O(n · kept of a cluster · d); sums run in
    a fixed order in float64, so the choice is the same everywhere. Raises ValueError for an order that is no permutation, and
    for numbers that are not finite.
    """
    documents = len(embedding)
    if not np.array_equal(np.sort(order), np.arange(documents)):
        raise ValueError(f"the order is no permutation of {documents} documents")
    if not np.isfinite(embedding).all():
        raise ValueError("an embedding holds what is no finite number")
    if not -1 <= most_alike <= 1:
        raise ValueError(f"a cosine lies between -1 and 1; {most_alike:g} does not")
    group = np.zeros(documents, np.int64) if cluster is None else np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    visits = np.asarray(order, np.int64)
    visits = visits[np.argsort(group[visits], kind="stable")]
    vectors = np.ascontiguousarray(embedding, np.float64)
    return np.asarray(_taken(vectors, _lengths(vectors), visits, group, most_alike))


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
def _taken(vectors: Any, lengths: Any, visits: Any, group: Any, most_alike: float) -> Any:
    """Clusters lie side by side in `visits`, the best first: what is kept of one is a run at the end of `kept`."""
    stands = np.empty(len(visits), np.int64)
    kept = np.empty(len(visits), np.int64)
    size, first = 0, 0
    for index in range(len(visits)):
        document = visits[index]
        if index and group[document] != group[visits[index - 1]]:
            first = size
        stands[document] = document
        for at in range(first, size):
            other = kept[at]
            product = 0.0
            for column in range(vectors.shape[1]):
                product += vectors[document, column] * vectors[other, column]
            if product > most_alike * lengths[document] * lengths[other] and lengths[document] and lengths[other]:
                stands[document] = other
                break
        if stands[document] == document:
            kept[size] = document
            size += 1
    return stands
