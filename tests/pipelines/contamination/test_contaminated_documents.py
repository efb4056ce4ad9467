"""`tamis contamination show` and `explain` say what the record of a release has: all items, whatever became of documents."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.contamination.contaminated_documents import contaminated_documents, lines
from tamis.pipelines.lookup.explanation import explanation
from tamis.transforms.core.errors import RunError
from tamis.transforms.provenance.verify import verify
from tests.pipelines.contamination.crawl_with_items import ITEMS, documents
from tests.pipelines.running import run


def made(folder: Path, **decontaminate: object) -> str:
    """A run of a small crawl, of which four documents have items; one of them is too short for its thresholds."""
    source, benchmark = folder / "crawl.jsonl", folder / "b.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in documents(copies=False)))
    benchmark.write_text("".join(json.dumps({"passage": "", **item}) + "\n" for item in ITEMS))
    section = {"name": "b", "path": str(benchmark), "question": "question", "passage": "passage"}
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "rate": {"gopher": {}},
                "thresholds": {"gopher.word_count": {"min": 16}},
                "decontaminate": {"benchmarks": [section], **decontaminate},
            }
        )
    )
    run(recipe, source, folder / "run")
    return str(folder / "run")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made(tmp_path_factory.mktemp("show"))


def test_items_and_documents_by_class_and_action(release: str) -> None:
    (found,) = contaminated_documents(release)
    assert (found.benchmark, found.items, found.touched, found.documents) == ("b", 4, 3, 4)
    rows = {(row.kind, row.action): (row.items, row.documents, row.kept, row.review, row.dropped) for row in found.by_class}
    assert rows == {
        ("copied", "drop"): (2, 2, 0, 0, 2),  # one of them has two items, the other is too short for its thresholds
        ("changed", "review"): (1, 1, 0, 1, 0),
        ("passage", "report"): (1, 1, 1, 0, 0),
    }
    text = "\n".join(lines([found]))
    assert "b: 3 of 4 items in 4 documents" in text
    assert re.search(r"copied +drop +2 +2 +0 +0 +2\n", text)
    assert "dropped because of gopher.word_count" in text


def test_scores_and_spans_are_those_of_the_decisions(release: str) -> None:
    (found,) = contaminated_documents(release, top=100)
    decisions = pq.read_table(f"{release}/latest/decisions", columns=["id", "reason", "detail"]).to_pylist()
    details = {row["id"]: row["detail"] for row in decisions if row["reason"] == "contamination"}
    assert details.keys() == {"both", "numbers"}
    for document, detail in details.items():
        rows = [f"{row.kind}: b {row.item} (weighted {row.score}, bytes {row.start}-{row.stop})" for row in found.top
                if row.id == document]  # fmt: skip
        assert detail in rows
    scores = [row.score for row in found.top]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 5
    (shortest,) = contaminated_documents(release, top=2)
    assert shortest.top == found.top[:2]


def test_explain_names_items_that_were_only_reported(release: str) -> None:
    (match,) = explanation(release, "passage")["contamination"]
    assert (match["class"], match["action"], match["part"], match["decision"]) == ("passage", "report", "passage", "keep")
    text = (Path(release) / "latest" / "report.html").read_text()
    assert "passage of item" in text
    output = CliRunner().invoke(app, ["explain", release, "passage"]).output
    assert f"benchmark item b {match['item']}: passage, report (passage, weighted {match['score']:.4f}, bytes" in output
    assert len(explanation(release, "both")["contamination"]) == 2


def test_a_document_out_of_which_an_item_was_cut(tmp_path: Path) -> None:
    (found,) = contaminated_documents(made(tmp_path, action="cut", margin=0))
    rows = {(row.kind, row.action): (row.kept, row.dropped) for row in found.by_class}
    assert rows["copied", "cut"] == (1, 1)
    assert rows["passage", "report"] == (1, 0)
    assert "kept without it" in "\n".join(lines([found]))


def test_the_command_prints_what_was_found(release: str) -> None:
    def invoke(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["contamination", "show", release, *arguments])

    assert json.loads(invoke("--json", "--benchmark", "b").stdout) == [asdict(each) for each in contaminated_documents(release)]
    assert "b: 3 of 4 items in 4 documents" in invoke().stdout
    wrong = invoke("--benchmark", "c")
    assert wrong.exit_code == 1
    assert "has no benchmark 'c': b" in wrong.output


def test_the_record_needs_no_benchmark_files(tmp_path: Path) -> None:
    name = made(tmp_path)
    before = contaminated_documents(name)
    (tmp_path / "run" / ".state" / "benchmarks.arrow").unlink()
    (tmp_path / "b.jsonl").unlink()
    assert contaminated_documents(name) == before


def test_a_release_of_an_earlier_version_has_no_record(tmp_path: Path) -> None:
    name = made(tmp_path)
    (tmp_path / "run" / "latest" / "contamination.parquet").unlink()
    with pytest.raises(RunError, match=r"contamination\.parquet is missing or damaged; run its recipe again"):
        contaminated_documents(name)
    assert explanation(name, "both")["contamination"] == []
    (problem,) = verify(name)
    assert problem.path.endswith("contamination.parquet")
    run(tmp_path / "recipe.yaml", tmp_path / "crawl.jsonl", tmp_path / "run")  # mends it
    assert contaminated_documents(name)[0].touched == 3
    assert verify(name) == []


def test_a_recipe_without_benchmarks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "crawl.jsonl").write_text(json.dumps({"text": "A text."}) + "\n")
    (tmp_path / "recipe.yaml").write_text("rate: {gopher: {}}\n")
    run(tmp_path / "recipe.yaml", tmp_path / "crawl.jsonl", tmp_path / "run")
    with pytest.raises(RunError, match="names no benchmarks"):
        contaminated_documents(str(tmp_path / "run"))
