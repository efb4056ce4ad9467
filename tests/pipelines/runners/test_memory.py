"""Memory does not grow with the input; a worker has one heap; all processes stay below a bound."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import command, processes, typed, write_recipe

BOUND = 1850 << 20
"""Resident bytes of a driver and two workers. Measured: 1.6 GiB on 200 MB of near copies. Tamis
promises 2 GiB for 1 GB."""


HEAPS = """
import ctypes, sys
from tamis.pipelines.cli.main import main

heaps = sys.argv.pop().encode()
try:
    main()
finally:
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(libc.fopen(heaps, b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
    import pyarrow

    print(pyarrow.default_memory_pool().backend_name)
"""
"""The command. glibc's list of heaps goes into the file of the last argument."""


@pytest.mark.slow
def test_the_threads_of_one_worker_and_arrow_share_one_heap(tmp_path):
    save(tmp_path / "in", dealt(corpus(200), 1, seed=1), "jsonl.zst")
    argv = command(write_recipe(tmp_path), tmp_path / "in", tmp_path / "run", workers=1)[1:]
    stdout, _ = typed([sys.executable, "-c", HEAPS, *argv, str(tmp_path / "heaps.xml")])
    assert stdout.endswith("system\n")
    assert (tmp_path / "heaps.xml").read_text().count("<heap nr=") == 1


def resident(pids: list[int]) -> int:
    """Resident bytes of the processes; shared pages count once for each."""
    total = 0
    for pid in pids:
        try:
            total += int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * 4096
        except OSError:
            continue  # it has ended
    return total


@pytest.mark.slow
def test_peak_memory_of_all_processes_stays_below_its_bound(tmp_path):
    # 25 MB of documents in eight versions, like the near copies of a crawl: every step has work.
    records = corpus(6000, seed=3, sentences=(20, 90))
    size = sum(len(str(record["text"])) for record in records)
    assert 8 * size > 200e6
    for number in range(8):
        mirror = f" Mirror{chr(ord('a') + number)}."
        copies = [record | {"id": f"{number}-{record['id']}", "text": f"{record['text']}{mirror}"} for record in records]
        save(tmp_path / "in" / str(number), dealt(copies, 1, seed=number), ("jsonl.zst", "parquet")[number % 2])
    recipe = write_recipe(tmp_path, output={"shard_bytes": 64 << 20})
    peak = 0
    argv = command(recipe, tmp_path / "in", tmp_path / "run", "--json")
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            peak = max(peak, resident([process.pid, *processes(f"tamis.pipelines.runners.worker\0{process.pid}")]))
            time.sleep(0.05)
        assert process.stdout is not None
        counts = json.loads(process.stdout.read())["counts"]
    assert process.returncode == 0
    assert counts["records"] == 48_000
    assert counts["kept"] < 6_000
    print(f"peak {peak / 2**20:.0f} MiB")
    assert peak < BOUND
