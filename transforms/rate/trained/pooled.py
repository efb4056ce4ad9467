"""Scores texts by a small transformer over pooled words, without torch.

Of each chunk of 64 words the embeddings are pooled to their mean, maximum and minimum. Chunks are the
tokens of a transformer of a few layers without positions; the mean of its outputs gives the score. Of
a text of more than 96 chunks, 32 at the beginning, in the middle and at the end are read.

Sums run in a fixed order, for each document alone, so the score depends neither on the other
documents of a batch nor on a library of linear algebra.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tamis.transforms.rate.trained.model_file import Tensors
from tamis.transforms.runtime.kernels import njit

# mypy: disable-error-code="no-untyped-def"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHUNK: Final = 64
"""Words of a chunk."""
WINDOW: Final = 32
"""Chunks of each of the three windows of a long text."""
HEADS: Final = 4
MEAN: Final = np.float32(8.0)
"""Factor of a mean: that of 64 independent values varies an eighth as much as one of them."""
EPSILON: Final = np.float32(1e-6)


def windows(first: Ints) -> tuple[Ints, Ints, Ints]:
    """What is read of documents: [n + 1] first chunk of each, then first word and end of each chunk."""
    return _windows(np.asarray(first, np.int64))


def pooled_scores(rows: npt.NDArray[np.int32], first: Ints, tensors: Tensors) -> Floats:
    """[n]: the score of each document, from 0 to 1; NaN without words. `rows`: the words of all
    documents as rows of the embedding, those of document d from `first[d]` to `first[d + 1]`."""
    layers = 0
    while f"layers.{layers}.qkv" in tensors:
        layers += 1
    stacked = [
        np.stack([tensors[f"layers.{layer}.{name}"] for layer in range(layers)])
        for name in ("before", "qkv", "out", "between", "up", "up_bias", "down", "down_bias")
    ]
    return np.asarray(
        _scores(
            rows,
            windows(first),
            tensors["embedding"],
            (tensors["project"], tensors["project_bias"]),
            tuple(stacked),
            (tensors["norm"], tensors["head"], tensors["head_bias"][0]),
        )
    )


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _windows(first):
    n = len(first) - 1
    chunks = np.zeros(n + 1, np.int64)
    for d in range(n):
        chunks[d + 1] = chunks[d] + min(3 * WINDOW, -(-(first[d + 1] - first[d]) // CHUNK))
    start = np.empty(chunks[-1], np.int64)
    stop = np.empty(chunks[-1], np.int64)
    for d in range(n):
        words = first[d + 1] - first[d]
        number = -(-words // CHUNK)
        for k in range(chunks[d + 1] - chunks[d]):
            c = k
            if number > 3 * WINDOW:
                c += (k // WINDOW) * ((number - 3 * WINDOW) // 2)
            if number > 3 * WINDOW and k >= 2 * WINDOW:
                c = number - 3 * WINDOW + k
            start[chunks[d] + k] = first[d] + c * CHUNK
            stop[chunks[d] + k] = min(first[d + 1], first[d] + (c + 1) * CHUNK)
    return chunks, start, stop


@njit(cache=True, nogil=True)
def _multiply(x, weight, out):
    """out = x · weight. The inner loop is over columns, so no sum is reordered and every processor
    gives the same values."""
    for i in range(x.shape[0]):
        row = out[i]
        row[:] = np.float32(0)
        for k in range(x.shape[1]):
            factor, of = x[i, k], weight[k]
            for j in range(len(row)):
                row[j] += factor * of[j]


@njit(cache=True, nogil=True)
def _normalise(x, weight, out):
    for i in range(x.shape[0]):
        square = np.float32(0)
        for j in range(x.shape[1]):
            square += x[i, j] * x[i, j]
        scale = np.float32(1) / np.sqrt(square / np.float32(x.shape[1]) + EPSILON)
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] * scale * weight[j]


@njit(cache=True, nogil=True)
def _attend(qkv, mixed, weights):
    """mixed = softmax(q · k / √size) · v, by head."""
    n, width = mixed.shape
    size = width // HEADS
    scale = np.float32(1) / np.sqrt(np.float32(size))
    for h in range(HEADS):
        q, k, v = h * size, width + h * size, 2 * width + h * size
        for i in range(n):
            top = np.float32(-np.inf)
            for j in range(n):
                product = np.float32(0)
                for a in range(size):
                    product += qkv[i, q + a] * qkv[j, k + a]
                weights[j] = product * scale
                top = max(top, weights[j])
            total = np.float32(0)
            for j in range(n):
                weights[j] = np.exp(weights[j] - top)
                total += weights[j]
            for a in range(size):
                mixed[i, q + a] = np.float32(0)
            for j in range(n):
                share = weights[j] / total
                for a in range(size):
                    mixed[i, q + a] += share * qkv[j, v + a]


@njit(cache=True, nogil=True)
def _pool(rows, start, stop, embedding, out):
    """out[c] = mean · 8, maximum, minimum of the embeddings of the words of chunk c."""
    size = embedding.shape[1]
    for c in range(len(start)):
        for a in range(size):
            out[c, a] = np.float32(0)
            out[c, size + a] = np.float32(-np.inf)
            out[c, 2 * size + a] = np.float32(np.inf)
        for w in range(start[c], stop[c]):
            of = embedding[rows[w]]
            for a in range(size):
                value = of[a]
                out[c, a] += value
                out[c, size + a] = max(out[c, size + a], value)
                out[c, 2 * size + a] = min(out[c, 2 * size + a], value)
        factor = MEAN / np.float32(stop[c] - start[c])
        for a in range(size):
            out[c, a] *= factor


@njit(cache=True, nogil=True)
def _scores(rows, chunks_of, embedding, project, layers, last):
    chunks, start, stop = chunks_of
    before, qkv_of, out_of, between, up, up_bias, down, down_bias = layers
    norm, head, head_bias = last
    width = project[0].shape[1]
    most = 3 * WINDOW
    pooled = np.empty((most, project[0].shape[0]), np.float32)
    x = np.empty((most, width), np.float32)
    y = np.empty((most, width), np.float32)
    z = np.empty((most, width), np.float32)
    qkv = np.empty((most, 3 * width), np.float32)
    hidden = np.empty((most, up.shape[2]), np.float32)
    weights = np.empty(most, np.float32)
    scores = np.empty(len(chunks) - 1)
    for d in range(len(chunks) - 1):
        low, high = chunks[d], chunks[d + 1]
        n = high - low
        if n == 0:
            scores[d] = np.nan
            continue
        _pool(rows, start[low:high], stop[low:high], embedding, pooled[:n])
        _multiply(pooled[:n], project[0], x[:n])
        for i in range(n):
            for j in range(width):
                x[i, j] += project[1][j]
        for layer in range(len(before)):
            _normalise(x[:n], before[layer], y[:n])
            _multiply(y[:n], qkv_of[layer], qkv[:n])
            _attend(qkv[:n], y[:n], weights)
            _multiply(y[:n], out_of[layer], z[:n])
            for i in range(n):
                for j in range(width):
                    x[i, j] += z[i, j]
            _normalise(x[:n], between[layer], y[:n])
            _multiply(y[:n], up[layer], hidden[:n])
            for i in range(n):
                for j in range(hidden.shape[1]):
                    hidden[i, j] = max(np.float32(0), hidden[i, j] + up_bias[layer, j])
            _multiply(hidden[:n], down[layer], z[:n])
            for i in range(n):
                for j in range(width):
                    x[i, j] += z[i, j] + down_bias[layer, j]
        _normalise(x[:n], norm, y[:n])
        logit = np.float32(0)
        for i in range(n):
            for j in range(width):
                logit += y[i, j] * head[j]
        scores[d] = 1 / (1 + np.exp(-(np.float64(logit / np.float32(n)) + np.float64(head_bias))))
    return scores
