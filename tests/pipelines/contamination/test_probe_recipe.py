"""`tamis contamination probe` measures what the recipe itself would flag, the same for the same seed and documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.contamination.probe_documents import SIBLING, TRANSLATED, Probe
from tamis.pipelines.contamination.probe_recipe import Probed, probe_recipe
from tamis.pipelines.contamination.recall_table import LENGTHS, failures, lines, summary
from tamis.pipelines.recipe.load import load_recipe
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.rephrased.nearest import Encode
from tests.pipelines.corpus import corpus, dealt, save

QUESTIONS = [
    "A baker makes 12 trays of rye rolls every morning and sells each roll for 3 dollars at the harbour market. How much?",
    "Why do copper pipes in old greenhouses turn green after several humid summers?",
    "Which Baltic lighthouse burned herring oil until 1911?",
    "Omar reads 12 pages a day of a book of 240 pages about glaciers. In how many days has Omar finished it?",
    "Janet owns 16 speckled hens, and every hen lays 3 eggs a week. How many eggs does Janet gather in a fortnight?",
    "Who tunes carillon bells in Mechelen?",
]
OTHERS = [
    "A farmer ploughs 9 fields of barley before noon and rests his oxen for 2 hours. How many fields are left?",
    "Why does sourdough rise slower in a cold pantry than beside an oven?",
]


def write(path: Path, questions: Sequence[str]) -> str:
    choices = {"choices": ["a brass kettle", "seven wooden oars", "an almanac"], "answer": "an almanac"}
    path.write_text("".join(json.dumps({"question": question, **choices}) + "\n" for question in questions))
    return str(path)


def recipe_of(folder: Path, files: int = 2, **sections: object) -> Path:
    source = save(folder / f"crawl-{files}", dealt(corpus(120, seed=3), files, seed=1))
    benchmark = {"name": "b", "path": write(folder / "b.jsonl", QUESTIONS), "question": "question", "choices": "choices"}
    recipe = {"input": {"paths": [str(source)]}, "decontaminate": {"benchmarks": [{**benchmark, "answer": "answer"}]}}
    path = folder / f"recipe-{files}.yaml"
    path.write_text(yaml.safe_dump(recipe | sections))
    return path


def found(recipe: Path, sets: Sequence[str] = (), **probe: Any) -> dict[str, Any]:
    return summary(probe_recipe(load_recipe(str(recipe), sets), Probe(**{"documents": 40, "items": 4, **probe})))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("probe")


@pytest.fixture(scope="module")
def probed(folder: Path) -> dict[str, Any]:
    return found(recipe_of(folder), items=10)


def test_plants_are_found_and_clean_documents_are_not_flagged(probed: dict[str, Any]) -> None:
    recalls = {name: row["recall"] for name, row in probed["benchmarks"]["b"]["mutations"].items()}
    for name in ("verbatim", "answer-removed", "choices-shuffled", "wrapped", "substituted-5", "inserted-5"):
        assert recalls[name] == 1.0, name
    assert recalls["substituted-20"] <= recalls["substituted-5"]
    assert probed["clean"] == {"documents": 40, "flagged": 0, "dropped": 0, "examples": []}
    assert probed["precision"] == 1.0
    negatives = probed["negatives"]["b"]
    assert negatives.keys() == {"topic", "recombined", "template", "quote"}  # these questions have no sentence in common
    assert {kind: flags["flagged"] for kind, flags in negatives.items() if flags["flagged"]} == {}
    assert negatives["topic"]["documents"] >= 4


def test_every_plant_is_counted_once_in_each_table(probed: dict[str, Any]) -> None:
    table = probed["benchmarks"]["b"]
    assert table["items"] == len(QUESTIONS)
    assert table["mutations"]["verbatim"]["plants"] == len(QUESTIONS)
    assert table["mutations"]["numbers-changed"]["plants"] == 4  # of items with a number
    assert probed["pooled"] == {name: value for name, value in table.items() if name != "items"}
    for column in ("plants", "found", "dropped"):
        assert sum(row[column] for row in table["mutations"].values()) == table[column]
        for row in (table, *table["mutations"].values()):
            assert sum(row["by_length"][length][column] for length in LENGTHS) == row[column]
    words = {length: table["mutations"]["verbatim"]["by_length"][length]["plants"] for length in LENGTHS}
    assert words == {"< 8": 1, "8-20": 2, "> 20": 3}
    text = "\n".join(lines(probed))
    assert "b, 6 items" in text
    assert "0 of 40 documents without a plant flagged" in text


def test_the_seed_decides_and_the_files_of_the_input_do_not(folder: Path) -> None:
    def probed(files: int, seed: int) -> Mapping[str, Any]:
        return {**found(recipe_of(folder, files), seed=seed, mutations=("deleted-20", "verbatim")), "recipe": ""}

    def documents(seed: int) -> list[str]:
        recipe = load_recipe(str(recipe_of(folder)))
        return [each.document for each in probe_recipe(recipe, Probe(40, 2, seed, ("verbatim",))).documents]

    assert probed(1, 5) == probed(3, 5)
    assert documents(5) == documents(5)
    assert documents(5) != documents(6)


def test_the_recipe_s_own_limits_and_editors_count(folder: Path) -> None:
    recipe = recipe_of(folder)
    assert found(recipe, ["decontaminate.drop=2", "decontaminate.review=0.6"], mutations=["question"])["pooled"]["dropped"] == 0
    (folder / "edited").mkdir()
    edited = recipe_of(folder / "edited", edit=[{"cut_lines": {"where": {"words": {"max": 10_000}}}}])
    assert found(edited, mutations=["verbatim"])["pooled"]["found"] == 0


def test_items_of_another_split_are_false_flags_unless_they_are_the_same(folder: Path) -> None:
    recipe = recipe_of(folder)
    others = write(folder / "others.jsonl", OTHERS)
    table = found(recipe, mutations=["verbatim"], negatives=[others])
    assert table["negatives"]["b"]["sibling"] == {"documents": 2, "flagged": 0, "dropped": 0, "examples": []}
    same = write(folder / "same.jsonl", [*OTHERS, QUESTIONS[4]])
    table = found(recipe, mutations=["verbatim"], negatives=[f"b={same}"])
    flags = table["negatives"]["b"]["sibling"]
    assert (flags["documents"], flags["flagged"], flags["examples"][0]["item"]) == (3, 1, "2")
    assert flags["examples"][0]["detail"].startswith("copied: b 4 (weighted ")
    assert table["precision"] == 4 / 5


@pytest.mark.parametrize("form", ["path", "hub"])
def test_other_splits_of_a_benchmark_are_negatives(
    folder: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a folder, and of a data set as `datasets` loads it, here from a folder."""
    if form == "hub":
        pytest.importorskip("datasets")
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "b").mkdir()
    write(tmp_path / "b" / "test.jsonl", QUESTIONS)
    write(tmp_path / "b" / "train.jsonl", OTHERS)
    benchmark = {"name": "b", form: str(tmp_path / "b"), "split": "test", "question": "question"}
    probed = found(recipe_of(folder, decontaminate={"benchmarks": [benchmark]}), mutations=["verbatim"])
    assert probed["benchmarks"]["b"]["items"] == len(QUESTIONS)
    assert probed["negatives"]["b"][SIBLING]["documents"] == len(OTHERS)


