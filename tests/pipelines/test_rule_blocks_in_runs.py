"""A run whose rules differ by source and language decides as runs of each alone, and says which rule held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import tamis
from tamis.pipelines.cli.main import app
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms.core.errors import RunError

THRESHOLDS: dict[str, Any] = {"gopher.word_count": {"min": 20}, "gopher.stop_words": {"min": 2}}
CODE: dict[str, Any] = {"gopher.word_count": {"min": 5, "action": "review"}, "gopher.stop_words": None}
GERMAN: dict[str, Any] = {"gopher.stop_words": None}
RECIPE: dict[str, Any] = {
    "rate": {"gopher": {}},
    "thresholds": THRESHOLDS,
    "per_source": {"code": {"thresholds": CODE}},
    "language_pairs": [{"label": "metadata.lang", "score": "metadata.sure", "min": 0.8}],
    "per_language": {"de": {"thresholds": GERMAN}},
}
ENGLISH, CODE_LINE, GERMAN_LINE = "the fox and the dog ", "return value of x ", "der Fuchs und der Hund "
MIXED_LINE = "der Fuchs and the Hund "


def records() -> list[dict[str, Any]]:
    made = []
    for number in range(40):
        for source, line in (("web", ENGLISH), ("code", CODE_LINE), ("deutsch", GERMAN_LINE)):
            lang = "de" if source == "deutsch" else "en"
            sure = 0.9 if number % 4 else 0.5
            line = MIXED_LINE if line == GERMAN_LINE and number % 3 == 0 else line
            text = f"{source} {number} " + line * (number % 9)
            made.append({"id": f"{source}-{number:02d}", "text": text, "source": source, "lang": lang, "sure": sure})
    return made


def run(folder: Path, rows: list[dict[str, Any]], sections: dict[str, Any], *sets: str) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    if not (folder / "in.jsonl").exists():  # a file that is written anew is read anew
        (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "r.json").write_text(json.dumps(sections))
    recipe = load_recipe(str(folder / "r.json"), sets, [str(folder / "in.jsonl")])
    return dict(launch(recipe, str(folder / "run"), workers=1).manifest)


def decisions(folder: Path) -> dict[str, tuple[str, str | None, str | None]]:
    table = pq.read_table(folder / "run" / "latest" / "decisions", columns=["id", "decision", "reason", "detail"])
    return {row["id"]: (row["decision"], row["reason"], row["detail"]) for row in table.to_pylist()}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    run(folder, records(), RECIPE)
    return folder


@pytest.mark.parametrize(
    ("source", "surely", "changed"),
    [
        ("web", True, {}),
        ("web", False, {}),
        ("code", True, CODE),
        ("code", False, CODE),
        ("deutsch", True, GERMAN),
        ("deutsch", False, {}),
    ],
)
def test_each_source_and_language_is_decided_as_alone_with_its_rules(
    mixed: Path, tmp_path: Path, source: str, surely: bool, changed: dict[str, Any]
) -> None:
    rows = [row for row in records() if row["source"] == source and (row["sure"] >= 0.8) == surely]
    rules = {name: rule for name, rule in (THRESHOLDS | changed).items() if rule is not None}
    run(tmp_path, rows, {"rate": {"gopher": {}}, "thresholds": rules})
    alone = decisions(tmp_path)
    assert len({outcome for outcome, _, _ in alone.values()}) == 2, "some are kept and some are not"
    together = decisions(mixed)
    assert {name: together[name] for name in alone} == alone


def test_explain_and_sample_name_the_block_whose_limits_held(mixed: Path) -> None:
    release = tamis.Release.open(str(mixed / "run"))
    document = release.explain("code-00")
    assert document["thresholds"] == {
        "gopher.word_count": {"min": 5.0, "action": "review", "margin": 0.0, "section": "per_source.code"},
        "gopher.stop_words": {"section": "per_source.code"},
    }
    assert [rule["signal"] for rule in document["failed"]] == ["gopher.word_count"]
    shown = CliRunner().invoke(app, ["explain", str(mixed / "run"), "code-00"]).stdout
    assert "min 5 (per_source.code) <- decided" in shown
    assert "no limit (per_source.code)" in shown
    assert "passes all thresholds with --set per_source.code.thresholds.gopher.word_count.min=" in shown
    assert release.explain("deutsch-01")["thresholds"]["gopher.stop_words"] == {"section": "per_language.de"}
    assert release.explain("deutsch-00")["thresholds"]["gopher.stop_words"]["section"] == "thresholds"
    near = release.sample(200, near_limit=True)
    assert {(each["source"], each["near"]["section"]) for each in near if each["near"]["signal"] == "gopher.word_count"} == {
        ("web", "thresholds"),
        ("deutsch", "thresholds"),
        ("code", "per_source.code"),
    }
    assert "code" not in {each["source"] for each in near if each["near"]["signal"] == "gopher.stop_words"}


def test_the_setting_that_is_named_keeps_the_document_and_rates_nothing_again(mixed: Path, tmp_path: Path) -> None:
    run(tmp_path, records(), RECIPE)
    rated = {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "rated").iterdir()}
    shown = CliRunner().invoke(app, ["explain", str(tmp_path / "run"), "code-00"]).stdout
    setting = shown.split("passes all thresholds with --set ")[1].splitlines()[0]
    run(tmp_path, records(), RECIPE, setting)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "rated").iterdir()} == rated
    before, after = decisions(mixed), decisions(tmp_path)
    assert after["code-00"] == ("keep", None, None)
    assert {name: row for name, row in after.items() if "code" not in name} == {
        name: row for name, row in before.items() if "code" not in name
    }


def test_the_report_and_the_warnings_name_the_limits_of_each_block(mixed: Path) -> None:
    report = (mixed / "run" / "latest" / "report.html").read_text()
    assert "min 20; per_source.code: min 5" in report
    assert "min 2; per_source.code: no limit; per_language.de: no limit" in report
    assert "<bdi>per_source.code: min 5</bdi>" in report
    manifest = json.loads((mixed / "run" / "manifest.json").read_text())
    told = [warning["message"] for warning in manifest["warnings"] if warning["code"] == "rule-takes-many"]
    assert any("move the limit under thresholds or per_source.code, or" in message for message in told)


def test_names_of_blocks_that_match_nothing_are_told(tmp_path: Path) -> None:
    sections = RECIPE | {
        "per_source": {"cod": {"thresholds": CODE}},
        "per_language": {"de": {"thresholds": GERMAN}, "sw": {"thresholds": GERMAN}},
    }
    messages = [warning["message"] for warning in run(tmp_path, records(), sections)["warnings"]]
    sources = "there are code, deutsch, web; did you mean 'code'?"
    assert f"per_source names 'cod', but no document has that source: {sources}" in messages
    assert "per_language names 'sw', but no document has that language: there are de, en" in messages


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"per_source": {"code": {"thresholds": {"gopher.wordcount": {"min": 1}}}}},
            "per_source.code.thresholds.gopher.wordcount: no signal 'gopher.wordcount': did you mean 'gopher.word_count'?",
        ),
        (
            {"per_source": {"code": {"thresholds": {"gopher.symbols": None}}}},
            "per_source.code.thresholds.gopher.symbols: null takes the limits of a signal away, and 'gopher.symbols' has none",
        ),
        ({"per_source": {"code": {}}}, "per_source.code: sets nothing: give thresholds, words, stop_words or edit"),
        ({"per_source": {"code": {"treshold": {}}}}, "per_source.code.treshold: no such field; did you mean 'thresholds'?"),
        ({"language_pairs": None}, "per_language: no signal 'language.label': add rate: {language: {}}"),
        (
            {"language_pairs": None, "rate": {"gopher": {}, "language": {}}, "per_language": {"dee": {"thresholds": GERMAN}}},
            "per_language.dee: 'language.label' is never 'dee' (ISO 639 code): did you mean 'de'?",
        ),
        (
            {"language_pairs": [{"label": "gopher.word_count", "score": "metadata.sure"}]},
            "per_language: language_pairs: 'gopher.word_count' is no single label",
        ),
    ],
)
def test_a_block_that_cannot_be_is_an_error_at_its_place(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    (tmp_path / "r.json").write_text(json.dumps(RECIPE | changed, indent=1))
    with pytest.raises(RunError) as error:
        load_recipe(str(tmp_path / "r.json"))
    assert message in str(error.value)


def test_lint_warns_of_a_block_that_changes_nothing(tmp_path: Path) -> None:
    sections = RECIPE | {"per_source": {"code": {"thresholds": {"gopher.word_count": {"min": 20}}}}, "per_language": {}}
    (tmp_path / "r.json").write_text(json.dumps(sections))
    shown = CliRunner().invoke(app, ["lint", str(tmp_path / "r.json")])
    assert "per_source.code sets the limits of gopher.word_count that thresholds sets for all" in shown.stdout + shown.stderr
    assert "no block of per_language needs them" in " ".join((shown.stdout + shown.stderr).split())
