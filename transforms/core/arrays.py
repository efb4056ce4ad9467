"""Array types and array functions that several packages share."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SLICES = 16
"""Slices in which a training order is checked."""


def sum_slices(values: Floats, weight: Floats) -> Floats:
    """Sums of the rows of f64[n, columns] over up to `SLICES` consecutive slices of about equal
    weight. Slices whose sums are all 0 are left out. `weight` is f64[n] with a positive sum."""
    index = np.minimum(np.ceil(np.cumsum(weight) / weight.sum() * SLICES - 1e-9), SLICES).astype(int) - 1
    sums = np.zeros((SLICES, values.shape[1]))
    np.add.at(sums, np.maximum(index, 0), values)
    return sums[sums.sum(axis=1) > 0]
