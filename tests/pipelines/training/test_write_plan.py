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
from tamis.transforms.curriculum.order import Curriculum
from tamis.transforms.curriculum.training_plan import TrainingPlan
from tamis.transforms.feed.corpus_index import load_corpus
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import RECIPE, run, write_recipe
from tests.transforms.curriculum.test_training_plan import manifest


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def finished(folder: Path, curriculum: Curriculum) -> Path:
    (folder / "manifest.json").write_text(json.dumps(manifest(curriculum, [("phase-1", 600), ("phase-1", 400)])))
    return folder


def planned(run: Path) -> TrainingPlan:
    return TrainingPlan.model_validate_json((run / "plan.json").read_text())


def test_a_run_is_planned_by_its_own_schedule_twice_alike(tmp_path: Path) -> None:
    run = finished(tmp_path, Curriculum(order="ascending"))
    result = invoke("plan", run)
    assert result.exit_code == 0
    assert "1,000 tokens in 2 shards, 6 checkpoints to keep" in result.stdout
    assert "ascending" in result.stdout
    assert "(this run)" in result.stdout
    assert "[ascending-muted]" in result.stdout
    first = (run / "plan.json").read_bytes()
    assert json.loads(invoke("plan", run, "--json").stdout) == planned(run).model_dump(mode="json")
    assert (run / "plan.json").read_bytes() == first


def test_a_plan_ends_with_the_corpus_that_it_is_of(tmp_path: Path) -> None:
    source, output = save(tmp_path / "in", dealt(corpus(40), 2, seed=1)), tmp_path / "run"
    run(write_recipe(tmp_path), source, output)
    assert invoke("plan", output).exit_code == 0
    again = invoke("run", tmp_path / "recipe.yaml", "--input", source, "--output", output)
    assert "plan.json" not in again.stderr
    assert load_corpus(str(output)).root == planned(output).data.corpus_root
    changed = write_recipe(tmp_path, curriculum={"order": "descending"})
    redone = invoke("run", changed, "--input", source, "--output", output, "--workers", "1")
    assert "plan.json described the previous corpus and was removed" in redone.stderr
    assert not (output / "plan.json").exists()
    assert load_corpus(str(output)).root == json.loads((output / "manifest.json").read_text())["corpus_root"]


@pytest.mark.parametrize("kind", ["flow", "yaml", "csv"])
def test_another_schedule_comes_as_text_or_as_a_file(tmp_path: Path, kind: str) -> None:
    run = finished(tmp_path, Curriculum(order="ascending"))
    (tmp_path / "other.yaml").write_text("shape: linear\npeak: 2.0e-3\nfinal: 1.0e-3\n")
    (tmp_path / "other.csv").write_text("tokens,lr\n0,2e-3\n1000,1e-3\n")
    schedule = "{shape: linear, peak: 2e-3, final: 1e-3}" if kind == "flow" else tmp_path / f"other.{kind}"
    assert invoke("plan", run, "--schedule", schedule, "--averaging", "sma", "--checkpoints", 2).exit_code == 0
    plan = planned(run)
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
    assert json.loads((output / "plan.json").read_text())["tokenizer"] == recorded
    assert load_corpus(str(output)).tokenizer == recorded["sha256"]
