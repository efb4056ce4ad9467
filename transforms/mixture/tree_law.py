"""Predicts the loss of a proxy from its mixture by boosted trees, as RegMix and Meta-rater do. Needs LightGBM."""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import missing_package

TREES, LEARNING_RATE, SEED = 1000, 0.01, 42
"""RegMix regression_fitting/regression.ipynb, and Meta-rater pipeline/step3."""


class TreeLaw:
    """Trees of one loss. Raises ImportError without LightGBM."""

    def __init__(self, mixtures: Floats, losses: Floats, validation: tuple[Floats, Floats], patience: int = 3) -> None:
        """`mixtures` f64[n, k] with losses f64[n]. Trees are added until the error on `validation` has not
        improved `patience` times, 1000 at most. One thread, so that the result does not depend on the machine."""
        try:
            import lightgbm
        except ImportError:
            raise ImportError(missing_package("a fit by trees", "lightgbm")) from None
        parameters = {"learning_rate": LEARNING_RATE, "seed": SEED, "objective": "regression", "metric": "l2"}
        parameters |= {"num_threads": 1, "deterministic": True, "verbosity": -1}
        train = lightgbm.Dataset(mixtures, losses)
        self._booster: Any = lightgbm.train(
            parameters,
            train,
            TREES,
            valid_sets=[lightgbm.Dataset(*validation, reference=train)],
            callbacks=[lightgbm.early_stopping(patience, verbose=False)],
        )

    def predict(self, mixtures: Floats) -> Floats:
        """The losses of n mixtures: f64[n]."""
        return np.asarray(self._booster.predict(mixtures, num_threads=1))
