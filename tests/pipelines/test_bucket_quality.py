"""Quality as the highest bucket that any rater gives: whole runs compared with a slow reading of their ledgers."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import corpus_of, write_recipe
from tests.pipelines.test_selection import selected

BUCKETS = 8

QUALITY = {
    "combine": "buckets",
    "buckets": BUCKETS,
    "signals": [{"signal": "metadata.good", "direction": "up"}, {"signal": "metadata.bad", "direction": "down"}],
}


def scored(size: int) -> list[dict[str, object]]:
    """Records with two scores, of which each may be missing, and of which one has few values."""
    draw, records = random.Random(9), corpus(size, sentences=(4, 12))
    for record in records:
        record |= {"good": round(draw.gauss(2, 1), 3)} if draw.random() < 0.8 else {}
        record |= {"bad": draw.randint(-3, 3)} if draw.random() < 0.8 else {}
    return records


def expected(records: list[dict[str, Any]], ledger: list[dict[str, Any]]) -> dict[str, float | None]:
    """The quality of each document: the share of the tokens with no higher score, in whole buckets."""
    passed = {row["id"]: row["tokens"] for row in ledger if not (row["reason"] or "").startswith("gopher.")}
    best: dict[str, int] = {}
    for name, sign in (("good", 1), ("bad", -1)):
        scores = {record["id"]: sign * record[name] for record in records if name in record}
        total = sum(passed[each] for each in scores if each in passed)
        for each, score in scores.items():
            through = sum(passed[other] for other, its in scores.items() if other in passed and its <= score)
            best[each] = max(best.get(each, 0), min(through * BUCKETS // total, BUCKETS - 1))
    return {row["id"]: best[row["id"]] / (BUCKETS - 1) if row["id"] in best else None for row in ledger}


def test_quality_is_the_highest_bucket_however_the_input_is_split(tmp_path: Path) -> None:
    records, roots = scored(240), set()
    for pieces in (1, 4):
        folder = tmp_path / str(pieces)
        folder.mkdir()
        source = save(folder / "in", dealt(records, pieces, seed=pieces))
        guards = {"shares": {"best": {"where": {"quality": {"min": 0.9}}, "fail_below": 0.01}}}
        _, ledger, documents = selected(folder, source, quality=QUALITY, select={"top": 0.7}, guards=guards)
        found = {row["id"]: None if math.isnan(row["quality"]) else row["quality"] for row in ledger}
        assert found == pytest.approx(expected(records, ledger))
        assert len(set(found.values())) > BUCKETS
        least = min(row["quality"] for row in documents)
        assert all(row["quality"] <= least or math.isnan(row["quality"]) for row in ledger if row["reason"] == "select.top")
        roots.add(corpus_of(folder / "run")[0])
    assert len(roots) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"signals": [{"signal": "gopher.word_count"}]}, "quality needs a direction for 'gopher.word_count': up or down"),
        ({"signals": [{"signal": "metadata.a", "direction": "band"}]}, "a direction for 'metadata.a': up or down"),
        ({"signals": [{"signal": "gopher.stop_words", "range": [0, 1]}]}, "range of 'gopher.stop_words' has no effect"),
        ({"signals": [{"signal": "gopher.stop_words", "weight": 2}]}, "weight of 'gopher.stop_words' has no effect"),
        ({"combine": "mean", "signals": [{"signal": "gopher.stop_words"}]}, "buckets has no effect without combine: buckets"),
    ],
)
def test_what_buckets_do_not_use_is_an_error(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(str(write_recipe(tmp_path, quality=QUALITY | changed)), paths=["x"])
    assert message in str(error.value)
