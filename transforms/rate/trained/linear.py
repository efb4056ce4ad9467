"""Scores texts by a linear model: TF-IDF of their words and pairs of words, which are hashed into cells.

A count c weighs 1 + ln c, the vector has length 1, and the score is the logistic function of its
product with the weights, which include the IDF of cells.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tamis.transforms.rate.trained.model_file import Tensors
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import mix64

# mypy: disable-error-code="no-untyped-def"

Floats = npt.NDArray[np.float64]

CELLS: Final = 1 << 18
_PAIR = np.uint64(0x9E3779B97F4A7C15)


def linear_scores(keys: npt.NDArray[np.uint64], first: npt.NDArray[np.int64], tensors: Tensors) -> Floats:
    """[n]: the score of each document, from 0 to 1. A document does not see the others."""
    return np.asarray(_scores(keys, first, tensors["idf"], tensors["weight"], tensors["bias"][0]))


def features(
    keys: npt.NDArray[np.uint64], first: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """The cells of n documents and their 1 + ln c as a sparse matrix: [n + 1] first of each, cells
    (ascending in a document), values."""
    starts, cells, counts = _features(keys, first)
    return starts, cells, 1 + np.log(counts)


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _cells_of(keys, low, high, cells):
    """The cells of words and pairs of words; returns how many."""
    size = 0
    for i in range(low, high):
        cells[size] = np.int64(keys[i] & np.uint64(CELLS - 1))
        size += 1
        if i + 1 < high:
            cells[size] = np.int64(mix64(keys[i] * _PAIR + keys[i + 1], _PAIR) & np.uint64(CELLS - 1))
            size += 1
    return size


@njit(cache=True, nogil=True)
def _scores(keys, first, idf, weight, bias):
    scores = np.empty(len(first) - 1)
    counts = np.zeros(CELLS, np.int32)
    cells = np.empty(2 * max(1, np.max(np.diff(first))) if len(first) > 1 else 1, np.int64)
    for d in range(len(first) - 1):
        size = _cells_of(keys, first[d], first[d + 1], cells)
        for k in range(size):
            counts[cells[k]] += 1
        product, square = 0.0, 0.0
        for k in range(size):  # in the order of the text
            c = cells[k]
            if counts[c]:
                value = (1 + np.log(np.float64(counts[c]))) * idf[c]
                product += value * weight[c]
                square += value * value
                counts[c] = 0
        if square > 0:
            product /= np.sqrt(square)
        scores[d] = 1 / (1 + np.exp(-(product + bias)))
    return scores


@njit(cache=True, nogil=True)
def _features(keys, first):
    n = len(first) - 1
    starts = np.zeros(n + 1, np.int64)
    total = 2 * (first[-1] - first[0])
    cells = np.empty(total, np.int64)
    counts = np.empty(total, np.int64)
    size = 0
    for d in range(n):
        room = np.empty(2 * (first[d + 1] - first[d]) + 1, np.int64)
        number = _cells_of(keys, first[d], first[d + 1], room)
        ordered = np.sort(room[:number])
        for k in range(number):
            if k and ordered[k] == ordered[k - 1]:
                counts[size - 1] += 1
            else:
                cells[size], counts[size] = ordered[k], 1
                size += 1
        starts[d + 1] = size
    return starts, cells[:size], counts[:size]
