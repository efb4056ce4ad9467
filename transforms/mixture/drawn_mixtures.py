"""Draws mixtures, weights of domains or of signals, from a Dirichlet distribution."""

from __future__ import annotations

import numpy as np

from tamis.transforms.core.arrays import Floats


def draw_mixtures(concentration: Floats, draws: int, seed: int, signed: bool = False) -> Floats:
    """f64[draws, k] of Dirichlet(concentration): rows of k weights from 0 that sum to 1.

    `signed`: each weight has a random sign, so the absolute values sum to 1. Raises ValueError unless
    every concentration is above 0.
    """
    if not len(concentration) or not (concentration > 0).all():
        raise ValueError("a Dirichlet distribution needs concentrations above 0")
    # RandomState and not Generator: numpy keeps its streams for ever (NEP 19).
    state = np.random.RandomState(seed)
    mixtures = state.dirichlet(concentration, draws)
    return mixtures * state.choice([-1.0, 1.0], mixtures.shape) if signed else mixtures
