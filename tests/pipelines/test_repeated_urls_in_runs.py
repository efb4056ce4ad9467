"""Runs that keep one document for each address: which stays, and what is said of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus
from tests.pipelines.running import corpus_of, folder_of, run, write_recipe

VISITS = (
    ("http://www.example.com/a/?utm_source=x", "2024-03-01", 2),
    ("https://example.com/a#top", "Fri, 01 Mar 2019 00:00:00 GMT", 1),
    ("example.com/a", None, 40),
    ("http://example.com/a?page=2", "2018", 1),
    (None, "2018", 1),
    (None, "2018", 1),
)
"""Address and date of six texts that have nothing in common, and how often each is repeated."""


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    texts = [str(page["text"]) for page in corpus(6, seed=3, sentences=(20, 24))]
    return [
        {"id": f"d{number}", "text": f"{number} {text} " * times, "url": url, "date": date}
        for number, (text, (url, date, times)) in enumerate(zip(texts, VISITS, strict=True))
    ]


def decisions(folder: Path, records: list[dict[str, Any]], **options: object) -> dict[str, dict[str, Any]]:
    recipe = write_recipe(folder, rate={}, thresholds={}, quality=[], dedup={"url": options})
    for number in range(2):
        lines = (json.dumps(record) + "\n" for record in records[number::2])
        (folder / f"in-{number}.jsonl").write_text("".join(lines))
    run(recipe, folder / "in-*.jsonl", folder / "run")
    assert verify(str(folder / "run")) == []
    return {row["id"]: row for row in pq.read_table(folder_of(folder / "run") / "decisions").to_pylist()}


@pytest.mark.parametrize(("keep", "kept"), [("newest", "d0"), ("oldest", "d1"), ("longest", "d2")])
def test_one_document_of_an_address_stays(tmp_path: Path, records: list[dict[str, Any]], keep: str, kept: str) -> None:
    rows = decisions(tmp_path, records, keep=keep)
    dropped = {"d0", "d1", "d2"} - {kept}
    assert {name for name, row in rows.items() if row["decision"] == "drop"} == dropped
    for name in dropped:
        row = rows[name]
        assert (row["reason"], row["detail"], row["representative"]) == ("dedup.url", f"same address as {kept}", kept)
    explained = CliRunner().invoke(app, ["explain", str(tmp_path / "run"), min(dropped)])
    assert f"dropped because of dedup.url: same address as {kept}" in explained.output
    assert explained.exit_code == 0


def test_the_best_stays_by_default_whatever_the_order_of_the_input(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    corpora = []
    for name, shuffled in (("first", records), ("second", records[::-1])):
        (tmp_path / name).mkdir()
        decisions(tmp_path / name, shuffled)
        corpora.append(corpus_of(tmp_path / name / "run"))
    assert corpora[0] == corpora[1]
