"""`tamis check-log` names the first step with another rate, and the first with other tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.order import Curriculum
from tests.pipelines.training.test_write_plan import finished, invoke

STEPS = 100
"""Of ten tokens each: the run has 1,000."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    schedule = Schedule(shape="wsd", peak=1e-3, final=4e-4, warmup=0.2)
    return finished(tmp_path, Curriculum(order="ascending", schedule=schedule))


def planned() -> list[dict[str, float]]:
    """Warm-up in 20 steps, decay by a square root in the last 18."""
    rates = [min(step / 20, 1) for step in range(1, 83)] + [1 - 0.6 * (k / 18) ** 0.5 for k in range(1, 19)]
    return [{"step": step, "lr": rate * 1e-3, "tokens": step * 10} for step, rate in enumerate(rates, 1)]


def written(path: Path, rows: Sequence[dict[str, float]]) -> Path:
    if path.suffix == ".csv":
        path.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_one_wrong_warm_up_and_one_missed_resume(run: Path, name: str) -> None:
    good = invoke("check-log", run, written(run / name, planned()))
    assert good.exit_code == 0
    assert good.stdout.splitlines()[0].endswith("100 logged steps of 10 tokens, to 1,000 of 1,000 tokens")
    assert good.stdout.splitlines()[1:] == ["learning rate: as planned", "tokens: as planned"]
    rows = planned()
    for row in rows[:10]:
        row["lr"] = 1e-3 * row["step"] / 10  # a warm-up of ten steps
    for row in rows[10:20]:
        row["lr"] = 1e-3
    for row in rows[60:]:
        row["tokens"] -= 600  # resumed from the checkpoint of step 60, the loader from its start
    bad = invoke("check-log", run, written(run / name, rows))
    assert bad.exit_code == 1
    assert bad.stdout.splitlines()[1:] == [
        "learning rate: step 2 has 0.0002, the plan 0.0001; 17 logged steps deviate, the last is 18",
        "tokens: step 61 has 10, the plan 610; 40 logged steps deviate, the last is 100",
    ]
    document = json.loads(invoke("check-log", run, run / name, "--json").stdout)
    assert (document["rate_deviation"]["step"], document["token_deviation"]["step"]) == (2, 61)


def test_a_log_without_tokens_needs_those_of_a_step(run: Path) -> None:
    rows = [{"loss": 2.0, "learning_rate": row["lr"], "global_step": row["step"]} for row in planned()]
    log = written(run / "log.jsonl", [*rows, {"eval_loss": 1.9, "global_step": 100}])
    missing = invoke("check-log", run, log)
    assert (missing.exit_code, "does not tell the tokens of a step: give --batch-tokens" in missing.stderr) == (1, True)
    assert invoke("check-log", run, log, "--batch-tokens", 10).exit_code == 0
    assert "learning rate: step " in invoke("check-log", run, log, "--batch-tokens", 9).stdout


def test_another_plan(run: Path) -> None:
    assert invoke("plan", run, "--schedule", "{shape: constant, peak: 1.0e-3}", "-o", run / "flat.json").exit_code == 0
    flat = written(run / "log.csv", [{**row, "lr": 1e-3} for row in planned()])
    assert invoke("check-log", run, flat, "--plan", run / "flat.json").exit_code == 0
    assert invoke("check-log", run, flat).exit_code == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lr,loss\n1e-3,2\n", "no field for the step, as step or global_step or iteration; it has lr, loss: rename one"),
        ("step,loss\n1,2\n", "no field for the learning rate, as lr or learning_rate or learning-rate; it has step, loss"),
        ("step,lr\n1,high\n", "log.csv:2: lr is 'high', not a number"),
        ("step,lr\n,1e-3\n", "no row has a step with its learning rate or tokens"),
    ],
)
def test_what_is_wrong_is_named(run: Path, content: str, message: str) -> None:
    (run / "log.csv").write_text(content)
    result = invoke("check-log", run, run / "log.csv")
    assert (result.exit_code, message in result.stderr) == (1, True)


def test_lines_that_are_no_objects(run: Path) -> None:
    (run / "log.jsonl").write_text('{"step": 1, "lr": 0.1}\nstep 2\n')
    assert "log.jsonl:2: unexpected character" in invoke("check-log", run, run / "log.jsonl").stderr
    assert "no such file" in invoke("check-log", run, run / "none.csv").stderr
