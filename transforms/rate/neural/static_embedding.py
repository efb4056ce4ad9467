"""Embeds texts as the mean of the vectors of their tokens: a static embedding in the format of model2vec.

The folder has one file of weights, with a vector for each token (`embeddings`, [v, d]), or for each of fewer rows
that `mapping` gives to tokens, and a factor for each token (`weights`). A token that is unknown counts nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from tamis.transforms.core.errors import RunError
from tamis.transforms.rate.neural.pretrained import TOKENIZER
from tamis.transforms.runtime.kernels import njit

# mypy: disable-error-code="no-untyped-def"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_FILE: Final = "model.safetensors"


@dataclass(frozen=True)
class StaticEmbedding:
    """The vectors of v tokens."""

    rows: npt.NDArray[np.float32]
    """[r, d]"""
    row_of: Ints
    """[v]: the row of each token; −1 if it counts nothing."""
    weight: npt.NDArray[np.float32]
    """[v]"""

    def vectors(self, windows: Sequence[Ints]) -> Floats:
        """[w, d]: the mean of the vectors of each window, summed in their order; 0 without a known token."""
        first = np.concatenate([[0], np.cumsum([len(window) for window in windows])]).astype(np.int64)
        tokens = np.concatenate([*windows, np.empty(0, np.int64)]).astype(np.int64)
        return np.asarray(_means(tokens, first, self.rows, self.row_of, self.weight))


@lru_cache(maxsize=4)
def load_static(folder: Path) -> StaticEmbedding | None:
    """The static embedding in a folder; None if it holds a transformer. Raises RunError if its tensors do not
    fit each other."""
    path = folder / _FILE
    if not path.is_file():  # the shards of a transformer
        return None
    try:
        with safe_open(str(path), "numpy") as file:
            if "embeddings" not in file.keys():  # noqa: SIM118
                return None
            tensors: dict[str, npt.NDArray[Any]] = {
                name: file.get_tensor(name)
                for name in ("embeddings", "weights", "mapping")
                if name in file.keys()  # noqa: SIM118
            }
    except SafetensorError as error:
        raise RunError(f"{path}: not a safetensors file ({error})") from None
    rows = tensors["embeddings"].astype(np.float32)
    row_of = tensors.get("mapping", np.arange(len(rows))).astype(np.int64)
    weight = tensors.get("weights", np.ones(len(row_of))).astype(np.float32)
    model = json.loads((folder / TOKENIZER).read_text("utf-8"))["model"]
    unknown = model.get("unk_id")
    if isinstance(model.get("unk_token"), str):
        unknown = model["vocab"].get(model["unk_token"])
    if rows.ndim != 2 or len(weight) != len(row_of) or row_of.max(initial=-1) >= len(rows) or len(model["vocab"]) > len(row_of):
        raise RunError(f"{path}: its tensors do not fit each other, or not the {len(model['vocab']):,} tokens of {TOKENIZER}")
    if unknown is not None:
        row_of[unknown] = -1
    return StaticEmbedding(rows, row_of, weight)


@njit(cache=True, nogil=True)
def _means(tokens, first, rows, row_of, weight):
    n, size = len(first) - 1, rows.shape[1]
    means = np.zeros((n, size))
    for w in range(n):
        count = 0
        for k in range(first[w], first[w + 1]):
            row = row_of[tokens[k]]
            if row < 0:
                continue
            count += 1
            factor = np.float64(weight[tokens[k]])
            for a in range(size):
                means[w, a] += factor * rows[row, a]
        for a in range(size):
            means[w, a] /= max(1, count)
    return means
