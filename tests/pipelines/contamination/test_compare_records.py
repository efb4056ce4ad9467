"""`tamis contamination compare` says what only one of two releases has met, and how scores have moved."""

from __future__ import annotations

import json
from dataclasses import asdict

import pyarrow.compute as pc
import pytest
import yaml
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.contamination.compare_records import Overlap, compare_records, lines
from tamis.pipelines.python_api import Release
from tamis.transforms.core.errors import RunError
from tests.pipelines.contamination.crawl_with_items import ITEMS, documents, write_crawl
from tests.pipelines.running import run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A run of all documents with one benchmark; one without the passage, with two benchmarks and a
    limit that nothing reaches."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "b.jsonl").write_text("".join(json.dumps({"passage": "", **item}) + "\n" for item in ITEMS))
    (folder / "other.jsonl").write_text(json.dumps(ITEMS[0]) + "\n")
    section = {"name": "b", "path": str(folder / "b.jsonl"), "question": "question", "passage": "passage"}
    other = {"name": "other", "path": str(folder / "other.jsonl"), "question": "question"}
    for name, records, benchmarks, drop in (
        ("a", documents(), [section], 0.62),
        ("b", [record for record in documents() if not record["id"].startswith("passage")], [section, other], 0.9999),
    ):
        recipe = {"rate": {"gopher": {}}, "decontaminate": {"benchmarks": benchmarks, "drop": drop}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
        run(folder / f"{name}.yaml", write_crawl(folder / f"in-{name}", records, 1), folder / name)
    return str(folder / "a"), str(folder / "b")


def test_items_and_documents_add_up_to_the_records(runs: tuple[str, str]) -> None:
    found, other = compare_records(*runs)
    records = [Release.open(name).contamination("b") for name in runs]
    for each, column in ((found.items, "number"), (found.documents, "id")):
        touched = [table.filter(pc.not_equal(table["action"], "none"))[column].unique() for table in records]
        assert (each.both + each.only_a, each.both + each.only_b) == tuple(map(len, touched))
    assert found.documents.only_a >= 2  # the passage and its copy are not in B
    assert other.missing_in == runs[0]
    (passage,) = (row for row in found.differences if row.number == 2)
    assert (passage.documents_a, passage.documents_b, passage.only_a) == (2, 0, 2)
    text = "\n".join(lines([found, other], *runs))
    assert "items with documents only in A: " in text
    assert f"other: the recipe of {runs[0]} does not name it" in text


def test_a_release_beside_itself_differs_in_nothing(runs: tuple[str, str]) -> None:
    (found,) = compare_records(runs[0], f"{runs[0]}@1")
    assert found.differences == []
    assert found.items == Overlap(3, 0, 0)
    assert (found.shifts.mean, found.shifts.lowest, found.shifts.highest) == (0, 0, 0)
    assert found.shifts.pairs == len(Release.open(runs[0]).contamination())


def test_a_higher_limit_is_seen_as_matches_that_reach_it_no_more(runs: tuple[str, str]) -> None:
    found, _ = compare_records(*runs)
    assert found.shifts.reached_only_a > 0
    assert found.shifts.reached_only_b == 0
    assert found.documents.only_a > 2


def test_the_command_prints_the_comparison(runs: tuple[str, str]) -> None:
    def invoke(*arguments: str) -> str:
        return CliRunner().invoke(app, ["contamination", *arguments]).output

    assert json.loads(invoke("compare", *runs, "--json")) == [asdict(each) for each in compare_records(*runs)]
    assert f"A: {runs[0]}" in invoke("compare", *runs, "--benchmark", "b")
    assert "did you mean 'other'" in invoke("compare", *runs, "--benchmark", "othr")
    assert invoke(runs[0], "--benchmark", "b") == invoke("show", runs[0], "--benchmark", "b")
    assert invoke(f"{runs[0]}@1") == invoke("show", runs[0])
    assert "No such command 'prob'" in invoke("prob")
    with pytest.raises(RunError, match="neither"):
        compare_records(*runs, ["nothing"])