def test_a_negative_in_a_document_that_is_flagged_anyway_does_not_count(folder: Path, tmp_path: Path) -> None:
    """Its flag would say nothing about the negative."""
    (tmp_path / "crawl.jsonl").write_text("".join(json.dumps({"text": f"{word}\n{QUESTIONS[0]}"}) + "\n" for word in "abc"))
    probed = found(recipe_of(folder), [f"input.paths=['{tmp_path}/crawl.jsonl']"], mutations=["verbatim"])
    assert probed["clean"]["flagged"] == 3
    assert probed["negatives"] == {}


def test_translations_are_counted_apart(folder: Path) -> None:
    def encode(texts: list[str]) -> list[list[float]]:
        """By a lighthouse, hens, and what else there is."""
        return [
            [float(any(word in text for word in words)) for words in (("ghthouse", "euchtturm"), ("hens",), ("e",))]
            for text in texts
        ]

    def probed(*rows: dict[str, object], encode: Encode | None = None) -> Probed:
        path = folder / "german.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return probe_recipe(
            load_recipe(str(recipe_of(folder))), Probe(40, 2, 0, ("verbatim",), translations=[str(path)], encode=encode)
        )

    german = "Welcher Leuchtturm der Ostsee verbrannte Heringsöl?"
    result = probed({"id": "2", "text": german}, {"id": 4, "text": QUESTIONS[4]})
    assert [(each.item, each.found) for each in result.documents if each.mutation == TRANSLATED] == [("2", False), ("4", True)]
    table = summary(result)
    assert (table["translated"]["b"]["plants"], table["translated"]["b"]["found"]) == (2, 1)
    assert table["pooled"]["plants"] == 2
    assert "1 of 2 translated items of b found" in list(lines(table))
    assert table["translated"]["b"]["nearby"] == 1  # TF-IDF finds the words that are the same
    assert summary(probed({"id": "2", "text": german}, {"id": 4, "text": QUESTIONS[4]}, encode=encode))["translated"]["b"] == {
        **table["translated"]["b"],
        "nearby": 2,
    }
    with pytest.raises(RunError, match="b has no item '9'"):
        probed({"id": "9", "text": german})
    with pytest.raises(RunError, match="no fields id and text; it has id, german"):
        probed({"id": "2", "german": german})


