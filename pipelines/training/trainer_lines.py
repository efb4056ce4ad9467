"""`tamis plan --as`: the schedule of a plan as the arguments of a trainer, ready to paste."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.trainer_arguments import Trainer, trainer_arguments
from tamis.transforms.curriculum.training_plan import TrainingPlan

TRAINERS: tuple[Trainer, ...] = get_args(Trainer)


def arguments_of(plan: TrainingPlan, trainer: Trainer, batch_tokens: int) -> dict[str, Any]:
    """The arguments for steps of `batch_tokens` tokens, of which the last may have fewer. Raises RunError if the trainer has
    no such schedule, or the run is shorter than a step."""
    if plan.tokens < batch_tokens:
        raise RunError(f"the run has {plan.tokens:,} tokens, less than one step of {batch_tokens:,}")
    try:
        return trainer_arguments(plan.schedule, trainer, -(-plan.tokens // batch_tokens))
    except ValueError as error:
        raise RunError(str(error)) from None


def lines(arguments: Mapping[str, Any], trainer: Trainer) -> Iterator[str]:
    """Options of a command line, in one line; for transformers, fields of TrainingArguments in Python, one a line."""
    if trainer == "transformers":
        for name, value in arguments.items():
            yield f"{name}={json.dumps(value)},"
        return
    between = "=" if trainer in ("torchtitan", "nanochat") else " "
    yield " ".join(f"--{name}{between}{value}" for name, value in arguments.items())
