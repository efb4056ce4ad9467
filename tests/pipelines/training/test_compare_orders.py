"""`tamis proxy-orders` trains on the same documents in each order, and tabulates and draws the losses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.cli.training_commands import proxy_orders
from tamis.pipelines.training.compare_orders import held_out, order_documents, orders, schedules
from tamis.pipelines.training.order_evidence import lines, weigh
from tamis.pipelines.training.plot_orders import draw
from tamis.pipelines.training.tokenized_corpus import TokenizedCorpus
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.order import Curriculum, Ordering
from tests.transforms.feed.releases import release


def corpus(documents: int = 200) -> TokenizedCorpus:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, documents)
    return TokenizedCorpus(
        np.repeat(np.arange(documents), lengths).astype(np.int32),
        lengths,
        rng.random(documents).astype(np.float32),
        rng.integers(0, 1 << 63, documents).astype(np.uint64),
        rng.integers(0, 2, documents),
    )


ORDERS = ("ascending", "lr_weighted")
SCHEDULES = ("wsd", "moderate", "constant", "cosine")


def test_orders_hold_the_same_documents_each_source_in_its_own_order() -> None:
    one, documents = corpus(), np.arange(10, 190)
    for ordering in orders(ORDERS, (0.01, 0.1)).values():
        for schedule in schedules(SCHEDULES, 1e-3).values():
            order = order_documents(one, documents, Curriculum(schedule=schedule, **dict(ordering)), 0)
            assert sorted(order) == documents.tolist()
    ascending = order_documents(one, documents, Curriculum(order="ascending"), 0)
    constant = schedules(SCHEDULES, 1e-3)["constant"]
    weighted = order_documents(one, documents, Curriculum(order="lr_weighted", schedule=constant), 0)
    for source in (0, 1):
        own = ascending[one.source[ascending] == source]
        assert (np.diff(one.quality[own]) >= 0).all()
    late = one.quality[weighted[-60:]].mean()
    assert late > one.quality[weighted[:60]].mean() + 0.4


def test_a_seed_shuffles_and_holds_out_other_documents_of_the_best() -> None:
    one = corpus(2000)
    shuffles = {tuple(order_documents(one, np.arange(2000), Curriculum(), seed)) for seed in (0, 1, 2)}
    assert len(shuffles) == 3
    folds = np.array([held_out(one, seed) for seed in range(11)])
    assert (folds[:10].sum(axis=0) <= 1).all()
    assert (folds[10] == folds[0]).all()
    for validation in folds:
        assert 5 < validation.sum() < 50
        assert one.quality[validation].min() > 0.85


def test_unknown_orders_and_schedules_are_named() -> None:
    with pytest.raises(RunError, match="'up' is not an order; choose uniform, ascending"):
        orders(["up"], ())
    with pytest.raises(RunError, match="'linear' is not a schedule of this experiment; choose wsd, moderate"):
        schedules(["linear"], 1e-3)


LOSSES = {
    ("uniform", "wsd", "none"): [4.0, 4.3, 3.9, 4.1],
    ("ascending", "wsd", "none"): [3.9, 4.21, 3.8, 4.0],
    ("lr_weighted 0.1", "wsd", "none"): [3.91, 4.2, 3.81, 4.0],
    ("uniform", "cosine", "ema"): [4.1, 4.4, 4.0, 4.2],
    ("ascending", "cosine", "ema"): [4.1, 4.4, 4.0, 4.2],
    ("lr_weighted 0.1", "cosine", "ema"): [4.2, 4.51, 4.1, 4.3],
}


def advice(losses: dict[tuple[str, str, str], list[float]]) -> tuple[dict[str, Any], list[str]]:
    """What is found in losses, and said of it."""
    result = {"tokens": 1, "validation_tokens": 1, "planted_pair": {"cost": 0.1}, **weigh(losses)}
    return result, list(lines(result))


def test_a_gain_is_over_the_shuffle_under_the_same_schedule() -> None:
    result, said = advice(LOSSES)
    gains = {tuple(list(cell.values())[:3]): cell["gain"] for cell in result["cells"]}
    assert gains["ascending", "wsd", "none"] == pytest.approx(0.0975)
    assert gains["ascending", "cosine", "ema"] == 0
    assert gains["lr_weighted 0.1", "cosine", "ema"] == pytest.approx(-0.1025)
    assert result["comparisons"] == 3  # two under wsd, and one under cosine: ascending is its shuffle
    assert said[0] == "ascending under wsd is enough: it beats uniform by 0.0975 nats"
    assert said[1].startswith("no other choice beats it by more than 0.0")
    assert said[2] == "(4 comparisons, with 95 % confidence in all of them together; 4 seeds)"


def test_where_nothing_helps_that_is_said_first() -> None:
    alike = {
        way: [loss + 0.01 * (-1) ** (seed + at) for seed, loss in enumerate(LOSSES["uniform", "wsd", "none"])]
        for at, way in enumerate(LOSSES)
    }
    said = advice(alike)[1]
    assert said[0].startswith("uniform under wsd is enough: nothing beats it, and no other choice can by more than 0.0")


def test_what_beats_ascending_is_the_choice() -> None:
    better = LOSSES | {("lr_weighted 0.1", "cosine", "ema"): [3.7, 4.02, 3.6, 3.8]}
    choice = "lr_weighted 0.1 under cosine, averaged (ema), is the choice"
    assert advice(better)[1][0].startswith(f"{choice}: it beats ascending under wsd by 0.1975 nats [+0.1")


def test_one_seed_gives_no_advice() -> None:
    said = advice({way: losses[:1] for way, losses in LOSSES.items()})[1]
    assert said[0].startswith("One seed cannot tell 4 differences from luck, so take nothing from this")


def test_each_half_life_is_an_order_of_its_own_in_the_table_and_the_plot() -> None:
    names = list(orders(ORDERS, (0.1, 0.01, 0.1)))
    assert names == ["uniform", "ascending", "lr_weighted 0.1", "lr_weighted 0.01"]
    losses = {
        (order, schedule, "none"): [loss, loss + 0.5 + 0.1 * (loss > 1)]
        for schedule in ("wsd", "cosine")
        for loss, order in enumerate(names)
    }
    result, said = advice(losses)
    table = [line.split() for line in said if line.startswith("  ")][1:]
    assert [float(row[0]) for row in table] == [0.25, 0.25, 1.25, 1.25, 2.3, 2.3, 3.3, 3.3]
    drawing = ET.fromstring(draw(result["cells"]))
    dots = drawing.findall("{*}circle")
    assert len({dot.get("cx") for dot in dots}) == len(dots)
    assert len({dot.get("fill") for dot in dots}) == len(names)
    fills = {text.text: text.get("fill") for text in drawing.findall("{*}text")}
    assert [fills[name] for name in names] == [dot.get("fill") for dot in dots[:4]]
    assert max(float(dot.get("cx", 0)) for dot in dots) < float(drawing.get("width", 0))


def test_the_default_half_life_is_that_of_a_recipe() -> None:
    assert signature(proxy_orders).parameters["half_life"].default == [Ordering().half_life]


def test_a_run_is_compared_and_drawn(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    texts = [f"{number} the sea is wide and the ship is {number % 9} " * 2 for number in range(160)]
    run = release(tmp_path, [texts[:80], texts[80:]])
    small = ["--sequence-length", "64", "--batch-size", "16", "--width", "8", "--layers", "1", "--heads", "1", "--seeds", "2"]
    small += ["--threads", "1", "--half-life", "0.1", "--half-life", "0.01", "--peak", "2e-3"]
    first = CliRunner().invoke(app, ["proxy-orders", run, "--output", str(tmp_path / "out"), *small])
    assert first.exit_code == 0, first.output
    result = json.loads((tmp_path / "out/orders.json").read_text())
    assert len(result["cells"]) == 4 * 4 * 3
    cells = {(cell["order"], cell["schedule"], cell["averaging"]): cell for cell in result["cells"]}
    assert all(cell["low"] <= cell["gain"] <= cell["high"] for cell in cells.values())
    # Under a constant rate the order is ascending, and under a moderate decay if only the newest is remembered.
    same = {("lr_weighted 0.1", "constant"), ("lr_weighted 0.01", "constant"), ("lr_weighted 0.01", "moderate")}
    for (order, schedule, averaging), cell in cells.items():
        if order.startswith("lr_weighted"):
            assert (cell["loss"] == cells["ascending", schedule, averaging]["loss"]) == ((order, schedule) in same)
    drawing = ET.parse(tmp_path / "out/orders.svg").getroot()
    assert len(drawing.findall("{*}circle")) == 48
    assert result["planted_pair"]["text"] < result["unigram_entropy"]
    assert min(result["planted_pair"]["seeds"]) > 0
    before, trainings = (tmp_path / "out/orders.json").read_bytes(), sorted((tmp_path / "out/trainings").iterdir())
    assert len(trainings) == (4 * 4 - len(same) + 1) * 2  # equal orders are trained once; shuffled words are another training
    trainings[0].unlink()
    written = {one: one.stat().st_mtime_ns for one in trainings[1:]}
    again = CliRunner().invoke(app, ["proxy-orders", run, "--output", str(tmp_path / "out"), *small])
    assert (again.exit_code, again.stdout) == (0, first.stdout)
    assert (tmp_path / "out/orders.json").read_bytes() == before
    assert trainings[0].exists()
    assert {one: one.stat().st_mtime_ns for one in trainings[1:]} == written
    for one in trainings:  # as models that learned nothing would have left them
        one.write_text(json.dumps(dict.fromkeys(json.loads(one.read_text()), 5.5)))
    untrained = CliRunner().invoke(app, ["proxy-orders", run, "--output", str(tmp_path / "out"), *small])
    assert (untrained.exit_code, untrained.stdout) == (1, "")
    assert "too few tokens" in untrained.stderr
    assert "Use a larger corpus, smaller batches (--batch-size) or larger steps (--peak)" in untrained.stderr


def test_a_sample_is_trained_on_and_all_of_the_best_is_measured(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    texts = [f"{number} the sea is wide and the ship is {number % 9} " * 2 for number in range(160)]
    run = release(tmp_path, [texts])
    small = ["--sequence-length", "64", "--batch-size", "8", "--width", "8", "--layers", "1", "--heads", "1", "--seeds", "1"]
    small += ["--threads", "1", "--peak", "2e-3", "--order", "ascending", "--schedule", "constant", "--json"]
    results = []
    for sampled in ([], ["--tokens", "6K"]):
        done = CliRunner().invoke(app, ["proxy-orders", run, "--output", str(tmp_path / "out"), *small, *sampled])
        assert done.exit_code == 0, done.output
        results.append(json.loads(done.stdout))
    assert 5_500 < results[1]["tokens"] < 6_500 < results[0]["tokens"]
    assert results[0]["validation_tokens"] == results[1]["validation_tokens"]
    assert len(results[1]["cells"]) == 2 * 3


def test_a_run_that_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    run = release(tmp_path, [["one", "two", "three"]])
    refused = CliRunner().invoke(app, ["proxy-orders", run, "--output", str(tmp_path / "out")])
    assert (refused.exit_code, "is too small" in refused.stderr) == (1, True)
