"""`tamis average`: averages the checkpoints that a training plan names, by its weights."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.curriculum.checkpoint_files import average_checkpoints
from tamis.transforms.curriculum.training_plan import PLAN_FILE, TrainingPlan


def average_by_plan(run: str, files: Sequence[str], output: str, plan_file: str = "") -> dict[str, Any]:
    """Averages checkpoint files, oldest first, by the weights of the plan of a release (`RUN` or
    `RUN@41`), or of another plan; returns what each counted. Raises FileNotFoundError
    without a plan, RunError if the plan names another number of checkpoints, and what
    `average_checkpoints` raises."""
    uri = plan_file or open_release(run).uri(PLAN_FILE)
    if not storage.exists(uri):
        raise FileNotFoundError(f"there is no plan {uri}; write one with: tamis plan {run}")
    try:
        plan = TrainingPlan.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        raise RunError(
            f"{uri} is not a plan of this version ({error.error_count()} errors); write it again: tamis plan {run}"
        ) from None
    if len(files) != len(plan.checkpoints):
        tokens = ", ".join(f"{checkpoint.token:,}" for checkpoint in plan.checkpoints)
        raise RunError(
            f"the plan averages {len(plan.checkpoints)} checkpoints, but {len(files)} were given. Name those saved after "
            f"{tokens} tokens, oldest first"
        )
    parameters = average_checkpoints(files, np.array([checkpoint.weight for checkpoint in plan.checkpoints]), output)
    rows = [
        {"file": file, "token": checkpoint.token, "weight": checkpoint.weight}
        for file, checkpoint in zip(files, plan.checkpoints, strict=True)
    ]
    return {"output": output, "averaging": plan.averaging.averaging, "parameters": parameters, "checkpoints": rows}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The result as text."""
    yield "  weight  checkpoint"
    for row in result["checkpoints"]:
        yield f"{row['weight']:8.4f}  after {row['token']:,} tokens: {row['file']}"
    count = len(result["checkpoints"])
    yield f"{result['output']}: {result['parameters']:,} parameters, averaged over {count} checkpoints ({result['averaging']})"
