"""`tamis contamination calibrate`: its thresholds flag no more of the sample than was wanted, and say what they prove."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.contamination.calibrate_recipe import calibrate_recipe, threshold, upper_bound
from tamis.pipelines.recipe.load import load_recipe
from tests.pipelines.contamination.test_probe_recipe import QUESTIONS, recipe_of
from tests.pipelines.corpus import save

SCORES = st.lists(st.floats(0.2, 1.0), max_size=50).map(lambda values: sorted(values, reverse=True))


@given(SCORES, st.integers(50, 200), st.floats(0, 1))
def test_at_most_the_wanted_share_reaches_the_threshold(scores: list[float], documents: int, rate: float) -> None:
    level = threshold(scores, documents, rate)
    reached = sum(score >= level for score in scores)
    assert reached <= rate * documents
    lower = round(level - 0.0002, 4)
    assert level == 0.4 or sum(score >= lower for score in scores) > rate * documents - 1
    assert threshold(scores, documents, min(1.0, rate + 0.1)) <= level


def test_the_bound_is_that_of_clopper_and_pearson() -> None:
    assert upper_bound(0, 3000) == pytest.approx(3 / 3000, rel=0.01)  # the rule of three
    assert upper_bound(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert upper_bound(1, 10) == pytest.approx(0.3942, abs=1e-4)
    assert upper_bound(10, 10) == 1.0


def test_the_yaml_is_the_same_for_a_seed_and_can_be_pasted(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    copies = [f"Our quiz of {name} asks this. {QUESTIONS[0]} Send answers by post." for name in ("May", "June")]
    rows = [
        {"id": f"clean-{k}", "text": f"Page {k} tells of glaciers, oars and barley in the year {1900 + k}."} for k in range(38)
    ]
    rows += [{"id": f"copy-{k}", "text": text} for k, text in enumerate(copies)]
    source = save(tmp_path / "sample", [rows])
    arguments = ["contamination", "calibrate", str(recipe), "--input", str(source)]
    strict, again, loose = (CliRunner().invoke(app, [*arguments, *more]) for more in ([], ["--seed", "0"], ["--rate", "0.05"]))
    assert strict.exit_code == 0, strict.output
    assert strict.stdout == again.stdout
    section = yaml.safe_load(strict.stdout)["decontaminate"]["thresholds"]
    assert section["b"]["drop"] > 0.9
    assert yaml.safe_load(loose.stdout)["decontaminate"]["thresholds"]["b"]["drop"] == 0.4
    assert "copy-0: copied: b 0" in strict.stdout
    assert "probably a copy" in strict.stdout
    load_recipe(str(recipe), [f"decontaminate.thresholds.b.drop={section['b']['drop']}"])
    found = calibrate_recipe(load_recipe(str(recipe), [], [str(source)]), 0.05, 40, 3)
    assert (found.documents, found.benchmarks[0].flagged) == (40, 2)
    assert found.benchmarks[0].bound == upper_bound(2, 40)
