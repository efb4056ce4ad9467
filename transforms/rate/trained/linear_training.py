"""Trains the linear model: logistic regression on TF-IDF by L-BFGS."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, diags_array

from tamis.transforms.rate.trained.linear import CELLS, features
from tamis.transforms.rate.trained.model_file import Tensors

Floats = npt.NDArray[np.float64]

_RIDGE: Final = 1e-6
"""Weight of the squared weights beside the mean loss of a document: it did best of 1e-5, 1e-4 and 1e-3 on half of the
sources of held-out pages."""


def train_linear(keys: npt.NDArray[np.uint64], first: npt.NDArray[np.int64], targets: Floats, weights: Floats) -> Tensors:
    """The tensors of a model that predicts `targets` (0 to 1) of n documents, which count by `weights`."""
    starts, cells, values = features(keys, first)
    n = len(first) - 1
    counted = csr_matrix((values, cells, starts), shape=(n, CELLS))
    idf = np.log((1 + n) / (1 + np.bincount(cells, minlength=CELLS)))
    matrix = counted @ diags_array(idf)
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    matrix = diags_array(1 / np.maximum(length, 1e-12)) @ matrix
    share = weights / weights.sum()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        logits = matrix @ parameters[:-1] + parameters[-1]
        cost = np.logaddexp(0, logits) - targets * logits
        slope = share * (1 / (1 + np.exp(-logits)) - targets)
        gradient = np.append(matrix.T @ slope + 2 * _RIDGE * parameters[:-1], slope.sum())
        return float(share @ cost + _RIDGE * (parameters[:-1] @ parameters[:-1])), gradient

    fitted = minimize(loss, np.zeros(CELLS + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return {"idf": idf.astype(np.float32), "weight": fitted.x[:-1].astype(np.float32), "bias": fitted.x[-1:].astype(np.float32)}
