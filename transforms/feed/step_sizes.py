"""The number of sequences in each step, which may follow the hints of the plan: small where the data get better, then
large again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tamis.transforms.core.arrays import Ints

Change = tuple[int, int]
"""A sequence, and the size of the steps that begin there or later."""


class BatchHint(NamedTuple):
    """From `token` on, by the run's own count, `factor` of the usual size, for `stable_tokens`; then it grows for
    `ramp_tokens`, back to the usual size."""

    token: int
    factor: float
    stable_tokens: int
    ramp_tokens: int


@dataclass(frozen=True)
class StepSizes:
    """Steps from some step on, in levels of one size each: the first step, its first sequence, and the size, [levels]."""

    step: Ints
    sequence: Ints
    size: Ints

    def at(self, step: int) -> tuple[int, int]:
        """The first sequence of a step, and its size."""
        level = int(np.searchsorted(self.step, step, side="right")) - 1
        size = int(self.size[level])
        return int(self.sequence[level]) + (step - int(self.step[level])) * size, size

    def steps(self, sequences: int) -> int:
        """The number of the step after the one that reads the last of so many sequences."""
        level = max(int(np.searchsorted(self.sequence, sequences, side="left")) - 1, 0)
        left = max(sequences - int(self.sequence[level]), 0)
        return int(self.step[level]) - (-left // int(self.size[level]))


def step_sizes(changes: Sequence[Change], step: int, sequence: int) -> StepSizes:
    """The steps from `step` on, which begins at `sequence`. `changes` ascend, the first is at 0. The size of a step
    follows from its first sequence alone, so a run that resumes has the steps of one that does not."""
    levels = []
    for (_, size), (end, _) in pairwise(changes):
        if end <= sequence:
            continue
        levels.append((step, sequence, size))
        steps = -(-(end - sequence) // size)
        step, sequence = step + steps, sequence + steps * size
    levels.append((step, sequence, changes[-1][1]))
    return StepSizes(*np.array(levels, np.int64).T)


def followed(
    hints: Sequence[BatchHint], usual: int, increment: int, sequences: int, run_token: Callable[[int], float]
) -> list[Change]:
    """The changes of the usual size that hints ask for, in multiples of `increment`, as Megatron's ramp: in equal
    increments, one after each equal share of the sequences. A hint ends the one before. `run_token`: the position of a
    sequence by the run's own count, of so many `sequences`."""

    def sequence_at(token: int) -> int:
        return bisect_left(range(sequences), float(token), key=run_token)

    changes = [(0, usual)]
    for hint in hints:
        begin = sequence_at(hint.token)
        grows = sequence_at(hint.token + hint.stable_tokens)
        end = sequence_at(hint.token + hint.stable_tokens + hint.ramp_tokens)
        small = max(round(usual * hint.factor / increment), 1) * increment
        shares = (usual - small) // increment
        later = [(grows + (end - grows) * share // shares, small + share * increment) for share in range(1, shares)]
        changes = [change for change in changes if change[0] < begin or change == (0, usual)]
        changes += [(begin, small), *later, (end, usual)]
    return changes
