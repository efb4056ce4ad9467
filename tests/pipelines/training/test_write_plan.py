"""`tamis plan` plans a finished run for its own schedule or another, touches nothing else, and says when it cannot."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.order import Curriculum
from tamis.transforms.curriculum.training_plan import TrainingPlan
from tamis.transforms.feed.corpus_index import load_corpus
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import RECIPE, folder_of, run, write_recipe
from tests.transforms.curriculum.test_training_plan import manifest
from tests.transforms.feed.releases import write_manifest, write_plan


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def finished(folder: Path, curriculum: Curriculum) -> Path:
    """A release of two shards with its own plan."""
    write_manifest(str(folder), manifest(curriculum, [("phase-1", 600), ("phase-1", 400)]))
    write_plan(str(folder))
    return folder


def own_plan(run: Path) -> TrainingPlan:
    """The plan that is part of the current release."""
    return TrainingPlan.model_validate_json((folder_of(run) / "plan.json").read_text())


def test_a_run_is_planned_by_its_own_schedule_twice_alike(tmp_path: Path) -> None:
    run = finished(tmp_path, Curriculum(order="ascending"))
    result = invoke("plan", run)
    assert result.exit_code == 0
    assert "1,000 tokens in 2 shards, 6 checkpoints to keep" in result.stdout
    assert "the best tenth of the data gets 1.799% of the learning rate's mass" in result.stdout  # as tamis lint says
    assert "[ascending-muted]" in result.stdout
    assert json.loads(invoke("plan", run, "--json").stdout) == own_plan(run).model_dump(mode="json")


def test_every_release_has_its_plan_and_other_plans_lie_outside(tmp_path: Path) -> None:
    source, output = save(tmp_path / "in", dealt(corpus(40), 2, seed=1)), tmp_path / "run"
    run(write_recipe(tmp_path), source, output)
    first = own_plan(output)
    assert invoke("plan", output).stdout.startswith(f"{folder_of(output)}/plan.json: ")
    assert load_corpus(str(output)).root == first.data.corpus_root
    other = invoke("plan", output, "--checkpoints", 3).stdout.split(": ")[0]
    assert Path(other).parent == output / "plans"
    assert verify(str(output)) == []
    run(write_recipe(tmp_path, curriculum={"order": "descending"}), source, output)
    assert load_corpus(str(output)).root == own_plan(output).data.corpus_root != first.data.corpus_root
    assert load_corpus(f"{output}@1").root == first.data.corpus_root
    assert json.loads(invoke("plan", f"{output}@1", "--json").stdout) == first.model_dump(mode="json")
    with pytest.raises(RunError, match="plan of another corpus"):
        load_corpus(str(output), other)
    assert load_corpus(f"{output}@1", other).root == first.data.corpus_root


@pytest.mark.parametrize("kind", ["flow", "yaml", "csv"])
def test_another_schedule_comes_as_text_or_as_a_file(tmp_path: Path, kind: str) -> None:
    run = finished(tmp_path, Curriculum(order="ascending"))
    (tmp_path / "other.yaml").write_text("shape: linear\npeak: 2.0e-3\nfinal: 1.0e-3\n")
    (tmp_path / "other.csv").write_text("tokens,lr\n0,2e-3\n1000,1e-3\n")
    to = ("--output", tmp_path / "other.json")
    schedule = "{shape: linear, peak: 2e-3, final: 1e-3}" if kind == "flow" else tmp_path / f"other.{kind}"
    assert invoke("plan", run, "--schedule", schedule, "--averaging", "sma", "--checkpoints", 2, *to).exit_code == 0
    plan = TrainingPlan.model_validate_json((tmp_path / "other.json").read_text())
    assert [shard.lr_mean for shard in plan.shards] == pytest.approx([1.7e-3, 1.2e-3])
    assert [(point.token, point.weight) for point in plan.checkpoints] == [(990, 0.5), (1000, 0.5)]


def test_data_that_lie_in_an_order_made_for_another_schedule_are_not_planned(tmp_path: Path) -> None:
    run = finished(tmp_path, Curriculum(order="lr_weighted"))
    assert invoke("plan", run).exit_code == 0
    refused = invoke("plan", run, "--schedule", "{shape: cosine}")
    assert refused.exit_code == 1
    assert "only Decide and Emit are redone" in refused.stderr


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    run = finished(tmp_path, Curriculum())
    unfinished = invoke("plan", tmp_path / "none")
    assert (unfinished.exit_code, "no manifest.json" in unfinished.stderr) == (1, True)
    wrong = invoke("plan", run, "--schedule", "{shape: cosin}")
    assert (wrong.exit_code, "shape: should be" in wrong.stderr) == (2, True)
    lost = invoke("plan", run, "--schedule", "no.csv")
    assert (lost.exit_code, "no such file" in lost.stderr) == (2, True)
    assert "averaging" in invoke("plan", run, "--averaging", "mean").stderr
    assert "no schema of 'plans'" in invoke("schema", "plans").stderr


def test_the_schema_of_a_plan() -> None:
    assert json.loads(invoke("schema", "plan").stdout)["title"] == "TrainingPlan"
    assert json.loads(invoke("schema").stdout)["title"] == "Recipe"


def test_run_and_plan_tell_the_bytes_of_the_tokenizer_that_counted(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    rate = RECIPE["rate"] | {"tokens": {"tokenizer": str(tmp_path / "tokenizer.json")}}
    source, output = save(tmp_path / "in", dealt(corpus(40), 2, seed=1)), tmp_path / "run"
    run(write_recipe(tmp_path, rate=rate), source, output)
    assert invoke("plan", output).exit_code == 0
    recorded = {"name": "tokenizer.json", "sha256": hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest()}
    assert json.loads((output / "manifest.json").read_text())["tokenizer"] == recorded
    assert json.loads((folder_of(output) / "plan.json").read_text())["tokenizer"] == recorded
    assert load_corpus(str(output)).tokenizer == recorded["sha256"]


def test_the_schedule_as_arguments_of_a_trainer(tmp_path: Path) -> None:
    run = finished(tmp_path, Curriculum(order="ascending"))
    schedule = ("--schedule", "{shape: wsd, peak: 1.0e-3, final: 1.0e-4, decay: 0.2, decay_shape: linear}")
    megatron = invoke("plan", run, *schedule, "--as", "megatron", "--batch-tokens", 16)
    assert megatron.stdout == (  # 62 steps of 16 tokens, and one of 8
        "--lr 0.001 --min-lr 0.0001 --lr-decay-style WSD --lr-warmup-iters 0 --lr-decay-iters 63 --train-iters 63 "
        "--lr-wsd-decay-style linear --lr-wsd-decay-iters 13\n"
    )
    ours = invoke("plan", run, *schedule, "--as", "transformers", "--batch-tokens", "10")
    assert ours.stdout.splitlines() == [
        "learning_rate=0.001,",
        'lr_scheduler_type="warmup_stable_decay",',
        "warmup_steps=0,",
        'lr_scheduler_kwargs={"num_decay_steps": 20, "min_lr_ratio": 0.1, "decay_type": "linear"},',
        "max_steps=100,",
    ]
    document = invoke("plan", run, *schedule, "--as", "transformers", "--batch-tokens", 10, "--json").stdout
    assert json.loads(document)["lr_scheduler_kwargs"]["num_decay_steps"] == 20


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--as", "megatron"], 1, "the plan does not say how many tokens a step has: give --batch-tokens, or --batch"),
        (["--batch-tokens", "10"], 2, "--batch-tokens is for --as, without --batch"),
        (["--batch", "{sequences: 4}"], 2, "sequence_length: is missing"),
        (["--batch", "{sequences: 4, sequence_length: 5, ramp: [3, 2, 9]}"], 2, "choose an increment that divides 1"),
        (
            ["--as", "transformers", "--batch", "{sequences: 4, sequence_length: 5, ramp: [1, 1, 30]}"],
            1,
            "transformers has no ramp of the batch size: give --batch-tokens",
        ),
        (["--as", "olmo", "--batch-tokens", "10"], 2, "'olmo' is not one of megatron, transformers"),
        (["--as", "megatron", "--batch-tokens", "1001"], 1, "the run has 1,000 tokens, less than one step of 1,001"),
        (["--as", "megatron", "--batch-tokens", "9", "--schedule", "{shape: step, steps: [[0.5, 0.1]]}"], 1, "the shape step"),
    ],
)
def test_arguments_that_cannot_be_are_refused(tmp_path: Path, options: list[str], code: int, message: str) -> None:
    result = invoke("plan", finished(tmp_path, Curriculum(order="ascending")), *options)
    assert (result.exit_code, message in " ".join(result.stderr.split())) == (code, True)


def test_a_ramp_of_the_batch_size_is_megatrons_own_and_counts_in_sequences(tmp_path: Path) -> None:
    batch = {"sequences": 8, "sequence_length": 5, "ramp": (2, 2, 60)}
    run = finished(tmp_path, Curriculum(order="ascending", batch=batch))
    assert own_plan(run).batch.tokens_after([1, 10, 11]).tolist() == [10, 100, 120]
    assert invoke("plan", run, "--as", "megatron", "--schedule", "{shape: linear, peak: 1.0e-3, final: 0}").stdout == (
        "--lr 0.001 --min-lr 0.0 --lr-decay-style linear --lr-warmup-samples 0 --lr-decay-samples 200 --train-samples 200 "
        "--seq-length 5 --global-batch-size 8 --rampup-batch-size 2 2 60\n"
    )
    arguments = json.loads(invoke("plan", run, "--as", "megatron", "--json").stdout)
    again = Curriculum.model_validate({"schedule": {"from": "megatron", "args": arguments}})
    assert again.batch == own_plan(run).batch
    assert again.schedule == own_plan(run).schedule.model_copy(update={"tokens": 1000})
    flat = invoke("plan", run, "--batch", "{sequences: 4, sequence_length: 5}", "-o", tmp_path / "flat.json")
    assert flat.exit_code == 0
    assert json.loads((tmp_path / "flat.json").read_text())["batch"] == {"sequences": 4, "sequence_length": 5, "ramp": None}


def test_arguments_of_megatron_tell_the_batch_size_of_a_plan(tmp_path: Path) -> None:
    run = finished(tmp_path, Curriculum(order="ascending"))
    args = "{lr: 1.0e-3, train-samples: 200, global-batch-size: 8, seq-length: 5, rampup-batch-size: [2, 2, 60]}"
    result = invoke("plan", run, "--schedule", f"{{from: megatron, args: {args}}}", "-o", tmp_path / "plan.json")
    assert (result.exit_code, "[other-length]" in result.stdout) == (0, False)
    assert json.loads((tmp_path / "plan.json").read_text())["batch"] == {
        "sequences": 8,
        "sequence_length": 5,
        "ramp": [2, 2, 60],
    }
