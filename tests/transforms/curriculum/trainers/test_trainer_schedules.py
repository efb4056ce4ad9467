"""A schedule `from` a trainer has the rates of its own scheduler at every step, and has them again when it is printed back."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.order import Curriculum
from tamis.transforms.curriculum.trainer_arguments import Trainer, trainer_arguments
from tamis.transforms.curriculum.trainer_schedule import ScheduleOptions
from tamis.transforms.curriculum.training_plan import TrainingPlan, make_plan
from tests.transforms.curriculum.test_training_plan import manifest
from tests.transforms.curriculum.trainers.trainer_rates import CASES, TRAINERS, Arguments, Rates

STEPS = 400

EXACT = 1e-12
"""Largest difference of a rate, as a share of the peak."""

EVERY = [(trainer, shape) for trainer, shapes in CASES.items() for shape in shapes]

PRINTED = get_args(Trainer)

NOT_PRINTED = {
    ("megatron", "inverse square root, cut off"): "has no scheduler of the shape pieces",
    ("transformers", "cosine, 1.25 cycles"): "has no scheduler of the shape pieces",
    ("transformers", "cosine_with_restarts"): "has no scheduler of the shape pieces",
    ("transformers", "cosine_warmup_with_min_lr"): "warms up from the final rate",
    ("transformers", "cosine_warmup_with_min_lr, from a rate"): "warms up from the final rate",
}
"""What a trainer has, and is not recognised when it is to be printed."""


def read(trainer: str, arguments: Arguments) -> Schedule:
    schedule: Schedule = TypeAdapter(ScheduleOptions).validate_python({"from": trainer, "args": dict(arguments)})
    return schedule


def planned(schedule: Schedule, steps: int = STEPS) -> Rates:
    """[steps]"""
    return schedule.learning_rate(np.arange(steps) / steps)


def deviation(trainer: str, arguments: Arguments) -> float:
    """The largest difference to the trainer's own scheduler, as a share of the peak."""
    schedule, rates = read(trainer, arguments), TRAINERS[trainer](arguments)
    return float(np.max(np.abs(rates - planned(schedule, len(rates)))) / schedule.peak)


@pytest.mark.parametrize(("trainer", "shape"), EVERY)
def test_a_schedule_of_a_trainer_has_its_rates(trainer: str, shape: str) -> None:
    assert deviation(trainer, CASES[trainer][shape]) <= EXACT


@settings(max_examples=40, deadline=None)
@given(warmup=st.integers(0, 60), hold=st.integers(0, 60), decay=st.integers(1, 90), final=st.floats(0, 0.9))
def test_a_run_of_any_number_of_steps_has_them(warmup: int, hold: int, decay: int, final: float) -> None:
    steps = warmup + hold + decay
    megatron = {"lr": 1.0, "min-lr": final, "train-iters": steps, "lr-warmup-iters": warmup, "lr-decay-style": "WSD"}
    kwargs = {"num_decay_steps": decay, "min_lr_ratio": final, "decay_type": "1-sqrt", "warmup_type": "1-sqrt"}
    ours = {"learning_rate": 1.0, "max_steps": steps, "warmup_steps": warmup, "lr_scheduler_kwargs": kwargs}
    titan = {"lr": 1.0, "steps": steps, "warmup_steps": warmup, "decay_ratio": decay / steps, "decay_type": "sqrt"}
    cases = [
        ("megatron", {**megatron, "lr-wsd-decay-iters": decay, "lr-wsd-decay-style": "minus_sqrt"}),
        ("transformers", {**ours, "lr_scheduler_type": "warmup_stable_decay"}),
        ("torchtitan", {**titan, "min_lr_factor": final}),
    ]
    for trainer, arguments in cases:
        assert deviation(trainer, arguments) <= EXACT, trainer


@pytest.mark.parametrize(("trainer", "shape"), [each for each in EVERY if each[0] in PRINTED])
def test_printed_back_it_has_them_again(trainer: Trainer, shape: str) -> None:
    schedule = read(trainer, CASES[trainer][shape])
    if (trainer, shape) in NOT_PRINTED:
        with pytest.raises(ValueError, match=NOT_PRINTED[trainer, shape]):
            trainer_arguments(schedule, trainer, STEPS)
        return
    arguments = {**trainer_arguments(schedule, trainer, STEPS)}
    if trainer == "nanochat":
        arguments["lr"] = schedule.peak
    np.testing.assert_allclose(TRAINERS[trainer](arguments), planned(schedule), rtol=0, atol=EXACT * schedule.peak)
    again = read(trainer, arguments)
    np.testing.assert_allclose(planned(again), planned(schedule), rtol=0, atol=EXACT * schedule.peak)


@pytest.mark.parametrize("warmup", [0.0, 0.05])
@pytest.mark.parametrize("trainer", ["megatron", "transformers"])
@pytest.mark.parametrize(
    "options",
    [
        {"shape": "constant"},
        {"shape": "linear"},
        {"shape": "cosine"},
        {"decay": 0.2, "decay_shape": "linear"},
        {"decay": 0.2, "decay_shape": "cosine"},
        {"decay": 0.2, "decay_shape": "sqrt"},
        {"final": 3e-3},
    ],
    ids=str,
)
def test_arguments_have_the_planned_rates(trainer: Trainer, options: dict[str, Any], warmup: float) -> None:
    schedule = Schedule(**{"final": 0.0 if warmup else 1e-5, **options}, warmup=warmup)
    arguments = trainer_arguments(schedule, trainer, STEPS)
    np.testing.assert_allclose(TRAINERS[trainer](arguments), planned(schedule), rtol=0, atol=EXACT * schedule.peak)
    np.testing.assert_allclose(planned(read(trainer, arguments)), planned(schedule), rtol=0, atol=EXACT * schedule.peak)


