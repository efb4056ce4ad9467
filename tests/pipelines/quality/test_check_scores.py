"""`tamis rate check` fails for planted unfairness and drift and passes what is fair; bins and residuals work in a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from scipy.stats import spearmanr
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tests.pipelines.corpus import corpus, save
from tests.pipelines.running import run, write_recipe


def rate(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["rate", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def scored(folder: Path, **changed: Any) -> str:
    """2,000 documents of two sources whose scores differ in quality alone, but for what is changed."""
    draw = np.random.default_rng(1)
    n = 2000
    columns: dict[str, Any] = {
        "id": [f"d{number}" for number in range(n)],
        "source": np.where(np.arange(n) % 2, "code", "web"),
        "quality": draw.random(n),
        "tokens": draw.integers(50, 5000, n),
        "judged": np.ones(n),
    }
    columns["old"] = columns["quality"]
    path = folder / "scores.parquet"
    pq.write_table(pa.table(columns | changed), path)
    return str(path)


def prose_rater(documents: int = 2000) -> np.ndarray:
    """Scores of a rater that knows prose only: code, which is all good, has low ones."""
    draw = np.random.default_rng(2)
    return np.where(np.arange(documents) % 2, draw.normal(0.1, 0.03, documents), draw.uniform(0.2, 1, documents))


def test_a_fair_score_passes(tmp_path: Path) -> None:
    path = scored(tmp_path)
    printed = rate("check", path, "--confounder", "tokens", "--against", "old", "--judged", "judged")
    assert "alarm" not in printed
    assert "source → high score: AUC 0.5" in printed
    assert "drift on documents (2,000): flips 0.0%" in printed


def test_a_good_source_unlike_the_training_prose_raises_alarms(tmp_path: Path) -> None:
    path = scored(tmp_path, quality=prose_rater(), judged=np.where(np.arange(2000) % 2, 0.3, 1.0))
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"d{number},1\n" for number in range(1, 2000, 4)))
    arguments = ("--top", "0.5", "--labels", str(tmp_path / "labels.csv"), "--judged", "judged")
    printed = rate("check", path, *arguments, code=1)
    assert "alarm: the source alone predicts a high score with AUC 1.00" in printed
    assert "alarm: code: the score hardly differs within the source, sd 0.0" in printed
    assert "alarm: code: agrees with 0% of the labels" in printed
    assert "alarm: code: the rater saw 30% of the bytes" in printed
    assert "alarm: web" not in printed
    found = json.loads(rate("check", path, *arguments, "--json", code=1))
    assert len(found["alarms"]) == 4
    assert found["fairness"]["sources"][0]["source"] == "code"


def test_drift_is_seen_on_the_documents_and_on_a_frozen_benchmark(tmp_path: Path) -> None:
    quality = np.random.default_rng(1).random(2000)
    path = scored(tmp_path, quality=quality, old=np.clip(quality - 0.3, 0, 1))
    (tmp_path / "frozen.csv").write_text("quality,old\n" + "".join(f"{v},{v}\n" for v in quality[:100]))
    printed = rate("check", path, "--against", "old", "--benchmark", str(tmp_path / "frozen.csv"), code=1)
    assert "alarm: drift on documents" in printed
    assert "alarm: drift on benchmark" not in printed


def test_a_residual_score_has_no_length_in_it_and_joins_by_id(tmp_path: Path) -> None:
    tokens = np.random.default_rng(3).integers(50, 5000, 2000)
    path = scored(tmp_path, tokens=tokens, quality=np.log(tokens) + np.random.default_rng(4).random(2000))
    assert "follows tokens" in rate("check", path, "--confounder", "tokens", code=1)
    output = str(tmp_path / "residual.parquet")
    rate("residual", path, "--score", "quality", "--confounder", "tokens", "--output", output)
    left = pq.read_table(output)
    assert left.column_names == ["id", "residual"]
    assert abs(spearmanr(left["residual"].to_numpy(), tokens).statistic) < 0.02


def test_raters_and_categories_are_compared(tmp_path: Path) -> None:
    quality = np.random.default_rng(1).random(2000)
    kind = np.where(quality > 0.5, "good", "bad")
    path = scored(tmp_path, quality=quality, same=2 * quality, kind=kind, other=kind)
    printed = rate("check", path, "--rater", "same", "--category", "kind", "--category", "other")
    assert "Spearman's ρ quality ~ same: +1.000" in printed
    assert "effective number of raters: 1.00" in printed
    assert "kind ~ other: κ 1.000, NMI 1.000" in printed


def test_grades_have_a_weighted_kappa(tmp_path: Path) -> None:
    grade = np.arange(2000) % 10  # with "10" in it, the order of the words is not that of the numbers
    path = scored(tmp_path, grade=grade + 1, near=np.minimum(grade + 2, 10))
    pair = ("--category", "grade", "--category", "near")
    found = json.loads(rate("check", path, *pair, "--json"))["categories"]["grade ~ near"]
    assert found["kappa"] < 0.1 < 0.7 < found["linear_kappa"] < 0.9 < found["quadratic_kappa"] < 1
    assert "linear κ 0.7" in rate("check", path, *pair)
    named = np.array(["bad", "fair", "good"])[grade % 3]
    path = scored(tmp_path, word=named, same=named)
    words = ("--category", "word", "--category", "same")
    assert "word ~ same: κ 1.000, NMI 1.000" in rate("check", path, *words)
    assert "κ 1.000, linear κ 1.000, quadratic κ 1.000" in rate("check", path, *words, "--order", "bad, fair, good")
    assert "but not the label 'fair'" in rate("check", path, *words, "--order", "bad,good", code=1)


def test_doubtful_documents_are_named_and_labels_show_the_gain(tmp_path: Path) -> None:
    quality = np.random.default_rng(1).random(2000)
    path = scored(tmp_path, other=np.where(np.arange(2000) < 100, 1 - quality, quality))
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"d{n},{v > 0.5}\n" for n, v in enumerate(quality)))
    output = str(tmp_path / "review.parquet")
    arguments = ("--rater", "quality", "--rater", "other", "--labels", str(tmp_path / "labels.csv"), "--output", output)
    found = json.loads(rate("review", path, *arguments, "--margin", "0.1", "--json"))
    assert sum(found["counts"].values()) == pq.read_metadata(output).num_rows == 2000
    assert found["counts"]["review: disagreement"] > 20
    assert found["curve"][2]["accuracy"] == 1.0 > found["curve"][0]["accuracy"]
    calibrated = str(tmp_path / "calibration.json")
    half = tmp_path / "half.csv"
    half.write_text("quality\n" + "".join(f"{v / 2}\n" for v in quality))
    rate("calibrate", str(half), "--signal", "quality", "--better", "up", "--output", calibrated)
    again = rate("review", path, "--rater", "quality", "--calibration", calibrated, "--output", output)
    assert "review: range" in again


def test_documents_unlike_those_that_the_raters_know_are_reviewed(tmp_path: Path) -> None:
    language = np.array(["en", "de"])[(np.arange(2000) < 300).astype(int)]
    tokens = np.where(np.arange(2000) < 1900, 500, 9)
    path = scored(tmp_path, language=language, tokens=tokens)
    (tmp_path / "known.csv").write_text("language,tokens\n" + "".join(f"en,{n}\n" for n in range(100, 900)))
    known = ("--rater", "quality", "--reference", str(tmp_path / "known.csv"), "--output", str(tmp_path / "review.parquet"))
    found = json.loads(rate("review", path, *known, "--within", "language", "--within", "tokens", "--json"))
    assert found["counts"]["review: range"] == 300 + 100
    assert "give both" in rate("review", path, *known, code=1)


def test_weights_of_bins_are_a_mixture_of_a_recipe(tmp_path: Path) -> None:
    save(tmp_path / "input", [corpus(150, seed=1)])
    run(write_recipe(tmp_path, dedup={}, curriculum={}), tmp_path / "input", tmp_path / "run")
    printed = rate("bins", str(tmp_path / "run"), "--score", "gopher.stop_words", "--by", "source")
    section = yaml.safe_load(printed[printed.index("select:") :])["select"]
    assert sum(section["mixture"]["weights"].values()) == pytest.approx(1, abs=1e-3)
    recipe = write_recipe(tmp_path, dedup={}, curriculum={}, select={"tokens": 2000, **section})
    assert run(recipe, tmp_path / "input", tmp_path / "run").release.number == 2
    rows = json.loads(rate("bins", str(tmp_path / "run"), "--score", "gopher.stop_words", "--by", "source", "--json"))
    assert {"bin", "documents", "mean", "se", "shrunk", "weight", "tokens"} == rows[0].keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "--score", "edo"), "there is no column 'edo'"),
        (("check", "--benchmark", "x.csv"), "--benchmark needs --against"),
        (("bins", "--score", "quality", "--by", "topic"), "there is no column 'topic'"),
        (("bins", "--score", "judged", "--by", "source", "--against", "quality"), "one value only"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in rate(arguments[0], scored(tmp_path), *arguments[1:], code=1)
