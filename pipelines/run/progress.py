"""Progress of a run: files that workers append to, and the driver's record of its attempt."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.json_model import JsonModel

if TYPE_CHECKING:
    from tamis.pipelines.run.launch import Result
    from tamis.pipelines.run.work_plan import WorkPlan
    from tamis.transforms.core.manifest import Counts

FOLDER = ".progress"
MOVEMENTS = ("rate", "decide", "emit")
UPDATE_SECONDS = 10.0  # between two updates of the attempt, the metrics and the log


class Progress:
    """A worker's side. Does nothing when the run directory is not on a file system."""

    def __init__(self, run: str, movement: str) -> None:
        folder = storage.local_path(storage.join(run, FOLDER))
        self._file = folder / f"{movement}.{os.getpid()}" if folder is not None else None

    def advance(self, documents: int, text_bytes: int) -> None:
        """Records documents and bytes of text that were handled."""
        self._append(f"{documents} {text_bytes} 0 0\n")

    def finish(self, work: int = 1) -> None:
        """Records finished work: input bytes rated, a part decided, a shard emitted."""
        self._append(f"0 0 {work} 0\n")

    def expect(self, work: int) -> None:
        """Records how much work there is, where the driver cannot know it."""
        self._append(f"0 0 0 {work}\n")

    def _append(self, line: str) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as file:
                file.write(line)


@dataclass(frozen=True)
class MovementProgress:
    """The progress of a movement. `finished` and `total` (0: not known yet) count work, `underway` is
    an estimate of what is done of unfinished parts. `updated`: when it made its last progress, in
    seconds since 1970."""

    documents: int = 0
    text_bytes: int = 0
    finished: int = 0
    total: int = 0
    underway: int = 0
    updated: float = 0.0

    def done(self, total: int | None) -> int:
        """The work that is done, the estimate included, which never makes it all of it."""
        if not total:
            return self.finished + self.underway
        return min(total, max(self.finished, min(self.finished + self.underway, total * 99 // 100)))


def read_progress(run: str, text_per_byte: float = 1.0) -> dict[str, MovementProgress]:
    """The progress of each movement that has started. Empty on an object store. `text_per_byte`: bytes
    of text in a stored byte of input, until finished parts have shown how many there are."""
    folder = storage.local_path(storage.join(run, FOLDER))
    sums: dict[str, Counter[str]] = {}
    shown: Counter[str] = Counter()  # work of parts that were rated, and the text in it
    updated: dict[str, float] = {}
    underway = 0
    for file in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []:
        movement = file.name.split(".")[0]
        if movement not in MOVEMENTS:
            continue
        counts = sums.setdefault(movement, Counter())
        updated[movement] = max(updated.get(movement, 0.0), file.stat().st_mtime)
        text = 0
        for line in file.read_text().splitlines():
            numbers = line.split()
            if len(numbers) == 4:  # a line that is being written is counted next time
                *increments, total = map(int, numbers)
                counts.update(dict(zip(("documents", "text_bytes", "finished"), increments, strict=True)))
                counts["total"] = max(counts["total"], total)  # a retried step records it again
                text += increments[1]
                if movement == MOVEMENTS[0] and increments[2]:
                    shown.update(text=text, work=increments[2] if text else 0)  # a part that is used again has no text
                    text = 0
        underway += text if movement == MOVEMENTS[0] else 0
    if MOVEMENTS[0] in sums:
        ratio = shown["text"] / shown["work"] if shown["work"] and shown["text"] else text_per_byte
        sums[MOVEMENTS[0]]["underway"] = int(underway / ratio)
    return {movement: MovementProgress(**counts, updated=updated[movement]) for movement, counts in sums.items()}


class Observer:
    """Follows a run, as a progress bar or a log does. Does nothing unless overridden."""

    def planned(self, plan: WorkPlan) -> None:
        """Called once, before any work."""

    def progress(self, movements: Mapping[str, MovementProgress]) -> None:
        """Called from a thread five times a second, with each movement that has started."""

    def decided(self, counts: Counts) -> None:
        """Called from a thread when all documents are decided, while Emit writes them; not on an object store."""

    def finished(self, result: Result) -> None:
        """Called when the run has succeeded."""


class Attempt(JsonModel):
    """The driver's record of one attempt at a run. Times are in seconds since 1970, sizes in bytes
    as stored, of which each has about `text_per_byte` bytes of text. `seconds` is the time in each
    movement so far (on an object store, which does not tell them apart, of the `run`), `error` why
    the attempt failed."""

    started: float
    updated: float
    host: str
    process: int
    runner: str
    workers: int = 0
    parts: int = 0
    reused: int = 0
    bytes: int = 0
    reused_bytes: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)
    error: str = ""
    text_per_byte: float = 1.0


def new_attempt(**fields: Any) -> Attempt:
    """The attempt that this process starts now."""
    now = time.time()
    return Attempt(started=now, updated=now, host=socket.gethostname(), process=os.getpid(), **fields)


def write_attempt(run: str, attempt: Attempt) -> None:
    attempt.write(_attempt_uri(run), durable=False)


def read_attempt(run: str) -> Attempt | None:
    """The attempt that is running, failed or was killed; None if the last one succeeded."""
    return Attempt.read(_attempt_uri(run))


def clear(run: str) -> None:
    """Removes the progress of earlier attempts."""
    with suppress(OSError):  # a worker that a killed driver left may still append
        storage.remove_tree(storage.join(run, FOLDER))


def _attempt_uri(run: str) -> str:
    return storage.join(run, FOLDER, "attempt.json")
