"""The plan of a training run: what a training job must know of a finished corpus, as one file that it can load and check.

A plan is a function of the corpus' manifest, a schedule and how checkpoints are averaged; it touches no data. Where the
data lie in an order made for another schedule, it says so (`schedule_conflicts`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from tamis.transforms.core.options import Options
from tamis.transforms.core.schedule import Rate, Schedule
from tamis.transforms.curriculum.checkpoint_weights import Checkpoints
from tamis.transforms.curriculum.lint import best_decile_mass, best_decile_weights, lint
from tamis.transforms.curriculum.order import Curriculum, Order

PLAN_FILE = "plan.json"
FORMAT: Literal["tamis.plan/1"] = "tamis.plan/1"

_LENGTH = 0.01
"""How far a schedule's length may be from the corpus', as a share of it, without a word."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Tokens = Annotated[int, Field(ge=0)]


class PlannedShard(Options):
    """A shard: where it lies in the run and the learning rates it meets."""

    path: str
    sha256: Digest
    phase: str
    documents: Tokens
    first_token: Tokens
    tokens: Tokens
    lr_start: Annotated[Rate, Field(description="at its first token")]
    lr_end: Annotated[
        Rate, Field(description="at the end of its last token; the rate before it where the schedule jumps there")
    ]
    lr_mean: Annotated[Rate, Field(description="exact mean over its tokens")]
    lr_mass: Annotated[float, Field(ge=0, le=1, description="its share of the run's integral of the learning rate")]


class PlannedPhase(Options):
    """A stretch of the run with one order."""

    name: str
    order: Order
    first_token: Tokens
    tokens: Tokens
    lr_mass: Annotated[float, Field(ge=0, le=1)]


class Checkpoint(Options):
    """A checkpoint to keep: after so many tokens, and what it counts in the average."""

    token: Tokens
    weight: Annotated[float, Field(ge=0, le=1)]


class BatchHint(Options):
    """Where the data turn better: drop the batch size to `factor` of what it was, hold it, then ramp it up again.

    Drop-Stable-Rampup of arXiv 2605.25698. A hint: the paper's factor depends on the model, half for a quarter of the phase is
    a start.
    """

    token: Tokens
    phase: str
    factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    stable_tokens: Tokens
    ramp_tokens: Tokens


class Data(Options):
    """Which bytes the plan is for."""

    corpus_root: Annotated[Digest, Field(description="Merkle root over the shards, as the manifest has it")]
    run: Annotated[str, Field(description="fingerprint of the run that made them")]


class Counted(Options):
    """What counted the tokens of the plan."""

    name: str
    sha256: Annotated[Digest | None, Field(description="of a tokenizer.json")] = None


class TrainingPlan(Options):
    """What a training job must know of a corpus; `tamis schema plan` prints this as JSON schema."""

    format: Literal["tamis.plan/1"] = FORMAT
    data: Data
    tokens: Annotated[Tokens, Field(description="of the run, all shards")]
    tokenizer: Annotated[Counted | None, Field(description="what counted them; null: an estimate")] = None
    shuffle: Annotated[Literal[False], Field(description="a loader that shuffles undoes the plan")] = False
    schedule: Schedule
    phases: tuple[PlannedPhase, ...]
    shards: Annotated[tuple[PlannedShard, ...], Field(description="in training order")]
    averaging: Checkpoints
    checkpoints: Annotated[tuple[Checkpoint, ...], Field(description="oldest first; their weights sum to 1")]
    batch_hints: tuple[BatchHint, ...]
    best_decile_lr_mass: Annotated[
        float, Field(ge=0, le=1, description="share of the LR mass on the best tenth, by the recipe")
    ]
    best_decile_weight: Annotated[
        dict[str, float], Field(description="share of the final model's weight the best tenth would get in each order")
    ]
    warnings: tuple[str, ...]


def make_plan(
    manifest: Mapping[str, Any], schedule: Schedule | None = None, checkpoints: Checkpoints | None = None
) -> TrainingPlan:
    """The plan for a finished run's manifest, by its own schedule and averaging or others.

    Raises ValueError when the data lie in an order made for the run's own schedule, which another would change, or when there
    are no tokens to train on.
    """
    made_for = curriculum_of(manifest)
    checkpoints = checkpoints or made_for.checkpoints or Checkpoints()
    schedule = schedule or made_for.schedule
    if problems := schedule_conflicts(made_for, schedule):
        raise ValueError("; ".join(problems))
    curriculum = made_for.model_copy(update={"schedule": schedule, "checkpoints": checkpoints})
    shards = manifest["curriculum"]["shards"]
    total = sum(shard["tokens"] for shard in shards)
    if not total:
        raise ValueError("the run has no tokens to plan for")
    digests = {file["path"]: file["sha256"] for file in manifest["files"]}
    phases = _phases(curriculum, shards, total)
    return TrainingPlan(
        data=Data(corpus_root=manifest["corpus_root"], run=manifest["fingerprint"]),
        tokens=total,
        tokenizer=manifest.get("tokenizer"),
        schedule=schedule,
        phases=phases,
        shards=tuple(_shard(shard, digests[shard["path"]], schedule, total) for shard in shards),
        averaging=checkpoints,
        checkpoints=planned_checkpoints(checkpoints, total),
        batch_hints=_batch_hints(curriculum, phases),
        best_decile_lr_mass=best_decile_mass(curriculum),
        best_decile_weight={str(order): share for order, share in best_decile_weights(curriculum).items()},
        warnings=(
            *_other_length(schedule, total),
            *_other_averaging(made_for, checkpoints),
            *(f"[{warning.code}] {warning.message}" for warning in lint(curriculum)),
        ),
    )


