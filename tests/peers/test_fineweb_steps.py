"""The recipe `fineweb` keeps the pages that datatrove's FineWeb pipeline keeps after each of its steps, and the same texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import peer_documents
import pyarrow as pa
import pytest

from tamis.pipelines.measure import measure_each
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.rate.language import packaged_model
from tamis.transforms.select.thresholds import evaluate

pytestmark = pytest.mark.slow

Datatrove = Callable[..., list[dict[str, Any]]]

MARKS = ("rate.gopher.marks=true", "rate.repetition.marks=true")

STEPS: Mapping[str, tuple[str, ...]] = {
    "language": ("language.",),
    "repetition": ("repetition.",),
    "gopher": ("gopher.",),
    "c4": ("c4.", "edit.c4_lines."),
    "fineweb": ("fineweb.",),
}
"""FineWeb's steps behind the URL filter, which takes nothing without lists, and the signals of each."""

ADDRESS = re.compile(r"email@example\.com|22\.214\.171\.124")


def rated(texts: list[str], recipe: Recipe) -> pa.Table:
    """The texts with the recipe's edits, and its signals."""
    components = prepared_components(recipe, "")
    batches = []
    for start in range(0, len(texts), 2_000):
        some = texts[start : start + 2_000]
        rows = [{"id": str(number), "text": text, "source": "default"} for number, text in enumerate(some, start)]
        (batch, _), errors = measure_each(pa.RecordBatch.from_pylist(rows, schema=SCHEMA), recipe, components)
        assert not errors
        batches.append(batch)
    return pa.Table.from_batches(batches).combine_chunks()


def passes(table: pa.Table, recipe: Recipe, step: str) -> list[bool]:
    """Whether each document passes the recipe's rules of a step."""
    rules = {signal: rule for signal, rule in recipe.thresholds.items() if signal.startswith(STEPS[step])}
    assert rules
    return [decision == "keep" for decision in evaluate(table, rules)["decision"].to_pylist()]


def kept(passing: Mapping[str, list[bool]]) -> dict[str, list[bool]]:
    """Whether each document is kept after each step: it passes this one and all before."""
    rows = accumulate((passing[step] for step in STEPS), lambda a, b: [x and y for x, y in zip(a, b, strict=True)])
    return dict(zip(STEPS, rows, strict=True))


def kept_by_datatrove(rows: list[dict[str, Any]]) -> dict[str, list[bool]]:
    return kept({step: [row["dropped"] != step for row in rows] for step in STEPS})


def agreement(ours: Mapping[str, list[bool]], theirs: Mapping[str, list[bool]]) -> dict[str, float]:
    """The share of documents that both keep or both do not, after each step."""
    return {step: sum(a == b for a, b in zip(ours[step], theirs[step], strict=True)) / len(ours[step]) for step in STEPS}


def shown(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{step} {share:.2%}" for step, share in shares.items())


class Pages:
    """Web pages, with what the recipe makes and measures of them."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        recipe = load_recipe("fineweb", MARKS, ["any"])
        self.rated = rated(texts, recipe)
        self.kept = kept({step: passes(self.rated, recipe, step) for step in STEPS})


@pytest.fixture(scope="module")
def pages(shared: Path) -> Pages:
    return Pages(peer_documents.pages(shared, 10_000))


@pytest.fixture(scope="module")
def theirs(datatrove: Datatrove, pages: Pages) -> list[dict[str, Any]]:
    return datatrove("steps", pages.texts, model=packaged_model())


def test_the_same_pages_after_each_step(pages: Pages, theirs: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """With Tamis's words, and with marks as words, as in datatrove."""
    after = kept_by_datatrove(theirs)
    same = agreement(pages.kept, after)
    with capsys.disabled():
        print(f"\nof {len(pages.texts):,} pages, datatrove drops {dict(Counter(row['dropped'] for row in theirs))}")
        print(f"the same after each step: {shown(same)}", end="")
    assert len(pages.texts) > 5_000
    assert 0.2 < sum(after["fineweb"]) / len(pages.texts) < 0.9
    assert min(same.values()) >= 0.99


def test_the_same_texts_of_the_pages_that_both_keep(
    pages: Pages, theirs: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Line by line, but for lines with an address that only one of them masks, or masks a longer part of (see
    test_the_same_addresses_are_masked_as_in_fineweb)."""
    ours = pages.rated["text"].to_pylist()
    both = [row for row, keep in enumerate(pages.kept["fineweb"]) if keep and theirs[row]["dropped"] is None]
    differ = [row for row in both if ours[row] != theirs[row]["text"]]
    masked = sum(bool(ADDRESS.search(ours[row])) for row in both)
    with capsys.disabled():
        print(f"\nof {len(both):,} pages that both keep, {masked} have a masked address, {len(differ)} another text", end="")
    assert masked > 20
    assert len(differ) / len(both) < 0.01
    for row in differ:
        for mine, other in zip(ours[row].split("\n"), theirs[row]["text"].split("\n"), strict=True):
            assert mine == other or ADDRESS.search(mine) or ADDRESS.search(other), (mine, other)
