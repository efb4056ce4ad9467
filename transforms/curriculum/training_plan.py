"""The training plan: all that a training job must know about a finished corpus, in one file.

A plan follows from the corpus' manifest, a schedule and the averaging of checkpoints; no data is
read. `schedule_conflicts` says whether the data lie in an order made for another schedule.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from tamis.transforms.core.manifest import shard_places
from tamis.transforms.core.options import Options
from tamis.transforms.core.schedule import Rate, Schedule
from tamis.transforms.curriculum.batch_size import BatchSize
from tamis.transforms.curriculum.checkpoint_weights import Checkpoints
from tamis.transforms.curriculum.lint import best_decile_mass, best_decile_weights, lint
from tamis.transforms.curriculum.order import Curriculum, OrderName

PLAN_FILE = "plan.json"
FORMAT: Literal["tamis.plan/1"] = "tamis.plan/1"

_LENGTH = 0.01
"""A schedule whose length differs from the corpus' by more than this share gets a warning."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Tokens = Annotated[int, Field(ge=0)]


class PlannedShard(Options):
    """A shard, its place in the run and its learning rates. In a patch, its tokens are those of the
    places that it had before documents were taken down."""

    path: str
    sha256: Digest
    phase: str
    documents: Tokens
    first_token: Tokens
    tokens: Tokens
    lr_start: Rate = Field(description="at its first token")
    lr_end: Rate = Field(description="at the end of its last token; at a jump, the rate before it")
    lr_mean: Rate = Field(description="exact mean over its tokens")
    lr_mass: float = Field(ge=0, le=1, description="its share of the run's integral of the learning rate")


class PlannedPhase(Options):
    """A phase of the run."""

    name: str
    order: OrderName
    first_token: Tokens
    tokens: Tokens
    lr_mass: float = Field(ge=0, le=1)


class Checkpoint(Options):
    """A checkpoint to keep: the tokens it is saved after, and its weight in the average."""

    token: Tokens
    weight: float = Field(ge=0, le=1)


class BatchHint(Options):
    """Where the data get better: multiply the batch size by `factor`, hold it, then ramp it up
    again.

    This is Drop-Stable-Rampup of arXiv 2605.25698. It is only a hint: the paper's factor depends
    on the model; one half for a quarter of the phase is a start.
    """

    token: Tokens
    phase: str
    factor: float = Field(default=0.5, gt=0, le=1)
    stable_tokens: Tokens
    ramp_tokens: Tokens


class PlannedCorpus(Options):
    """The corpus that the plan is for."""

    corpus_root: Digest = Field(description="Merkle root over the shards, as in the manifest")
    run: str = Field(description="fingerprint of the run that made them")


class PlannedTokenizer(Options):
    """The tokenizer that counted the plan's tokens."""

    name: str
    sha256: Digest | None = Field(default=None, description="of a tokenizer.json")


class TrainingPlan(Options):
    """All that a training job must know about a corpus. `tamis schema plan` prints the schema."""

    format: Literal["tamis.plan/1"] = FORMAT
    data: PlannedCorpus
    tokens: Tokens = Field(description="tokens of all shards")
    tokenizer: PlannedTokenizer | None = Field(
        default=None, description="the tokenizer that counted them; null: they are estimates"
    )
    shuffle: Literal[False] = Field(default=False, description="a loader must not shuffle")
    schedule: Schedule
    batch: BatchSize | None = Field(default=None, description="tokens of a step, which may grow at first; null: not planned")
    phases: tuple[PlannedPhase, ...]
    shards: tuple[PlannedShard, ...] = Field(description="in training order")
    averaging: Checkpoints
    checkpoints: tuple[Checkpoint, ...] = Field(description="oldest first; their weights sum to 1")
    batch_hints: tuple[BatchHint, ...]
    best_decile_lr_mass: float = Field(
        ge=0, le=1, description="share of the LR mass that the recipe's order gives the best tenth"
    )
    best_decile_weight: dict[str, float] = Field(
        description="share of the final model's weight that each order would give the best tenth, by the formula of "
        "lr_weighted; where it differed between ascending and lr_weighted, trainings hardly did (docs/orders.md)"
    )
    warnings: tuple[str, ...]


