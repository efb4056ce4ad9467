"""Some cases of the fault matrix; `make faults` runs them all."""

from __future__ import annotations

import random

import pytest

from tests.faults import matrix, reruns, soak
from tests.stores.servers import Missing

CASES = {case.name: case for case in matrix.cases()}

FEW = (
    "SIGKILL of driver and workers, rated",
    "SIGKILL of a worker, first part decided",
    "torn last block, rated/*.parquet, run unfinished",
    "torn last block, releases/000001/data/phase-1/*, run finished",
    "torn last block, manifest.json, run finished",
    "torn last block, every spill file",
    "full disk, room for 80% of the run",
    "clock skew, ahead, Decide",
    "poisoned page, Rate",
    "two runs on one output, start",
    "S3: all in 10 % of requests, all the time",
    "S3: SIGKILL of driver and workers, Emit",
)


RERUNS = {f"{fault}, {moment}": do for fault, moment, do in reruns.cases(matrix.may_mount())}

FEW_RERUNS = (
    "SIGKILL of driver and workers, first shard",
    "SIGKILL of driver and workers, record of the release",
    "SIGKILL of the driver, manifest of the release",
    "tonight's input is broken, Rate",
    "most of the input is missing, end",
    "a threshold keeps nothing, end",
    "a guard fails, end",
    "full disk, room for 30% of the next release",
    "S3: SIGKILL of driver and workers, first shard",
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
def test_soaked_twice(job, tmp_path):
    for number in range(2):
        kills, equal = soak.soak(job, tmp_path / str(number), random.Random(f"test {number}"), 8.0)
        assert equal, f"after {kills} kills"


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    return reruns.make_nights(tmp_path_factory.mktemp("nights"))


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW_RERUNS)
def test_a_fault_leaves_the_last_release_whole(nights, tmp_path, name):
    if name not in RERUNS:
        pytest.skip("needs the right to mount a file system")
    try:
        RERUNS[name](nights, tmp_path / "case")
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.mark.slow
def test_soaked_for_three_nights(tmp_path):
    assert soak.soak_nights(tmp_path, nights=3, seed=4, log=print).differences == 0
