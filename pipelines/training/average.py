"""`tamis average`: averages the checkpoints that a training plan names, by its weights."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tamis.pipelines.training.open_plan import open_plan
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.checkpoint_files import average_checkpoints


def average_by_plan(run: str, files: Sequence[str], output: str, plan_file: str = "") -> dict[str, Any]:
    """Averages checkpoint files, oldest first, by the weights of the plan of a release (`RUN` or
    `RUN@41`), or of another plan; returns what each counted. Raises RunError if the plan names
    another number of checkpoints, and what `open_plan` and `average_checkpoints` raise."""
    plan = open_plan(run, plan_file)
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
