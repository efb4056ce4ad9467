"""A release that is read as input gives the documents it was made of, in every format it is written in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read
from tests.pipelines.running import folder_of

RECORDS = [
    {"id": "a", "text": "plain words"},
    {"id": "b", "text": "with metadata", "url": "http://x", "lang": "en", "n": 2**70, "tags": ["x", {"y": None}]},
    {"id": "c", "text": "as Dolma has it", "metadata": {"lang": "de", "score": 0.5}},
    {"id": "d", "text": "named as ours", "tokens": 7, "quality": "good", "source": "web", "date": "2024"},
    {"text": "without an id"},
]


def documents(path: Path) -> dict[str, dict[str, object]]:
    options = Input(paths=(str(path),))
    rows = [row for split in plan(options)[0] for batch, _ in read(split, options) for row in batch.to_pylist()]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


@pytest.mark.parametrize("format", ["parquet", "jsonl.zst"])
def test_the_documents_are_the_same(tmp_path: Path, format: str) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    (tmp_path / "r.yaml").write_text("rate: {gopher: {}}\n")
    recipe = load_recipe(str(tmp_path / "r.yaml"), [f"output.format={format}"], [str(tmp_path / "in.jsonl")])
    launch(recipe, str(tmp_path / "run"), workers=1)
    before = documents(tmp_path / "in.jsonl")
    assert documents(tmp_path / "run") == documents(folder_of(tmp_path / "run") / "data") == before
    assert json.loads(before["d"]["metadata"]) == {"tokens": 7, "quality": "good"}  # type: ignore[arg-type]
