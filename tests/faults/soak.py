"""`make soak N=100`: kills the sample job at seeded moments, and compares the bytes at its end."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.matrix import Job, make
from tests.pipelines.running import command, left, processes


def soak(job: Job, output: Path, draw: random.Random, length: float) -> tuple[int, bool]:
    """One run, killed up to three times (all processes, driver or worker): (kills, equal)."""
    kills = 0
    while True:
        disturbed = kills
        argv = command(job.recipe, job.source, output)
        process = subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(draw.uniform(0.2, 1.0) * length if kills < 3 else 600)
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
            process.wait(600)
        if process.returncode == 0:
            return kills, left(output) == left(job.undisturbed)
        assert kills > disturbed, f"after {kills} kills an undisturbed run failed: exit code {process.returncode}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after this many minutes")
    arguments = parser.parse_args()
    done = kills = different = 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = make(folder)
        first = time.monotonic()
        subprocess.run(command(job.recipe, job.source, folder / "timed"), check=True, capture_output=True)
        length = time.monotonic() - first
        for number in range(arguments.runs):
            if time.monotonic() > started + 60 * arguments.minutes:
                break
            killed, equal = soak(job, folder / "run", random.Random(f"{arguments.seed} {number}"), length)
            done, kills, different = done + 1, kills + killed, different + (not equal)
            print(f"{number}: killed {killed} times, {'equal' if equal else 'DIFFERENT'}", flush=True)
            shutil.rmtree(folder / "run")
    print(f"{done} of {arguments.runs} runs, {kills} kills, {different} differences, {time.monotonic() - started:.0f} s")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
