"""`tamis proxy-orders` trains on the same documents in each order, and tabulates and draws the losses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.cli.training_commands import proxy_orders
from tamis.pipelines.training.compare_orders import (
    BASELINE,
    TokenizedCorpus,
    draw,
    held_out,
    lines,
    make_batches,
    order_documents,
    orders,
    read_corpus,
    schedules,
)
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


def test_orders_hold_the_same_documents_each_source_in_its_own_order() -> None:
    one, documents = corpus(), np.arange(10, 190)
    for ordering in orders((0.01, 0.1)).values():
        for schedule in schedules(1e-3).values():
            assert (
                sorted(order_documents(one, documents, Curriculum(schedule=schedule, **dict(ordering)))) == documents.tolist()
            )
    ascending = order_documents(one, documents, Curriculum(order="ascending"))
    constant = order_documents(one, documents, Curriculum(order="lr_weighted", schedule=schedules(1e-3)["constant"]))
    for source in (0, 1):
        own = ascending[one.source[ascending] == source]
        assert (np.diff(one.quality[own]) >= 0).all()
    late = one.quality[constant[-60:]].mean()
    assert late > one.quality[constant[:60]].mean() + 0.4


def test_held_out_documents_are_of_the_best() -> None:
    one = corpus(2000)
    validation = held_out(one)
    assert 5 < validation.sum() < 50
    assert one.quality[validation].min() > 0.85


def test_batches_are_the_concatenated_documents() -> None:
    one, documents = corpus(), np.array([5, 3, 3, 9, 1, 0, 7])
    batches = make_batches(one, documents, 4, 2)
    tokens = np.concatenate([np.repeat(document, one.lengths[document]) for document in documents])
    full = len(tokens) // 4 * 4
    assert {len(batch.tokens) for batch in batches[:-1]} == {2}
    assert (np.concatenate([batch.tokens.ravel() for batch in batches]) == tokens[:full]).all()
    owners = np.concatenate([np.full(one.lengths[document], index) for index, document in enumerate(documents)])[:full]
    segments, positions = (np.concatenate([getattr(batch, name) for batch in batches]) for name in ("segments", "positions"))
    for row, owner in enumerate(owners.reshape(-1, 4)):
        assert segments[row].tolist() == (owner - owner[0] + 1).tolist()
        assert positions[row].tolist() == [int((owner[:column] == owner[column]).sum()) for column in range(4)]
    assert make_batches(one, documents[:0], 4, 2) == []


def test_each_half_life_is_an_order_of_its_own_in_the_table_and_the_plot() -> None:
    names = list(orders((0.1, 0.01, 0.1)))
    assert names == ["uniform", "ascending", "lr_weighted 0.1", "lr_weighted 0.01"]
    cells = [
        {"order": order, "schedule": schedule, "averaging": "none", "loss": loss, "low": None, "gain": 0.0, "gain_low": None}
        for schedule in ("wsd", "cosine")
        for loss, order in enumerate(names)
    ]
    result = {"tokens": 1, "validation_tokens": 1, "cells": [{**cell, "high": None} for cell in cells]}
    assert [line.split()[0] for line in lines(result)][2:] == [f"{loss}.00000" for loss in (0, 0, 1, 1, 2, 2, 3, 3)]
    drawing = ET.fromstring(draw(result))
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
    small += ["--threads", "1", "--half-life", "0.1", "--half-life", "0.01"]
    first = CliRunner().invoke(app, ["proxy-orders", run, "--output", str(tmp_path / "out"), *small])
    assert first.exit_code == 0, first.output
    result = json.loads((tmp_path / "out/orders.json").read_text())
    assert len(result["cells"]) == 4 * 4 * 3
    cells = {(cell["order"], cell["schedule"], cell["averaging"]): cell for cell in result["cells"]}
    assert (cells[BASELINE]["gain"], cells[BASELINE]["gain_low"]) == (0, 0)
    assert all(cell["low"] <= cell["loss"] <= cell["high"] for cell in cells.values())
    # Under a constant rate the order is ascending, and under a moderate decay if only the newest is remembered.
    same = {("lr_weighted 0.1", "constant"), ("lr_weighted 0.01", "constant"), ("lr_weighted 0.01", "moderate")}
    for (order, schedule, averaging), cell in cells.items():
        if order.startswith("lr_weighted"):
            assert (cell["loss"] == cells["ascending", schedule, averaging]["loss"]) == ((order, schedule) in same)
    drawing = ET.parse(tmp_path / "out/orders.svg").getroot()
    assert len(drawing.findall("{*}circle")) == 48
    assert "gain over uniform, wsd, none" in first.stdout
    assert min(cell["loss"] for cell in cells.values()) < result["unigram_entropy"]
    assert result["warnings"] == []
    before, trainings = (tmp_path / "out/orders.json").read_bytes(), sorted((tmp_path / "out/trainings").iterdir())
    assert len(trainings) == (4 * 4 - len(same)) * 2  # equal orders are trained once
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
    warning = "[under-trained] At learning rate 0.0006 no model predicts the validation text better (lowest loss 5.500)"
    assert warning in json.loads((tmp_path / "out/orders.json").read_text())["warnings"][0]
    assert warning in untrained.stdout


def test_a_run_that_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    run = release(tmp_path, [["one", "two", "three"]])
    refused = CliRunner().invoke(app, ["proxy-orders", run, "--output", str(tmp_path / "out")])
    assert (refused.exit_code, "is too small" in refused.stderr) == (1, True)


def test_documents_are_read_with_an_end_each(tmp_path: Path) -> None:
    documents = read_corpus(release(tmp_path, [["ab", "é"], ["c"]]), "bytes")
    assert documents.ids.tolist() == [97, 98, 256, *"é".encode(), 256, 99, 256]
    assert documents.lengths.tolist() == [3, 3, 2]
