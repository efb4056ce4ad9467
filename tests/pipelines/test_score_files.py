"""Scores in other files are joined by id, however both sides are cut; what has no counterpart is counted and bounded."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.pipelines.run.launch import launch
from tamis.transforms.core.errors import RunError
from tests.pipelines.corpus import corpus

COUNT = 120

RECIPE = """\
scores:
  edu: {path: 'SCORES', max_unscored: 1}
signals:
  edu.score: {kind: float64, direction: up, range: [0, 5]}
thresholds:
  edu.score: {min: 2}
quality: [{signal: edu.score}]
curriculum: {order: ascending, interleave_by: none}
"""


def score(number: int) -> float | None:
    return None if number % 10 == 0 else (number * 37 % 500) / 100


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    for part in range(3):
        lines = [
            json.dumps({"id": f"d{number}", "text": f"{record['text']} {number}"}) + "\n"
            for number, record in enumerate(corpus(COUNT))
            if number % 3 == part
        ]
        (folder / f"{part}.jsonl").write_text("".join(lines))
    return folder


def rows() -> dict[str, list[Any]]:
    """The scores: none for every tenth document, and ten of no document."""
    numbers = [number for number in range(COUNT + 10) if score(number) is not None]
    return {"id": [f"d{number}" for number in numbers], "score": [score(number) for number in numbers]}


def parquet(folder: Path) -> str:
    table = pa.table(rows())
    for part in range(2):
        pq.write_table(table.slice(part * 60, 60), folder / f"scores-{part}.parquet")
    return str(folder / "scores-*.parquet")


def parquet_of_integers(folder: Path) -> str:
    pq.write_table(pa.table({"id": rows()["id"], "score": pa.array(rows()["score"], pa.float32())}), folder / "one.parquet")
    return str(folder / "one.parquet")


def csv(folder: Path) -> str:
    lines = [f"{name},x,{value}\n" for name, value in zip(*rows().values(), strict=True)]
    (folder / "scores.csv.gz").write_bytes(gzip.compress(("id,other,score\n" + "".join(lines)).encode()))
    return str(folder / "scores.csv.gz")


def npy(folder: Path) -> str:
    np.save(folder / "scores.npy", np.array(rows()["score"]))
    (folder / "ids.txt").write_text("\n".join(rows()["id"]))
    return str(folder / "scores.npy")


def run(folder: Path, text: str, source: Path, workers: int = 1) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "r.yaml").write_text(text)
    return dict(launch(load_recipe(str(folder / "r.yaml"), (), [str(source)]), str(folder / "run"), workers=workers).manifest)


@pytest.mark.parametrize("write", [parquet, parquet_of_integers, csv, npy], ids=lambda write: write.__name__)
def test_every_format_gives_the_same_corpus(tmp_path: Path, source: Path, write: Callable[[Path], str]) -> None:
    text = RECIPE.replace("SCORES", write(tmp_path))
    if write is npy:
        text = text.replace("max_unscored", f"ids: '{tmp_path / 'ids.txt'}', max_unscored")
    manifest = run(tmp_path / "out", text, source)
    assert manifest["counts"]["kept"] == sum((score(number) or 0) >= 2 for number in range(COUNT))
    (warning,) = (warning for warning in manifest["warnings"] if warning["code"] == "scores-unmatched")
    assert warning["numbers"] == {"unscored": 12, "unused": 9, "ambiguous": 0}
    expected = run(tmp_path / "expected", RECIPE.replace("SCORES", parquet(tmp_path)), source)
    if write is not parquet_of_integers:
        assert manifest["corpus_root"] == expected["corpus_root"]


def test_changed_scores_decide_again_and_rate_nothing(tmp_path: Path, source: Path) -> None:
    text = RECIPE.replace("SCORES", parquet(tmp_path))
    before = run(tmp_path, text, source)
    rated = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("rated/**/*.parquet")}
    pq.write_table(pa.table({"id": rows()["id"], "score": [5.0] * len(rows()["id"])}), tmp_path / "scores-0.parquet")
    (tmp_path / "scores-1.parquet").unlink()
    after = run(tmp_path, text, source)
    assert before["counts"]["kept"] < after["counts"]["kept"] == COUNT - 12
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("rated/**/*.parquet")} == rated


@pytest.mark.slow
def test_workers_and_cuts_change_nothing(tmp_path: Path, source: Path) -> None:
    text = RECIPE.replace("SCORES", parquet(tmp_path))
    one = run(tmp_path / "one", text, source)
    (tmp_path / "whole.jsonl").write_text("".join(path.read_text() for path in sorted(source.iterdir())))
    two = run(tmp_path / "two", text, tmp_path / "whole.jsonl", workers=2)
    assert one["corpus_root"] == two["corpus_root"]


def test_an_id_with_two_scores_has_none_and_with_the_same_one_twice_it_has_that(tmp_path: Path, source: Path) -> None:
    pq.write_table(pa.table({"id": ["d1", "d1", "d2", "d2"], "score": [3.0, 4.0, 3.0, 3.0]}), tmp_path / "s.parquet")
    manifest = run(tmp_path, RECIPE.replace("SCORES", str(tmp_path / "s.parquet")), source)
    assert manifest["counts"]["kept"] == 1
    (warning,) = (warning for warning in manifest["warnings"] if warning["code"] == "scores-unmatched")
    assert warning["numbers"] == {"unscored": COUNT - 1, "unused": 0, "ambiguous": 1}


def test_documents_that_share_an_id_share_the_score(tmp_path: Path) -> None:
    records = [{"id": "same", "text": "one"}, {"id": "same", "text": "two"}, {"id": "other", "text": "three"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pq.write_table(pa.table({"id": ["same", "other"], "score": [3.0, 1.0]}), tmp_path / "s.parquet")
    manifest = run(tmp_path, RECIPE.replace("SCORES", str(tmp_path / "s.parquet")), tmp_path / "in.jsonl")
    assert manifest["counts"]["kept"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("max_unscored: 1", "max_unscored: 0.05"), "scores.edu: 12 of 120 documents have no score in .*max_unscored is 0.05"),
        (("max_unscored: 1", "max_unscored: 1, max_unused: 0"), "scores.edu: 9 of 117 scores in .* belong to no document"),
        (("max_unscored: 1", "max_unscored: 1, id: key"), "there is no column 'key'; the columns are id, score"),
        (
            ("kind: float64, direction: up, range: [0, 5]", "kind: string"),
            "column 'score' is double, but it is declared as string",
        ),
        (("scores-*.parquet", "nothing-*.parquet"), "scores.edu: .*nothing"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, source: Path, change: tuple[str, str], message: str) -> None:
    text = RECIPE.replace("SCORES", parquet(tmp_path)).replace(*change)
    if "string" in change[1]:
        text = text[: text.index("thresholds")]
    with pytest.raises(RunError, match=message):
        run(tmp_path, text, source)


def test_text_that_is_no_number_is_missing(tmp_path: Path, source: Path) -> None:
    (tmp_path / "s.csv").write_text("id,score\nd1,3\nd2,high\nd3,\nd4,nan\nd5,4.5\n")
    assert run(tmp_path, RECIPE.replace("SCORES", str(tmp_path / "s.csv")), source)["counts"]["kept"] == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("scores: {gopher: {path: a}}\n", "r.yaml:1: scores.gopher: a rater is called 'gopher'"),
        ("scores: {Edu: {path: a}}\n", "r.yaml:1: scores.Edu: a name of scores is of small letters"),
        ("scores: {edu: {path: a}}\n", "r.yaml:1: scores.edu: declare a column of it under signals: edu.COLUMN"),
        ("signals: {edu.score: {}}\n", "signals.edu.score: a signal that documents bring along is called metadata.FIELD, or"),
        ("scores: {edu: {path: a, idd: x}}\n", "r.yaml:1: scores.edu.idd: no such field; did you mean 'id'?"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(tmp_path / "r.yaml"))
    assert problem in str(caught.value).replace(f"{tmp_path}/", "")
