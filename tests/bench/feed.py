"""Measures how fast a finished run is loaded, how soon the first batch comes, and in how much memory.

    python -m tests.bench.feed [--mb 200] [--small 10] [--tokenizer bytes tiktoken:cl100k_base] [--packing cut best_fit]

Each line is a process of its own. `tokens/s` are per core: all CPU time of the process counts, with that of prefetching.
`first` is the time from the constructor to the first batch, `peak` the peak of resident memory, `disk` the reading of the same
files alone, in text bytes per second. `index`: without stored counts; `fed`: with them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tamis.transforms.feed.dataset import CurriculumDataset
from tests.transforms.feed.releases import release

SIZE, BATCH = 2048, 64

_LINE = "{:>5} {:<30} {:<9} {:<6} {:>10} {:>10} {:>8} {:>8} {:>10}"


def texts(megabytes: float) -> list[str]:
    """Pages of words drawn as Zipf has them, 0.2 to 20 kB."""
    draw = np.random.default_rng(5)
    letters = np.array(list("etaoinshrdlucmfwyp"))
    words = ["".join(draw.choice(letters, draw.integers(2, 11))) for _ in range(20_000)]
    share = 1 / np.arange(1, len(words) + 1)
    found: list[str] = []
    size = 0
    while size < megabytes * 1e6:
        picked = draw.choice(len(words), int(draw.lognormal(6, 0.8)) + 30, p=share / share.sum())
        found.append(" ".join([words[number] for number in picked]))
        size += len(found[-1])
    return found


def build(folder: Path, megabytes: float) -> None:
    """A run of shards of 8 MB in row groups of 2 MB, so that the smallest run has one and the largest many."""
    pages = texts(megabytes)
    each = max(1, round(len(pages) / max(1, megabytes / 8)))
    release(folder, [pages[first : first + each] for first in range(0, len(pages), each)], row_group_bytes=2 << 20)


def resident() -> float:
    """The most memory this process had, in MB. (What getrusage tells is at least what the parent had when it forked.)"""
    told = Path("/proc/self/status").read_text()
    return int(told.split("VmHWM:")[1].split()[0]) / 1024


def measure(run: str, tokenizer: str, packing: str) -> dict[str, float]:
    """One pass over all batches of one rank."""
    start, used = time.perf_counter(), time.process_time()
    dataset = CurriculumDataset(run, tokenizer, SIZE, BATCH, packing=packing)  # type: ignore[arg-type]
    tokens, first = 0, 0.0
    for batch in dataset:
        first = first or time.perf_counter() - start
        tokens += int((batch.segments > 0).sum())
    used = time.process_time() - used
    return {"tokens": tokens, "cpu": used, "first": first, "peak": resident(), "wall": time.perf_counter() - start}


def disk(run: str) -> float:
    """Seconds of CPU and wall time, the larger, to read every shard."""
    wall, used = time.perf_counter(), time.process_time()
    for path in sorted(Path(run).rglob("*.parquet")):
        path.read_bytes()
    return max(time.perf_counter() - wall, time.process_time() - used)


def main() -> None:
    """Builds the runs, measures each case twice (index, fed) in processes of their own, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=float, default=200)
    parser.add_argument("--small", type=float, default=10)
    parser.add_argument("--tokenizer", nargs="+", default=["bytes", "tiktoken:cl100k_base"])
    parser.add_argument("--packing", nargs="+", default=["cut", "best_fit"])
    parser.add_argument("--one", nargs=3, metavar=("RUN", "TOKENIZER", "PACKING"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(*asked.one)))
        return
    print(_LINE.format("MB", "tokenizer", "packing", "", "Mtokens/s", "text MB/s", "first s", "peak MB", "disk MB/s"))
    with tempfile.TemporaryDirectory() as room:
        for megabytes in (asked.small, asked.mb):
            run = Path(room, f"{megabytes:g}")
            build(run, megabytes)
            reading = megabytes / disk(str(run))
            for tokenizer in asked.tokenizer:
                for packing in asked.packing:
                    for pass_ in ("index", "fed"):
                        if pass_ == "index":
                            for kept in run.glob(".feed/*"):
                                kept.unlink()
                        argv = [sys.executable, "-m", "tests.bench.feed", "--one", str(run), tokenizer, packing]
                        found = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
                        speed = (f"{found['tokens'] / found['cpu'] / 1e6:.2f}", f"{megabytes / found['cpu']:.1f}")
                        rest = (f"{found['first']:.2f}", f"{found['peak']:.0f}", f"{reading:.0f}")
                        print(_LINE.format(f"{megabytes:g}", tokenizer, packing, pass_, *speed, *rest), flush=True)


if __name__ == "__main__":
    main()