def curriculum_of(manifest: Mapping[str, Any]) -> Curriculum:
    """The curriculum that a finished run was ordered by."""
    told = manifest["curriculum"]
    return Curriculum.model_validate({name: told[name] for name in Curriculum.model_fields if name in told})


def schedule_conflicts(curriculum: Curriculum, schedule: Schedule) -> list[str]:
    """Why data ordered by `curriculum` cannot be trained on under `schedule` as they lie; empty when they can.

    Only `lr_weighted` looks at the schedule, and it may fill its cells alike under both.
    """
    return [
        f"phase '{name}' is ordered lr_weighted for another schedule: {moved:.0%} of its tokens would lie elsewhere. Set "
        "curriculum.schedule in the recipe and run it again: only Decide and Emit are redone"
        for name, moved in _moved(curriculum, curriculum.model_copy(update={"schedule": schedule}))
    ]


def _moved(curriculum: Curriculum, other: Curriculum) -> Iterator[tuple[str, float]]:
    """The lr_weighted phases that `other` would fill otherwise, and the share of their tokens that would lie elsewhere."""
    for index, phase in enumerate(curriculum.effective_phases):
        if phase.order != "lr_weighted":
            continue
        ours, theirs = curriculum.cells(index), other.cells(index)
        moved = float((np.argsort(ours.by_weight) != np.argsort(theirs.by_weight)).mean())
        if moved or (ours.falls != theirs.falls).any():
            yield phase.name, moved


def _other_averaging(curriculum: Curriculum, checkpoints: Checkpoints) -> list[str]:
    return [
        f"[other-averaging] Phase '{name}' is ordered lr_weighted for a model averaged otherwise: {moved:.0%} of its tokens "
        "would lie elsewhere. Set curriculum.checkpoints in the recipe, or plan with the averaging that it was ordered for."
        for name, moved in _moved(curriculum, curriculum.model_copy(update={"checkpoints": checkpoints}))
    ]


def planned_checkpoints(checkpoints: Checkpoints, tokens: int) -> tuple[Checkpoint, ...]:
    """The checkpoints to keep in a run of so many tokens, oldest first."""
    share = checkpoints.weights.tolist()
    at = [tokens - round(back * checkpoints.spacing * tokens) for back in range(checkpoints.kept - 1, -1, -1)]
    return tuple(Checkpoint(token=token, weight=weight) for token, weight in zip(at, share, strict=True))


def _shard(shard: Mapping[str, Any], sha256: str, schedule: Schedule, total: int) -> PlannedShard:
    first, tokens = shard["first_token"], shard["tokens"]
    start, end = first / total, (first + tokens) / total
    mass = float(schedule.mass(start, end))
    # The rate just before a jump, which belongs to what follows; within the run's precision, the end itself.
    before = max(np.nextafter(end, 0.0), start)
    first_rate, last_rate = schedule.learning_rate([start, before if end < 1 else end]).tolist()
    return PlannedShard(
        path=shard["path"],
        sha256=sha256,
        phase=shard["phase"],
        documents=shard["documents"],
        first_token=first,
        tokens=tokens,
        lr_start=first_rate,
        lr_end=last_rate,
        lr_mean=mass / (end - start) if tokens else first_rate,
        lr_mass=_share(schedule, start, end),
    )


def _phases(curriculum: Curriculum, shards: Sequence[Mapping[str, Any]], total: int) -> tuple[PlannedPhase, ...]:
    found, first = [], 0
    for phase in curriculum.effective_phases:
        tokens = sum(shard["tokens"] for shard in shards if shard["phase"] == phase.name)
        mass = _share(curriculum.schedule, first / total, (first + tokens) / total)
        found.append(PlannedPhase(name=phase.name, order=phase.order, first_token=first, tokens=tokens, lr_mass=mass))
        first += tokens
    return tuple(found)


def _batch_hints(curriculum: Curriculum, phases: Sequence[PlannedPhase]) -> tuple[BatchHint, ...]:
    """One where each phase after the first begins, when phases are bands of rising quality."""
    if curriculum.assign != "quality":
        return ()
    return tuple(
        BatchHint(token=phase.first_token, phase=phase.name, stable_tokens=phase.tokens // 4, ramp_tokens=phase.tokens // 4)
        for phase in phases[1:]
        if phase.tokens
    )


def _other_length(schedule: Schedule, total: int) -> list[str]:
    if schedule.length is None or abs(schedule.length - total) <= _LENGTH * total:
        return []
    return [
        f"[other-length] The schedule is of a run of {schedule.length:,.0f} tokens, the corpus has {total:,}: what it says of "
        "tokens is stretched to the corpus."
    ]


def _share(schedule: Schedule, start: float, end: float) -> float:
    return min(max(float(schedule.mass(start, end) / schedule.mass(0.0, 1.0)), 0.0), 1.0)
