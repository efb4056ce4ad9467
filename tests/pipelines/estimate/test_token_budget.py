"""`tamis budget` tells the cut that the published laws ask for, from laws or from the points of training runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.transforms.select.upsampling.repetition_law import Bucket, loss

LAWS = """
scale: 0.02
form: code
buckets:
  - {name: top10, tokens: 12800000, utility: -0.18, half_life: 2}
  - {name: top20, tokens: 12800000, utility: -0.16, half_life: 3}
  - {name: top30, tokens: 12800000, utility: -0.14, half_life: 4}
  - {name: top40, tokens: 12800000, utility: -0.12, half_life: 5}
"""


def run_budget(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["budget", *arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize(("tokens", "pools"), [("12.8e6", 1), ("32000000", 2), ("128M", 3), ("0.64B", 4)])
def test_the_cut_deepens_with_the_budget(tmp_path: Path, tokens: str, pools: int) -> None:
    file = tmp_path / "laws.yaml"
    file.write_text(LAWS)
    best = json.loads(run_budget(str(file), "--tokens", tokens, "--json"))
    assert len(best["best"]["buckets"]) == pools
    assert best["select"]["top"] == pools / 4
    assert best["select"]["max_epochs"] >= best["best"]["epochs"]


def test_words(tmp_path: Path) -> None:
    file = tmp_path / "laws.yaml"
    file.write_text(LAWS)
    text = run_budget(str(file), "--tokens", "128M")
    assert "top30                       75.0%       38,400,000     3.33   0.69351  best" in text
    assert "select: {top: 0.75, tokens: 128000000, max_epochs: 4}" in text


def test_points_are_fitted(tmp_path: Path) -> None:
    rows = ["bucket,epoch_tokens,tokens,loss"]
    for name, utility, half_life in (("top", -0.18, 2), ("next", -0.14, 4)):
        law = Bucket(name=name, tokens=1000000, utility=utility, half_life=half_life)
        rows += [f"{name},1000000,{n * 500000},{loss([law], n * 500000, 0.5, 0.1)}" for n in (1, 2, 3, 5, 8, 16)]
    file = tmp_path / "points.csv"
    file.write_text("\n".join(rows))
    advice = json.loads(run_budget(str(file), "--tokens", "10M", "--json"))
    assert advice["fit_error"] < 1e-5
    assert {law["name"]: round(law["half_life"], 2) for law in advice["buckets"]["buckets"]} == {"top": 2, "next": 4}
    assert "fitted: a = 0.5" in run_budget(str(file), "--tokens", "10M")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "x.yaml",
            "scale: 0.02\nbuckets:\n  - {name: a, tokens: 5, utility: 0.1, half_life: 2}\n",
            "x.yaml:3: buckets.0.utility",
        ),
        ("x.yaml", "scale: 0.02\nbuckets: []\n", "x.yaml:2: buckets"),
        ("x.csv", "bucket,tokens,loss\n", "x.csv:1: epoch_tokens: no such column"),
        ("x.csv", "bucket,epoch_tokens,tokens,loss\na,10,x,1\n", "x.csv:2: tokens: 'x' is not a number above 0"),
        (
            "x.csv",
            "bucket,epoch_tokens,tokens,loss\na,10,5,1\na,20,5,1\n",
            "x.csv:3: epoch_tokens: bucket 'a' had epochs of 10",
        ),
        ("x.csv", "bucket,epoch_tokens,tokens,loss\na,10,5,1\n", "needs at least three points"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text)
    assert message in run_budget(name, "--tokens", "5M", code=2 if "points" not in message else 1)


def test_tokens_are_a_number(tmp_path: Path) -> None:
    (tmp_path / "laws.yaml").write_text(LAWS)
    assert "'many' is not a number of tokens" in run_budget(str(tmp_path / "laws.yaml"), "--tokens", "many", code=1)
