"""`tamis rate calibrate` fits by a release or by files, says what does not fit, and its file works in a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.recipe.load import load_recipe
from tamis.transforms.select.quality.calibration import CalibrationFile
from tests.pipelines.corpus import corpus, save
from tests.pipelines.running import run, write_recipe


def calibrate(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["rate", "calibrate", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def scores(folder: Path) -> str:
    rows = [{"id": f"d{number}", "edu": number / 40, "kind": "x"} for number in range(40)]
    pq.write_table(pa.Table.from_pylist([*rows, {"id": "none", "edu": None, "kind": None}]), folder / "scores.parquet")
    (folder / "labels.csv").write_text("id,label\n" + "".join(f"d{number},{number > 20}\n" for number in range(0, 40, 3)))
    return str(folder / "scores.parquet")


def test_files_of_every_format_give_the_same_calibration(tmp_path: Path) -> None:
    rows = pq.read_table(scores(tmp_path)).to_pylist()
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "scores.csv").write_text("id,edu\n" + "".join(f"{row['id']},{row['edu']}\n" for row in rows))
    found = []
    for suffix in ("parquet", "jsonl", "csv"):
        output = tmp_path / f"{suffix}.json"
        calibrate(str(tmp_path / f"scores.{suffix}"), "--signal", "edu", "--better", "up", "--output", str(output))
        found.append(CalibrationFile.model_validate_json(output.read_text()).signals["edu"])
    assert found[0] == found[1] == found[2]
    assert found[0].documents == 40


def test_labels_are_joined_by_id(tmp_path: Path) -> None:
    output = tmp_path / "edu.json"
    labels = ("--method", "isotonic", "--labels", str(tmp_path / "labels.csv"))
    calibrate(scores(tmp_path), "--signal", "edu", *labels, "--output", str(output))
    calibration = CalibrationFile.model_validate_json(output.read_text()).signals["edu"]
    assert (calibration.documents, calibration.scores[0], calibration.scores[-1]) == (14, 0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--signal", "edu"), "--better up or --better down"),
        (("--signal", "edo", "--better", "up"), "did you mean 'edu'"),
        (("--signal", "kind", "--better", "up"), "'kind' is text, not a number"),
        (("--signal", "edu", "--method", "platt"), "needs --labels"),
        (("--signal", "edu", "--method", "probit"), "ecdf or logit or platt or isotonic, not 'probit'"),
        (("--signal", "edu", "--better", "up", "--decision", "keep"), "files have no decisions"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in calibrate(scores(tmp_path), *arguments, "--output", str(tmp_path / "x.json"), code=1)


def test_a_release_is_a_reference_and_its_calibration_decides(tmp_path: Path) -> None:
    save(tmp_path / "input", [corpus(120, seed=1)])
    recipe = write_recipe(tmp_path, dedup={}, curriculum={})
    run(recipe, tmp_path / "input", tmp_path / "run")
    output = str(tmp_path / "words.json")
    printed = calibrate(str(tmp_path / "run"), "--signal", "gopher.stop_words", "--output", output)
    assert "gopher.stop_words" in printed
    assert CalibrationFile.model_validate_json(Path(output).read_text()).reference == f"{tmp_path / 'run'}@1"
    band = calibrate(str(tmp_path / "run"), "--signal", "gopher.word_count", "--output", output + "x", code=1)
    assert "are a range" in band
    section = {"combine": "min", "signals": [{"signal": "gopher.stop_words", "calibration": output}]}
    calibrated = write_recipe(tmp_path, dedup={}, curriculum={}, quality=section)
    release = run(calibrated, tmp_path / "input", tmp_path / "run").release
    assert release.number == 2
    kept = release.manifest["recipe"]["quality"]["signals"][0]["calibration"]
    assert kept["documents"] == load_recipe(str(calibrated)).weights[0].calibration.documents  # type: ignore[union-attr]
