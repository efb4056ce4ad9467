"""`tamis check-log`: holds the log of a training run against its plan, and names each step at which it left it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from tamis.pipelines.training.logs.read_log import LogFile, read_log
from tamis.pipelines.training.open_plan import open_plan
from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.training_log import TokensAfter, TrainingLog, planned_tokens, rate_deviations, token_deviations
from tamis.transforms.curriculum.training_plan import TrainingPlan

_SHOWN: Final = 10
"""Deviations of a kind in the text; JSON has all."""


def check_log(run: str, log_file: str, plan_file: str = "", batch_tokens: int | None = None) -> dict[str, Any]:
    """The deviations of a log from the plan of a release, or from another plan, in the order of the log; None for what
    is not in the log. Steps have `batch_tokens` tokens, else as many as the plan says, else as many as the log does.
    Raises what `open_plan` and `read_log` raise, and RunError if nothing tells the tokens of a step."""
    plan = open_plan(run, plan_file)
    file = read_log(log_file)
    log = TrainingLog(
        file.log.step,
        file.log.rate * (plan.schedule.peak if file.multiples else 1),
        file.log.tokens * _tokens_per_unit(log_file, file, plan, batch_tokens),
    )
    batch, after = _steps(log_file, log, plan, batch_tokens)
    rates = rate_deviations(log, after, plan.schedule, plan.tokens, file.tolerance)
    return {
        "log": log_file,
        "fields": list(file.fields),
        "steps": len(np.unique(log.step)),
        "last_step": int(log.step.max()),
        "batch_tokens": batch,
        "tokens": int(planned_tokens(log, after)[0].max()),
        "planned_tokens": plan.tokens,
        "rate_deviations": [asdict(each) for each in rates] if np.isfinite(log.rate).any() else None,
        "token_deviations": [asdict(each) for each in token_deviations(log, after)] if np.isfinite(log.tokens).any() else None,
    }


def _tokens_per_unit(log_file: str, file: LogFile, plan: TrainingPlan, batch_tokens: int | None) -> float:
    """What one in the log's count of tokens is worth: 1, or the length of a sequence."""
    if not file.sequences:
        return 1
    if length := file.sequence_length or (plan.batch and plan.batch.sequence_length):
        return length
    sequences = file.log.batch_tokens()
    if batch_tokens is None or sequences is None:
        raise RunError(f"{log_file} counts sequences, not tokens: give --batch-tokens, those of one step on all devices")
    return batch_tokens / sequences


def _steps(log_file: str, log: TrainingLog, plan: TrainingPlan, batch_tokens: int | None) -> tuple[float, TokensAfter]:
    """Tokens of a step, after any ramp, and of all steps so far."""
    if batch_tokens is None and plan.batch is not None:
        return plan.batch.tokens, plan.batch.tokens_after
    batch = batch_tokens or log.batch_tokens()
    if batch is None:
        raise RunError(
            f"neither {log_file} nor the plan tells the tokens of a step: give --batch-tokens, those of one step on all devices"
        )

    def after(steps: Ints) -> Floats:
        return np.asarray(steps * batch)

    return batch, after


def deviates(result: Mapping[str, Any]) -> bool:
    """Whether the log leaves the plan anywhere."""
    return bool(result["rate_deviations"] or result["token_deviations"])


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The result as text."""
    yield (
        f"{result['log']}: {result['steps']:,} logged steps of {result['batch_tokens']:,.0f} tokens, to "
        f"{result['tokens']:,} of {result['planned_tokens']:,} tokens"
    )
    yield from _deviation_lines("learning rate", result["rate_deviations"], ".4g")
    yield from _deviation_lines("tokens", result["token_deviations"], ",.0f")


def _deviation_lines(what: str, found: list[dict[str, Any]] | None, form: str) -> Iterator[str]:
    if not found:
        yield f"{what}: {'not in the log' if found is None else 'as planned'}"
        return
    for each in found[:_SHOWN]:
        more = f"; {each['rows']:,} logged steps deviate, to step {each['last_step']:,}" if each["rows"] > 1 else ""
        yield f"{what}: step {each['step']:,} has {each['logged']:{form}}, the plan {each['planned']:{form}}{more}"
    if len(found) > _SHOWN:
        yield f"{what}: {len(found) - _SHOWN:,} more deviations (--json)"
