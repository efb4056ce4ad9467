"""How much each of the last checkpoints counts when they are averaged into the model that is kept.

Averaging takes the place of a decay: the average of checkpoints weighs the gradient of a moment by the sum of the weights
of the checkpoints after it. arXiv 2511.18903 averages the last six of an ascending run (CMA, CDMA); a plain mean is what the
same laboratory used in production, and of its three kinds the two that do not fall towards the newest did best.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from transforms.schedule import Floats

Averaging = Literal["sma", "ema", "wma", "none"]

CHECKPOINTS = 6
ALPHA = 0.2


def weights(kind: Averaging, checkpoints: int = CHECKPOINTS, alpha: float = ALPHA) -> Floats:
    """Weight of each checkpoint, oldest first; they sum to 1.

    - sma: all alike.
    - ema: each counts 1 − alpha of the next newer one, normalised. (The recursion m ← alpha·θ + (1 − alpha)·m begun at the
      oldest would give that one (1 − alpha)^(n − 1), most of all.)
    - wma: what a decay of the shape 1 − √r would have weighed, √(k/n) − √((k − 1)/n); falls towards the newest. (The shape
      1 − r is sma.)
    - none: the newest alone.
    """
    if checkpoints < 1:
        raise ValueError(f"an average takes at least one checkpoint, not {checkpoints}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha lies between 0 and 1, not at {alpha:g}")
    if kind == "none":
        return np.append(np.zeros(checkpoints - 1), 1.0)
    if kind == "sma":
        raw = np.ones(checkpoints)
    elif kind == "ema":
        raw = (1 - alpha) ** np.arange(checkpoints - 1, -1, -1.0)
    else:
        raw = np.diff(np.sqrt(np.arange(checkpoints + 1) / checkpoints))
    return np.asarray(raw / raw.sum())
