"""`make soak N=100`: kills the sample job at seeded moments, and compares the bytes at its end.

With `--nights`, one run directory is run again for N nights while its input grows, shrinks and
breaks in turns, and every release before is checked to be untouched.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tamis.transforms.provenance.verify import verify
from tests.faults.matrix import Job, make
from tests.faults.reruns import Nights, Snapshot, current_number, outcome
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import CHANGES, RECIPE, command, left, processes, write_recipe


def soak(job: Job, output: Path, draw: random.Random, length: float) -> tuple[int, bool]:
    """One run, killed up to three times (all processes, driver or worker): (kills, equal)."""
    kills, code = kill_at_random(command(job.recipe, job.source, output), draw, length, 3)
    assert code == 0, f"after {kills} kills an undisturbed run failed: exit code {code}"
    return kills, left(output) == left(job.undisturbed)


def kill_at_random(argv: list[str], draw: random.Random, length: float, most: int) -> tuple[int, int]:
    """Runs a command again and again, killed up to `most` times: (kills, the last exit code)."""
    kills = 0
    while True:
        process = subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(draw.uniform(0.2, 1.0) * length if kills < most else 600)
            return kills, process.returncode
        except subprocess.TimeoutExpired:
            kills += 1
            victim = draw.choice(("all", "driver", "worker"))
            workers = [pid for pid, parent in processes("tamis.pipelines.runners.worker").items() if parent == process.pid]
            if victim == "all":
                os.killpg(process.pid, signal.SIGKILL)
            elif victim == "worker" and workers:
                os.kill(draw.choice(sorted(workers)), signal.SIGKILL)
            else:
                process.kill()
            if process.wait(600) == 0:
                return kills, 0


@dataclass
class NightsResult:
    nights: int = 0
    kills: int = 0
    releases: int = 0
    failed_nights: int = 0
    differences: int = 0


def soak_nights(
    folder: Path, nights: int, seed: int, log: Callable[[str], None], minutes: float = float("inf")
) -> NightsResult:
    """One run directory over many nights, with kills. Each night that makes a release is compared
    with a run of the same input in a new directory; the releases before must not change."""
    draw, result, started = random.Random(seed), NightsResult(), time.monotonic()
    recipe = write_recipe(folder, **CHANGES, output=RECIPE["output"] | {"shard_bytes": 100_000})
    pieces = dealt(corpus(1500, seed=seed), 30, seed=seed)
    source, run = save(folder / "in", pieces[:4]), folder / "run"
    for number, records in enumerate(pieces):
        save(folder / "stock" / str(number), [records])
    job, snapshots, stock = Nights(recipe, [], [], {}), [], list(range(4, len(pieces)))
    for night in range(nights):
        if time.monotonic() > started + 60 * minutes:
            break
        change = ("grows", "shrinks", "breaks", "grows", "stays")[night % 5] if night else "grows"
        broken = source / "broken.jsonl"
        if change == "grows" and stock:
            new = stock.pop(0)
            for path in (folder / "stock" / str(new)).iterdir():
                shutil.copy(path, source / f"{new}-{path.name}")
        elif change == "shrinks":
            draw.choice(sorted(source.iterdir())).unlink()
        elif change == "breaks":
            broken.write_bytes(b"\xff no JSON\n" * 300)
        kills, code = kill_at_random(command(recipe, source, run), draw, 8.0, 2)
        result.nights, result.kills = result.nights + 1, result.kills + kills
        if change == "breaks":
            result.failed_nights += 1
            wrong = code == 0
            broken.unlink()
        else:
            shutil.rmtree(folder / "undisturbed", ignore_errors=True)
            job.run(str(source), str(folder / "undisturbed"))
            wrong = code != 0 or outcome(str(run)) != outcome(str(folder / "undisturbed")) or bool(verify(str(run)))
        for snapshot in snapshots:
            snapshot.check(str(run))
        current = current_number(str(run))
        if len(snapshots) < current:
            snapshots.append(Snapshot.take(str(run), current))
        result.releases, result.differences = current, result.differences + wrong
        log(f"night {night + 1}: input {change}, killed {kills} times, release {current}, {'DIFFERENT' if wrong else 'equal'}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nights", action="store_true", help="run one directory again, instead of new ones")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after this many minutes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.nights:
            result = soak_nights(
                Path(name), arguments.runs, arguments.seed, lambda line: print(line, flush=True), arguments.minutes
            )
            print(json.dumps(vars(result)))
            sys.exit(1 if result.differences else 0)
        sys.exit(1 if soak_runs(Path(name), arguments.runs, arguments.seed, arguments.minutes) else 0)


def soak_runs(folder: Path, runs: int, seed: int, minutes: float) -> int:
    """The number of runs that ended otherwise than an undisturbed one."""
    done = kills = different = 0
    started = time.monotonic()
    job = make(folder)
    first = time.monotonic()
    subprocess.run(command(job.recipe, job.source, folder / "timed"), check=True, capture_output=True)
    length = time.monotonic() - first
    for number in range(runs):
        if time.monotonic() > started + 60 * minutes:
            break
        killed, equal = soak(job, folder / "run", random.Random(f"{seed} {number}"), length)
        done, kills, different = done + 1, kills + killed, different + (not equal)
        print(f"{number}: killed {killed} times, {'equal' if equal else 'DIFFERENT'}", flush=True)
        shutil.rmtree(folder / "run")
    print(f"{done} of {runs} runs, {kills} kills, {different} differences, {time.monotonic() - started:.0f} s")
    return different


if __name__ == "__main__":
    main()
