"""Progress by files: workers append what they did, whoever watches adds it up; no runner has to know.

The driver leaves its own word beside theirs, the `Attempt`: what there is to do, since when, and that it lives.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from tamis.transforms import storage

ROOM = ".progress"

_ATTEMPT = "attempt.json"

MOVEMENTS = ("rate", "decide", "emit")

EVERY = 10.0
"""Seconds between two words of a driver: in its attempt, its metrics and its log."""


class Progress:
    """A worker's side. Does nothing when the run directory is not on a file system."""

    def __init__(self, run: str, movement: str) -> None:
        folder = storage.local_path(storage.join(run, ROOM))
        self._file = folder / f"{movement}.{os.getpid()}" if folder is not None else None

    def advance(self, documents: int, text_bytes: int) -> None:
        """Records documents and bytes done."""
        self._append(f"{documents} {text_bytes} 0 0\n")

    def finish(self, work: int = 1) -> None:
        """Records what is finished: the input bytes of a part rated, a part decided, a shard emitted."""
        self._append(f"0 0 {work} 0\n")

    def expect(self, work: int) -> None:
        """Records how much there is to finish, where nobody knew before."""
        self._append(f"0 0 0 {work}\n")

    def _append(self, line: str) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as file:
                file.write(line)


@dataclass(frozen=True)
class Done:
    """What a movement has done so far: documents, bytes of text, and work of which there is `total` (0: not known yet)."""

    documents: int = 0
    bytes: int = 0
    work: int = 0
    total: int = 0


def done(run: str) -> dict[str, Done]:
    """What every movement has done, summed over the workers. Empty where they cannot append, on an object store."""
    folder = storage.local_path(storage.join(run, ROOM))
    sums: dict[str, Counter[str]] = {}
    for file in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []:
        movement = file.name.split(".")[0]
        if movement not in MOVEMENTS:
            continue
        sum_ = sums.setdefault(movement, Counter())
        for line in file.read_text().splitlines():
            numbers = line.split()
            if len(numbers) == 4:  # a line that is being written is counted next time
                *did, total = map(int, numbers)
                sum_.update(dict(zip(("documents", "bytes", "work"), did, strict=True)))
                sum_["total"] = max(sum_["total"], total)  # a retried step says it again
    return {movement: Done(**sum_) for movement, sum_ in sums.items()}


@dataclass(frozen=True)
class Attempt:
    """A driver's word about the run it drives: times in seconds since 1970, sizes in bytes as stored.

    `seconds` are those of each movement so far; `error` is why it gave up, if it did.
    """

    started: float
    updated: float
    host: str
    process: int
    runner: str
    workers: int
    parts: int
    reused: int
    bytes: int
    reused_bytes: int
    seconds: dict[str, float] = field(default_factory=dict)
    error: str = ""


def tell(run: str, attempt: Attempt) -> None:
    """Leaves the attempt where `status` finds it, on any storage."""
    storage.write_bytes(storage.join(run, ROOM, _ATTEMPT), json.dumps(asdict(attempt)).encode(), durable=False)


def attempt(run: str) -> Attempt | None:
    """The attempt that is going on, or that was given up or killed; None when there was none or it ended well."""
    try:
        return Attempt(**json.loads(storage.read_bytes(storage.join(run, ROOM, _ATTEMPT))))
    except OSError:
        return None


def clear(run: str) -> None:
    """Forgets the progress of an earlier attempt."""
    with suppress(OSError):  # a worker that a killed driver left may still append
        storage.remove_tree(storage.join(run, ROOM))
