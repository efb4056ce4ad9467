"""transformers' get_scheduler (5.0): a schedule as fields of TrainingArguments, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from tamis.transforms.core.schedule import Curve, Rate, Schedule, Section
from tamis.transforms.curriculum.trainers.stages import Arguments, TrainerArguments, errors_at, name_of, schedule_of, stages_of

_CURVES: Final[Mapping[Curve, str]] = {"linear": "linear", "cosine": "cosine", "sqrt": "1-sqrt"}

Share = Annotated[float, Field(ge=0, le=1)]


class SchedulerKwargs(TrainerArguments):
    """`lr_scheduler_kwargs`; each type has some of them."""

    num_cycles: float | None = Field(None, gt=0)
    lr_end: Rate = 1e-7
    power: float = Field(1.0, gt=0)
    timescale: float | None = Field(None, gt=0)
    min_lr: Rate | None = None
    min_lr_rate: Share | None = None
    warmup_lr_rate: Share | None = None
    num_decay_steps: int | None = Field(None, ge=0)
    num_stable_steps: int | None = Field(None, ge=0)
    warmup_type: Literal["linear", "cosine", "1-sqrt"] = "linear"
    decay_type: Literal["linear", "cosine", "1-sqrt"] = "cosine"
    min_lr_ratio: Share = 0.0


class TransformersArguments(TrainerArguments):
    """Fields of transformers' TrainingArguments."""

    learning_rate: float = Field(5e-5, gt=0, allow_inf_nan=False)
    lr_scheduler_type: Literal[
        "constant",
        "constant_with_warmup",
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "inverse_sqrt",
        "cosine_with_min_lr",
        "cosine_warmup_with_min_lr",
        "warmup_stable_decay",
    ] = "linear"
    lr_scheduler_kwargs: SchedulerKwargs = SchedulerKwargs()
    warmup_steps: float = Field(0, ge=0)
    warmup_ratio: float = Field(0.0, ge=0, lt=1)
    max_steps: int = Field(ge=1)

    @model_validator(mode="after")
    def _options_are_of_the_type(self) -> TransformersArguments:
        given, known = self.lr_scheduler_kwargs.model_fields_set, _KWARGS.get(self.lr_scheduler_type, set())
        if wrong := sorted(given - known):
            of_it = f"it has {', '.join(sorted(known))}" if known else "it has none"
            text = f"is not an option of {self.lr_scheduler_type}: {of_it}"
            raise errors_at({("lr_scheduler_kwargs", name): text for name in wrong})
        if self.warmup > self.max_steps:
            raise errors_at({("warmup_steps",): f"is longer than the run, of max_steps {self.max_steps:,}"})
        kwargs = self.lr_scheduler_kwargs
        if "min_lr_rate" in known and (kwargs.min_lr is None) == (kwargs.min_lr_rate is None):
            raise ValueError(f"{self.lr_scheduler_type} needs lr_scheduler_kwargs.min_lr or .min_lr_rate")
        if self.lr_scheduler_type == "warmup_stable_decay" and kwargs.num_decay_steps is None:
            raise ValueError("warmup_stable_decay needs lr_scheduler_kwargs.num_decay_steps")
        if self.lr_scheduler_type == "cosine_warmup_with_min_lr" and not self.warmup:
            raise ValueError("cosine_warmup_with_min_lr needs warmup_steps; without them, take cosine_with_min_lr")
        return self

    @property
    def warmup(self) -> int:
        """In steps: a number below 1 is a share, rounded up."""
        share = self.warmup_steps if 0 < self.warmup_steps < 1 else self.warmup_ratio if not self.warmup_steps else None
        return int(self.warmup_steps) if share is None else ceil(self.max_steps * share)

    def schedule(self) -> Schedule:
        return schedule_of(_SECTIONS[self.lr_scheduler_type](self), self.max_steps)


_KWARGS: Final[Mapping[str, set[str]]] = {
    "cosine": {"num_cycles"},
    "cosine_with_restarts": {"num_cycles"},
    "polynomial": {"lr_end", "power"},
    "inverse_sqrt": {"timescale"},
    "cosine_with_min_lr": {"num_cycles", "min_lr", "min_lr_rate"},
    "cosine_warmup_with_min_lr": {"num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"},
    "warmup_stable_decay": {
        "num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio", "num_cycles"
    },
}  # fmt: skip
"""The options of each type; the others have none."""


