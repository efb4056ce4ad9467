"""torchtitan's and nanochat's schedules: a linear warm-up, a constant stretch, a decay; as arguments, and back.

torchtitan 0.2 (components/lr_scheduler.py) and nanochat (scripts/base_train.py, get_lr_multiplier) both warm up one step
ahead: step k, counted from 0, has (k + 1)/w of the peak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from pydantic import Field, model_validator

from tamis.transforms.core.schedule import Curve, Schedule, Section
from tamis.transforms.curriculum.trainers.stages import Arguments, Stages, TrainerArguments, name_of, schedule_of, stages_of

_CURVES: Final[Mapping[Curve, str]] = {"linear": "linear", "cosine": "cosine", "sqrt": "sqrt"}


class TorchtitanArguments(TrainerArguments):
    """`optimizer.lr`, `training.steps` and the fields of `lr_scheduler`."""

    lr: float = Field(gt=0, allow_inf_nan=False)
    steps: int = Field(ge=1)
    warmup_steps: int = Field(200, ge=0)
    decay_ratio: float | None = Field(None, ge=0, le=1)
    decay_type: Literal["linear", "sqrt", "cosine"] = "linear"
    min_lr_factor: float = Field(0.0, ge=0, le=1)

    def schedule(self) -> Schedule:
        warmup = min(self.warmup_steps, self.steps)
        decay = self.steps - warmup
        if self.decay_ratio is not None:
            decay = min(decay, round(self.steps * self.decay_ratio))
        curve = next(curve for curve, name in _CURVES.items() if name == self.decay_type)
        return schedule_of(_sections(self.lr, self.steps, warmup, decay, curve, self.min_lr_factor), self.steps)


class NanochatArguments(TrainerArguments):
    """Options of `scripts.base_train`; `lr` is that of one group of parameters, as all follow the same multiplier."""

    lr: float = Field(gt=0, allow_inf_nan=False)
    num_iterations: int = Field(ge=1)
    warmup_steps: int | None = Field(None, ge=0)
    warmup_ratio: float = Field(0.0, ge=0, lt=1)
    warmdown_ratio: float = Field(0.5, ge=0, le=1)
    final_lr_frac: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _warm_up_before_warm_down(self) -> NanochatArguments:
        if self.warmup + self.warmdown > self.num_iterations:
            raise ValueError("warm-up and warm-down are longer than num_iterations")
        return self

    @property
    def warmup(self) -> int:
        return round(self.warmup_ratio * self.num_iterations) if self.warmup_steps is None else self.warmup_steps

    @property
    def warmdown(self) -> int:
        return round(self.warmdown_ratio * self.num_iterations)

    def schedule(self) -> Schedule:
        sections = _sections(self.lr, self.num_iterations, self.warmup, self.warmdown, "linear", self.final_lr_frac)
        return schedule_of(sections, self.num_iterations)


def torchtitan_arguments(schedule: Schedule, steps: int) -> Arguments:
    """Fields of torchtitan's job configuration. Raises ValueError if it has no such schedule."""
    stages = _stages(schedule, steps, "torchtitan")
    decay = steps - stages.decay_start if stages.curve else 0
    return {
        "optimizer.lr": stages.peak,
        "training.steps": steps,
        "lr_scheduler.warmup_steps": stages.warmup,
        "lr_scheduler.decay_ratio": decay / steps,
        "lr_scheduler.decay_type": name_of(stages.curve, _CURVES, "torchtitan") if stages.curve else "linear",
        "lr_scheduler.min_lr_factor": stages.final / stages.peak if stages.curve else 0.0,
    }


def nanochat_arguments(schedule: Schedule, steps: int) -> Arguments:
    """Options of `scripts.base_train`. Raises ValueError if it has no such schedule."""
    stages = _stages(schedule, steps, "nanochat")
    if stages.curve not in (None, "linear"):
        raise ValueError(f"nanochat's warm-down is linear, not {stages.curve}: set decay_shape: linear")
    return {
        "num-iterations": steps,
        "warmup-ratio": stages.warmup / steps,
        "warmdown-ratio": (steps - stages.decay_start) / steps if stages.curve else 0.0,
        "final-lr-frac": stages.final / stages.peak if stages.curve else 0.0,
    }


def _sections(lr: float, steps: int, warmup: int, decay: int, curve: Curve, share: float) -> Iterator[Section]:
    yield Section(0, warmup - 1, "linear", lr / max(warmup, 1), lr)
    yield Section(max(warmup - 1, 0), steps - decay, "linear", lr, lr)
    yield Section(steps - decay, steps, curve, lr, share * lr)


def _stages(schedule: Schedule, steps: int, trainer: str) -> Stages:
    """The stages, with the warm-up as the trainer counts it."""
    stages = stages_of(schedule, steps, trainer)
    warmup = stages.warmup + 1 if stages.warmup else 0
    if (stages.power, stages.warmup_power, stages.warmup_curve) != (1, 1, "linear") or stages.decay_end != steps:
        raise ValueError(f"{trainer} has no such warm-up or decay: set each step's rate by batch.learning_rate")
    if warmup and abs(stages.start * warmup / stages.peak - 1) > 1e-9:
        raise ValueError(
            f"{trainer} warms up one step ahead, in a run of {steps:,} steps from peak/{stages.warmup} instead of "
            f"{stages.start:g}: plan for its own schedule, by schedule: {{from: {trainer}, args: …}} in the recipe or "
            "--schedule, with as many steps as the run has, or set warmup: 0"
        )
    return Stages(
        stages.start, warmup, stages.peak, stages.decay_start, stages.decay_end, stages.final, stages.curve, 1, "linear", 1
    )
