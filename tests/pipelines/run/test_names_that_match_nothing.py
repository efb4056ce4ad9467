"""A name in a recipe that no document matches is told, with what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms.core.errors import RunError

SOURCES = ("books", "code", "web")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files, so that there are two parts, each with sources that the other lacks."""
    folder = tmp_path_factory.mktemp("names")
    for name, sources in (("a", SOURCES[:2]), ("b", SOURCES[2:])):
        records = (
            {
                "id": f"{name}{number}",
                "text": f"Some words of document {name} {number} which the rater can count.",
                "source": sources[number % len(sources)],
                "url": f"http://host/{name}/{number}",
                "topic": ["news", "sport"][number % 2],
                "score": number,
            }
            for number in range(20)
        )
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def warnings(tmp_path: Path, source: Path, sections: dict[str, Any]) -> list[str]:
    (tmp_path / "r.json").write_text(json.dumps({"rate": {"gopher": {}}, "dedup": None, **sections}))
    manifest = launch(load_recipe(str(tmp_path / "r.json"), paths=[str(source)]), str(tmp_path / "run"), workers=1).manifest
    return [warning["message"] for warning in manifest["warnings"] if warning["code"] == "names-nothing"]


def test_names_of_every_kind_are_told_and_those_that_match_are_not(tmp_path: Path, source: Path) -> None:
    sections = {
        "curriculum": {"by": {"book": "+gopher.word_count", "web": "+gopher.word_count"}},
        "select": {"epochs": {"wbe": 2.0, "code": 1.0}, "diverse": {"column": "metadata.embeding"}},
        "quality": [{"signal": "metadata.scores", "direction": "up", "range": [0, 20]}],
        "guards": {"shares": {"talk": {"where": {"metadata.topic": ["news", "weather"]}, "warn_above": 1.0}}},
        "drop_urls": ["http://host/a/1", "http://host/c/1"],
    }
    there = "there are books, code, web"
    assert warnings(tmp_path, source, sections) == [
        "quality looks at 'metadata.scores', but no document has a value of it: check the name, and input.fields",
        f"curriculum.by names 'book', but no document has that source: {there}; did you mean 'books'?",
        f"select.epochs names 'wbe', but no document has that source: {there}; did you mean 'web'?",
        "select.diverse.column looks at 'metadata.embeding', but no document has a value of it: check the name, and "
        "input.fields",
        "guards.shares.talk.where.metadata.topic names 'weather', but no document has that label: there are news, sport",
        "drop_urls names 'http://host/c/1', but no document has that address",
    ]


def test_where_all_documents_are_dropped_for_a_name_the_refusal_says_so(tmp_path: Path, source: Path) -> None:
    with pytest.raises(RunError, match=r"topic names 'News', but no document has that label: there are news, sport; did you"):
        warnings(tmp_path, source, {"thresholds": {"metadata.topic": {"one_of": ["News"]}}})
    with pytest.raises(RunError, match=r"thresholds.metadata.skore looks at 'metadata.skore', but no document has a value"):
        warnings(tmp_path, source, {"thresholds": {"metadata.skore": {"min": 3}}})


def test_documents_without_a_named_field_are_counted(tmp_path: Path) -> None:
    """Also those behind the records that are looked at when the run starts, in every format."""
    fields = {"key": "a", "host": "example.org", "link": "http://a", "rights": "CC0"}
    records = [{"text": f"text {number}", **(fields if number < 400 else {"key": ""})} for number in range(1000)]
    records[7] |= {"text": None}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records[:500]))
    pq.write_table(pa.Table.from_pylist(records[500:]), tmp_path / "b.parquet")
    names = {"id": "key", "source": ["host", "site"], "url": "link", "licence": "rights", "date": "when"}
    sections = {"input": {"fields": names, "source": "web"}, "dedup": None, "max_rejects": 1}
    (tmp_path / "r.json").write_text(json.dumps(sections))
    for release in (1, 2):
        more = [f"seed={release}"]  # so that the second release has the parts of the first
        recipe = load_recipe(str(tmp_path / "r.json"), more, paths=[f"{tmp_path}/a.jsonl", f"{tmp_path}/b.parquet"])
        manifest = launch(recipe, str(tmp_path / "run"), workers=1).manifest
        cure = "Check the name, or list another field behind it"
        assert [warning["message"] for warning in manifest["warnings"] if warning["code"] == "field-missing"] == [
            f"input.fields.date: 999 of 999 documents have no when, so they have no date. {cure}",
            f"input.fields.id: 600 of 999 documents have no key, so their ids are hashes. {cure}",
            f"input.fields.licence: 600 of 999 documents have no rights, so they have no licence. {cure}",
            f"input.fields.source: 600 of 999 documents have no host or site, so their source is 'web'. {cure}",
            f"input.fields.url: 600 of 999 documents have no link, so they have no url. {cure}",
        ]


def test_exact_copies_without_ids_are_no_shared_ids(tmp_path: Path) -> None:
    texts = ["one text", "one text", "another text"]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "r.yaml").write_text("rate: {}\n")
    recipe = load_recipe(str(tmp_path / "r.yaml"), paths=[str(tmp_path / "in.jsonl")])
    codes = [warning["code"] for warning in launch(recipe, str(tmp_path / "run"), workers=1).manifest["warnings"]]
    assert codes == []


def test_sources_of_one_document_are_told_to_have_no_order(tmp_path: Path) -> None:
    records = ({"text": f"text number {number}", "source": f"host-{number}"} for number in range(30))
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "r.yaml").write_text("rate: {}\n")
    recipe = load_recipe(str(tmp_path / "r.yaml"), ["curriculum.order=ascending"], paths=[str(tmp_path / "in.jsonl")])
    found = {warning["code"]: warning for warning in launch(recipe, str(tmp_path / "run"), workers=1).manifest["warnings"]}
    assert found["sources-too-small"]["numbers"] == {"sources": 30, "share": 1.0}
    assert "has no section quality" in found["order-without-quality"]["message"]
    assert "ascending-muted" not in found
