"""`tamis check-log` names each step at which a log leaves its plan, in the rate or in tokens, whoever wrote the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tamis.pipelines.training.logs.event_files import read_events
from tamis.pipelines.training.logs.read_log import read_log
from tamis.transforms.core.errors import RunError
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
        "learning rate: step 2 has 0.0002, the plan 0.0001; 17 logged steps deviate, to step 18",
        "tokens: step 61 has 10, the plan 610; 40 logged steps deviate, to step 100",
    ]


def test_each_deviation_is_named(run: Path) -> None:
    rows = planned()
    rows[30]["lr"] = rows[31]["lr"] = rows[90]["lr"] = 0
    for row in rows[60:]:
        row["tokens"] -= 600
    for row in rows[70:]:
        row["tokens"] -= 100
    log = written(run / "log.jsonl", rows)
    assert invoke("check-log", run, log).stdout.splitlines()[1:] == [
        "learning rate: step 31 has 0, the plan 0.001; 2 logged steps deviate, to step 32",
        "learning rate: step 91 has 0, the plan 0.0005757",
        "tokens: step 61 has 10, the plan 610; 10 logged steps deviate, to step 70",
        "tokens: step 71 has 10, the plan 710; 30 logged steps deviate, to step 100",
    ]
    document = json.loads(invoke("check-log", run, log, "--json").stdout)
    assert document["fields"] == ["step", "lr", "tokens"]
    assert [each["step"] for each in document["rate_deviations"]] == [31, 91]
    assert document["token_deviations"][1] == {"step": 71, "last_step": 100, "rows": 30, "logged": 10, "planned": 710}
    for row in rows[::2]:
        row["lr"] = 0
    flickers = invoke("check-log", run, written(log, rows)).stdout.splitlines()
    assert flickers[11] == "learning rate: 38 more deviations (--json)"


def test_a_log_without_tokens_needs_those_of_a_step(run: Path) -> None:
    rows = [{"loss": 2.0, "learning_rate": row["lr"], "global_step": row["step"]} for row in planned()]
    log = written(run / "log.jsonl", [*rows, {"eval_loss": 1.9, "global_step": 100}])
    missing = invoke("check-log", run, log)
    assert (missing.exit_code, "tells the tokens of a step: give --batch-tokens" in missing.stderr) == (1, True)
    good = invoke("check-log", run, log, "--batch-tokens", 10)
    assert (good.exit_code, good.stdout.splitlines()[1:]) == (0, ["learning rate: as planned", "tokens: not in the log"])
    assert "learning rate: step " in invoke("check-log", run, log, "--batch-tokens", 9).stdout


def test_another_plan(run: Path) -> None:
    assert invoke("plan", run, "--schedule", "{shape: constant, peak: 1.0e-3}", "-o", run / "flat.json").exit_code == 0
    flat = written(run / "log.csv", [{**row, "lr": 1e-3} for row in planned()])
    assert invoke("check-log", run, flat, "--plan", run / "flat.json").exit_code == 0
    assert invoke("check-log", run, flat).exit_code == 1


def test_a_planned_ramp_of_the_batch_size(run: Path) -> None:
    """Half of the sequences in the first 40."""
    rows = planned()
    for row, tokens in zip(rows, [5, 10, 15, 20, 25, 30, 35, 40, *range(50, 1000, 10), 1000], strict=False):
        row |= {"tokens": tokens, "lr": min(tokens / 200, 1) * 1e-3}
    log = written(run / "log.csv", rows[:80])
    batch = "{sequences: 2, sequence_length: 5, ramp: [1, 1, 8]}"
    assert invoke("plan", run, "--batch", batch, "-o", run / "ramp.json").exit_code == 0
    assert invoke("check-log", run, log, "--plan", run / "ramp.json").exit_code == 0
    assert "tokens: step 2 has 10, the plan 20" in invoke("check-log", run, log).stdout


# --- logs of trainers ----------------------------------------------------------------------------------------------------


def megatron(rows: Sequence[dict[str, float]]) -> str:
    """What Megatron-LM prints with sequences of five tokens."""
    return "  seq_length ...................................... 5\n" + "".join(
        f" [2026-11-30 10:00:00] iteration {row['step']:8d}/     100 | consumed samples: {row['tokens'] // 5:12d} | "
        f"elapsed time per iteration (ms): 431.7 | learning rate: {row['lr']:.6E} | global batch size: 2 | loss scale: 1.0 |\n"
        for row in rows
    )


def nanochat(rows: Sequence[dict[str, float]]) -> str:
    """What nanochat prints, which counts from 0."""
    return "".join(
        f"step {row['step'] - 1:05d}/00100 (1.00%) | loss: 2.100000 | lrm: {row['lr'] / 1e-3:.2f} | dt: 10.00ms | mfu: 40.00\n"
        for row in rows
    )


def table(**names: str) -> Callable[[Sequence[dict[str, float]]], str]:
    """CSV with these names of `step`, `lr` and `tokens`."""
    return lambda rows: "\n".join(
        [",".join([*names.values(), "loss"]), *(",".join([*(str(row[name]) for name in names), ""]) for row in rows)]
    )


def transformers(rows: Sequence[dict[str, float]]) -> str:
    """trainer_state.json, with an evaluation."""
    history = [{"step": row["step"], "learning_rate": row["lr"], "num_input_tokens_seen": row["tokens"]} for row in rows]
    return json.dumps({"global_step": 100, "log_history": [*history, {"step": 100, "eval_loss": 2.0}]}, indent=1)


LOGS = {
    "megatron": ("train.log", megatron),
    "nanochat": ("train.log", nanochat),
    "transformers": ("trainer_state.json", transformers),
    "lightning": ("metrics.csv", table(step="step", lr="lr-AdamW")),
    "torchtitan": ("wandb.csv", table(step="_step", lr="lr", tokens="n_tokens_seen")),
    "composer": ("metrics.csv", table(step="time/batch", lr="lr-DecoupledAdamW/group0", tokens="time/token")),
    "wandb": ("export.csv", table(step="Step", lr="run-1 - train/learning_rate")),
    "no rates": ("log.csv", table(step="step", tokens="consumed_tokens")),
}


@pytest.mark.parametrize("trainer", LOGS)
def test_logs_as_trainers_write_them(run: Path, trainer: str) -> None:
    """One wrong warm-up, one loader that starts anew."""
    name, write = LOGS[trainer]
    rows = planned()
    (run / name).write_text(write(rows))
    assert invoke("check-log", run, run / name, "--batch-tokens", 10).exit_code == 0
    for row in rows[:20]:
        row["lr"] = 1e-3
    for row in rows[60:]:
        row["tokens"] -= 600
    (run / name).write_text(write(rows))
    result = invoke("check-log", run, run / name, "--batch-tokens", 10)
    first = 0 if trainer == "nanochat" else 1
    rate = "not in the log" if trainer == "no rates" else f"step {first} has 0.001, the plan"
    counts = "not in the log" if trainer in ("nanochat", "lightning", "wandb") else "step 61 has 10, the plan 610"
    assert result.exit_code == 1
    assert f"learning rate: {rate}" in result.stdout
    assert f"tokens: {counts}" in result.stdout


def test_sequences_without_their_length(run: Path) -> None:
    """Those of a step say it, or the plan."""
    log = run / "train.log"
    log.write_text(megatron(planned()).split("\n", 1)[1])
    missing = invoke("check-log", run, log)
    assert "train.log counts sequences, not tokens: give --batch-tokens" in missing.stderr
    assert invoke("check-log", run, log, "--batch-tokens", 10).exit_code == 0
    assert invoke("plan", run, "--batch", "{sequences: 2, sequence_length: 5}", "-o", run / "batch.json").exit_code == 0
    assert invoke("check-log", run, log, "--plan", run / "batch.json").exit_code == 0


EVENTS = """
4800000000000000fe92489d091eaa5abc8fc3da411a0d627261696e2e4576656e743a32522e0a2c74656e736f72626f6172642e73756d6d6172792e777269
7465722e6576656e745f66696c655f777269746572b461d4901800000000000000a37f4b2209000000000000f03f10012a0b0a090a026c72150000003f5249
66a52300000000000000b09f774309000000000000f03f10012a160a140a0d6e5f746f6b656e735f7365656e15000080427d29902e1e00000000000000d9dc
123209000000000000f03f10ac022a100a0e0a026c72420808012a040000803e4dc0839d
"""
"""Written by tensorboard 2.21: at step 1, lr 0.5 and 64 as n_tokens_seen; at step 300, lr 0.25, as a tensor."""


def test_event_files_of_tensorboard(tmp_path: Path) -> None:
    content = bytes.fromhex(EVENTS)
    (tmp_path / "events.out.tfevents.1.host").write_bytes(content)
    (tmp_path / "events.out.tfevents.2.host").write_bytes(content[:-1])  # still being written
    file = tmp_path / "events.out.tfevents.1.host"
    assert [*read_events(str(file))] == [{"step": 1, "lr": 0.5, "n_tokens_seen": 64}, {"step": 300, "lr": 0.25}]
    folder = read_log(str(tmp_path))
    assert folder.fields == ("step", "lr", "n_tokens_seen")
    assert folder.log.step.tolist() == [1, 300, 1]
    assert folder.log.rate.tolist() == [0.5, 0.25, 0.5]
    file.write_bytes(content[:88] + b"\x18" + bytes(11) + b"\xff" * 40)
    with pytest.raises(RunError, match="byte 88 begins no event of TensorBoard"):
        list(read_events(str(file)))


# --- what is wrong ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lr,loss\n1e-3,2\n", "no field for the step (step, global_step, iteration, …); it has lr, loss: rename one"),
        ("step,loss\n1,2\n", "no field for the learning rate (lr, learning_rate, …) or tokens; it has step, loss: rename one"),
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
    assert "no such log" in invoke("check-log", run, run / "none.csv").stderr
