"""`tamis average`: the model that a run's plan asks for, from the checkpoints that it asked to keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.checkpoint_files import average
from tamis.transforms.curriculum.training_plan import PLAN_FILE, TrainingPlan


def average_by_plan(run: str, files: Sequence[str], output: str) -> dict[str, Any]:
    """Averages checkpoints, oldest first, by the weights of the run's plan.json, and tells which counted how much.

    Raises FileNotFoundError where there is no plan, RunError when there are not as many files as checkpoints planned, or as
    `checkpoints.average` does.
    """
    uri = storage.join(run, PLAN_FILE)
    if not storage.exists(uri):
        raise FileNotFoundError(f"'{run}' has no {PLAN_FILE}: `tamis plan {run}` writes it")
    try:
        plan = TrainingPlan.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        raise RunError(
            f"{uri}: no plan of this version ({error.error_count()} errors); `tamis plan {run}` writes it anew"
        ) from None
    if len(files) != len(plan.checkpoints):
        wanted = ", ".join(f"{point.token:,}" for point in plan.checkpoints)
        raise RunError(
            f"the plan averages {len(plan.checkpoints)} checkpoints, {len(files)} are given: those after {wanted} tokens, "
            "oldest first"
        )
    numbers = average(files, np.array([point.weight for point in plan.checkpoints]), output)
    rows = [
        {"file": file, "token": point.token, "weight": point.weight}
        for file, point in zip(files, plan.checkpoints, strict=True)
    ]
    return {"output": output, "averaging": plan.averaging.averaging, "parameters": numbers, "checkpoints": rows}


def lines(found: dict[str, Any]) -> Iterator[str]:
    """What was averaged, in words."""
    for row in found["checkpoints"]:
        yield f"{row['weight']:8.4f}  after {row['token']:>15,} tokens  {row['file']}"
    of = f"{found['averaging']} of {len(found['checkpoints'])} checkpoints"
    yield f"{found['output']}: {found['parameters']:,} parameters, {of}"
