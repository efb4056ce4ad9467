"""`tamis plan --as`: the schedule of a plan as the arguments of a trainer, ready to paste."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.batch_size import BatchSize
from tamis.transforms.curriculum.trainer_arguments import Trainer, trainer_arguments
from tamis.transforms.curriculum.training_plan import TrainingPlan

TRAINERS: tuple[Trainer, ...] = get_args(Trainer)


def arguments_of(plan: TrainingPlan, trainer: Trainer, batch_tokens: int | None = None) -> dict[str, Any]:
    """The arguments for steps of `batch_tokens` tokens, of which the last may have fewer; by default for steps of the plan's
    batch size. Raises RunError if there is none, the trainer has no such schedule or no ramp of the batch size, or the run is
    shorter than a step."""
    batch = None if batch_tokens else plan.batch
    if batch is not None:
        batch_tokens = batch.tokens
    if batch_tokens is None:
        raise RunError("the plan does not say how many tokens a step has: give --batch-tokens, or --batch")
    if plan.tokens < batch_tokens:
        raise RunError(f"the run has {plan.tokens:,} tokens, less than one step of {batch_tokens:,}")
    try:
        if batch is not None and batch.ramp is not None:
            return _ramped(plan, batch, batch.ramp, trainer)
        arguments = trainer_arguments(plan.schedule, trainer, -(-plan.tokens // batch_tokens))
        return arguments | (_megatrons_batch(batch) if batch is not None and trainer == "megatron" else {})
    except ValueError as error:
        raise RunError(str(error)) from None


def _ramped(plan: TrainingPlan, batch: BatchSize, ramp: tuple[int, int, int], trainer: Trainer) -> dict[str, Any]:
    """The arguments for a batch size that grows. Megatron then counts the schedule in sequences, not in steps, so the
    rates at each token stay as planned. Raises ValueError for other trainers."""
    if trainer != "megatron":
        raise ValueError(f"{trainer} has no ramp of the batch size: give --batch-tokens, for steps that are all alike")
    arguments = trainer_arguments(plan.schedule, trainer, -(-plan.tokens // batch.sequence_length))
    return {
        **{name.replace("-iters", "-samples"): value for name, value in arguments.items()},
        **_megatrons_batch(batch),
        "rampup-batch-size": list(ramp),
    }


def _megatrons_batch(batch: BatchSize) -> dict[str, Any]:
    return {"seq-length": batch.sequence_length, "global-batch-size": batch.sequences}


def lines(arguments: Mapping[str, Any], trainer: Trainer) -> Iterator[str]:
    """Options of a command line, in one line; for transformers, fields of TrainingArguments in Python, one a line."""
    if trainer == "transformers":
        for name, value in arguments.items():
            yield f"{name}={json.dumps(value)},"
        return
    between = "=" if trainer in ("torchtitan", "nanochat") else " "
    words = {name: value if isinstance(value, list) else [value] for name, value in arguments.items()}
    yield " ".join(f"--{name}{between}{' '.join(map(str, values))}" for name, values in words.items())
