"""A document is found by its id, its address or its text, and every rule that it fails is named with a limit that it passes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tamis
from tamis.pipelines.cli.main import app
from tamis.pipelines.lookup.explanation import explanation
from tamis.pipelines.lookup.failed_rules import failed_rules
from tamis.transforms.select.thresholds import Threshold
from tests.transforms.edit.random_editor import RandomEditor, RandomOptions

STORY = "The river was cold that morning, and nobody of us wanted to be the first to go in. " * 3
OTHER = "A cook who has a good sieve throws nothing away that could have been of use to somebody. " * 3
RECORDS = [
    {"id": "story", "text": STORY, "url": "https://a.example/story"},
    {"id": "again", "text": STORY, "url": "https://a.example/again"},
    {"id": "twin", "text": OTHER, "url": "https://a.example/again"},
    {"id": "short", "text": "Zzz # # 42", "url": "https://b.example/short"},
    {"text": "An unnamed text has an id that is made of it. " * 4},
]
THRESHOLDS = {
    "gopher.word_count": {"min": 20, "max": 1000},
    "gopher.alphabetic_words": {"min": 0.8},
    "gopher.mean_word_length": {"min": 3, "max": 10, "action": "review"},
    "metadata.lang": {"one_of": ["en"]},
}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tamis.Release:
    folder = tmp_path_factory.mktemp("explained")
    lines = [json.dumps(record | {"lang": "en" if record.get("id") != "short" else "de"}) + "\n" for record in RECORDS]
    (folder / "in.jsonl").write_text("".join(lines))
    recipe = {"rate": {"gopher": {}}, "thresholds": THRESHOLDS, "dedup": {"exact": True}}
    editor = RandomEditor(RandomOptions(density=0.01))
    return tamis.run(recipe, str(folder / "in.jsonl"), str(folder / "run"), editors=[editor], workers=1)


def invoke(*arguments: object, input: str = "") -> Any:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)], input=input)


def test_by_url(release: tamis.Release) -> None:
    assert release.explain("https://b.example/short")["id"] == "short"
    several = release.explain("https://a.example/again")
    assert [several["decision"], *(other["id"] for other in several["others"])] == [
        "keep",
        "again" if several["id"] == "twin" else "twin",
    ]


@pytest.mark.parametrize("ending", ["", "\n"])
def test_by_the_text_as_it_was_read_or_ends(release: tamis.Release, ending: str) -> None:
    for row in release.table("text").to_pylist():
        explained = release.explain(text=row["text"] + ending)
        assert row["id"] in {explained["id"], *(other["id"] for other in explained.get("others", ()))}
    unnamed = release.explain(text=str(RECORDS[-1]["text"]) + ending)
    assert len(unnamed["id"]) == 32


def test_by_a_passage_from_a_file_or_from_standard_input(release: tamis.Release, tmp_path: Path) -> None:
    text = release.table("text").to_pylist()[2]["text"]
    passage = text[40:90]
    (tmp_path / "passage.txt").write_text(passage + "\n")
    assert invoke(release.run, "--text", tmp_path / "passage.txt").stdout.startswith("twin")
    assert invoke(release.run, "--text", "-", input=passage).stdout.startswith("twin")


@pytest.mark.parametrize(
    ("arguments", "input", "code", "message"),
    [
        (["shrot"], "", 1, "no document 'shrot' in release 1 of"),
        (["shrot"], "", 1, "similar ids: short"),
        (["https://b.example/long"], "", 1, "similar URLs: https://b.example/short"),
        (["--text", "-"], "nobody wrote this", 1, "has this text of 17 characters"),
        (["--text", "-"], "\n", 1, "--text -: the text is empty"),
        (["--text", "/nowhere"], "", 1, "/nowhere"),
        ([], "", 2, "name a document by its id or its URL, or by --text"),
        (["short", "--text", "-"], "x", 2, "name a document by its id or its URL, or by --text"),
    ],
)
def test_what_is_not_found(release: tamis.Release, arguments: list[str], input: str, code: int, message: str) -> None:
    result = invoke(release.run, *arguments, input=input)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_every_rule_that_fails_is_marked_and_the_settings_named_keep_the_document(
    release: tamis.Release, tmp_path: Path
) -> None:
    document = explanation(release.name, "short")
    assert document["reason"] == "gopher.word_count"
    failed = {rule["signal"]: rule["passes"] for rule in document["failed"]}
    assert failed.keys() == THRESHOLDS.keys()
    assert failed["metadata.lang"] == ("one_of", ["en", "de"])
    shown = invoke(release.run, "short").stdout
    assert shown.count("<- decided") == 1
    assert shown.count("<- fails, too") == 3
    line = next(line for line in shown.splitlines() if line.startswith("passes all thresholds with"))
    settings = dict(setting.split("=") for setting in line.split(" --set ")[1:])
    changed = {name: dict(limits) for name, limits in THRESHOLDS.items()}
    for field, value in settings.items():
        signal, side = field.removeprefix("thresholds.").rsplit(".", 1)
        changed[signal][side] = value.strip("[]").split(",") if side == "one_of" else float(value)  # type: ignore[assignment]
    rules = {name: Threshold.model_validate(limits) for name, limits in changed.items()}
    assert failed_rules(document["signals"], rules) == []
    assert release.explain("story")["failed"] == []


def test_the_limit_that_is_named_passes_the_value_and_is_near_it() -> None:
    draw = random.Random(5)
    for _ in range(3000):
        value = draw.choice([0.0, float(draw.randint(-2000, 2000)), draw.uniform(-1, 1), draw.lognormvariate(0, 9), 0.1 + 0.2])
        limit, margin = draw.choice([0.0, value, draw.uniform(-1, 1), draw.uniform(-2000, 2000)]), draw.choice([0.0, 0.05, 0.5])
        side = draw.choice(["min", "max"])
        rule = Threshold.model_validate({side: limit, "margin": margin})
        for failed in failed_rules({"x": value}, {"x": rule}):
            assert failed.passes is not None
            assert failed.passes[0] == side
            passing = float(f"{failed.passes[1]:.15g}")
            assert failed_rules({"x": value}, {"x": rule.model_copy(update={side: passing})}) == [], (value, rule, passing)
            nearest = value / (1 + margin) if (side == "min") == (value > 0) else value / (1 - margin)
            assert abs(passing - nearest) <= 0.02 * abs(nearest) + 1e-3


def test_no_limit_helps_a_missing_value() -> None:
    rules = {name: Threshold(min=1) for name in ("missing", "nan", "elsewhere")} | {"label": Threshold(one_of=("en",))}
    failed = failed_rules({"missing": None, "nan": float("nan"), "label": None}, rules)
    assert [(rule.signal, rule.detail, rule.passes) for rule in failed] == [
        ("missing", "missing", None),
        ("nan", "missing", None),
        ("label", "missing", None),
    ]
