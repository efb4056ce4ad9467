"""`tamis contamination gain` joins scores and results by item, loses none, and says what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.contamination.gain_of_files import Gain, gains
from tamis.transforms.core.errors import RunError

SCORES = "item,score\na,0.9\na,0.1\nb,0.3\nc,0\nother,1\n"
CORRECT = "item,correct\na,1\nb,true\nc,0\nd,0.5\n"


def written(folder: Path, scores: str = SCORES, correct: str = CORRECT) -> tuple[str, str]:
    (folder / "scores.csv").write_text(scores)
    (folder / "correct.csv").write_text(correct)
    return str(folder / "scores.csv"), str(folder / "correct.csv")


def one(folder: Path, scores: str = SCORES, correct: str = CORRECT) -> Gain:
    (gain,) = gains(*written(folder, scores, correct), "score", [0.2, 0.5])
    return gain


def test_the_highest_score_of_an_item_counts_and_items_without_one_are_clean(tmp_path: Path) -> None:
    gain = one(tmp_path)
    at, above = gain.result.sweep
    assert (gain.unscored, gain.result.items, gain.result.mean) == (1, 4, 0.625)
    assert (at.clean.items, at.clean.mean, at.contaminated.mean) == (2, 0.25, 1.0)  # c and d; a and b
    assert (at.gain, above.contaminated.items) == (0.375, 1)


def test_benchmarks_are_apart(tmp_path: Path) -> None:
    scores = [{"benchmark": "x", "item": "0", "similarity": 0.9}, {"benchmark": "y", "item": "0", "similarity": 0.1}]
    pq.write_table(pa.Table.from_pylist(scores), tmp_path / "scores.parquet")
    rows = [{"benchmark": name, "item": 0, "correct": name == "x"} for name in ("y", "x")]
    (tmp_path / "correct.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = gains(str(tmp_path / "scores.parquet"), str(tmp_path / "correct.jsonl"), "similarity", [0.5])
    assert [(gain.benchmark, gain.result.mean, gain.result.sweep[0].contaminated.items) for gain in found] == [
        ("x", 1.0, 1),
        ("y", 0.0, 0),
    ]


@pytest.mark.parametrize(
    ("scores", "correct", "message"),
    [
        ("item\na\n", CORRECT, r"scores\.csv row 0 has no field 'score'; it has item"),
        (SCORES, "id,correct\na,1\n", r"correct\.csv row 0 has no field 'item'"),
        (SCORES, "item,correct\na,yes\n", "correct is a number, not 'yes'"),
        ("item,score\na,nan\n", CORRECT, "score is a number, not 'nan'"),
        (SCORES, "item,correct\na,2\n", "between 0"),
        (SCORES, "item,correct\na,1\na,0\n", "a has two results"),
        (SCORES, "item,correct\nz,1\n", r"no item of .*correct\.csv is in"),
        (SCORES, "benchmark,item,correct\nx,a,1\n", r"items such as \('x', 'a'\) and \('', 'a'\)"),
    ],
)
def test_files_that_do_not_fit_are_errors(tmp_path: Path, scores: str, correct: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        one(tmp_path, scores, correct)


def test_the_command(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["contamination", "gain", *written(tmp_path), "--threshold", "0.2"])
    assert shown.exit_code == 0, shown.output
    assert "mean 62.5% of 4 items, 1 of them without a score" in shown.output
    assert "+37.5" in shown.output
    assert "no evidence" in shown.output
    printed = CliRunner().invoke(app, ["contamination", "gain", *written(tmp_path), "--threshold", "0.2", "--json"])
    assert json.loads(printed.stdout)[0]["result"]["sweep"][0]["gain"] == 0.375
    failed = CliRunner().invoke(app, ["contamination", "gain", *written(tmp_path), "--score", "none"])
    assert failed.exit_code == 1
    assert "has no field 'none'" in failed.output


def test_the_list_of_benchmarks() -> None:
    listed = CliRunner().invoke(app, ["contamination", "benchmarks", "--json"])
    assert json.loads(listed.stdout)["groups"]["mathematics"] == ["gsm8k", "math", "aime"]
    shown = CliRunner().invoke(app, ["contamination", "benchmarks"]).stdout
    assert "gsm8k" in shown
    assert "group: humaneval" in shown
