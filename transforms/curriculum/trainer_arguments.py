"""A schedule as the arguments of a trainer's own scheduler, which then has the planned rate at every step.

Step k of n, counted from 0, has the rate at k/n of the run. Lengths are rounded to whole steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from tamis.transforms.core.schedule import Curve, Schedule

Trainer = Literal["megatron", "transformers"]

Arguments = dict[str, Any]

_MEGATRONS_CURVES: Final[Mapping[Curve, str]] = {"linear": "linear", "cosine": "cosine", "sqrt": "minus_sqrt"}
"""Its `exponential` is 2·(1/2)^r − 1, which is another curve than ours."""

_TRANSFORMERS_CURVES: Final[Mapping[Curve, str]] = {"linear": "linear", "cosine": "cosine", "sqrt": "1-sqrt"}


def trainer_arguments(schedule: Schedule, trainer: Trainer, steps: int) -> Arguments:
    """The arguments, by name, for a run of so many steps. Raises ValueError if the trainer has no such schedule."""
    return _TRAINERS[trainer](schedule, steps)


def _megatron(schedule: Schedule, steps: int) -> Arguments:
    """Options of Megatron-LM's command line, which go to OptimizerParamScheduler."""
    shape = _plain_shape(schedule)
    arguments: Arguments = {
        "lr": schedule.peak,
        "min-lr": schedule.peak if shape == "constant" else schedule.final,
        "lr-decay-style": "WSD" if shape == "wsd" else shape,
        "lr-warmup-iters": round(schedule.warmup * steps),
        "lr-decay-iters": steps,
        "train-iters": steps,
    }
    if shape == "wsd":
        arguments["lr-wsd-decay-style"] = _curve(schedule, _MEGATRONS_CURVES, "Megatron")
        arguments["lr-wsd-decay-iters"] = round(schedule.decay * steps)
    return arguments


def _transformers(schedule: Schedule, steps: int) -> Arguments:
    """Fields of TrainingArguments, which go to get_scheduler."""
    shape, share = _plain_shape(schedule), schedule.final / schedule.peak
    names = {
        "constant": "constant_with_warmup",
        "linear": "polynomial",
        "cosine": "cosine_with_min_lr",
        "wsd": "warmup_stable_decay",
    }
    more: dict[str, Arguments] = {
        "constant": {},
        "linear": {"lr_end": schedule.final, "power": 1.0},
        "cosine": {"min_lr_rate": share},
        "wsd": {"num_decay_steps": round(schedule.decay * steps), "min_lr_ratio": share},
    }
    if shape == "wsd":
        more["wsd"]["decay_type"] = _curve(schedule, _TRANSFORMERS_CURVES, "transformers")
        if schedule.warmup and share:
            raise ValueError(
                "transformers' warmup_stable_decay warms up from the final rate, not from 0: set warmup or final to 0, or "
                "set each step's rate by batch.learning_rate"
            )
    return {
        "learning_rate": schedule.peak,
        "lr_scheduler_type": names[shape],
        "warmup_steps": round(schedule.warmup * steps),
        "lr_scheduler_kwargs": more[shape],
        "max_steps": steps,
    }


_TRAINERS: Final[Mapping[Trainer, Callable[[Schedule, int], Arguments]]] = {
    "megatron": _megatron,
    "transformers": _transformers,
}


def _plain_shape(schedule: Schedule) -> str:
    """The shape; `constant` if nothing decays. Raises ValueError for one that no trainer has."""
    if schedule.shape in ("step", "points"):
        raise ValueError(
            f"no scheduler of a trainer has the shape {schedule.shape}: set each step's rate by batch.learning_rate"
        )
    falls = schedule.final < schedule.peak and (schedule.shape != "wsd" or schedule.decay > 0)
    return schedule.shape if falls else "constant"


def _curve(schedule: Schedule, names: Mapping[Curve, str], trainer: str) -> str:
    if schedule.decay_shape not in names:
        raise ValueError(f"{trainer} has no {schedule.decay_shape} decay like ours: choose {', '.join(names)} as decay_shape")
    return names[schedule.decay_shape]
