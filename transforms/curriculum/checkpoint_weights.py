"""The weights of the last checkpoints when they are averaged into the final model.

Averaging acts like a decay: the average weighs a gradient by the sum of the weights of the
checkpoints after it. arXiv 2511.18903 averages the last six checkpoints of an ascending run (CMA,
CDMA). The same laboratory used a plain mean in production; of the paper's three kinds, the two
that do not fall towards the newest checkpoint did best.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.options import Options
from tamis.transforms.core.schedule import Schedule

Averaging = Literal["sma", "ema", "wma", "none"]

CHECKPOINTS = 6
ALPHA = 0.2


class Checkpoints(Options):
    """Which checkpoints to keep and how to average them.

    The defaults are those of arXiv 2511.18903 for an ascending order. The paper leaves `spacing`
    open; here, the six checkpoints lie in the last twentieth of the run.
    """

    averaging: Averaging = Field(
        default="ema",
        description="ema: newer ones count more; sma: plain mean; wma: like a 1 − √r decay; none: only the last one",
    )
    kept: int = Field(default=CHECKPOINTS, ge=1, description="number of checkpoints; the last is at the end of the run")
    spacing: float = Field(default=0.01, gt=0, le=1, description="share of the run from one checkpoint to the next")
    alpha: float = Field(default=ALPHA, gt=0, lt=1, description="weight of the newest, before normalisation (ema)")

    @model_validator(mode="after")
    def _within_the_run(self) -> Checkpoints:
        if (self.kept - 1) * self.spacing >= 1:
            raise ValueError(
                f"{self.kept} checkpoints at a spacing of {self.spacing:g} do not fit into the run: lower kept or spacing"
            )
        return self

    @property
    def weights(self) -> Floats:
        """The weight of each checkpoint, oldest first."""
        return averaging_weights(self.averaging, self.kept, self.alpha)

    def log_weight(self, schedule: Schedule, a: npt.ArrayLike, b: npt.ArrayLike, curvature: float) -> Floats:
        """Log of the weight in the averaged model of samples seen in [a, b] of the run; −∞ for 0.

        A checkpoint at T has seen only samples before T. So the weight is the average over
        checkpoints of ∫ η(t)·exp(−λ ∫ₜᵀ η) dt over the part of [a, b] before T. It is exact, like
        `Schedule.weight`.
        """
        terms = [
            np.log(weight) + schedule.log_weight(a, b, curvature, 1 - back * self.spacing)
            for back, weight in zip(range(self.kept - 1, -1, -1), self.weights.tolist(), strict=True)
            if weight
        ]
        return np.asarray(np.logaddexp.reduce(terms))

    def weight(self, schedule: Schedule, a: npt.ArrayLike, b: npt.ArrayLike, curvature: float) -> Floats:
        """The weight that samples seen in [a, b] of the run have in the averaged model."""
        return np.asarray(np.exp(self.log_weight(schedule, a, b, curvature)))


def averaging_weights(kind: Averaging, checkpoints: int = CHECKPOINTS, alpha: float = ALPHA) -> Floats:
    """Weight of each checkpoint, oldest first; they sum to 1.

    - sma: equal weights.
    - ema: each weighs 1 − alpha of the next newer one, normalised. (m ← alpha·θ + (1 − alpha)·m,
      started at the oldest, would give that one the largest weight, (1 − alpha)^(n − 1).)
    - wma: the weights of a 1 − √r decay, √(k/n) − √((k − 1)/n), which fall towards the newest.
      (Those of 1 − r are sma.)
    - none: only the newest.

    Raises ValueError for fewer than one checkpoint, or an alpha outside (0, 1).
    """
    if checkpoints < 1:
        raise ValueError(f"an average needs at least one checkpoint, not {checkpoints}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not at {alpha:g}")
    if kind == "none":
        return np.append(np.zeros(checkpoints - 1), 1.0)
    if kind == "sma":
        raw = np.ones(checkpoints)
    elif kind == "ema":
        raw = (1 - alpha) ** np.arange(checkpoints - 1, -1, -1.0)
    else:
        raw = np.diff(np.sqrt(np.arange(checkpoints + 1) / checkpoints))
    return np.asarray(raw / raw.sum())


LAST = Checkpoints(averaging="none", kept=1)
"""No averaging."""
