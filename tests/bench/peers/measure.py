"""Measures one kind of work in this process and prints one JSON line; all measured scripts share it. Standard library only.

    python works.py WORK CORPUS   →   {"cpu_s": …, "wall_s": …, "mb": …, "peak_rss_mb": …, "version": …}

Set-up (imports, models, compiled kernels, texts already in memory) is not measured. The work is repeated until it has taken
`LEAST_CPU_S`, so that clock ticks and first touches of memory do not matter; the mean of one pass is printed.
"""

from __future__ import annotations

import gzip
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

LEAST_CPU_S = 1.0


@dataclass(frozen=True)
class Task:
    """`run` works on `mb` megabytes of text; a dict it returns joins the printed line. `once`: it must not be repeated."""

    mb: float
    run: Callable[[], object]
    once: bool = False


Works = Mapping[str, Callable[[Path], Task]]
"""The kinds of work a script can do: each is set up for a corpus, and then measured."""


def main(package: str, works: Works) -> None:
    """Does the work that the command line names and prints its line. `package` is whose version is told."""
    task = works[sys.argv[1]](Path(sys.argv[2]))
    passes, told = 0, None
    cpu, wall = _cpu(), time.perf_counter()
    while not passes or (not task.once and _cpu() - cpu < LEAST_CPU_S):
        told = task.run()
        passes += 1
    line = {
        "cpu_s": (_cpu() - cpu) / passes,
        "wall_s": (time.perf_counter() - wall) / passes,
        "mb": task.mb,
        "peak_rss_mb": _peak(),
        "version": metadata.version(package),
    }
    print(json.dumps(line | (told if isinstance(told, dict) else {})))


def texts(corpus: Path) -> list[str]:
    """Every text of the corpus, in its order."""
    found: list[str] = []
    for path in sorted((corpus / "jsonl").iterdir()):
        with gzip.open(path, "rb") as lines:
            found += [json.loads(line)["text"] for line in lines]
    return found


def megabytes(corpus: Path) -> float:
    """MB of text in the corpus, as UTF-8."""
    return float(json.loads((corpus / "corpus.json").read_text())["mb"])


def _cpu() -> float:
    """CPU seconds, user and system, of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _peak() -> float:
    """Most memory, in MB, that this process had, or one of its children if that had more."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024 / 1e6
