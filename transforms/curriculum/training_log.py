"""Where the log of a training run leaves its plan: in the learning rate, or in the tokens that it has seen.

A step has one batch of tokens, so its number says how far the run is, and the schedule says the rate. Trainers count
steps from 0 or from 1, and log the rate of a step before or after it: a rate is right if the schedule has it
within one step of there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.schedule import Schedule

Flags = npt.NDArray[np.bool_]

_TOLERANCE = 1e-3
"""How far a logged rate may lie from the schedule, as a share of the peak: logs round."""

_PLACES = np.linspace(-1, 1, 9)
"""Where around the end of a step the schedule is read, in steps."""


@dataclass(frozen=True)
class TrainingLog:
    """n logged steps, in the order of the log. A run that resumes may repeat steps."""

    step: Ints
    """[n]"""
    rate: Floats
    """[n]: learning rates; NaN where none is logged."""
    tokens: Floats
    """[n]: tokens of training so far; NaN where none are logged."""

    def batch_tokens(self) -> float | None:
        """Tokens of a step: the median over steps that follow each other in the log. None if it does not tell."""
        logged = np.flatnonzero(np.isfinite(self.tokens))
        steps, tokens = np.diff(self.step[logged]), np.diff(self.tokens[logged])
        forward = (steps > 0) & (tokens > 0)
        return float(np.median(tokens[forward] / steps[forward])) if forward.any() else None


def planned_tokens(log: TrainingLog, batch: float) -> Floats:
    """[n]: tokens of training after each step, if each has `batch`. Steps count from 0 if the first logged tokens say so."""
    logged = np.flatnonzero(np.isfinite(log.tokens))
    before = 0.0
    if len(logged):
        before = np.clip(np.rint(log.tokens[logged[0]] / batch) - log.step[logged[0]], 0, 1)
    return np.asarray((log.step + before) * batch)


def other_tokens(log: TrainingLog, batch: float) -> Flags:
    """[n]: whether the tokens of a row are more than half a step from where its step should be."""
    return np.asarray(np.abs(log.tokens - planned_tokens(log, batch)) > batch / 2)


def other_rates(log: TrainingLog, batch: float, schedule: Schedule, total: int) -> Flags:
    """[n]: whether the schedule, over a run of `total` tokens, has the rate of a row nowhere within one step of it."""
    around = planned_tokens(log, batch)[:, None] + _PLACES * batch
    rates = schedule.learning_rate(np.clip(around / total, 0, 1))
    slack = _TOLERANCE * schedule.peak
    return np.asarray((log.rate < rates.min(axis=1) - slack) | (log.rate > rates.max(axis=1) + slack))
