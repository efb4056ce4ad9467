"""`tamis contamination show` counts the items of a release as its decisions say, and those that were only reported."""

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
from tamis.transforms.core.errors import RunError
from tests.pipelines.corpus import corpus
from tests.pipelines.running import run

PASSAGE = (
    "The carillon of Mechelen has 49 bells, which were cast by Pieter Hemony of Amsterdam in 1679. Its clapper wires were "
    "replaced by Jef Denyn, who founded a school for bell players beside the tower, and whose pupils toured as far as Florida."
)
ITEMS = [
    {"question": "A baker makes 12 trays of rye rolls every morning and sells each roll for 3 dollars at the harbour market, "
     "except on 15 Sundays. How much does she earn in a leap year?"},
    {"question": "Why do copper pipes in old greenhouses turn green after several humid summers?"},
    {"question": "is the founder of the bell school a native of Amsterdam", "passage": PASSAGE},
    {"question": "Which Baltic lighthouse burned herring oil until 1911?"},
]  # fmt: skip
TEXTS = {
    "both": f"{ITEMS[0]['question']}\n{ITEMS[1]['question']}",
    "numbers": ITEMS[0]["question"].replace("12", "47").replace("3 d", "9 d").replace("15", "26"),
    "passage": PASSAGE,
    "short": ITEMS[1]["question"],
}


def made(folder: Path, **decontaminate: object) -> str:
    """A run of a small crawl, of which four documents have items; one of them is too short for its thresholds."""
    records = [{"id": record["id"], "text": record["text"]} for record in corpus(40, seed=3)]
    hosts = dict(zip(TEXTS, records, strict=False))
    planted = [
        {"id": name, "text": f"{hosts[name]['text'] if name != 'short' else ''}\n{text}"} for name, text in TEXTS.items()
    ]
    source, benchmark = folder / "crawl.jsonl", folder / "b.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in [*records, *planted]))
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
    rows = {(row.kind, row.action): (row.items, row.documents) for row in found.by_class}
    assert rows == {
        ("copied", "drop"): (2, 1),  # one document with two items
        ("copied", "other reason"): (1, 1),
        ("changed", "review"): (1, 1),
        ("passage", "report"): (1, 1),
    }
    text = "\n".join(lines([found]))
    assert "b: 3 of 4 items in 4 documents" in text
    assert re.search(r"copied +drop +2 +1\n", text)


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


def test_a_document_out_of_which_an_item_was_cut(tmp_path: Path) -> None:
    (found,) = contaminated_documents(made(tmp_path, action="cut", margin=0))
    assert {(row.kind, row.action) for row in found.by_class} >= {("copied", "cut"), ("passage", "report")}
    assert not [row for row in found.by_class if row.action == "drop"]


def test_the_command_prints_what_was_found(release: str) -> None:
    def invoke(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["contamination", "show", release, *arguments])

    assert json.loads(invoke("--json", "--benchmark", "b").stdout) == [asdict(each) for each in contaminated_documents(release)]
    assert "b: 3 of 4 items in 4 documents" in invoke().stdout
    wrong = invoke("--benchmark", "c")
    assert wrong.exit_code == 1
    assert "has no benchmark 'c': b" in wrong.output


def test_a_benchmark_that_changed_since_is_an_error(tmp_path: Path) -> None:
    name = made(tmp_path)
    (tmp_path / "run" / ".state" / "benchmarks.arrow").unlink()
    assert contaminated_documents(name)[0].touched == 3  # by the files
    (tmp_path / "b.jsonl").write_text(json.dumps({"question": "Who tunes carillon bells?", "passage": "In Ghent."}) + "\n")
    with pytest.raises(RunError, match="the benchmarks have changed since release 1"):
        contaminated_documents(name)


def test_a_recipe_without_benchmarks_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "crawl.jsonl").write_text(json.dumps({"text": "A text."}) + "\n")
    (tmp_path / "recipe.yaml").write_text("rate: {gopher: {}}\n")
    run(tmp_path / "recipe.yaml", tmp_path / "crawl.jsonl", tmp_path / "run")
    with pytest.raises(RunError, match="names no benchmarks"):
        contaminated_documents(str(tmp_path / "run"))
