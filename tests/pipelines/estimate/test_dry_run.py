"""A dry run counts a small input exactly and a large one nearly, whatever its format, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.estimate import sample
from tamis.pipelines.estimate.dry_run import estimate, lines, selected_tokens
from tamis.pipelines.recipe.load import load_recipe, recipe_of
from tamis.pipelines.recipe.schema import Recipe
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.estimate.inputs import skewed_lengths
from tests.pipelines.running import write_recipe


def test_a_small_input_is_counted_exactly_and_nothing_is_written(tmp_path: Path) -> None:
    records = corpus(60)
    source = save(tmp_path / "in", dealt(records, 3, seed=1))
    (source / "piece-01.jsonl").open("a").write("{broken\n")
    result = CliRunner().invoke(
        app, ["run", str(write_recipe(tmp_path)), "-i", str(source), "-o", str(tmp_path / "run"), "--dry-run", "--json"]
    )
    assert result.exit_code == 0, result.stderr
    estimated = json.loads(result.stdout)
    assert (estimated["files"], estimated["parts"], estimated["reused"]) == (3, 3, 0)
    assert (estimated["documents"], estimated["rejects"], estimated["sample_documents"]) == (60, 1, 60)
    text = sum(len(str(record["text"]).encode()) for record in records)
    assert estimated["text_bytes"] == pytest.approx(text, rel=0.01)  # with where each text begins
    assert 0 < estimated["documents_kept"] < 60
    assert estimated["tokens_kept"] < estimated["tokens"]
    assert estimated["candidate_probability"]["0.7"] == pytest.approx(1 - (1 - 0.7**8) ** 14)
    assert all(seconds >= 0 for seconds in estimated["seconds"].values())  # beyond those of a run of one document
    assert all(size > 0 for size in estimated["disk"].values())
    assert any(warning.startswith("[rejects] about 1 of 61 records") for warning in estimated["warnings"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "recipe.yaml"]


def test_a_sample_of_a_small_input_says_how_far_off_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"WHOLE_BYTES": 1, "SMALL_SAMPLE_BYTES": 200_000, "WINDOW_BYTES": 4 << 10}.items():
        monkeypatch.setattr(sample, name, size)
    (tmp_path / "in").mkdir()
    skewed_lengths(tmp_path / "in", 900_000)
    texts = [json.loads(line)["text"] for line in (tmp_path / "in" / "all.jsonl").read_text().splitlines()]
    recipe = recipe_of({"rate": {"gopher": {}}, "thresholds": {"gopher.word_count": {"min": 50}}}, [str(tmp_path / "in")])
    estimated = estimate(recipe, str(tmp_path / "run"), 1)
    assert estimated.sample_documents < len(texts) / 3
    assert estimated.documents == pytest.approx(len(texts), rel=0.1)
    short = sum(text.count(" ") < 49 for text in texts) / len(texts)
    (line,) = (line for line in lines(estimated) if "±" in line)
    share, margin, _ = line.replace("±", "").replace("%", "").split()
    assert 1 < float(margin) < 10
    assert float(share) == pytest.approx(100 * short, abs=1.5 * float(margin))
    assert 0 < estimated.least_seconds < sum(estimated.seconds.values())


def test_a_budget_bounds_what_is_kept() -> None:
    sources = {"web": {"kept_tokens": 300}, "books": {"kept_tokens": 100}}
    assert selected_tokens(load_recipe("gopher"), sources, 4000) == 4000
    assert selected_tokens(load_recipe("gopher", ["select.tokens=1000"]), sources, 4000) == 1000
    assert selected_tokens(load_recipe("gopher", ["select.tokens={web: 500}"]), sources, 4000) == 1500
    assert selected_tokens(load_recipe("gopher", ["select.epochs={web: 2.5}"]), sources, 4000) == 8500
    mixed = ["select.tokens=1000", "select.mixture={weights: {web: 1, unseen: 1}}"]
    assert selected_tokens(load_recipe("gopher", mixed), sources, 4000) == 1000


@pytest.mark.slow
def test_a_sample_of_distributions_gives_no_more_of_each_than_all_together_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a large distribution gives depends on how many there are."""
    monkeypatch.setattr(sample, "SAMPLE_BYTES", 800_000)
    recipe = Recipe.model_validate({"input": {"paths": ["python-env"], "harvest_bytes": 6_000_000}})
    estimated = estimate(recipe, str(tmp_path / "run"), 1)
    assert estimated.text_bytes == pytest.approx(estimated.input_bytes, rel=0.3)
