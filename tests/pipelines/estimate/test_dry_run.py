"""A dry run counts a small input exactly and a large one nearly, whatever its format, and writes nothing."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.estimate import sample
from tamis.pipelines.estimate.dry_run import estimate, selected_tokens
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import list_input
from tests.pipelines.corpus import corpus, dealt, save
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


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_the_beginnings_of_a_large_input_tell_what_it_holds(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    records = corpus(1500)
    source = save(tmp_path / "in", dealt(records, 6, seed=2), kind)
    monkeypatch.setattr(sample, "PIECE_BYTES", 30_000)
    monkeypatch.setattr(
        sample, "LOOKAHEAD_BYTES", 210_000 if kind == "jsonl" else 10 << 20
    )  # readers of the others read far ahead
    monkeypatch.setattr(sample, "SAMPLE_BYTES", 150_000)
    recipe = load_recipe("gopher", ["input.split_bytes=300000"], [str(source)])
    splits, _ = list_input(recipe, str(tmp_path / "run"))
    (tmp_path / "sample").mkdir()
    pieces = list(sample.sample(splits, recipe, str(tmp_path / "sample")))
    assert 4 <= len(pieces) <= 6
    sampled = sum(piece.size for piece in pieces)
    documents = 0.0
    for piece in pieces:
        only = recipe.model_copy(update={"input": recipe.input.model_copy(update={"paths": (piece.uri,)})})
        documents += piece.factor * sum(documents_of(only))
    assert documents * sum(split.size for split in splits) / sampled == pytest.approx(1500, rel=0.12)


def documents_of(recipe: Recipe) -> list[int]:
    from tamis.transforms.read.inputs import read

    batches = [batch for split in list_input(recipe, "run")[0] for batch in read(split, recipe.input)]
    assert not any(rejects for _, rejects in batches)
    return [batch.num_rows for batch, _ in batches]


def test_a_crawl_is_cut_between_its_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"A sentence of a page, again and again. " * 20
    one = b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Record-ID: <urn:uuid:%08d>\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n"
    (tmp_path / "a.wet").write_bytes(b"".join(one % (number, len(body), body) for number in range(200)))
    monkeypatch.setattr(sample, "PIECE_BYTES", 30_000)
    monkeypatch.setattr(sample, "LOOKAHEAD_BYTES", 60_000)
    recipe = load_recipe("gopher", [], [str(tmp_path / "a.wet")])
    (piece,) = sample.sample(list_input(recipe, str(tmp_path / "run"))[0], recipe, str(tmp_path))
    only = recipe.model_copy(update={"input": recipe.input.model_copy(update={"paths": (piece.uri,)})})
    assert piece.factor * sum(documents_of(only)) == pytest.approx(200, rel=0.05)


def test_a_budget_bounds_what_is_kept() -> None:
    sources = {"web": {"kept_tokens": 300}, "books": {"kept_tokens": 100}}
    assert selected_tokens(load_recipe("gopher"), sources, 4000) == 4000
    assert selected_tokens(load_recipe("gopher", ["select.tokens=1000"]), sources, 4000) == 1000
    assert selected_tokens(load_recipe("gopher", ["select.tokens={web: 500}"]), sources, 4000) == 1500
    assert selected_tokens(load_recipe("gopher", ["select.epochs={web: 2.5}"]), sources, 4000) == 8500
    mixed = ["select.tokens=1000", "select.mixture={weights: {web: 1, unseen: 1}}"]
    assert selected_tokens(load_recipe("gopher", mixed), sources, 4000) == 1000


def test_splits_are_taken_from_everywhere() -> None:
    order = list(sample.spread_splits([10] * 1000))
    assert len(order) == len(set(order)) == 256
    for size in (4, 16, 64):
        firsts = sorted(order[:size])
        assert max(right - left for left, right in pairwise(firsts)) <= 1.5 * 1000 / size
    assert sorted(sample.spread_splits([1] * 5)) == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_a_sample_of_distributions_gives_no_more_of_each_than_all_together_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a large distribution gives depends on how many there are."""
    monkeypatch.setattr(sample, "SAMPLE_BYTES", 800_000)
    recipe = Recipe.model_validate({"input": {"paths": ["python-env"], "harvest_bytes": 6_000_000}})
    estimated = estimate(recipe, str(tmp_path / "run"), 1)
    assert estimated.text_bytes == pytest.approx(estimated.input_bytes, rel=0.3)
