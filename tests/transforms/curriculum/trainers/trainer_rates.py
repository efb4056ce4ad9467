"""The learning rates that trainers' own schedulers have, from the arguments as a user writes them.

Megatron, transformers and torch run themselves. torchtitan and nanochat are no packages of a registry: their formulas
are restated here (torchtitan 0.2, components/lr_scheduler.py; nanochat, scripts/base_train.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

Arguments = Mapping[str, Any]
Rates = npt.NDArray[np.float64]


def megatron(arguments: Arguments) -> Rates:
    """[train iterations, or samples]"""
    scheduler = pytest.importorskip("megatron.core.optimizer_param_scheduler", reason="megatron-core is not installed")
    given = {name.replace("-", "_"): value for name, value in arguments.items()}
    unit = "iters" if "train_iters" in given else "samples"
    steps = given[f"train_{unit}"]
    decay = given.get(f"lr_decay_{unit}", steps)
    warmup = given.get("lr_warmup_fraction", 0) * decay or given.get(f"lr_warmup_{unit}", 0)
    made = scheduler.OptimizerParamScheduler(
        SimpleNamespace(param_groups=[{}]),
        init_lr=given.get("lr_warmup_init", 0.0),
        max_lr=given["lr"],
        min_lr=given.get("min_lr", 0.0),
        lr_warmup_steps=warmup,
        lr_decay_steps=decay,
        lr_decay_style=given.get("lr_decay_style", "linear"),
        start_wd=0.0,
        end_wd=0.0,
        wd_incr_steps=0,
        wd_incr_style="constant",
        wsd_decay_steps=given.get(f"lr_wsd_decay_{unit}"),
        lr_wsd_decay_style=given.get("lr_wsd_decay_style", "exponential"),
    )
    rates = []
    for _ in range(steps):
        rates.append(made.optimizer.param_groups[0]["lr"])
        made.step(1)
    return np.array(rates)


def transformers(arguments: Arguments) -> Rates:
    """[max_steps]"""
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("transformers")
    steps, warmup = arguments["max_steps"], arguments["warmup_steps"]
    warmup = math.ceil(steps * warmup) if warmup < 1 else warmup  # as TrainingArguments.get_warmup_steps
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=arguments["learning_rate"])
    kwargs = dict(arguments["lr_scheduler_kwargs"])
    made = library.get_scheduler(arguments["lr_scheduler_type"], optimizer, warmup, steps, kwargs)
    return _stepped(optimizer, made, steps)


def torchtitan(arguments: Arguments) -> Rates:
    """[steps]; keys may have the names of their sections before them."""
    given = {name.split(".")[-1]: value for name, value in arguments.items()}
    steps, warmup, least = given["steps"], min(given.get("warmup_steps", 200), given["steps"]), given.get("min_lr_factor", 0.0)
    ratio = given.get("decay_ratio")
    decay = steps - warmup if ratio is None else min(round(steps * ratio), steps - warmup)
    falling = {"linear": lambda x: x, "sqrt": math.sqrt, "cosine": lambda x: (1 - math.cos(math.pi * x)) / 2}
    factors = []
    for step in range(steps):
        if step < warmup:
            factors.append((step + 1) / warmup)
        elif step < steps + 1 - decay:
            factors.append(1.0)
        else:
            factors.append(1 - (1 - least) * falling[given.get("decay_type", "linear")]((step - steps + decay) / decay))
    return given["lr"] * np.array(factors)


def nanochat(arguments: Arguments) -> Rates:
    """[num_iterations]"""
    given = {name.replace("-", "_"): value for name, value in arguments.items()}
    steps = given["num_iterations"]
    warmup = given.get("warmup_steps", round(given.get("warmup_ratio", 0.0) * steps))
    down = round(given.get("warmdown_ratio", 0.5) * steps)
    multipliers = []
    for step in range(steps):
        left = (steps - step) / down if down and step > steps - down else 1.0
        multipliers.append((step + 1) / warmup if step < warmup else left + (1 - left) * given.get("final_lr_frac", 0.0))
    return given["lr"] * np.array(multipliers)


def torch(arguments: Arguments) -> Rates:
    """[steps]"""
    library = pytest.importorskip("torch")
    optimizer = library.optim.SGD([library.nn.Parameter(library.zeros(1))], lr=arguments["lr"])
    schedulers = [
        getattr(library.optim.lr_scheduler, options["type"])(
            optimizer, **{name: value for name, value in options.items() if name != "type"}
        )
        for options in arguments["schedulers"]
    ]
    made = schedulers[0]
    if len(schedulers) > 1:
        made = library.optim.lr_scheduler.SequentialLR(optimizer, schedulers, list(arguments["milestones"]))
    return _stepped(optimizer, made, arguments["steps"])


def _stepped(optimizer: Any, scheduler: Any, steps: int) -> Rates:
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


TRAINERS: Mapping[str, Callable[[Arguments], Rates]] = {
    "megatron": megatron,
    "transformers": transformers,
    "torchtitan": torchtitan,
    "nanochat": nanochat,
    "torch": torch,
}

_MEGATRON = {"lr": 3e-3, "min-lr": 3e-4, "train-iters": 400}
_ROOT = {"lr-decay-style": "inverse-square-root"}
_WSD = {"lr-decay-style": "WSD", "lr-warmup-iters": 20, "lr-wsd-decay-iters": 80}
_TITAN = {"lr": 3e-3, "steps": 400}
_TORCH = {"lr": 3e-3, "steps": 400}


def _transformers(kind: str, warmup: float = 20, **kwargs: Any) -> Arguments:
    return {
        "learning_rate": 3e-3,
        "lr_scheduler_type": kind,
        "warmup_steps": warmup,
        "lr_scheduler_kwargs": kwargs,
        "max_steps": 400,
    }


CASES: Mapping[str, Mapping[str, Arguments]] = {
    "megatron": {
        "constant": {**_MEGATRON, "lr-decay-style": "constant", "lr-warmup-iters": 20},
        "linear": {**_MEGATRON, "lr-warmup-iters": 20},
        "linear, from a rate": {**_MEGATRON, "lr-warmup-iters": 20, "lr-warmup-init": 1e-4},
        "linear, by a fraction": {**_MEGATRON, "lr-warmup-fraction": 0.0625},
        "linear, decayed before the end": {**_MEGATRON, "lr-warmup-iters": 20, "lr-decay-iters": 300},
        "cosine": {**_MEGATRON, "lr-decay-style": "cosine", "lr-warmup-iters": 20},
        "cosine, cut off": {**_MEGATRON, "lr-decay-style": "cosine", "lr-decay-iters": 700},
        "cosine, in samples": {"lr": 3e-3, "train-samples": 400, "lr-decay-style": "cosine", "lr-warmup-samples": 37},
        "inverse square root": {**_MEGATRON, "min-lr": 0.0, **_ROOT, "lr-warmup-iters": 20},
        "inverse square root, with a floor": {**_MEGATRON, "min-lr": 1e-3, **_ROOT, "lr-warmup-iters": 20},
        "inverse square root, without warm-up": {**_MEGATRON, "min-lr": 0.0, **_ROOT},
        "inverse square root, cut off": {**_MEGATRON, **_ROOT, "lr-warmup-iters": 20, "lr-decay-iters": 300},
        **{
            f"WSD, {style}": {**_MEGATRON, **_WSD, "lr-wsd-decay-style": style}
            for style in ("exponential", "linear", "cosine", "minus_sqrt")
        },
    },
    "transformers": {
        "constant": _transformers("constant"),
        "constant_with_warmup": _transformers("constant_with_warmup"),
        "linear": _transformers("linear"),
        "linear, warm-up as a share": _transformers("linear", 0.03),
        "cosine": _transformers("cosine"),
        "cosine, 1.25 cycles": _transformers("cosine", num_cycles=1.25),
        "cosine_with_restarts": _transformers("cosine_with_restarts", 16, num_cycles=3),
        "polynomial": _transformers("polynomial", lr_end=1e-5, power=2.0),
        "inverse_sqrt": _transformers("inverse_sqrt"),
        "inverse_sqrt, timescale": _transformers("inverse_sqrt", timescale=50),
        "cosine_with_min_lr": _transformers("cosine_with_min_lr", min_lr_rate=0.1),
        "cosine_with_min_lr, as a rate": _transformers("cosine_with_min_lr", min_lr=3e-4),
        "cosine_warmup_with_min_lr": _transformers("cosine_warmup_with_min_lr", min_lr_rate=0.1),
        "cosine_warmup_with_min_lr, from a rate": _transformers(
            "cosine_warmup_with_min_lr", min_lr_rate=0.1, warmup_lr_rate=0.3
        ),
        **{
            f"warmup_stable_decay, {warmup}, {decay}": _transformers(
                "warmup_stable_decay", num_decay_steps=80, warmup_type=warmup, decay_type=decay, min_lr_ratio=0.1
            )
            for warmup in ("linear", "cosine", "1-sqrt")
            for decay in ("linear", "cosine", "1-sqrt")
        },
        "warmup_stable_decay, then rest": _transformers(
            "warmup_stable_decay", 0, num_decay_steps=80, num_stable_steps=200, min_lr_ratio=0.1
        ),
    },
    "torchtitan": {
        **{
            decay: {**_TITAN, "warmup_steps": 20, "decay_ratio": 0.2, "decay_type": decay}
            for decay in ("linear", "sqrt", "cosine")
        },
        "down to a factor": {**_TITAN, "warmup_steps": 0, "decay_ratio": 0.2, "min_lr_factor": 0.1},
        "decay throughout": {**_TITAN, "warmup_steps": 20},
        "no decay": {**_TITAN, "warmup_steps": 1, "decay_ratio": 0.0},
    },
    "nanochat": {
        "warm-down": {"lr": 0.02, "num-iterations": 400, "warmdown-ratio": 0.65, "final-lr-frac": 0.05},
        "warm-up and warm-down": {"lr": 0.02, "num-iterations": 400, "warmup-ratio": 0.05, "warmdown-ratio": 0.5},
        "warm-up in steps": {"lr": 0.02, "num-iterations": 400, "warmup-steps": 40, "warmdown-ratio": 0.65},
        "no warm-down": {"lr": 0.02, "num-iterations": 400, "warmdown-ratio": 0.0},
    },
    "torch": {
        "LinearLR": {**_TORCH, "schedulers": [{"type": "LinearLR", "start_factor": 0.1, "total_iters": 50}]},
        "ConstantLR": {**_TORCH, "schedulers": [{"type": "ConstantLR", "factor": 0.5, "total_iters": 50}]},
        "PolynomialLR": {**_TORCH, "schedulers": [{"type": "PolynomialLR", "total_iters": 300, "power": 2.0}]},
        "ExponentialLR": {**_TORCH, "schedulers": [{"type": "ExponentialLR", "gamma": 0.99}]},
        "StepLR": {**_TORCH, "schedulers": [{"type": "StepLR", "step_size": 90, "gamma": 0.3}]},
        "MultiStepLR": {**_TORCH, "schedulers": [{"type": "MultiStepLR", "milestones": [100, 350], "gamma": 0.3}]},
        "CosineAnnealingLR": {**_TORCH, "schedulers": [{"type": "CosineAnnealingLR", "T_max": 400, "eta_min": 3e-4}]},
        "CosineAnnealingLR, waves": {**_TORCH, "schedulers": [{"type": "CosineAnnealingLR", "T_max": 150, "eta_min": 3e-4}]},
        "CosineAnnealingWarmRestarts": {
            **_TORCH, "schedulers": [{"type": "CosineAnnealingWarmRestarts", "T_0": 50, "T_mult": 2}]
        },
        "OneCycleLR": {**_TORCH, "schedulers": [{"type": "OneCycleLR", "max_lr": 3e-3, "total_steps": 401}]},
        "OneCycleLR, three phases": {
            **_TORCH,
            "schedulers": [
                {"type": "OneCycleLR", "max_lr": 3e-3, "total_steps": 401, "three_phase": True, "anneal_strategy": "linear"}
            ],
        },
        "SequentialLR: warm-up, constant, cosine": {
            **_TORCH,
            "schedulers": [
                {"type": "LinearLR", "start_factor": 0.01, "total_iters": 20},
                {"type": "ConstantLR", "factor": 1.0, "total_iters": 0},
                {"type": "CosineAnnealingLR", "T_max": 100, "eta_min": 3e-5},
            ],
            "milestones": [20, 300],
        },
        "SequentialLR: cut-off warm-up, exponential": {
            **_TORCH,
            "schedulers": [{"type": "LinearLR", "total_iters": 50}, {"type": "ExponentialLR", "gamma": 0.99}],
            "milestones": [30],
        },
    },
}  # fmt: skip
"""Arguments by trainer and shape, of runs of 400 steps."""
