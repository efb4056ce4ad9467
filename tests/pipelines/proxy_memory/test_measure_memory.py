"""`tamis proxy-memory` shows models blocks of the best documents, and tells in how many tokens they forget them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.proxy_memory.measure_memory import plan_run
from tamis.pipelines.proxy_memory.memory_result import Experiment, Seed, lines, summarise
from tamis.pipelines.proxy_memory.plot_memory import PANEL, draw
from tamis.pipelines.training.rank_runs import ProxyTraining
from tamis.pipelines.training.tokenized_corpus import TokenizedCorpus, make_batches
from tamis.transforms.curriculum.order import Curriculum
from tests.transforms.feed.releases import release

SMALL = ProxyTraining(learning_rates=(1e-3,), seeds=2, sequence_length=8, batch_size=2)
EXPERIMENT = Experiment(sizes=((8, 1), (16, 1), (32, 1)), batch_sizes=(2, 4), positions=3)


def corpus(documents: int = 500) -> TokenizedCorpus:
    """Documents of their own number, again and again, whose quality rises with it."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, documents)
    quality, tie_break = np.linspace(0, 1, documents, dtype=np.float32), rng.integers(0, 1 << 63, documents).astype(np.uint64)
    return TokenizedCorpus(
        np.repeat(np.arange(documents), lengths).astype(np.int32), lengths, quality, tie_break, np.zeros(documents, np.int64)
    )


def read(batches: list[Any]) -> set[int]:
    return {int(token) for batch in batches for token in np.unique(batch.tokens)}


def test_run_blocks_and_held_out_documents_are_apart_and_the_best_are_in_no_run() -> None:
    one = plan_run("RUN", corpus(), EXPERIMENT, SMALL, 0)
    blocks = [read(block) for block in one.blocks]
    assert len({len(block) for block in one.blocks}) == 1
    assert min(min(block) for block in (*blocks, read(one.held_out))) > max(read(one.run))
    assert all(read(one.held_out).isdisjoint(block) for block in blocks)
    assert sum(len(one & other) for index, one in enumerate(blocks) for other in blocks[:index]) <= 2  # documents that were cut
    ends = np.array(one.starts) + len(one.blocks[0])
    assert one.starts[0] == round(0.2 * len(one.run))
    assert ends[-1] + one.distances[-1] == len(one.run)
    assert np.diff(np.log(one.starts)) == pytest.approx(np.diff(np.log(one.starts)).mean(), abs=0.02)
    other = plan_run("RUN", corpus(), EXPERIMENT, SMALL, 1)
    assert (other.run[0].tokens != one.run[0].tokens).any()
    assert read(other.held_out) != read(one.held_out)


def test_a_block_gains_what_it_adds_to_the_run_and_nothing_if_it_comes_anyway() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from tamis.pipelines.proxy_memory.measure_memory import Plan, watch
    from tamis.transforms.proxy.model import Shape

    one, documents = corpus(), np.arange(500)
    run, others = make_batches(one, documents[:200], 8, 2)[:60], make_batches(one, documents[400:], 8, 2)
    same = Plan(run, [run[10:15], run[30:35]], others[:3], [10, 30], [0, 1, 4, 9])
    shape = Shape(vocabulary=500, width=8, layers=1, heads=1)
    nothing = watch(shape, 0, 1e-3, same, "cpu")
    assert nothing["gain"] == [[0] * 4] * 2
    gained = watch(shape, 0, 1e-3, same._replace(blocks=[others[:5], others[:5]]), "cpu")
    assert gained["loss"] == nothing["loss"]
    assert all(gains[0] > 0.01 for gains in gained["gain"])  # it holds the held-out documents
    assert watch(shape, 0, 1e-3, same._replace(blocks=[others[:5], run[30:35]]), "cpu")["gain"][1] == [0] * 4


def measured(half_life: float, parameters: int, step_tokens: int, noise: float = 0.002) -> list[Seed]:
    """What three seeds would have measured."""
    rng = np.random.default_rng(parameters + step_tokens)
    distances = [0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64]
    gain = 0.05 * 2 ** (-np.array(distances) * step_tokens / half_life) + rng.normal(0, noise, (3, 3, len(distances)))
    return [
        {
            "parameters": parameters,
            "loss": [4.0] * 3,
            "gain": seed.tolist(),
            "unigram_entropy": 6.0,
            "step_tokens": step_tokens,
            "steps": 600,
            "starts": [100, 200, 400],
            "block": 10,
            "distances": distances,
        }
        for seed in gain
    ]


SETTINGS = [SMALL.model_copy(update={"width": size, "batch_size": batch}) for size, _, batch in EXPERIMENT.settings]
PLANTED = [(60_000, 2048), (240_000, 2048), (960_000, 2048), (60_000, 4096)]


@cache
def planted(size_exponent: float, batch_exponent: float) -> dict[str, Any]:
    """The result of half-lives that follow a law."""
    seeds = [
        measured(20_000 * (size / 60_000) ** size_exponent * (batch / 2048) ** batch_exponent, size, batch)
        for size, batch in PLANTED
    ]
    return summarise("RUN", EXPERIMENT, SETTINGS, seeds)