def test_a_recipe_that_finds_nothing_fails(folder: Path) -> None:
    recipe = str(recipe_of(folder))
    arguments = ["contamination", "probe", recipe, "--documents", "20", "--items", "2", "--mutation", "verbatim", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--fail-below", "0.95"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["pooled"]["recall"] == 1.0
    result = CliRunner().invoke(app, [*arguments, "--fail-below", "0.95", "--set", "decontaminate.drop=9"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["pooled"]["recall"] == 0.0
    assert "recall of b is 0.000, below 0.95" in result.stderr
    assert CliRunner().invoke(app, [*arguments, "--set", "decontaminate.drop=9"]).exit_code == 0


def test_what_is_below_a_limit_is_named() -> None:
    table = {"benchmarks": {"a": {"recall": 0.9}, "b": {"recall": 0.95}, "c": {"recall": None}}, "precision": 0.5}
    assert failures(table, 0.95) == [
        "recall of a is 0.900, below 0.95",
        "precision is 0.500, below 0.95",
        "nothing was planted of c: no item of it has what the mutations change",
    ]


@pytest.mark.parametrize(
    ("sections", "probe", "message"),
    [
        ({"decontaminate": None}, {}, "has no benchmarks to look for: add the section decontaminate"),
        ({}, {"mutation": ["substitute-5"]}, "did you mean 'substituted-5'?"),
        ({}, {"negatives": ["none.jsonl"]}, "none.jsonl"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, sections: dict[str, object], probe: dict[str, Any], message: str) -> None:
    recipe = recipe_of(tmp_path, **sections)
    options = [part for name, values in probe.items() for value in values for part in (f"--{name}", value)]
    result = CliRunner().invoke(app, ["contamination", "probe", str(recipe), *options])
    assert result.exit_code == 1, result.output
    assert message in result.output


def test_a_recipe_that_only_reports_cannot_flag(folder: Path) -> None:
    sets = [f"decontaminate.classes.{name}=report" for name in ("copied", "changed", "part", "answer", "passage")]
    result = CliRunner().invoke(
        app, ["contamination", "probe", str(recipe_of(folder)), *(part for text in sets for part in ("--set", text))]
    )
    assert result.exit_code == 1
    assert "every class in decontaminate.classes is report" in result.output
