"""`tamis status`: the state of a run, read from its files without disturbing it."""

import time
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel

from tamis.pipelines.formatting import duration, plural
from tamis.pipelines.run import progress, receipts, run_lock
from tamis.pipelines.run.progress import UPDATE_SECONDS, Attempt, MovementProgress
from tamis.pipelines.run.work_plan import plan_uri
from tamis.transforms import storage
from tamis.transforms.core.release import MANIFEST, release_folder
from tamis.transforms.provenance import release_chain
from tamis.transforms.provenance.release_chain import ReleaseRecord

State = Literal["never started", "planning", "running", "finished", "interrupted", "failed"]

_DEAD_SECONDS = 6 * UPDATE_SECONDS  # without an update a driver counts as dead, if no lock can tell


class MovementStatus(BaseModel):
    """The progress of a movement. `done` and `total` (None: not known yet) are in `unit`;
    `seconds_left` is an estimate."""

    name: str
    unit: str
    done: int
    total: int | None
    documents: int
    text_bytes: int
    seconds: float | None
    seconds_left: float | None


class Status(BaseModel):
    """The state of a run directory. `attempt` is the running one, or the last one if it did not
    succeed, and `seconds_since_update` the age of its last update. `last_release` is the last one
    that was finished."""

    run: str
    state: State
    seconds_since_update: float | None
    attempt: Attempt | None
    movements: list[MovementStatus]
    last_release: ReleaseRecord | None


def status(run: str, now: float | None = None) -> Status:
    """The status of `run`, a path or a URI; it need not exist."""
    now = time.time() if now is None else now
    locked, attempt = run_lock.is_locked(run), progress.read_attempt(run)
    last_release = release_chain.latest(run)
    age = max(0.0, now - attempt.updated) if attempt is not None else None
    if locked is None:
        locked = attempt is not None and not attempt.error and age is not None and age < _DEAD_SECONDS
    state: State
    if locked:
        state = "running" if attempt is not None and not attempt.error else "planning"
    elif attempt is not None:
        state = "failed" if attempt.error else "interrupted"
    elif storage.exists(storage.join(run, MANIFEST)):
        state = "finished"
    else:
        state = "interrupted" if storage.exists(plan_uri(run)) else "never started"
    return Status(
        run=run,
        state=state,
        seconds_since_update=age,
        attempt=attempt,
        movements=list(_movements(run, attempt, state)) if attempt is not None else [],
        last_release=last_release,
    )


def _movements(run: str, attempt: Attempt, state: State) -> Iterator[MovementStatus]:
    """Read from the progress files; on an object store, which has none, from the receipts."""
    movements = progress.read_progress(run, attempt.text_per_byte)
    if movements:
        rate = movements.get("rate", MovementProgress())
        yield _movement("rate", "bytes of input", rate, attempt.bytes, attempt.reused_bytes, attempt, state)
    else:
        rated = sum(name.endswith(".json") for name in storage.names(storage.join(run, "rated")))
        yield _movement("rate", "parts", MovementProgress(finished=rated), attempt.parts, attempt.reused, attempt, state)
    started = (storage.read_json(plan_uri(run)) or {}).get("release", 0)
    names = storage.names(storage.join(release_folder(run, started), receipts.FOLDER))
    finished = {kind: MovementProgress(finished=sum(name.startswith(kind) for name in names)) for kind in ("part-", "shard-")}
    decide = movements.get("decide") or finished["part-"]
    yield _movement("decide", "parts", decide, attempt.parts, 0, attempt, state)
    emit = movements.get("emit") or finished["shard-"]
    yield _movement("emit", "shards", emit, emit.total or None, 0, attempt, state)


def _movement(
    name: str, unit: str, movement: MovementProgress, total: int | None, reused: int, attempt: Attempt, state: State
) -> MovementStatus:
    done, seconds = movement.done(total), attempt.seconds.get(name)
    seconds_left = None
    if state == "running" and seconds and total is not None and reused < done < total:
        seconds_left = seconds * (total - done) / (done - reused)
    return MovementStatus(
        name=name,
        unit=unit,
        done=min(done, total) if total else done,
        total=total,
        documents=movement.documents,
        text_bytes=movement.text_bytes,
        seconds=seconds,
        seconds_left=seconds_left,
    )


def lines(status: Status) -> Iterator[str]:
    """The status for a person."""
    attempt = status.attempt
    yield f"{status.run}: {status.state}{_origin(status)}"
    if attempt is not None and attempt.error:
        yield f"  {attempt.error.splitlines()[0]}"
    for movement in status.movements:
        if movement.done or movement.seconds is not None:
            yield "  " + _line(movement)
    if status.state in ("interrupted", "failed"):
        yield "  run the same command again to continue"
    last = status.last_release
    if last is not None:
        when = f" of {last.finished}" if last.finished else ""
        kept = f"{last.kept:,} of {last.records:,} documents kept"
        yield f"  last release: {last.release}{when}, {kept}, corpus {last.corpus_root[:12]}"
    elif status.state == "never started":
        yield f"  no run here yet; start one with `tamis run RECIPE --output {status.run}`"
    else:
        yield "  no release yet"


def _origin(status: Status) -> str:
    attempt = status.attempt
    if attempt is None:
        return ""
    started = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(attempt.started))
    where = f"process {attempt.process} on {attempt.host}, {attempt.runner}, {plural(attempt.workers, 'worker')}"
    age = status.seconds_since_update or 0.0
    update = f", last update {duration(age)} ago" if age > 2 * UPDATE_SECONDS else ""
    return f", started {started} ({where}){update}"


def _line(movement: MovementStatus) -> str:
    unit = movement.unit
    if unit.startswith("bytes"):
        amount = f"{movement.done / 1e6:,.1f} of {(movement.total or 0) / 1e6:,.1f} MB of input"
    else:
        amount = f"{movement.done:,}{'' if movement.total is None else f' of {movement.total:,}'} {unit}"
    fields = [f"{movement.name:<7} {amount}"]
    if movement.total:
        fields.append(f"{movement.done / movement.total:.0%}")
    if movement.documents:
        fields.append(f"{movement.documents:,} documents")
    if movement.seconds:
        if movement.text_bytes:
            fields.append(f"{movement.text_bytes / 1e6 / movement.seconds:,.1f} MB of text per second")
        fields.append(f"for {duration(movement.seconds)}" if movement.seconds_left is not None else duration(movement.seconds))
    if movement.seconds_left is not None:
        fields.append(f"about {duration(movement.seconds_left)} left")
    return ", ".join(fields)
