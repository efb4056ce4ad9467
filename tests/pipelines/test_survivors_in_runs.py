"""Which duplicate stays in a run, where a document was made of another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch

WORDS = np.random.default_rng(1).choice([f"{a}{b}" for a in ("ba", "co", "di", "fu") for b in ("n", "rt", "sk", "tan")], 80)

ORIGINAL = {"id": "original", "source": "web", "text": " ".join(WORDS)}
REWRITE = {"id": "rewrite", "source": "made", "text": " ".join([*WORDS, "and", "more"]), "derived_from": "original"}
REPEAT = {"id": "repeat", "source": "made", "text": " ".join(WORDS), "derived_from": "elsewhere"}
UNMADE = {"id": "unmade", "source": "made", "text": " ".join([*WORDS, "or", "less"]), "derived_from": ""}


def stays(folder: Path, documents: list[dict[str, Any]], **dedup: Any) -> list[str]:
    (folder / "in.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"dedup": {"minhash": {}, **dedup}}))
    launch(load_recipe(str(folder / "recipe.yaml"), [], [str(folder / "in.jsonl")]), str(folder / "run"), workers=1)
    decided = pq.read_table(folder / "run" / "latest" / "decisions", columns=["id", "decision"]).to_pylist()
    return [row["id"] for row in decided if row["decision"] == "keep"]


@pytest.mark.parametrize("others", [[REWRITE], [REPEAT], [REWRITE, REPEAT]], ids=["near", "exact", "both"])
def test_what_was_made_of_a_document_never_stays_in_its_place(tmp_path, others):
    dedup = {"keep": "longest", "prefer": ["made"]}
    assert stays(tmp_path, [ORIGINAL, *others], **dedup) == [others[0]["id"]]
    assert stays(tmp_path, [ORIGINAL, *others], **dedup, parent="derived_from") == ["original"]


def test_among_those_without_a_parent_the_preferred_source_stays(tmp_path):
    assert stays(tmp_path, [ORIGINAL, REWRITE, UNMADE], prefer=["made"], parent="derived_from") == ["unmade"]
