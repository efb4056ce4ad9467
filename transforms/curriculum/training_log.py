"""Where the log of a training run leaves its plan: in the learning rate, or in the tokens that it has seen.

The number of a step says how far the run is, and the schedule says the rate. Trainers count steps from 0 or from 1,
and log the rate of a step before or after it: a rate is right if the schedule has it within one step of there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.schedule import Schedule

Flags = npt.NDArray[np.bool_]

TokensAfter = Callable[[Ints], npt.NDArray[np.int64 | np.float64]]
"""[n] numbers of steps, from 0 on → [n]: tokens that a run has read after so many."""

TOLERANCE = 1e-3
"""How far a logged rate may lie from the schedule, as a share of the peak: logs round."""

_SCALE = 0.01
"""Steps whose tokens differ by a smaller share from the planned ones are as large as planned."""

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

    def take(self, rows: Flags) -> TrainingLog:
        """The rows at which `rows`, [n], is true."""
        return TrainingLog(self.step[rows], self.rate[rows], self.tokens[rows])

    def batch_tokens(self) -> float | None:
        """Tokens of a step: the median over steps that follow each other in the log. None if it does not tell."""
        logged = self.take(np.isfinite(self.tokens))
        steps, tokens = np.diff(logged.step), np.diff(logged.tokens)
        forward = (steps > 0) & (tokens > 0)
        return float(np.median(tokens[forward] / steps[forward])) if forward.any() else None


@dataclass(frozen=True)
class Deviation:
    """Logged steps in a row, from `step` to `last_step`, that deviate from the plan: how many, and what the first has."""

    step: int
    last_step: int
    rows: int
    logged: float
    planned: float


def rate_deviations(
    log: TrainingLog, after: TokensAfter, schedule: Schedule, total: int, tolerance: float = TOLERANCE
) -> list[Deviation]:
    """Where the schedule, over a run of `total` tokens, has the rate of a step nowhere within one step of it. Steps in a row
    are one deviation."""
    logged = log.take(np.isfinite(log.rate))
    done = logged.step + _uncounted(log, after)
    before, at, behind = (np.asarray(after(np.maximum(done + more, 0)), np.float64)[:, None] for more in (-1, 0, 1))
    around = at + np.where(_PLACES < 0, at - before, behind - at) * _PLACES
    rates = schedule.learning_rate(np.clip(around / total, 0, 1))
    slack = tolerance * schedule.peak
    deviates = (logged.rate < rates.min(axis=1) - slack) | (logged.rate > rates.max(axis=1) + slack)
    return _stretches(logged.step, deviates, np.zeros(len(done), bool), logged.rate, rates[:, len(_PLACES) // 2])


def token_deviations(log: TrainingLog, after: TokensAfter) -> list[Deviation]:
    """Where the tokens of a step are more than half a step from where they should be. Steps in a row are one deviation,
    unless the tokens jump among them: each jump is a fault of its own, such as a loader that begins anew."""
    logged = log.take(np.isfinite(log.tokens))
    planned, size = planned_tokens(logged, after)
    away = np.abs(logged.tokens - planned) > size / 2
    return _stretches(logged.step, away, _jumps(logged.tokens, planned, size), logged.tokens, planned)


def planned_tokens(log: TrainingLog, after: TokensAfter) -> tuple[Floats, Floats]:
    """[n], [n]: tokens of training after each step, and those of the step that follows."""
    done = log.step + _uncounted(log, after)
    planned = np.asarray(after(done), np.float64)
    return planned, np.asarray(after(done + 1), np.float64) - planned


def _uncounted(log: TrainingLog, after: TokensAfter) -> int:
    """1 if steps count from 0, as the first logged tokens say; else 0."""
    logged = log.take(np.isfinite(log.tokens))
    if not len(logged.step):
        return 0
    from_one, from_zero = np.abs(logged.tokens[0] - np.asarray(after(logged.step[0] + np.arange(2))))
    return int(from_zero < from_one)


def _jumps(tokens: Floats, planned: Floats, size: Floats) -> Flags:
    """[n]: whether the tokens of a row do not follow from the row before, by more than half a step. Steps that all have
    other tokens than planned, from the beginning or from somewhere on, are no jumps."""
    read, due = np.diff(tokens), np.diff(planned)
    share = np.divide(read, due, out=np.zeros(len(read)), where=due != 0)
    forward = (due > 0) & (read > 0)
    usual = float(np.median(share[forward])) if forward.any() else 1.0
    usual = 1.0 if abs(usual - 1) < _SCALE else usual
    last = np.append(0.0, share[:-1])[: len(share)]
    half = size[1:] / 2
    goes_on = (np.abs(read - usual * due) <= half) | ((last > 0) & (np.abs(read - last * due) <= half))
    return np.append(False, ~goes_on)[: len(tokens)]


def _stretches(step: Ints, deviates: Flags, breaks: Flags, logged: Floats, planned: Floats) -> list[Deviation]:
    """The rows that deviate, in stretches that end where a row does not, or before one at which `breaks` is true."""
    before = np.append(False, deviates[:-1])[: len(deviates)]
    firsts = np.flatnonzero(deviates & (breaks | ~before))
    ends = np.append(firsts, len(step))[1:]
    found = []
    for first, end in zip(firsts.tolist(), ends.tolist(), strict=True):
        rows = int(np.count_nonzero(deviates[first:end]))
        found.append(
            Deviation(int(step[first]), int(step[first + rows - 1]), rows, float(logged[first]), float(planned[first]))
        )
    return found
