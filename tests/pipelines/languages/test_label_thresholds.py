"""`tamis rate thresholds` finds what a search over all thresholds finds, and prints a part of a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.languages.label_thresholds import EPSILON, Choice, Goal, choices, choose
from tamis.pipelines.recipe.load import load_recipe
from tamis.transforms.core.errors import RunError

SCORES = (0.95, 0.9, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.2)
GOOD = (True, True, True, False, True, True, False, True, False, True)


def chosen(scores: tuple[float, ...], good: tuple[bool, ...], goal: Goal = Goal()) -> Choice:  # noqa: B008
    return choose("", np.array(scores, np.float64), np.array(good, np.bool_), goal)


def test_the_threshold_is_just_below_the_best_score() -> None:
    found = chosen(SCORES, GOOD)
    assert (found.threshold, found.min, found.kept) == (0.9 - 1e-12, 0.9, 3)
    assert (found.precision, found.recall) == (1.0, 3 / 7)


def searched(scores: tuple[float, ...], good: tuple[bool, ...], goal: Goal) -> float | None:
    """The threshold by trying each: the highest F_β, of equal ones the lowest."""
    best: tuple[float, float] | None = None
    for threshold in sorted({score - EPSILON for score in scores}, reverse=True):
        kept = [label for score, label in zip(scores, good, strict=True) if score > threshold]
        precision, recall = sum(kept) / len(kept), sum(kept) / max(1, sum(good))
        if not sum(kept) or precision < goal.precision or recall < goal.recall:
            continue
        f_beta = (1 + goal.beta**2) * precision * recall / (goal.beta**2 * precision + recall)
        if best is None or f_beta >= best[0]:
            best = f_beta, threshold
    return best and best[1]


LABELLED = st.lists(st.tuples(st.integers(0, 20).map(lambda tenth: tenth / 20), st.booleans()), min_size=1, max_size=40)


@given(LABELLED, st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([0.0, 0.1, 0.6]))
def test_no_other_threshold_is_better(rows: list[tuple[float, bool]], beta: float, precision: float, recall: float) -> None:
    scores, good = zip(*rows, strict=True)
    goal = Goal(beta, precision, recall)
    found = chosen(scores, good, goal)
    assert found.threshold == searched(scores, good, goal)
    assert found == chosen(scores[::-1], good[::-1], goal)  # the order of the rows does not matter
    if found.min is not None:
        passes = [label for score, label in rows if score >= found.min]
        assert (found.kept, found.precision) == (len(passes), sum(passes) / len(passes))
        assert (found.precision >= precision, found.recall >= recall) == (True, True)


def test_a_score_that_says_nothing_has_no_threshold() -> None:
    found = chosen((0.9, 0.9, 0.5), (True, False, True))
    assert (found.threshold, found.min, found.precision, found.kept) == (None, None, 2 / 3, 3)
    assert chosen((0.9, 0.1), (False, False)).min is None


def write(folder: Path) -> str:
    """Scores of two languages, of which one has them halved."""
    rows = [
        {"lang": language, "hq": score * factor, "label": good}
        for language, factor in (("no", 1.0), ("fr", 0.5))
        for score, good in zip(SCORES, GOOD, strict=True)
    ]
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_what_is_printed_is_a_part_of_a_recipe(tmp_path: Path) -> None:
    arguments = ["rate", "thresholds", write(tmp_path), "--score", "hq", "--language", "lang", "--signal", "metadata.hq"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "# fr: keeps 3 of 10 documents, 7 of them good; precision 1.000" in result.stdout
    (tmp_path / "r.yaml").write_text(f"rate: {{gopher: {{}}, language: {{}}}}\n{result.stdout}")
    recipe = load_recipe(str(tmp_path / "r.yaml"), paths=["any"])
    limits = {name: block.thresholds["metadata.hq"] for name, block in recipe.per_language.items()}
    assert {name: limit and limit.min for name, limit in limits.items()} == {"no": 0.9, "fr": 0.45}
    alone = CliRunner().invoke(app, ["rate", "thresholds", write(tmp_path), "--score", "hq", "--precision", "0.5", "--json"])
    (found,) = json.loads(alone.stdout)
    assert (found["language"], found["labelled"]) == ("", 20)


def test_a_language_without_a_threshold_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("language,score,label\nfr,0.9,1\nde,0.9,0\nde,0.8,1\n")
    result = CliRunner().invoke(app, ["rate", "thresholds", str(path), "--language", "language"])
    assert result.exit_code == 1
    assert "# de: no threshold reaches the goal; of 2 documents the most precise keeps 2 with precision 0.500" in result.stdout
    assert "fr:\n    thresholds:" in result.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("score\n0.5\n", "row 0 has no field 'label'; it has score"),
        ("score,label\nx,1\n", "score is a number, not 'x'"),
        ("score,label\nnan,1\n", "score is a number, not 'nan'"),
        ("score,label\n0.5,good\n", "label is true or false, or 1 or 0, not 'good'"),
        ("score,label\n", "has no rows"),
    ],
)
def test_files_that_do_not_fit_are_errors(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(RunError, match=message):
        choices(str(tmp_path / "labels.csv"), "score", "label", "", Goal())