@given(
    warmup=st.integers(0, 100),
    hold=st.integers(0, 100),
    decay=st.integers(1, 200),
    curve=st.sampled_from(["linear", "cosine", "sqrt", "halving"]),
    final=st.floats(0, 0.9),
)
def test_megatrons_arguments_are_read_as_they_were_printed(
    warmup: int, hold: int, decay: int, curve: Any, final: float
) -> None:
    steps = warmup + hold + decay
    schedule = Schedule(warmup=warmup / steps, decay=decay / steps, decay_shape=curve, peak=1.0, final=final)
    arguments = trainer_arguments(schedule, "megatron", steps)
    again = read("megatron", arguments)
    np.testing.assert_allclose(planned(again, steps), planned(schedule, steps), rtol=0, atol=EXACT)
    assert trainer_arguments(again, "megatron", steps) == arguments


@pytest.mark.parametrize("trainer", PRINTED)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": "step", "steps": [[0.5, 0.1]]}, "no scheduler of the shape step"),
        ({"points": [[0, 1e-3], [10, 1e-4]]}, "no scheduler of the shape of points"),
        ({"decay_shape": "exponential"}, "exponential"),
    ],
)
def test_what_a_trainer_does_not_have_is_refused(trainer: Trainer, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trainer_arguments(Schedule(**options), trainer, STEPS)


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ("transformers", "warms up from the final rate, and its other schedulers from 0"),
        ("torchtitan", "warms up one step ahead"),
        ("nanochat", "warms up one step ahead"),
    ],
)
def test_a_warm_up_that_a_trainer_does_not_have_is_refused(trainer: Trainer, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trainer_arguments(Schedule(warmup=0.05, decay_shape="linear"), trainer, STEPS)


@pytest.mark.parametrize(
    ("trainer", "arguments", "message"),
    [
        ("megatron", {"lr": 1e-3}, "set train_iters or train_samples"),
        ("megatron", {"lr": 1e-3, "train-iters": 9, "lr-decay-samples": 9}, "all other lengths in the same unit"),
        ("megatron", {"lr": 1e-3, "train-iters": 9, "lr-warmup-iters": 9}, "set it below 9 iters"),
        ("megatron", {"lr": 1e-3, "train-iters": 9, "lr-decay-style": "WSD"}, "should be 1 to 9, what the warm-up leaves"),
        ("megatron", {"lr": 1e-3, "train-iters": 9, "min-lr": 1}, "is above lr, 0.001"),
        ("megatron", {"lr": 1e-3, "train-iters": 9, "lr-decay-stile": "WSD"}, "did you mean 'lr_decay_style'"),
        ("megatron", {"lr": 1e-3, "train-iters": 9, "rampup-batch-size": [2, 2, 9]}, "needs the lengths in samples"),
        (
            "megatron",
            {"lr": 1e-3, "train-samples": 9, "rampup-batch-size": [2, 2, 9]},
            "needs global_batch_size and seq_length",
        ),
        (
            "megatron",
            {"lr": 1, "train-samples": 9, "rampup-batch-size": [2, 3, 9], "global-batch-size": 6, "seq-length": 1},
            "choose an increment that divides 4",
        ),
        ("transformers", {"max_steps": 9, "lr_scheduler_type": "reduce_lr_on_plateau"}, "lr_scheduler_type"),
        ("transformers", {"max_steps": 9, "lr_scheduler_kwargs": {"power": 2}}, "is not an option of linear: it has none"),
        ("transformers", {"max_steps": 9, "lr_scheduler_type": "cosine_with_min_lr"}, "min_lr_rate"),
        ("transformers", {"max_steps": 9, "lr_scheduler_type": "warmup_stable_decay"}, "num_decay_steps"),
        ("transformers", {"max_steps": 9, "warmup_steps": 10}, "is longer than the run, of max_steps 9"),
        ("nanochat", {"lr": 1, "num_iterations": 9, "warmup_ratio": 0.7}, "longer than num_iterations"),
        ("torch", {"lr": 1, "steps": 9, "schedulers": [{"type": "StepLR", "step_size": 3}], "milestones": [3]}, "milestones"),
        ("torchtitan", {"lr": 1}, "steps"),
        ("composer", {"lr": 1}, "'megatron', 'transformers', 'torchtitan', 'nanochat' or 'torch'"),
    ],
)
def test_arguments_that_do_not_fit_say_why(trainer: str, arguments: Arguments, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(trainer, arguments)


def test_a_curve_that_the_next_scheduler_cuts_off_is_refused() -> None:
    schedulers = [{"type": "CosineAnnealingLR", "T_max": 9}, {"type": "StepLR", "step_size": 3}]
    with pytest.raises(ValidationError, match="is cut off by the next scheduler at 5"):
        read("torch", {"lr": 1, "steps": 12, "schedulers": schedulers, "milestones": [5]})


@pytest.mark.parametrize(("trainer", "shape"), [each for each in EVERY if each[0] in ("megatron", "torch")])
def test_it_can_be_ordered_for_and_planned(trainer: str, shape: str) -> None:
    schedule = read(trainer, CASES[trainer][shape])
    curriculum = Curriculum(order="lr_weighted", half_life=0.1, schedule=schedule)
    plan = make_plan(manifest(curriculum, [("phase-1", 600), ("phase-1", 400)]))
    assert sum(shard.lr_mass for shard in plan.shards) == pytest.approx(1)
    assert plan.best_decile_weight["lr_weighted"] == pytest.approx(max(plan.best_decile_weight.values()))
    assert TrainingPlan.model_validate_json(plan.model_dump_json()) == plan
