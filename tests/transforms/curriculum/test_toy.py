"""The quadratic of arXiv 2511.18903: the error that order, schedule and averaging leave.

A sample of quality q pulls the model towards a point that misses the optimum by 1 − q, with noise; loss is the squared
distance to the optimum, in two dimensions. The peak rate times the steps is 40: the model remembers a fortieth of the run.
"""

from __future__ import annotations

import numpy as np
import pytest

from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import averaging_weights
from tamis.transforms.curriculum.orders import CELLS, weighted_cells

STEPS = CELLS
PACE = 40.0
NOISE = 0.3
SEEDS = 30

CONSTANT = Schedule(shape="constant", peak=PACE)
WSD = Schedule(peak=PACE, final=PACE / 300, decay=0.18)
COSINE = Schedule(shape="cosine", peak=PACE, final=PACE / 300)
MODERATE = Schedule.moderate(PACE)


def qualities(order: str, schedule: Schedule) -> Floats:
    """Quality of the sample of each step, a row for each seed."""
    quality = (np.arange(STEPS) + 0.5) / STEPS
    if order == "uniform":
        return np.stack([np.random.default_rng(seed).permutation(quality) for seed in range(SEEDS)])
    if order == "lr_weighted":
        sorted_quality, quality = quality, np.empty(STEPS)
        quality[weighted_cells(schedule, 0.0, 1.0, 1.0).by_weight] = sorted_quality
    return np.tile(quality, (SEEDS, 1))


def loss(order: str, schedule: Schedule, averaging: str = "none", spacing: float = 0.01) -> float:
    """Mean loss over seeds of SGD, step by step, on the quadratic of curvature 1; checkpoints `spacing` of the run apart."""
    target = 1 - qualities(order, schedule)
    rate = schedule.learning_rate((np.arange(STEPS) + 0.5) / STEPS) / STEPS
    noise = NOISE * np.random.default_rng(99).standard_normal((STEPS, SEEDS, 2))
    at = STEPS - 1 - np.round(np.arange(5, -1, -1) * spacing * STEPS).astype(int)
    share = dict(zip(at.tolist(), averaging_weights(averaging).tolist(), strict=True))
    model, average = np.ones((SEEDS, 2)), np.zeros((SEEDS, 2))
    for step in range(STEPS):
        model += rate[step] * (target[:, step, None] + noise[step] - model)
        if step in share:
            average += share[step] * model
    return float((average**2).sum(axis=1).mean())


@pytest.fixture(scope="module")
def losses() -> dict[tuple[str, str], float]:
    schedules = {"constant": CONSTANT, "wsd": WSD, "cosine": COSINE, "moderate": MODERATE}
    return {
        (order, name): loss(order, schedule)
        for name, schedule in schedules.items()
        for order in ("uniform", "ascending", "lr_weighted")
    }


def test_what_an_ascending_order_gains_shrinks_with_the_decay(losses: dict[tuple[str, str], float]) -> None:
    gap = {name: losses["uniform", name] - losses["ascending", name] for name in ("constant", "wsd", "cosine")}
    assert gap["constant"] > gap["wsd"] > gap["cosine"] > 0


def test_averaging_recovers_it(losses: dict[tuple[str, str], float]) -> None:
    """CMA (constant rate) and CDMA (down to a third) with an average of six leave less than WSD and cosine to nothing."""
    cma, cdma = loss("ascending", CONSTANT, "ema"), loss("ascending", MODERATE, "ema")
    decayed = [losses["ascending", name] for name in ("wsd", "cosine")]
    assert max(cma, cdma) < min(decayed) / 2


def test_lr_weighted_leaves_the_least_under_each_schedule(losses: dict[tuple[str, str], float]) -> None:
    for name in ("constant", "wsd", "cosine", "moderate"):
        best = min(losses["uniform", name], losses["ascending", name])
        assert losses["lr_weighted", name] <= best * (1 + 1e-9)
    assert losses["lr_weighted", "constant"] == losses["ascending", "constant"]
    assert losses["lr_weighted", "wsd"] < losses["ascending", "wsd"] * 0.7
    assert losses["lr_weighted", "cosine"] < losses["ascending", "cosine"] / 2
    assert losses["lr_weighted", "constant"] == min(losses.values())
