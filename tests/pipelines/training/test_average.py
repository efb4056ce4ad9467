"""`tamis average` averages the checkpoints of the plan by its weights, and names what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tamis.transforms.curriculum.order import Curriculum
from tests.pipelines.training.test_write_plan import finished, invoke
from tests.transforms.curriculum.test_checkpoint_files import read_tensors, safetensors


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished(tmp_path, Curriculum(order="ascending"))


def checkpoints(folder: Path, number: int) -> list[str]:
    tensors = [{"a": ("F32", np.float32([index, 1]))} for index in range(number)]
    return [safetensors(folder / f"{index}.safetensors", one) for index, one in enumerate(tensors)]


def test_by_the_weights_of_the_plan(run: Path) -> None:
    assert invoke("plan", run, "--averaging", "wma", "--checkpoints", 4, "--output", run / "wma.json").exit_code == 0
    by_plan = ("--plan", run / "wma.json", "--output", run / "mean.safetensors")
    result = invoke("average", run, *checkpoints(run, 4), *by_plan)
    assert result.exit_code == 0
    assert "0.5000  after 970 tokens: " in result.stdout
    assert "2 parameters, averaged over 4 checkpoints (wma)" in result.stdout
    weights = np.diff(np.sqrt(np.arange(5) / 4))
    np.testing.assert_allclose(
        np.frombuffer(read_tensors(run / "mean.safetensors")["a"][1], "<f4"), [weights @ np.arange(4), 1], rtol=1e-6
    )
    document = json.loads(invoke("average", run, *checkpoints(run, 4), *by_plan, "--json").stdout)
    assert [row["token"] for row in document["checkpoints"]] == [970, 980, 990, 1000]


def test_what_is_wrong_is_named(run: Path) -> None:
    files = checkpoints(run, 2)
    by_plan = ("--plan", run / "three.json", "-o", run / "mean.safetensors")
    unplanned = invoke("average", run, *files, *by_plan)
    assert (unplanned.exit_code, "there is no plan" in unplanned.stderr) == (1, True)
    own = invoke("average", run, *files, "-o", run / "mean.safetensors")
    assert (own.exit_code, "the plan averages 6 checkpoints, but 2 were given" in own.stderr) == (1, True)
    assert invoke("plan", run, "--checkpoints", 3, "-o", run / "three.json").exit_code == 0
    few = invoke("average", run, *files, *by_plan)
    assert (few.exit_code, "3 checkpoints, but 2 were given. Name those saved after 980, 990, 1,000 tokens" in few.stderr) == (
        1,
        True,
    )
    lost = invoke("average", run, *files, run / "no.safetensors", *by_plan)
    assert (lost.exit_code, "no.safetensors" in lost.stderr) == (1, True)
    (run / "three.json").write_text("{}")
    old = invoke("average", run, *files, *by_plan)
    assert (old.exit_code, "is not a plan of this version" in old.stderr) == (1, True)