def make_plan(
    manifest: Mapping[str, Any],
    schedule: Schedule | None = None,
    checkpoints: Checkpoints | None = None,
    batch: BatchSize | None = None,
) -> TrainingPlan:
    """The plan of a finished run; schedule, averaging and batch size default to its own. Raises ValueError if
    another schedule would change the order of the data, or if there are no tokens to train on."""
    original = curriculum_of(manifest)
    checkpoints = checkpoints or original.checkpoints or Checkpoints()
    schedule = schedule or original.schedule
    if problems := schedule_conflicts(original, schedule):
        raise ValueError("; ".join(problems))
    curriculum = original.model_copy(update={"schedule": schedule, "checkpoints": checkpoints})
    shards = manifest["curriculum"]["shards"]
    total = sum(shard_places(shard)[1] for shard in shards)
    if not total:
        raise ValueError("the run has no tokens to train on")
    digests = {file["path"]: file["sha256"] for file in manifest["files"]}
    phases = _phases(curriculum, shards, total)
    return TrainingPlan(
        data=PlannedCorpus(corpus_root=manifest["corpus_root"], run=manifest["fingerprint"]),
        tokens=total,
        tokenizer=manifest.get("tokenizer"),
        schedule=schedule,
        batch=batch or original.batch,
        phases=phases,
        shards=tuple(_shard(shard, digests[shard["path"]], schedule, total) for shard in shards),
        averaging=checkpoints,
        checkpoints=planned_checkpoints(checkpoints, total),
        batch_hints=_batch_hints(curriculum, phases),
        best_decile_lr_mass=best_decile_mass(curriculum),
        best_decile_weight={str(order): share for order, share in best_decile_weights(curriculum).items()},
        warnings=(
            *_other_length(schedule, total),
            *_other_averaging(original, checkpoints),
            *(f"[{warning.code}] {warning.message}" for warning in lint(curriculum)),
        ),
    )


def curriculum_of(manifest: Mapping[str, Any]) -> Curriculum:
    """The curriculum that a finished run was ordered by."""
    fields = manifest["curriculum"]
    return Curriculum.model_validate({name: fields[name] for name in Curriculum.model_fields if name in fields})


def schedule_conflicts(curriculum: Curriculum, schedule: Schedule) -> list[str]:
    """Why data ordered by `curriculum` do not fit `schedule`; empty if they do. Only `lr_weighted`
    depends on the schedule, and two schedules may give it the same order."""
    return [
        f"phase '{name}' has an lr_weighted order for another schedule: {moved:.0%} of its tokens would move. Set "
        "curriculum.schedule in the recipe and run it again; only Decide and Emit are redone"
        for name, moved in _moved(curriculum, curriculum.model_copy(update={"schedule": schedule}))
    ]


def _moved(curriculum: Curriculum, other: Curriculum) -> Iterator[tuple[str, float]]:
    """(name, share of tokens that would move) of the phases that `other` orders differently."""
    for index, phase in enumerate(curriculum.effective_phases):
        if phase.order != "lr_weighted":
            continue
        old, new = curriculum.cells(index), other.cells(index)
        moved = float((np.argsort(old.by_weight) != np.argsort(new.by_weight)).mean())
        if moved or (old.falls != new.falls).any():
            yield phase.name, moved


def _other_averaging(curriculum: Curriculum, checkpoints: Checkpoints) -> list[str]:
    return [
        f"[other-averaging] Phase '{name}' has an lr_weighted order for another averaging of checkpoints: {moved:.0%} of its "
        "tokens would move. Set curriculum.checkpoints in the recipe, or plan with the averaging that the run was ordered for."
        for name, moved in _moved(curriculum, curriculum.model_copy(update={"checkpoints": checkpoints}))
    ]


def planned_checkpoints(checkpoints: Checkpoints, tokens: int) -> tuple[Checkpoint, ...]:
    """The checkpoints to keep in a run of `tokens` tokens, oldest first."""
    points = [tokens - round(back * checkpoints.spacing * tokens) for back in range(checkpoints.kept - 1, -1, -1)]
    weights = checkpoints.weights.tolist()
    return tuple(Checkpoint(token=token, weight=weight) for token, weight in zip(points, weights, strict=True))


def _shard(shard: Mapping[str, Any], sha256: str, schedule: Schedule, total: int) -> PlannedShard:
    first, tokens = shard["first_token"], shard_places(shard)[1]
    start, end = first / total, (first + tokens) / total
    mass = float(schedule.mass(start, end))
    # A jump at the end belongs to the next shard: take the rate just before it.
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
    planned, first = [], 0
    for phase in curriculum.effective_phases:
        tokens = sum(shard_places(shard)[1] for shard in shards if shard["phase"] == phase.name)
        mass = _share(curriculum.schedule, first / total, (first + tokens) / total)
        planned.append(PlannedPhase(name=phase.name, order=phase.order, first_token=first, tokens=tokens, lr_mass=mass))
        first += tokens
    return tuple(planned)


def _batch_hints(curriculum: Curriculum, phases: Sequence[PlannedPhase]) -> tuple[BatchHint, ...]:
    """One at the start of each later phase, if phases are bands of rising quality."""
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
        f"[other-length] The schedule is for {schedule.length:,.0f} tokens, but the corpus has {total:,}: the schedule is "
        "stretched to the corpus."
    ]


def _share(schedule: Schedule, start: float, end: float) -> float:
    return min(max(float(schedule.mass(start, end) / schedule.mass(0.0, 1.0)), 0.0), 1.0)
