"""How many tokens a step of training has, which may grow at the beginning of a run, and so where each step is.

Megatron-LM's ramp (`--rampup-batch-size START INCREMENT SEQUENCES`): from START sequences a step to the full size in equal
increments, one whenever another equal share of SEQUENCES has been read.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.options import Options, PositiveCount


class BatchSize(Options):
    """The size of a step on all devices."""

    sequences: PositiveCount = Field(description="sequences of a step, after the ramp")
    sequence_length: PositiveCount = Field(description="tokens of a sequence")
    ramp: tuple[PositiveCount, PositiveCount, Annotated[int, Field(ge=1)]] | None = Field(
        default=None, description="[sequences of the first steps, increment, sequences until the full size], as in Megatron"
    )

    @model_validator(mode="after")
    def _check(self) -> BatchSize:
        if self.ramp is None:
            return self
        start, increment, _ = self.ramp
        if start >= self.sequences:
            raise ValueError(f"the ramp starts at {start:,} sequences, not below the full {self.sequences:,}: leave it out")
        if (self.sequences - start) % increment:
            raise ValueError(
                f"the ramp does not reach {self.sequences:,} sequences from {start:,} in increments of {increment:,}: choose "
                f"an increment that divides {self.sequences - start:,}"
            )
        return self

    @property
    def tokens(self) -> int:
        """Tokens of a step after the ramp."""
        return self.sequences * self.sequence_length

    def tokens_after(self, steps: npt.ArrayLike) -> Ints:
        """[n]: tokens that a run has read after so many steps, [n]; exact."""
        count = np.asarray(steps, np.int64)
        first_step, first_token, size = self._levels
        level = np.searchsorted(first_step, count, side="right") - 1
        return np.asarray(first_token[level] + (count - first_step[level]) * size[level])

    def steps_for(self, tokens: int) -> int:
        """The fewest steps that read so many tokens."""
        first_step, first_token, size = self._levels
        level = int(np.searchsorted(first_token, tokens, side="right")) - 1
        return int(first_step[level] - (first_token[level] - tokens) // size[level])

    @cached_property
    def _levels(self) -> tuple[Ints, Ints, Ints]:
        """First step, first token and tokens of a step of each size that the run has, from the smallest."""
        levels, step, read = [], 0, 0
        if self.ramp is not None:
            start, increment, until = self.ramp
            increments = (self.sequences - start) // increment
            for done in range(increments):
                size = start + done * increment
                end = -(-(done + 1) * until // increments)  # the first count of sequences that has the next size
                steps = max(-(-(end - read) // size), 0)  # a large step may pass a size by
                if steps:
                    levels.append((step, read, size))
                step, read = step + steps, read + steps * size
        levels.append((step, read, self.sequences))
        steps_, sequences, sizes = np.array(levels, np.int64).T
        return steps_, sequences * self.sequence_length, sizes * self.sequence_length
