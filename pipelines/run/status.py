"""What a run directory is doing, told from any terminal: read from its files, without a word to whoever is at work there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tamis.pipelines.run import progress, run_lock
from tamis.pipelines.run.progress import EVERY, Attempt, Done
from tamis.pipelines.run.receipts import STATE
from tamis.transforms import storage
from tamis.transforms.core.formatting import counted, duration
from tamis.transforms.core.manifest import MANIFEST, read_manifest
from tamis.transforms.provenance import release_chain

State = Literal["never started", "planning", "running", "finished", "interrupted", "failed"]

_SILENT = 6 * EVERY
"""Seconds after which a driver that holds no lock, and has not been heard of, has died."""


@dataclass(frozen=True)
class Movement:
    """How far a movement is: `done` of `total` (None: not known yet) in `unit`, after `seconds`; `left`: seconds to go."""

    name: str
    unit: str
    done: int
    total: int | None
    documents: int
    text_bytes: int
    seconds: float | None
    left: float | None


@dataclass(frozen=True)
class Status:
    """State of a run directory; `attempt` is the present or the last one that did not end well, `last` the last release."""

    run: str
    state: State
    silent: float | None
    attempt: Attempt | None
    movements: tuple[Movement, ...]
    last: dict[str, Any] | None


def status(run: str, now: float | None = None) -> Status:
    """Reads the status of `run`, a directory or the URI of one, that there need not be."""
    now = time.time() if now is None else now
    held, attempt = run_lock.held(run), progress.attempt(run)
    finished = storage.exists(storage.join(run, MANIFEST))
    silent = max(0.0, now - attempt.updated) if attempt is not None else None
    if held is None:
        held = silent is not None and silent < _SILENT and not (attempt is not None and attempt.error)
    state: State
    if held:
        state = "running" if attempt is not None and not finished else "planning"
    elif finished:
        state, attempt = "finished", None
    elif attempt is not None:
        state = "failed" if attempt.error else "interrupted"
    else:
        state = "interrupted" if storage.names(storage.join(run, STATE)) else "never started"
    movements = tuple(_movements(run, attempt, state)) if attempt is not None else ()
    return Status(run, state, silent, attempt, movements, _last(run, finished))


def _last(run: str, finished: bool) -> dict[str, Any] | None:
    """The last release: as it is recorded, or as the manifest has it when that was killed before it was."""
    told = release_chain.latest(run)
    if told is None and finished:
        manifest = read_manifest(run)
        counts = manifest["counts"]
        told = {"release": 1, "records": counts["records"], "kept": counts["kept"], "corpus_root": manifest["corpus_root"]}
        told["finished"] = manifest["environment"].get("finished")
    return told


def _movements(run: str, attempt: Attempt, state: State) -> Iterator[Movement]:
    """What is told to `progress`, or what there are receipts of, where nobody can append."""
    told = progress.done(run)
    if told:
        rate = told.get("rate", Done())
        yield _movement("rate", "bytes of input", rate, attempt.bytes, attempt.reused_bytes, attempt, state)
    else:
        rated = sum(name.endswith(".json") for name in storage.names(storage.join(run, "rated")))
        yield _movement("rate", "parts", Done(work=rated), attempt.parts, attempt.reused, attempt, state)
    names = storage.names(storage.join(run, STATE))
    receipts = {kind: Done(work=sum(name.startswith(kind) for name in names)) for kind in ("part-", "shard-")}
    decide = told.get("decide") or receipts["part-"]
    yield _movement("decide", "parts", decide, attempt.parts, 0, attempt, state)
    emit = told.get("emit") or receipts["shard-"]
    yield _movement("emit", "shards", emit, emit.total or None, 0, attempt, state)


def _movement(name: str, unit: str, done: Done, total: int | None, before: int, attempt: Attempt, state: State) -> Movement:
    seconds = attempt.seconds.get(name)
    left = None
    if state == "running" and seconds and total is not None and before < done.work < total:
        left = seconds * (total - done.work) / (done.work - before)
    return Movement(name, unit, min(done.work, total) if total else done.work, total, done.documents, done.bytes, seconds, left)


def lines(found: Status) -> Iterator[str]:
    """The status for a person."""
    attempt = found.attempt
    yield f"{found.run}: {found.state}{_since(found)}"
    if attempt is not None and attempt.error:
        yield f"  {attempt.error.splitlines()[0]}"
    for movement in found.movements:
        if movement.done or movement.seconds is not None:
            yield "  " + _line(movement)
    if found.state in ("interrupted", "failed"):
        yield "  the same command goes on where it stopped"
    last = found.last
    if last is not None:
        when = f" of {last['finished']}" if last.get("finished") else ""
        kept = f"{last['kept']:,} of {last['records']:,} documents kept"
        yield f"  last release: {last['release']}{when}, {kept}, corpus {last['corpus_root'][:12]}"
    elif found.state == "never started":
        yield f"  nothing of a run is there; `tamis run RECIPE --output {found.run}` starts one"
    else:
        yield "  no release yet"


def _since(found: Status) -> str:
    attempt = found.attempt
    if attempt is None:
        return ""
    begun = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(attempt.started))
    by = f"process {attempt.process} on {attempt.host}, {attempt.runner}, {counted(attempt.workers, 'worker')}"
    heard = f", last heard of {duration(found.silent)} ago" if found.silent is not None and found.silent > 2 * EVERY else ""
    return f", begun {begun} ({by}){heard}"


def _line(movement: Movement) -> str:
    unit = movement.unit
    if unit.startswith("bytes"):
        whole = f"{movement.done / 1e6:,.1f} of {(movement.total or 0) / 1e6:,.1f} MB of input"
    else:
        whole = f"{movement.done:,}{'' if movement.total is None else f' of {movement.total:,}'} {unit}"
    said = [f"{movement.name:<7} {whole}"]
    if movement.total:
        said.append(f"{movement.done / movement.total:.0%}")
    if movement.documents:
        said.append(f"{movement.documents:,} documents")
    if movement.seconds:
        if movement.text_bytes:
            said.append(f"{movement.text_bytes / 1e6 / movement.seconds:,.1f} MB of text a second")
        said.append(f"since {duration(movement.seconds)}" if movement.left is not None else duration(movement.seconds))
    if movement.left is not None:
        said.append(f"about {duration(movement.left)} to go")
    return ", ".join(said)
