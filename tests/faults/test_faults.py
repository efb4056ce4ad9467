"""Some cases of the fault matrix; `make faults` runs them all."""

from __future__ import annotations

import random

import pytest

from tests.faults import matrix, soak
from tests.stores.servers import Missing

CASES = {case.name: case for case in matrix.cases()}

FEW = (
    "SIGKILL of driver and workers, rated",
    "SIGKILL of a worker, first part decided",
    "torn last block, rated/part-00001.parquet, run unfinished",
    "torn last block, data/phase-1/shard-00002.parquet, run unfinished",
    "torn last block, .state/shard-00001.json, run unfinished",
    "torn last block, manifest.json, run finished",
    "torn last block, every spill file",
    "full disk, room for 30% of the run",
    "full disk, room for 80% of the run",
    "clock skew, ahead, Decide",
    "poisoned page, Rate",
    "two runs on one output, start",
    "S3: all in 10 % of requests, all the time",
    "S3: SIGKILL of driver and workers, Emit",
)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return matrix.make(tmp_path_factory.mktemp("job"))


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_fault(job, tmp_path, name):
    if name not in CASES:
        pytest.skip("needs the right to mount a file system")
    try:
        CASES[name].do(job, tmp_path / "case")
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.mark.slow
def test_soaked_three_times(job, tmp_path):
    for number in range(3):
        kills, equal = soak.soak(job, tmp_path / str(number), random.Random(f"test {number}"), 8.0)
        assert equal, f"after {kills} kills"