def test_a_planted_law_is_told_and_no_law_is_not() -> None:
    result = planted(-0.5, 1.0)
    assert [row["half_life"] for row in result["settings"]] == pytest.approx([20_000, 10_000, 5_000, 40_000], rel=0.1)
    assert all(row["low"] < row["half_life"] < row["high"] for row in result["settings"])
    laws = result["laws"]
    assert -0.6 < laws["parameters"]["low"] < -0.5 < laws["parameters"]["high"] < -0.4
    assert 0.6 < laws["batch_tokens"]["low"] < 1.0 < laws["batch_tokens"]["high"] < 1.4
    assert laws["position"]["low"] < 0 < laws["position"]["high"]
    told = list(lines(result))
    assert told[-3].startswith("by the size of the model: the half-life shrinks (exponent -0.")
    assert told[-2].startswith("by the batch: the half-life grows (exponent +")
    assert told[-1].startswith("by the tokens read before the block: no trend can be told (exponent")
    assert result["warnings"] == []
    assert "no trend can be told" in list(lines(planted(0.0, 0.0)))[-3]


def test_what_was_not_measured_is_said() -> None:
    one = measured(9_000, 60_000, 2048)[0]
    worse: Seed = {**one, "loss": [6.5] * 3, "gain": (-np.array(one["gain"])).tolist()}
    result = summarise("RUN", EXPERIMENT, SETTINGS, [[worse], [], [], []])
    row = result["settings"][0]
    assert (row["half_life"], row["low"], row["high"], row["gain"]) == (None,) * 4
    assert set(result["laws"].values()) == {None}
    assert [warning.split()[0] for warning in result["warnings"]] == ["[under-trained]", "[one-seed]", "[no-gain]"]
    assert list(lines(result))[2].split()[2:] == ["?", "?", "?", "?", "none"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    ET.fromstring(draw(result))
    for half_life, warning in ((100_000, "[horizon]"), (1_500, "[short]")):
        told = summarise("RUN", EXPERIMENT, SETTINGS, [measured(half_life, 60_000, 2048), [], [], []])["warnings"]
        assert [line.split()[0] for line in told] == [warning]
    noisy = summarise("RUN", EXPERIMENT, SETTINGS, [measured(9_000, 60_000, 2048, noise=0.3), [], [], []])
    assert (noisy["settings"][0]["low"], noisy["warnings"][0].split()[0]) == (None, "[no-interval]")


def test_the_figure_has_a_panel_for_each_setting_a_dot_for_each_distance_and_a_band() -> None:
    result = planted(-0.5, 1.0)
    drawing = ET.fromstring(draw(result))
    panels = drawing.findall("{*}g")
    assert len(panels) == 4
    for panel, row in zip(panels, result["settings"], strict=True):
        xs = [float(dot.get("cx", "")) for dot in panel.findall("{*}circle")]
        assert xs == sorted(set(xs))
        assert len(xs) == len(row["distances"])
        band = panel.find("{*}rect")
        assert band is not None
        assert xs[0] <= float(band.get("x", "")) < float(band.get("x", "")) + float(band.get("width", "")) <= PANEL - 20
        assert f"half-life {row['half_life']:,.0f} tokens" in [text.text for text in panel.findall("{*}text")]
    assert float(drawing.get("width", 0)) > max(xs)


@pytest.mark.slow  # trains models
def test_a_run_is_measured_drawn_resumed_and_read_by_a_recipe(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(["sea", "sun", "ship"], 12)) for _ in range(300)]
    texts += [" ".join(draw.choice(["owl", "oak", "elm"], 12)) for _ in range(50)]
    run, output = release(tmp_path, [texts]), tmp_path / "out"
    command = ["proxy-memory", run, "--output", str(output), "--size", "8x1", "--size", "16x1", "--heads", "1", "--seeds", "2"]
    command += ["--sequence-length", "32", "--batch-size", "4", "--positions", "2", "--threads", "1", "--peak", "3e-3"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    result = json.loads((output / "measured.json").read_text())
    assert [(row["width"], row["seeds"], len(row["positions"])) for row in result["settings"]] == [(8, 2, 2), (16, 2, 2)]
    assert all(row["gain"] > 0.01 for row in result["settings"])  # other words are a gain that is forgotten
    assert "tokens in which a model forgets half" in first.stdout
    before, saved = (output / "measured.json").read_bytes(), sorted((output / "measured").iterdir())
    assert len(saved) == 4
    saved[0].unlink()
    written = {one: one.stat().st_mtime_ns for one in saved[1:]}
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert (output / "measured.json").read_bytes() == before
    assert {one: one.stat().st_mtime_ns for one in saved[1:]} == written
    assert len(ET.parse(output / "memory.svg").getroot().findall("{*}g")) == 2
    tokens = {"shape": "cosine", "tokens": 1_000_000}
    weighted = Curriculum(order="lr_weighted", half_life=str(output / "measured.json"), schedule=tokens)
    assert weighted.half_life == round(result["settings"][1]["half_life"])


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    run = release(tmp_path, [["one", "two", "three"]])
    for options, message in (
        ([], "is too small for batches of 16"),
        (["--size", "64"], "'64' is not the width and the layers"),
    ):
        refused = CliRunner().invoke(app, ["proxy-memory", run, "--output", str(tmp_path / "out"), *options])
        assert refused.exit_code in (1, 2)
        assert message in refused.stderr
