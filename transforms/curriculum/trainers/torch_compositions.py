"""torch's lr_scheduler (2.5 to 2.15): schedulers alone, one after the other (SequentialLR), and OneCycleLR, as a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import ceil
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from tamis.transforms.core.schedule import Rate, Schedule, Section
from tamis.transforms.curriculum.trainers.stages import TrainerArguments, schedule_of

Factor = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[int, Field(ge=1)]


class LinearLR(TrainerArguments):
    """From `start_factor` to `end_factor` in `total_iters` steps."""

    type: Literal["LinearLR"]
    start_factor: Factor = 1 / 3
    end_factor: Factor = 1.0
    total_iters: Steps = 5

    def sections(self, lr: float, length: int) -> Iterator[Section]:
        yield Section(0, self.total_iters, "linear", self.start_factor * lr, self.end_factor * lr)
        yield Section(self.total_iters, length, "linear", self.end_factor * lr, self.end_factor * lr)


class ConstantLR(TrainerArguments):
    """`factor` for `total_iters` steps, then 1."""

    type: Literal["ConstantLR"]
    factor: Factor = 1 / 3
    total_iters: Annotated[int, Field(ge=0)] = 5

    def sections(self, lr: float, length: int) -> Iterator[Section]:
        yield Section(0, self.total_iters, "linear", self.factor * lr, self.factor * lr)
        yield Section(self.total_iters, length, "linear", lr, lr)


class PolynomialLR(TrainerArguments):
    """To 0 in `total_iters` steps, as (1 − r)^power."""

    type: Literal["PolynomialLR"]
    total_iters: Steps = 5
    power: Annotated[float, Field(gt=0)] = 1.0

    def sections(self, lr: float, length: int) -> Iterator[Section]:
        yield Section(0, self.total_iters, "linear", lr, 0.0, self.power)
        yield Section(self.total_iters, length, "linear", 0.0, 0.0)


class ExponentialLR(TrainerArguments):
    """`gamma` times the rate of the step before."""

    type: Literal["ExponentialLR"]
    gamma: Annotated[float, Field(gt=0, le=1)]

    def sections(self, lr: float, length: int) -> Iterator[Section]:
        yield Section(0, length, "exponential", lr, lr * self.gamma**length)


class StepLR(TrainerArguments):
    """`gamma` times the rate, every `step_size` steps."""

    type: Literal["StepLR"]
    step_size: Steps
    gamma: Factor = 0.1

    def sections(self, lr: float, length: int) -> Iterator[Section]:
        for number, start in enumerate(range(0, length, self.step_size)):
            yield Section(start, start + self.step_size, "linear", lr * self.gamma**number, lr * self.gamma**number)


class MultiStepLR(TrainerArguments):
    """`gamma` times the rate, at each of `milestones`."""

    type: Literal["MultiStepLR"]
    milestones: tuple[Steps, ...]
    gamma: Factor = 0.1

    def sections(self, lr: float, length: int) -> Iterator[Section]:
        for number, (start, end) in enumerate(pairwise([0, *sorted(self.milestones), max(length, *self.milestones)])):
            yield Section(start, end, "linear", lr * self.gamma**number, lr * self.gamma**number)


class CosineAnnealingLR(TrainerArguments):
    """Half a period of a cosine in `T_max` steps; it rises again after them."""

    type: Literal["CosineAnnealingLR"]
    T_max: Steps
    eta_min: Rate = 0.0

    def sections(self, lr: float, length: int) -> Iterator[Section]:
        for half in range(ceil(length / self.T_max)):
            ends = (lr, self.eta_min) if half % 2 == 0 else (self.eta_min, lr)
            yield Section(half * self.T_max, (half + 1) * self.T_max, "cosine", *ends)


class CosineAnnealingWarmRestarts(TrainerArguments):
    """Half a period of a cosine in `T_0` steps, again and again, each `T_mult` times as long."""

    type: Literal["CosineAnnealingWarmRestarts"]
    T_0: Steps
    T_mult: Steps = 1
    eta_min: Rate = 0.0

    def sections(self, lr: float, length: int) -> Iterator[Section]:
        start, period = 0, self.T_0
        while start < length:
            yield Section(start, start + period, "cosine", lr, self.eta_min)
            start, period = start + period, period * self.T_mult


class OneCycleLR(TrainerArguments):
    """Up from max_lr / div_factor, down to that / final_div_factor, in `total_steps` steps."""

    type: Literal["OneCycleLR"]
    max_lr: Annotated[float, Field(gt=0)]
    total_steps: Annotated[int, Field(ge=2)]
    pct_start: Annotated[float, Field(gt=0, lt=1)] = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    div_factor: Annotated[float, Field(ge=1)] = 25.0
    final_div_factor: Annotated[float, Field(ge=1)] = 1e4
    three_phase: bool = False

    def sections(self, lr: float, length: int) -> Iterator[Section]:
        first, top, rise = self.max_lr / self.div_factor, self.max_lr, self.pct_start * self.total_steps
        ends = [(rise - 1, top), (self.total_steps - 1, first / self.final_div_factor)]
        if self.three_phase:
            ends.insert(1, (2 * rise - 2, first))
        start, rate = 0.0, first
        for end, goal in ends:
            yield Section(start, end, "cosine" if self.anneal_strategy == "cos" else "linear", rate, goal)
            start, rate = end, goal
        yield Section(start, length, "linear", rate, rate)


Scheduler = Annotated[
    LinearLR
    | ConstantLR
    | PolynomialLR
    | ExponentialLR
    | StepLR
    | MultiStepLR
    | CosineAnnealingLR
    | CosineAnnealingWarmRestarts
    | OneCycleLR,
    Field(discriminator="type"),
]


class TorchArguments(TrainerArguments):
    """Schedulers of one optimizer, which take turns at `milestones`, as in SequentialLR."""

    lr: float = Field(gt=0, allow_inf_nan=False)
    steps: int = Field(ge=1)
    schedulers: tuple[Scheduler, ...] = Field(min_length=1)
    milestones: tuple[Steps, ...] = ()

    @model_validator(mode="after")
    def _milestones_are_between(self) -> TorchArguments:
        bounds = [0, *self.milestones, self.steps]
        if len(self.milestones) != len(self.schedulers) - 1 or any(b <= a for a, b in pairwise(bounds)):
            raise ValueError("milestones are the steps of the run, in order, at which each scheduler but the first begins")
        return self

    def schedule(self) -> Schedule:
        return schedule_of(self._sections(), self.steps)

    def _sections(self) -> Iterator[Section]:
        for scheduler, (start, end) in zip(self.schedulers, pairwise([0, *self.milestones, self.steps]), strict=True):
            for section in scheduler.sections(self.lr, end - start):
                if section.start < end - start:
                    yield _moved(section, start, end, last=end == self.steps)


def _moved(section: Section, start: int, end: int, last: bool) -> Section:
    """The section of a scheduler that begins at `start`, up to `end`. Raises ValueError if its curve is cut off
    there, and not by the end of the run."""
    moved = replace(section, start=section.start + start, end=section.end + start)
    if moved.end <= end or last:
        return moved
    if moved.first != moved.last and (moved.curve not in ("linear", "exponential") or moved.power != 1):
        raise ValueError(f"a curve that goes on to step {moved.end:g} is cut off by the next scheduler at {end}: end it there")
    return replace(moved, end=end, last=float(moved.value(np.array(float(end)))))
