"""The test items of a benchmark are no examples for a rater, whatever their file is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tamis
from tamis.pipelines.recipe.lint_recipe import lint_recipe
from tamis.pipelines.recipe.load import load_recipe
from tamis.transforms.core.errors import RunError
from tests.pipelines.corpus import corpus, save
from tests.transforms.rate.neural.random_models import save_static

ITEMS = [f"which of the {number} numbers shows a symmetry" for number in range(40)]


def write(path: Path, questions: list[str]) -> str:
    path.write_text("".join(json.dumps({"question": text, "answer": "now"}) + "\n" for text in questions))
    return str(path)


def sections(folder: Path) -> dict[str, Any]:
    """A recipe of a rater by examples.jsonl and a benchmark."""
    fields = ["question", "answer"]
    rater = {
        "name": "like",
        "model": save_static(folder / "model"),
        "targets": str(folder / "examples.jsonl"),
        "fields": fields,
    }
    benchmark = {"name": "numbers", "path": write(folder / "items.jsonl", ITEMS), "fields": fields}
    return {"rate": {"embedding": [rater]}, "decontaminate": {"benchmarks": [benchmark]}}


@pytest.mark.slow
def test_a_run_refuses_test_items_as_targets_unless_they_are_few(tmp_path: Path) -> None:
    source, recipe = str(save(tmp_path / "in", [corpus(20, seed=3)])), sections(tmp_path)
    others = [text.replace("symmetry", "proof") for text in ITEMS]
    write(tmp_path / "examples.jsonl", [*others, *(text.upper() for text in ITEMS[:3])])
    with pytest.raises(
        RunError, match=r"'like': 3 of the 43 examples in .*examples.jsonl are items of numbers.*training split"
    ):
        tamis.run(recipe, source, str(tmp_path / "run"), workers=1)
    write(tmp_path / "examples.jsonl", [*others, *ITEMS[:2]])  # as in training splits
    values = tamis.run(recipe, source, str(tmp_path / "run"), workers=1).table("like.nearest")["like.nearest"]
    assert len(values) == 20


def test_lint_asks_for_decontamination(tmp_path: Path) -> None:
    recipe = sections(tmp_path)
    write(tmp_path / "examples.jsonl", ITEMS)
    del recipe["decontaminate"]
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    warnings = [warning.code for warning in lint_recipe(load_recipe(str(path), []))]
    assert warnings == ["targets-without-decontaminate"]