def _linear_warmup(arguments: TransformersArguments) -> Iterator[Section]:
    yield Section(0, arguments.warmup, "linear", 0.0, arguments.learning_rate)


def _constant(arguments: TransformersArguments) -> Iterator[Section]:
    yield Section(0, arguments.max_steps, "linear", arguments.learning_rate, arguments.learning_rate)


def _constant_with_warmup(arguments: TransformersArguments) -> Iterator[Section]:
    yield from _linear_warmup(arguments)
    yield Section(arguments.warmup, arguments.max_steps, "linear", arguments.learning_rate, arguments.learning_rate)


def _polynomial(arguments: TransformersArguments) -> Iterator[Section]:
    kwargs, linear = arguments.lr_scheduler_kwargs, arguments.lr_scheduler_type == "linear"
    end, power = (0.0, 1.0) if linear else (kwargs.lr_end, kwargs.power)
    if end > arguments.learning_rate:
        raise ValueError(f"lr_end {end:g} is above learning_rate {arguments.learning_rate:g}")
    yield from _linear_warmup(arguments)
    yield Section(arguments.warmup, arguments.max_steps, "linear", arguments.learning_rate, end, power)


def _waves(begin: float, end: float, halves: float, peak: float, low: float) -> Iterator[Section]:
    """`halves` half-periods of a cosine from `peak` in [begin, end]; the last may be cut off by the end of the run."""
    length = (end - begin) / halves
    for half in range(ceil(halves - 1e-9)):
        ends = (peak, low) if half % 2 == 0 else (low, peak)
        yield Section(begin + half * length, begin + (half + 1) * length, "cosine", *ends)


def _cosine(arguments: TransformersArguments) -> Iterator[Section]:
    kwargs, peak = arguments.lr_scheduler_kwargs, arguments.learning_rate
    low = kwargs.min_lr if kwargs.min_lr is not None else peak * (kwargs.min_lr_rate or 0.0)
    cycles = kwargs.num_cycles or 0.5
    yield from _linear_warmup(arguments)
    yield from _waves(arguments.warmup, arguments.max_steps, 2 * cycles, peak, low)


def _cosine_with_restarts(arguments: TransformersArguments) -> Iterator[Section]:
    cycles = arguments.lr_scheduler_kwargs.num_cycles or 1
    yield from _linear_warmup(arguments)
    length = (arguments.max_steps - arguments.warmup) / cycles
    for cycle in range(ceil(cycles)):
        begin = arguments.warmup + cycle * length
        yield Section(begin, begin + length, "cosine", arguments.learning_rate, 0.0)


def _cosine_after_warmup(arguments: TransformersArguments) -> Iterator[Section]:
    """It counts steps from 1: the warm-up reaches the peak, and the decay its end, a step before the others."""
    kwargs, peak, steps, warmup = arguments.lr_scheduler_kwargs, arguments.learning_rate, arguments.max_steps, arguments.warmup
    low = kwargs.min_lr if kwargs.min_lr is not None else peak * (kwargs.min_lr_rate or 0.0)
    first = 1 / warmup if kwargs.warmup_lr_rate is None else kwargs.warmup_lr_rate
    yield Section(0, warmup - 1, "linear", peak * first, peak)
    yield from _waves(warmup - 1, steps - 1, 2 * (kwargs.num_cycles or 0.5), peak, low)
    yield Section(steps - 1, steps, "linear", low, low)


def _inverse_sqrt(arguments: TransformersArguments) -> Iterator[Section]:
    peak, timescale = arguments.learning_rate, arguments.lr_scheduler_kwargs.timescale or arguments.warmup or 10_000
    length = arguments.max_steps - arguments.warmup
    yield from _linear_warmup(arguments)
    last = peak * (1 + length / timescale) ** -0.5
    yield Section(arguments.warmup, arguments.max_steps, "inverse_sqrt", peak, last)


