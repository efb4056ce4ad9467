"""The record of contamination has every match, in the same bytes however the input is cut, and nothing of purged documents."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from tamis.pipelines.contamination.recorded_items import recorded_items
from tamis.pipelines.python_api import Release
from tamis.pipelines.releases.purge import purge
from tamis.pipelines.run import receipts
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.decontaminate.record import FILE, RECORD
from tamis.transforms.provenance.verify import verify
from tests.pipelines.contamination.crawl_with_items import ITEMS, documents, write_crawl
from tests.pipelines.running import run


def recipe_of(folder: Path, items: list[dict[str, str]] = ITEMS, **changed: object) -> Path:
    benchmark = folder / "b.jsonl"
    benchmark.write_text("".join(json.dumps({"passage": "", **item}) + "\n" for item in items))
    section = {"name": "b", "path": str(benchmark), "question": "question", "passage": "passage"}
    path = folder / "recipe.yaml"
    base = {"rate": {"gopher": {}}, "thresholds": {"gopher.word_count": {"min": 16}}, "dedup": {"minhash": {}}}
    path.write_text(yaml.safe_dump(base | {"decontaminate": {"benchmarks": [section]}} | changed))
    return path


def record_of(name: Path) -> pa.Table:
    return pq.ParquetFile(name / "latest" / FILE).read()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    run(recipe_of(folder), write_crawl(folder / "in", documents(), 1), folder / "run")
    return folder / "run"


def test_every_decision_is_in_the_record_and_the_record_has_what_decisions_say(released: Path) -> None:
    table = record_of(released)
    assert table.schema.equals(RECORD)
    decisions = pq.read_table(released / "latest" / "decisions").to_pylist()
    by_id = {row["id"]: row for row in decisions}
    assert {row["id"] for row in decisions if row["reason"] == "contamination"} <= set(table["id"].to_pylist())
    for row in table.to_pylist():
        assert (row["decision"], row["reason"]) == (by_id[row["id"]]["decision"], by_id[row["id"]]["reason"])
        score = f"{round(row['score'], 4)}"
        detail = f"{row['class']}: b {row['item']} ({row['metric']} {score}, bytes {row['start']}-{row['stop']})"
        if row["reason"] == "contamination" and len(table.filter(pc.equal(table["id"], row["id"]))) == 1:
            assert detail == by_id[row["id"]]["detail"]
    reasons = set(table["reason"].to_pylist())
    assert {"contamination", "gopher.word_count", "dedup.exact", None} <= reasons  # before, by and after the step


def test_the_bytes_do_not_depend_on_how_the_input_is_cut(released: Path, tmp_path: Path) -> None:
    run(recipe_of(tmp_path), write_crawl(tmp_path / "in", documents()[::-1], 4), tmp_path / "run")
    assert (tmp_path / "run" / "latest" / FILE).read_bytes() == (released / "latest" / FILE).read_bytes()
    assert len(record_of(tmp_path / "run"))


def test_the_matched_bytes_are_of_the_rated_text(released: Path) -> None:
    texts = {document["id"]: document["text"].encode() for document in documents()}
    for row in record_of(released).to_pylist():
        if row["id"] == "both":
            matched = texts["both"][row["start"] : row["stop"]].decode()
            assert matched == ITEMS[row["number"]]["question"].rstrip("?")


def test_a_release_without_a_match_has_an_empty_record_and_one_without_benchmarks_has_none(tmp_path: Path) -> None:
    source = write_crawl(tmp_path / "in", documents(), 2)
    run(recipe_of(tmp_path, [{"question": "Which Baltic lighthouse burned herring oil until 1911?"}]), source, tmp_path / "run")
    assert record_of(tmp_path / "run").equals(RECORD.empty_table())
    assert recorded_items(open_release(str(tmp_path / "run"))).benchmarks[0].items == 1
    run(recipe_of(tmp_path, decontaminate=None), source, tmp_path / "run")
    assert not (tmp_path / "run" / "latest" / FILE).exists()
    with pytest.raises(RunError, match="names no benchmarks"):
        Release.open(str(tmp_path / "run")).contamination()
    assert verify(str(tmp_path / "run")) == []


def test_a_purged_document_leaves_the_record_and_the_report(tmp_path: Path) -> None:
    run(recipe_of(tmp_path), write_crawl(tmp_path / "in", documents(), 2), tmp_path / "run")
    before = Release.open(str(tmp_path / "run")).contamination("b")
    assert "passage" in before["id"].to_pylist()
    assert "passage" in {sample.id for sample in recorded_items(open_release(str(tmp_path / "run"))).benchmarks[0].samples}
    purge(str(tmp_path / "run"), ["passage"], [], "asked for")
    after = Release.open(str(tmp_path / "run")).contamination("b")
    assert after.equals(before.filter(pc.not_equal(before["id"], "passage")))
    summaries = receipts.summaries(str(tmp_path / "run" / "latest" / "receipts"))
    assert {sample.id for summary in summaries for sample in summary.sampled_matches} >= {"both", "numbers"}
    assert "passage" not in {sample.id for summary in summaries for sample in summary.sampled_matches}
    samples = recorded_items(open_release(str(tmp_path / "run"))).benchmarks[0].samples
    assert samples
    assert "passage" not in {sample.id for sample in samples}
    assert verify(str(tmp_path / "run")) == []
