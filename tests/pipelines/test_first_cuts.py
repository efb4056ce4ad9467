"""Runs that cut: repeated lines of hosts and benchmark items are gone from the corpus, the rest is there byte for byte."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.report.page_data import load_report_data
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import corpus_of, folder_of, run, write_recipe

MENU, FOOTER = "Home | About us | Contact", "© All rights reserved. Imprint."
ITEM = "A baker sells twelve loaves on Monday and three times as many on Tuesday; how many loaves does she sell altogether?"


def text_of(number: int, text: str) -> str:
    body = text.replace("\n", " ")
    return f"{MENU}\n{body}\n\n{FOOTER}" if number % 4 < 2 else body


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    pages = corpus(120, seed=3, sentences=(20, 40))
    for number, page in enumerate(pages):
        page["text"] = text_of(number, str(page["text"]))
        page["url"] = f"https://Host{number % 4}.example/{number}" if number % 8 else None
    middle = len(pages[2]["text"]) // 2
    pages[2]["text"] = f"{pages[2]['text'][:middle]} {ITEM} {pages[2]['text'][middle:]}"
    return pages


def decided(release: Path) -> dict[str, dict[str, Any]]:
    return {row["input_id"]: row for row in pq.read_table(release / "decisions").to_pylist()}


def texts(release: Path) -> dict[str, str]:
    return {row["id"]: row["text"] for row in pq.read_table(release / "data", columns=["id", "text"]).to_pylist()}


def recipe_with(folder: Path, **sections: object) -> Path:
    (folder / "quiz.jsonl").write_text(json.dumps({"question": ITEM}) + "\n")
    return write_recipe(folder, **sections)


def test_repeated_lines_of_a_host_are_cut(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    recipe = recipe_with(tmp_path, dedup={"exact": False, "lines": {"documents": 5}}, thresholds={})
    run(recipe, save(tmp_path / "in", dealt(records, 3, seed=1)), tmp_path / "run")
    release, left = folder_of(tmp_path / "run"), texts(folder_of(tmp_path / "run"))
    assert len(left) == len(records)
    for number, record in enumerate(records):
        text = record["text"]
        if record["url"] is not None and number % 4 < 2:
            text = text.removeprefix(MENU + "\n").removesuffix("\n\n" + FOOTER)
        assert left[record["id"]] == text
    cuts = [cut for row in decided(release).values() for cut in row["cuts"] or ()]
    assert {cut["reason"] for cut in cuts} == {"dedup.lines"}
    assert {cut["detail"].split(" of ")[1] for cut in cuts} == {"host0.example", "host1.example"}
    verify(str(tmp_path / "run"))


def test_a_benchmark_item_is_cut_and_the_document_stays(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    section = {
        "benchmarks": [{"name": "quiz", "path": str(tmp_path / "quiz.jsonl"), "fields": ["question"]}],
        "action": "cut",
        "margin": 20,
    }
    recipe = recipe_with(tmp_path, decontaminate=section)
    only_item = {"id": "only", "text": f"{ITEM} {ITEM}", "source": "web", "url": None}
    run(recipe, save(tmp_path / "in", dealt([*records, only_item], 2, seed=1)), tmp_path / "run", "thresholds={}")
    release = folder_of(tmp_path / "run")
    rows, left = decided(release), texts(release)
    row, text = rows[records[2]["id"]], records[2]["text"]
    assert row["decision"] == "keep"
    ((start, stop),) = [(cut["start"], cut["stop"]) for cut in row["cuts"]]
    assert row["cuts"][0]["reason"] == "contamination"
    place = f"bytes {start + text[start:].index(ITEM)}-{start + text[start:].index(ITEM) + len(ITEM.rstrip('?.'))}"
    assert re.fullmatch(rf"copied: quiz 0 \(weighted [0-9.]+, {place}\)", row["cuts"][0]["detail"])
    assert left[records[2]["id"]] == text[:start] + text[stop:]
    assert ITEM in text[start:stop]
    assert len(text[start:stop]) <= len(ITEM) + 2 * (20 + 20)
    assert not (text[start - 1].isalnum() and text[start].isalnum())
    assert text[stop].isspace()
    assert (rows["only"]["decision"], rows["only"]["reason"]) == ("drop", "contamination")
    assert sum(row["cuts"] is not None for row in rows.values()) == 2
    verify(str(tmp_path / "run"))


def test_the_report_counts_documents_that_items_were_cut_out_of(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    benchmark = {"name": "quiz", "path": str(tmp_path / "quiz.jsonl"), "fields": ["question"]}
    recipe = recipe_with(tmp_path, decontaminate={"benchmarks": [benchmark], "action": "cut"}, thresholds={})
    only_item = {"id": "only", "text": f"{ITEM} {ITEM}", "source": "web", "url": None}
    result = run(recipe, save(tmp_path / "in", [[*records, only_item]]), tmp_path / "run")
    (matches,) = load_report_data(result.release)["contamination"]
    (row,) = matches["found"]["by_class"]
    assert (row["action"], row["documents"], row["kept"], row["dropped"]) == ("cut", 2, 1, 1)
    assert {(example["id"], example["outcome"]) for example in matches["examples"]} == {
        (records[2]["id"], "kept without it"),
        ("only", "dropped because of contamination"),
    }


def test_lines_within_hosts_that_nobody_names_are_warned_of(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    recipe = recipe_with(tmp_path, dedup={"lines": {}}, thresholds={})
    nowhere = [record | {"url": None} for record in records]
    somewhere = [*nowhere[1:], records[1]]
    for name, each in (("nowhere", nowhere), ("somewhere", somewhere)):
        result = run(recipe, save(tmp_path / name, [each]), tmp_path / f"run-{name}")
        codes = [warning["code"] for warning in result.manifest["warnings"]]
        assert ("lines-no-host" in codes) == (name == "nowhere")


def test_both_give_the_same_corpus_for_any_cut_of_the_input(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    benchmark = {"name": "quiz", "path": str(tmp_path / "quiz.jsonl"), "fields": ["question"]}
    recipe = recipe_with(
        tmp_path,
        decontaminate={"benchmarks": [benchmark], "action": "cut"},
        dedup={"minhash": {}, "lines": {"within": "source", "documents": 7}},
        thresholds={},
        after_cuts={"gopher.word_count": {"min": 60}},
    )
    corpora = []
    for files, seed in ((1, 0), (4, 2)):
        output = tmp_path / f"run-{files}"
        run(recipe, save(tmp_path / f"in-{files}", dealt(records, files, seed=seed)), output)
        corpora.append(corpus_of(output))
    assert corpora[0] == corpora[1]
    assert len(corpora[0][1]) > 1


def test_steps_are_in_the_order_of_the_sections() -> None:
    recipe = load_recipe("gopher", ["dedup.lines.documents=9"], [])
    assert [step.name for step in recipe.steps][:3] == ["dedup.lines", "recount", "copies"]
