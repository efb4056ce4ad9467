"""How much each of the last checkpoints counts when they are averaged into the model that is kept.

Averaging takes the place of a decay: the average of checkpoints weighs the gradient of a moment by the sum of the weights
of the checkpoints after it. arXiv 2511.18903 averages the last six of an ascending run (CMA, CDMA); a plain mean is what the
same laboratory used in production, and of its three kinds the two that do not fall towards the newest did best.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.options import Options
from tamis.transforms.core.schedule import Floats, Schedule

Averaging = Literal["sma", "ema", "wma", "none"]

CHECKPOINTS = 6
ALPHA = 0.2


class Checkpoints(Options):
    """Which checkpoints are kept, and how they are averaged.

    The defaults are those of arXiv 2511.18903 for an ascending order; `spacing`, which it leaves open, puts the six in the
    last twentieth of the run.
    """

    averaging: Annotated[
        Averaging,
        Field(description="ema: the newer count more; sma: all alike; wma: as a 1 − √r decay would; none: the last alone"),
    ] = "ema"
    kept: Annotated[int, Field(ge=1, description="checkpoints, the last at the end of the run")] = CHECKPOINTS
    spacing: Annotated[float, Field(gt=0, le=1, description="share of the run from one checkpoint to the next")] = 0.01
    alpha: Annotated[float, Field(gt=0, lt=1, description="what the newest counts before normalisation (ema)")] = ALPHA

    @model_validator(mode="after")
    def _within_the_run(self) -> Checkpoints:
        if (self.kept - 1) * self.spacing >= 1:
            raise ValueError(f"{self.kept} checkpoints, {self.spacing:g} of the run apart, are more than the run")
        return self

    @property
    def weights(self) -> Floats:
        """What each counts, oldest first."""
        return weights(self.averaging, self.kept, self.alpha)

    def log_weight(self, schedule: Schedule, a: npt.ArrayLike, b: npt.ArrayLike, curvature: float) -> Floats:
        """Logarithm of what the samples seen in [a, b] of the run weigh in the averaged model; −∞ where nothing.

        A checkpoint at T knows nothing of what comes later, so the weight is the mean, by the weights of the checkpoints, of
        ∫ η(t)·exp(−λ ∫ₜᵀ η) dt over what of [a, b] lies before T: exact, as `Schedule.weight` is.
        """
        terms = [
            np.log(weight) + schedule.log_weight(a, b, curvature, 1 - back * self.spacing)
            for back, weight in zip(range(self.kept - 1, -1, -1), self.weights.tolist(), strict=True)
            if weight
        ]
        return np.asarray(np.logaddexp.reduce(terms))

    def weight(self, schedule: Schedule, a: npt.ArrayLike, b: npt.ArrayLike, curvature: float) -> Floats:
        """What the samples seen in [a, b] of the run weigh in the averaged model."""
        return np.asarray(np.exp(self.log_weight(schedule, a, b, curvature)))


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


LAST = Checkpoints(averaging="none", kept=1)
"""No averaging."""
