"""Feeding a run takes the memory of its shards, not of the run, and keeps up with what tokenises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.feed import build

ROOT = Path(__file__).resolve().parents[3]


def measured(run: Path, packing: str) -> dict[str, float]:
    """One pass in a process of its own."""
    argv = [sys.executable, "-m", "tests.bench.feed", "--one", str(run), "bytes", packing]
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["cut", "best_fit"])
def test_peak_memory_does_not_grow_with_the_run(tmp_path, packing):
    peaks = []
    for megabytes in (16, 96):
        build(tmp_path / str(megabytes), megabytes)
        found = measured(tmp_path / str(megabytes), packing)
        assert found["tokens"] >= megabytes * 1e6
        peaks.append(found["peak"])
    print(f"peak {peaks} MB")
    assert peaks[1] < peaks[0] + 24
