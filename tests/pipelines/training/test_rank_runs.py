"""`tamis proxy` ranks clean text before noise, at equal tokens or equal epochs, or refuses to rank. Needs torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tests.transforms.feed.releases import release, write_manifest

SMALL = ["--sequence-length", "32", "--batch-size", "4", "--width", "16", "--layers", "1", "--heads", "2", "--seeds", "2"]
SMALL += ["--threads", "1"]  # with more, threads wait for each other when other processes run


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["proxy", *(str(argument) for argument in arguments)])


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Text; text with a third, then all of its letters random; other text to validate on."""
    draw = np.random.default_rng(0)
    folders = []
    for number, (share, documents) in enumerate(((0.0, 40), (0.3, 40), (1.0, 50), (0.0, 12))):
        texts = []
        for index in range(documents):
            letters = np.array(list(f"the {number}{index % 7} ship sails over the sea and the sea is wide. " * 2))
            noise = draw.choice(list("qxzjkvw#%&*"), len(letters))
            texts.append("".join(np.where(draw.random(len(letters)) < share, noise, letters)))
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        folders.append(release(folder, [texts]))
        manifest = json.loads((folder / "manifest.json").read_text())
        write_manifest(str(folder), manifest | {"corpus_root": f"{number:064d}"})
    return folders


def test_clean_text_is_ranked_before_noise_and_rankings_are_compared(runs: list[str]) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    *trained, held_out = runs
    rates = ["--learning-rate", "1e-3", "--learning-rate", "3e-4"]
    result = invoke(*trained, "--validation", held_out, *SMALL, *rates, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["tokens"] % (32 * 4) == 0
    for ranking, pair in zip(report["rates"], report["planted_pairs"], strict=True):
        assert [row["run"] for row in sorted(ranking["runs"], key=lambda row: row["loss"])] == trained
        assert all(row["low"] <= row["loss"] <= row["high"] for row in ranking["runs"])
        assert pair["text"] == ranking["runs"][0]["loss"] < report["unigram_entropy"]
        assert min(pair["seeds"]) > 0
    assert [row["spearman"] for row in report["agreement"]] == [pytest.approx(1)] * 2
    assert [row["regret"]["1"] for row in report["agreement"]][1] == 0
    assert [warning.split()[0] for warning in report["warnings"]] == ["[cut]", "[flips]", "[flips]"]


def test_models_that_have_seen_too_little_rank_nothing(runs: list[str]) -> None:
    """At this rate they rank text before its words shuffled by the luck of its order, long before they know how frequent
    the letters are."""
    pytest.importorskip("torch", reason="torch is not installed")
    refused = invoke(*runs[:2], "--validation", runs[3], *SMALL, "--learning-rate", "1e-3", "--learning-rate", "1e-5")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"at learning rate 1e-05 the models have seen too few tokens to rank anything: after the text of {runs[0]}" in (
        refused.stderr
    )
    assert "Give them more (--tokens, or longer runs)" in refused.stderr
    assert f"  {runs[1]}" not in refused.stderr  # no loss is shown


def test_a_target_is_what_counts(runs: list[str], tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    *trained, held_out = runs
    (tmp_path / "target.json").write_text(json.dumps(dict(zip(trained, (3.0, 2.0, 1.0), strict=True))))
    target = ["--target", tmp_path / "target.json", "--learning-rate", "1e-3", "--tokens", 2048]
    result = invoke(*trained, "--validation", held_out, *SMALL, *target)
    assert result.exit_code == 0, result.output
    assert "2,048 tokens per run" in result.stdout
    assert "pairs agree 0.0%, Spearman -1.000, regret top 1 2.00000, top 3 0.00000" in result.stdout


def test_samples_are_repeated_as_often_as_the_target_repeats_the_runs(runs: list[str]) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    tokens = [json.loads((Path(run) / "manifest.json").read_text())["curriculum"]["tokens"] for run in runs[:2]]
    options = ["--learning-rate", "1e-3", "--tokens", 2048, "--target-tokens", 3 * tokens[0], "--json"]
    result = invoke(*runs[:2], "--validation", runs[3], *SMALL, *options)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [row["target"] for row in report["epochs"]] == [3, 3 * tokens[0] / tokens[1]]
    for row in report["epochs"]:
        assert 0.7 * row["target"] < row["proxy"] <= row["target"]  # of documents of a hundred tokens, about a seventh
    assert report["warnings"] == [report["warnings"][0]]
    assert report["warnings"][0].startswith("[flips]")


def test_runs_that_cannot_be_compared_are_named(runs: list[str]) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    first, second, _, held_out = runs
    for arguments, words in (
        ([first], "two or more"),
        ([first, first], "two or more"),
        ([first, held_out], "is one of those trained on"),
        ([first, second, "--tokens", "10000000"], "equal tokens"),
        ([first, second, "--tokens", "5"], "less than one step"),
        ([first, second, "--heads", "3"], "does not divide"),
        ([first, second, "--target-tokens", "1M"], "--target-tokens needs --tokens"),
        ([first, second, "--target-tokens", "1000", "--tokens", "4K"], "Lower --tokens, or raise --target-tokens"),
    ):
        refused = invoke(*arguments[:2], "--validation", held_out, *SMALL, *arguments[2:])
        assert (refused.exit_code, words in refused.stderr) == (1, True), refused.output


def test_without_torch_it_says_what_to_install(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    refused = invoke(*runs[:2], "--validation", runs[3])
    assert (refused.exit_code, "pip install 'torch'" in refused.stderr) == (1, True)
