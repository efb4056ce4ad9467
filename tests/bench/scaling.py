"""Measures how Rate scales on one huge file: seconds to the first rated batch and from there to the last, by workers.

    python scaling.py CORPUS [--workers 1 2] [--repeats 3]

CORPUS is a folder made by corpus.py. Its lines form the file, in consecutive gzip members of `MEMBER` bytes. The speed-up is
the ratio of the seconds between the first batch and the last, each the least of the repeats; runs alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from isal import igzip

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
from tamis.pipelines.run.progress import MovementProgress, Observer

MEMBER = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once", type=Path, help="rate this file and print what it took: how a repeat calls this program")
    options = parser.parse_args()
    if options.once is not None:
        print(json.dumps(once(options.once, options.workers[0])))
        return
    best: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as folder:
        huge = Path(folder) / "huge.jsonl.gz"
        with huge.open("wb") as file:
            for part in sorted((options.corpus / "jsonl").iterdir()):
                with igzip.open(part) as lines:
                    while data := lines.read(MEMBER):
                        file.write(igzip.compress(data, 2))
        for _ in range(options.repeats):
            for workers in options.workers:
                argv = [sys.executable, __file__, str(options.corpus), "--once", str(huge), "--workers", str(workers)]
                took = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout)
                print(f"{workers} workers: {took}, load {os.getloadavg()[0]:.1f}", flush=True)
                best[workers] = {name: min(value, best.get(workers, took)[name]) for name, value in took.items()}
    for workers, took in best.items():
        ratio = best[options.workers[0]]["rest"] / took["rest"]
        print(
            f"{workers} workers: first batch {took['first']:.1f} s, the others {took['rest']:.1f} s, {ratio:.2f} times as fast"
        )


def once(file: Path, workers: int) -> dict[str, float]:
    """Seconds from the start to the first batch rated, and from there to the last, on as many cores as workers."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:workers])
    times = RateTimes()
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as folder:
        launch(load_recipe("fineweb", [], [str(file)]), folder, workers, observer=times)
    return {"first": round(times.first, 2), "rest": round(times.last - times.first, 2)}


class RateTimes(Observer):
    """Seconds until the first and the last documents were rated."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.first, self.last, self.documents = 0.0, 0.0, 0

    def progress(self, movements: Mapping[str, MovementProgress]) -> None:
        documents = movements.get("rate", MovementProgress()).documents
        if documents > self.documents:
            self.documents, self.last = documents, time.monotonic() - self.start
            self.first = self.first or self.last


if __name__ == "__main__":
    main()
