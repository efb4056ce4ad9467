"""The recipe `dolma` decides as Dolma's taggers with Dolma's limits, rule by rule, and leaves the same lines."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
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
from tamis.transforms.select.thresholds import evaluate
from tests.bench.install import python_of

pytestmark = pytest.mark.slow

DOLMA = {"dolma": "1.2.1", "unicode": unicodedata.unidata_version}
ENVIRONMENTS = Path(__file__).parents[2] / ".venv-bench"

RULES: Mapping[str, tuple[str, float, float]] = {
    "gopher.word_count": ("word_count", 50, 100_000),
    "gopher.mean_word_length": ("median_word_length", 3, 10),
    "gopher.alphabetic_words": ("fraction_of_words_with_alpha_character", 0.8, 1),
    "gopher.stop_words": ("required_word_count", 2, 1e9),
    "gopher.bullet_lines": ("fraction_of_lines_starting_with_bullet_point", 0, 0.9),
    "gopher.ellipsis_lines": ("fraction_of_lines_ending_with_ellipsis", 0, 0.3),
    "repetition.duplicate_line_share": ("fraction_of_duplicate_lines", 0, 0.3),
    "repetition.duplicate_line_chars": ("fraction_of_characters_in_duplicate_lines", 0, 0.3),
    **{
        f"repetition.top_{n}gram_chars": (f"fraction_of_characters_in_most_common_{n}grams", 0, most)
        for n, most in ((2, 0.2), (3, 0.18), (4, 0.16))
    },
    **{
        f"repetition.duplicate_{n}gram_chars": (f"fraction_of_characters_in_duplicate_{n}grams", 0, most)
        for n, most in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))
    },
}
"""By signal of Tamis: what Dolma's tagger calls it, and Dolma's limits (configs/dolma-v1_6/mixing/cc-head.yaml)."""

SYMBOLS = ("gopher.hash_ratio", "gopher.ellipsis_ratio")
"""Two rules for Dolma's one, symbol_to_word_ratio of at most 0.1."""

DIFFERENT: Mapping[str, float] = {"repetition.duplicate_line_share": 0.7, "repetition.duplicate_line_chars": 0.9}
"""The least agreement of rules that are known to differ: Dolma counts all equal lines, blank ones among them."""


@pytest.fixture(scope="module")
def pages(shared: Path) -> list[str]:
    """Web pages in the form that Dolma has of CCNet: without blank lines."""
    texts = ("\n".join(lines(text)) for text in peer_documents.pages(shared, 10_000))
    return [text for text in texts if text]


@pytest.fixture(scope="module")
def theirs(peer: Callable[..., list[dict[str, Any]]], pages: list[str]) -> list[dict[str, Any]]:
    return peer("dolma_values.py", DOLMA, [], pages, python_of("dolma", ENVIRONMENTS))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("dolma", paths=["any"])


def rated(recipe: Recipe, texts: list[str]) -> pa.Table:
    rows = [{"id": str(number), "text": text, "source": "default"} for number, text in enumerate(texts)]
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    (measured, _), errors = measure_each(batch, recipe, prepared_components(recipe, ""))
    assert not errors
    return pa.table(measured)


def passes(table: pa.Table, recipe: Recipe, *signals: str) -> list[bool]:
    rules = {signal: recipe.thresholds[signal] for signal in signals}
    return [decision == "keep" for decision in evaluate(table, rules)["decision"].to_pylist()]


def within(row: dict[str, Any], name: str, least: float, most: float) -> bool:
    """Whether Dolma's value is inside the limits; a text without n-grams of that length has none."""
    return least <= row["gopher"].get(name, least) <= most


def test_the_same_pages_pass_each_rule(
    pages: list[str], theirs: list[dict[str, Any]], recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the differences that the recipe names: equal lines without the first, a mean for a median, different stop words,
    lines that end in `...`, n-grams that occur once, and what is personal data."""
    table = rated(recipe, pages)
    mine = {signal: passes(table, recipe, signal) for signal in RULES}
    other = {signal: [within(row, *limits) for row in theirs] for signal, limits in RULES.items()}
    mine["symbols"] = passes(table, recipe, *SYMBOLS)
    other["symbols"] = [within(row, "symbol_to_word_ratio", 0, 0.1) for row in theirs]
    values = [row["pii"] for row in theirs]
    mine["edit.pii.values"] = passes(table, recipe, "edit.pii.values")
    other["edit.pii.values"] = [sum(row.values()) <= 5 for row in values]
    mine["gopher_v1"] = [all(each) for each in zip(*(mine[signal] for signal in (*RULES, "symbols")), strict=True)]
    other["gopher_v1"] = [all(each) for each in zip(*(other[signal] for signal in (*RULES, "symbols")), strict=True)]
    agree = {name: sum(a == b for a, b in zip(mine[name], other[name], strict=True)) / len(pages) for name in mine}
    with capsys.disabled():
        for name, share in agree.items():
            print(
                f"\n{name:36}{share:8.2%} alike; {mine[name].count(False):5,} dropped, by Dolma {other[name].count(False):5,}"
            )
    assert len(pages) > 1_000
    assert {name: share for name, share in agree.items() if share < 0.99} == {}


def test_the_same_lines_are_left(pages: list[str], theirs: list[dict[str, Any]], recipe: Recipe) -> None:
    """Byte for byte, but where a letter has another length in lower case (İ): Dolma's places of lines are those of the text in
    lower case."""
    cut = Recipe.model_validate(
        {"input": {"paths": ["any"]}, "edit": recipe.model_dump(mode="json", exclude_unset=True)["edit"][1:]}
    )
    ours = rated(cut, pages)["text"].to_pylist()
    pairs = zip(pages, ours, theirs, strict=True)
    differ = [page for page, mine, row in pairs if lines(mine) != lines(row["lines"])]
    assert [page for page in differ if len(page.lower()) == len(page)][:3] == []
    assert len(differ) < 5


def lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def test_personal_data_is_found_where_dolma_finds_it(
    pages: list[str], theirs: list[dict[str, Any]], recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every page with an address. Dolma takes ten digits behind a space for a telephone number, whatever they are, and four
    numbers of a version for an IP address."""
    table = rated(recipe, pages)
    for kind, name in (("email", "EMAIL_ADDRESS"), ("phone", "PHONE_NUMBER"), ("ip", "IP_ADDRESS")):
        mine = [count > 0 for count in table[f"edit.pii.{kind}s"].to_pylist()]
        other = [row["pii"].get(name, 0) > 0 for row in theirs]
        both = sum(a and b for a, b in zip(mine, other, strict=True))
        with capsys.disabled():
            print(f"\n{kind:6} pages with one: {sum(mine):5,}, by Dolma {sum(other):5,}, by both {both:5,}", end="")
        if kind == "email":
            assert both == sum(other) > 100
        if kind == "phone":
            assert both > 0.75 * sum(other) > 200
