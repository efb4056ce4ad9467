"""Progress by files: workers append what they did, whoever watches adds it up; no runner has to know."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from transforms import storage

ROOM = ".progress"

MOVEMENTS = ("rate", "decide", "emit")


class Progress:
    """A worker's side. Does nothing when the run directory is not on a file system."""

    def __init__(self, run: str, movement: str) -> None:
        folder = storage.local_path(storage.join(run, ROOM))
        self._file = folder / f"{movement}.{os.getpid()}" if folder is not None else None

    def advance(self, documents: int, text_bytes: int) -> None:
        """Records documents and bytes done."""
        self._append(f"{documents} {text_bytes} 0\n")

    def finish(self, work: int = 1) -> None:
        """Records what is finished: the input bytes of a part rated, a part decided, a shard emitted."""
        self._append(f"0 0 {work}\n")

    def _append(self, line: str) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as file:
                file.write(line)


@dataclass(frozen=True)
class Done:
    """What a movement has done so far."""

    documents: int = 0
    bytes: int = 0
    work: int = 0


def done(run: str) -> dict[str, Done]:
    """What every movement has done, summed over the workers."""
    folder = storage.local_path(storage.join(run, ROOM))
    sums: dict[str, Counter[str]] = {}
    for file in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else []:
        total = sums.setdefault(file.name.split(".")[0], Counter())
        for line in file.read_text().splitlines():
            numbers = line.split()
            if len(numbers) == 3:  # a line that is being written is counted next time
                total.update(dict(zip(("documents", "bytes", "work"), map(int, numbers), strict=True)))
    return {movement: Done(**total) for movement, total in sums.items()}


def clear(run: str) -> None:
    """Forgets the progress of an earlier attempt."""
    folder: Path | None = storage.local_path(storage.join(run, ROOM))
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