def _warmup_stable_decay(arguments: TransformersArguments) -> Iterator[Section]:
    kwargs, peak, warmup, steps = arguments.lr_scheduler_kwargs, arguments.learning_rate, arguments.warmup, arguments.max_steps
    low, decay = peak * kwargs.min_lr_ratio, kwargs.num_decay_steps or 0
    stable = steps - warmup - decay if kwargs.num_stable_steps is None else kwargs.num_stable_steps
    if stable < 0:
        raise ValueError("warm-up and decay are longer than max_steps")
    rise: tuple[Curve, float] = ("cosine", 1.0) if kwargs.warmup_type == "cosine" else ("linear", 1.0)
    if kwargs.warmup_type == "1-sqrt":
        rise = ("linear", 0.5)
    start, end = warmup + stable, warmup + stable + decay
    yield Section(0, warmup, rise[0], low, peak, rise[1])
    yield Section(warmup, start, "linear", peak, peak)
    if kwargs.decay_type == "cosine":
        yield from _waves(start, end, 2 * (kwargs.num_cycles or 0.5), peak, low) if decay else ()
    else:
        yield Section(start, end, next(curve for curve, name in _CURVES.items() if name == kwargs.decay_type), peak, low)
    yield Section(end, steps, "linear", low, low)


_SECTIONS: Final[Mapping[str, Callable[[TransformersArguments], Iterator[Section]]]] = {
    "constant": _constant,
    "constant_with_warmup": _constant_with_warmup,
    "linear": _polynomial,
    "polynomial": _polynomial,
    "cosine": _cosine,
    "cosine_with_min_lr": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "cosine_warmup_with_min_lr": _cosine_after_warmup,
    "inverse_sqrt": _inverse_sqrt,
    "warmup_stable_decay": _warmup_stable_decay,
}


def transformers_arguments(schedule: Schedule, steps: int) -> Arguments:
    """Fields of TrainingArguments, which go to get_scheduler. Raises ValueError if it has no such schedule."""
    stages = stages_of(schedule, steps, "transformers")
    share, whole = stages.final / stages.peak, stages.decay_start == stages.warmup and stages.decay_end == steps
    kind, kwargs = "constant_with_warmup", dict[str, Any]()
    plain_warmup = (stages.warmup_curve, stages.warmup_power, stages.start) == ("linear", 1.0, 0.0)
    if stages.curve is None:
        pass
    elif whole and plain_warmup and stages.curve == "linear":
        kind, kwargs = "polynomial", {"lr_end": stages.final, "power": stages.power}
    elif whole and plain_warmup and stages.curve == "cosine":
        kind, kwargs = "cosine_with_min_lr", {"min_lr_rate": share}
    elif whole and plain_warmup and stages.curve == "inverse_sqrt":
        kind, kwargs = "inverse_sqrt", {"timescale": (steps - stages.warmup) / (share**-2 - 1)}
    else:
        kind, kwargs = "warmup_stable_decay", {"num_decay_steps": stages.decay_end - stages.decay_start, "min_lr_ratio": share}
        kwargs["decay_type"] = name_of(stages.curve, _CURVES, "transformers")
        if stages.decay_end != steps:
            kwargs["num_stable_steps"] = stages.decay_start - stages.warmup
        if stages.warmup_curve == "cosine":
            kwargs["warmup_type"] = "cosine"
        elif stages.warmup_power == 0.5:
            kwargs["warmup_type"] = "1-sqrt"
    if stages.warmup and (not plain_warmup if kind != "warmup_stable_decay" else stages.start != stages.final):
        raise ValueError(
            "transformers' warmup_stable_decay warms up from the final rate, and its other schedulers from 0, linearly: set "
            "warmup or final to 0, or set each step's rate by batch.learning_rate"
        )
    if (stages.power != 1 and kind != "polynomial") or stages.warmup_power not in (1, 0.5):
        raise ValueError("transformers has a power in polynomial alone: set each step's rate by batch.learning_rate")
    return {
        "learning_rate": stages.peak,
        "lr_scheduler_type": kind,
        "warmup_steps": stages.warmup,
        "lr_scheduler_kwargs": kwargs,
        "max_steps": steps,
    }
