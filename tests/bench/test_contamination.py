"""The measurement on real pages has a row for everything that it plants, and its scripts flag documents with items."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tamis.pipelines.contamination.probe_recipe import CLEAN, Planted, Probed
from tamis.pipelines.contamination.recall_table import LENGTHS
from tamis.transforms.decontaminate.benchmarks import Benchmark, items
from tests.bench.contamination import HERE, ROWS, flagged_by, main, mistakes, write_corpus

THINGS = (("speckled eggs", "Mill Road"), ("copper kettles", "the abbey"), ("glass floats", "Skagen harbour"))


def test_a_small_part_of_the_table(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--half", "tuning", "--benchmark", "gsm8k", "arc_challenge", "--documents", "40", "--items", "5"])
    table = capsys.readouterr().out
    rows = {line[:22].strip(): line[22:].split() for line in table.splitlines() if line[:22].strip()}
    assert rows["tuning"] == ["wanted", "all", *" ".join(LENGTHS).split(), "gsm8k", "arc_challenge", "plants"]
    assert {*ROWS} <= rows.keys()
    assert rows["whole"][:2] == ["0.995", "1.000"]
    assert rows["whole"][-1] == "10"
    assert rows["choices shuffled"][5] == "-"  # GSM8K has none
    assert rows["clean pages"][-1] == rows["sibling"][-1] == "40"
    assert "unmatchable items: gsm8k " in table


def test_mistakes_are_plants_that_are_missed_and_other_documents_that_are_flagged() -> None:
    documents = [
        Planted("page-1", "b", "7", "question", 9, False, False, ""),
        Planted("page-1", "b", "7", "case", 9, True, True, "copied: b 7"),
        Planted("page-2", "", "", CLEAN, 0, True, False, "part: b 3"),
        Planted("page-3", "", "", CLEAN, 0, False, False, ""),
    ]
    assert list(mistakes(Probed("r", 0, {"b": 9}, documents, {}))) == ["question\tb\t7\t9\t-", "clean\tpage-2\t\t0\tpart: b 3"]


def test_the_script_of_tamis_flags_the_documents_with_items(tmp_path: Path) -> None:
    questions = [
        f"How many {thing} does Ada sell at {place} if she has {k + 3} crates?" for k, (thing, place) in enumerate(THINGS)
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps({"question": question}) + "\n" for question in questions))
    benchmark = Benchmark(name="b", path=str(tmp_path / "items.jsonl"), question=("question",))
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    write_corpus(
        corpus, ["The harbour opens at six.\n" * 9, *questions, "Nobody sells crates of oranges here. " * 7], [benchmark]
    )
    found = [json.loads(line)["question"] for line in (corpus / "benchmarks" / "items.jsonl").read_text().splitlines()]
    assert found == [list(item.question) for item in items(benchmark)]
    assert flagged_by("Tamis", [sys.executable, str(HERE / "ours.py"), "contamination", str(corpus)]) == {1, 2, 3}
