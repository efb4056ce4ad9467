"""Runs that drop texts which mean the same as a better one, by vectors that a rater measures."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tests.pipelines.running import folder_of, run, write_recipe
from tests.transforms.rate.neural.random_models import save_static

TEXTS = {
    "proof": "the proof shows a symmetry",
    "again": "a symmetry the proof shows",  # the same words: the same static vector
    "shoes": "buy cheap shoes now",
    "unknown": "¤ ¤",
}


def test_one_of_texts_with_one_meaning_stays(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in TEXTS.items()))
    embedding = [{"name": "meaning", "model": save_static(tmp_path / "model"), "vector": True}]
    recipe = write_recipe(
        tmp_path,
        rate={"gopher": {}, "embedding": embedding},
        thresholds={},
        dedup=None,
        quality=[{"signal": "gopher.stop_words", "range": [0, 8]}],
        select={"diverse": {"column": "meaning.vector", "ceiling": 0.999}},
    )
    run(recipe, tmp_path / "in.jsonl", tmp_path / "run")
    rows = {row["id"]: row for row in pq.read_table(folder_of(tmp_path / "run") / "decisions").to_pylist()}
    (dropped,) = (name for name, row in rows.items() if row["decision"] == "drop")
    (kept,) = {"proof", "again"} - {dropped}
    assert (rows[dropped]["reason"], rows[dropped]["detail"]) == ("select.diverse", f"cosine 1 with {kept}")


def test_vectors_that_nobody_measures_are_an_error(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, select={"diverse": {"column": "meaning.vector"}})
    with pytest.raises(RecipeError, match=r"no rater measures 'meaning\.vector': give the rater embedding the option"):
        load_recipe(str(recipe), [], [])
