"""With the arguments that are printed, schedulers of trainers have the planned rate at every step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.trainer_arguments import Trainer, trainer_arguments

STEPS = 400

EXACT = 1e-12
"""Largest difference of a rate, as a share of the peak."""

SHAPES: dict[str, dict[str, Any]] = {
    "constant": {"shape": "constant"},
    "linear": {"shape": "linear", "final": 3e-4},
    "cosine": {"shape": "cosine", "final": 3e-4},
    "wsd, linear": {"shape": "wsd", "decay": 0.2, "decay_shape": "linear"},
    "wsd, cosine": {"shape": "wsd", "decay": 0.2, "decay_shape": "cosine"},
    "wsd, sqrt": {"shape": "wsd", "decay": 0.2, "decay_shape": "sqrt"},
    "wsd that does not fall": {"shape": "wsd", "final": 3e-3},
}


def planned(schedule: Schedule) -> np.ndarray:
    """[STEPS + 1]"""
    return schedule.learning_rate(np.arange(STEPS + 1) / STEPS)


def megatron(schedule: Schedule) -> np.ndarray:
    """[STEPS + 1]: the rates of Megatron's scheduler."""
    scheduler = pytest.importorskip("megatron.core.optimizer_param_scheduler", reason="megatron-core is not installed")
    given = trainer_arguments(schedule, "megatron", STEPS)
    made = scheduler.OptimizerParamScheduler(
        SimpleNamespace(param_groups=[{}]),
        init_lr=0.0,  # Megatron's --lr-warmup-init, by default
        max_lr=given["lr"],
        min_lr=given["min-lr"],
        lr_warmup_steps=given["lr-warmup-iters"],
        lr_decay_steps=given["lr-decay-iters"],
        lr_decay_style=given["lr-decay-style"],
        start_wd=0.0,
        end_wd=0.0,
        wd_incr_steps=0,
        wd_incr_style="constant",
        wsd_decay_steps=given.get("lr-wsd-decay-iters"),
        lr_wsd_decay_style=given.get("lr-wsd-decay-style"),
    )
    rates = []
    for _ in range(STEPS + 1):
        rates.append(made.optimizer.param_groups[0]["lr"])
        made.step(1)
    return np.array(rates)


def transformers(schedule: Schedule) -> np.ndarray:
    """[STEPS + 1]: the rates of transformers' scheduler."""
    torch = pytest.importorskip("torch")
    get_scheduler = pytest.importorskip("transformers").get_scheduler
    given = trainer_arguments(schedule, "transformers", STEPS)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=given["learning_rate"])
    made = get_scheduler(
        given["lr_scheduler_type"], optimizer, given["warmup_steps"], given["max_steps"], given["lr_scheduler_kwargs"]
    )
    rates = []
    for _ in range(STEPS + 1):
        rates.append(made.get_last_lr()[0])
        optimizer.step()
        made.step()
    return np.array(rates)


@pytest.mark.parametrize("warmup", [0.0, 0.05])
@pytest.mark.parametrize("shape", SHAPES)
def test_megatrons_scheduler_has_the_planned_rates(shape: str, warmup: float) -> None:
    schedule = Schedule(**SHAPES[shape], warmup=warmup)
    np.testing.assert_allclose(megatron(schedule), planned(schedule), rtol=0, atol=EXACT * schedule.peak)


@pytest.mark.parametrize("warmup", [0.0, 0.05])
@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_scheduler_has_the_planned_rates(shape: str, warmup: float) -> None:
    schedule = Schedule(**{"final": 0.0 if warmup else 1e-5, **SHAPES[shape]}, warmup=warmup)
    np.testing.assert_allclose(transformers(schedule), planned(schedule), rtol=0, atol=EXACT * schedule.peak)


@pytest.mark.parametrize("trainer", ["megatron", "transformers"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": "step", "steps": [[0.5, 0.1]]}, "no scheduler of a trainer has the shape step"),
        ({"points": [[0, 1e-3], [10, 1e-4]]}, "no scheduler of a trainer has the shape points"),
        ({"decay_shape": "exponential"}, "has no exponential decay like ours: choose linear, cosine, sqrt as decay_shape"),
    ],
)
def test_what_a_trainer_does_not_have_is_refused(trainer: Trainer, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trainer_arguments(Schedule(**options), trainer, STEPS)


def test_transformers_warms_up_to_a_decay_from_its_end() -> None:
    with pytest.raises(ValueError, match="warms up from the final rate, not from 0"):
        trainer_arguments(Schedule(warmup=0.05), "transformers", STEPS)
