"""Searches the mixture with the least predicted loss: the mean of the best of many draws (RegMix, Meta-rater)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tamis.transforms.core.arrays import Floats

BEST = 128
"""Draws whose mean is the answer (RegMix regression.ipynb; Meta-rater pipeline/step4)."""

_BLOCK = 1 << 16  # mixtures that are predicted at a time


def mean_of_best(draws: Floats, predict: Callable[[Floats], Floats], best: int = BEST) -> tuple[Floats, float]:
    """(mixture f64[k], its predicted loss): the mean of the `best` draws with the lowest predictions; of equal
    ones, the earlier. `draws` is f64[n, k]."""
    predicted = np.concatenate([predict(draws[start : start + _BLOCK]) for start in range(0, len(draws), _BLOCK)])
    mixture = draws[np.argsort(predicted, kind="stable")[:best]].mean(axis=0)
    return mixture, float(predict(mixture[None])[0])
