"""Documents repeated by a quality curve or by their duplicates: whole runs compared with a slow reading of their ledgers."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tamis.pipelines.cli.explain import head
from tamis.pipelines.lookup.explanation import explanation
from tamis.pipelines.recipe.lint_recipe import lint_recipe
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.transforms.select.allocation import Selection, allocate
from tamis.transforms.select.upsampling.quality_curve import QualityCurve, drawn_copies
from tamis.transforms.text.hashing import hash128, mix
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import corpus_of, write_recipe
from tests.pipelines.test_selection import eligible, selected

Rows = list[dict[str, Any]]

FINEWEB2 = {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}


@pytest.fixture(scope="module")
def records() -> list[dict[str, object]]:
    return corpus(240, sentences=(4, 12))


def tie_breaks(rows: Rows, seed: int = 0) -> np.ndarray:
    return mix(np.ascontiguousarray(hash128(pa.array([row["id"] for row in rows]))[:, 0]), seed)


def expected_copies(rows: Rows, epochs: float, curve: QualityCurve) -> dict[str, int]:
    """Copies of each document of a bin by a loop over its tokens, from the best document to the worst."""
    ties = dict(zip((row["id"] for row in rows), tie_breaks(rows).tolist(), strict=True))
    rows = sorted(rows, key=lambda row: (-row["quality"], ties[row["id"]]))
    whole = sum(row["tokens"] for row in rows)
    of_bucket = curve.bucket_times(int(epochs * whole + 0.5) / whole).tolist()
    copies, above = {}, 0
    for row in rows:
        worst, best = Fraction(whole - above - row["tokens"], whole), Fraction(whole - above, whole)
        above += row["tokens"]
        edges = [Fraction(bucket, curve.buckets) for bucket in range(curve.buckets + 1)]
        shares = [max(Fraction(0), min(best, high) - max(worst, low)) for low, high in pairwise(edges)]
        times = round(sum(share * each for share, each in zip(shares, of_bucket, strict=True)) / (best - worst))
        drawn = drawn_copies(np.array([times]), np.array([ties[row["id"]]], np.uint64))
        copies[row["id"]] = int(drawn[0])
    return copies


def assert_emitted_as_decided(manifest: dict[str, Any], ledger: Rows, documents: Rows) -> None:
    emitted = Counter(row["id"] for row in documents)
    assert {row["id"]: emitted[row["id"]] for row in ledger} == {row["id"]: row["epochs"] for row in ledger}
    counts = manifest["counts"]
    assert counts["repeated"]["documents"] == len(documents) - counts["kept"] > 0
    assert counts["repeated"]["tokens"] == manifest["curriculum"]["tokens"] - counts["tokens"]["kept"]


def test_a_curve_repeats_the_best_and_drops_the_worst_of_each_bin(tmp_path: Path, records: list[dict[str, object]]) -> None:
    epochs, curve = {"web": 0.8, "books": 2.0, "*": 1.0}, {"cap": 5, "drop": 0.3, "buckets": 10}
    source = save(tmp_path / "in", dealt(records, 3, seed=1))
    manifest, ledger, documents = selected(tmp_path, source, select={"epochs": epochs, "curve": curve})
    assert_emitted_as_decided(manifest, ledger, documents)
    for name, rows in eligible(ledger).items():
        expected = expected_copies(rows, epochs.get(name, 1.0), QualityCurve.model_validate(curve))
        assert {row["id"]: row["epochs"] for row in rows} == expected
        tokens, wanted = (
            sum(row["tokens"] * times for row, times in zip(rows, each, strict=True))
            for each in ([row["epochs"] for row in rows], [epochs.get(name, 1.0)] * len(rows))
        )
        noise = np.sqrt(sum(row["tokens"] ** 2 for row in rows)) / 2  # of the draws: their variance is 1/4 at most
        assert abs(tokens - wanted) < 4 * noise
        order = sorted(rows, key=lambda row: row["quality"])
        assert all(row["epochs"] == 0 for row in order[: len(order) // 5])
        assert max(row["epochs"] for row in rows) in (row["epochs"] for row in order[-len(order) // 5 :])
    dropped = [row for row in ledger if row["reason"] == "select.curve"]
    assert dropped
    assert all(row["detail"].startswith("token ") and "times on average" in row["detail"] for row in dropped)
    assert all(row["detail"] for row in ledger if row["decision"] == "keep")
    assert "select.curve" in {row["reason"] for row in manifest["counts"]["reasons"]}
    most = max(ledger, key=lambda row: row["epochs"])
    explained = list(head(explanation(str(tmp_path / "run"), most["id"])))
    assert explained[1:3] == ["kept", f"is in the corpus {most['epochs']} times: {most['detail']}"]
    (line,) = (line for line in head(explanation(str(tmp_path / "run"), dropped[0]["id"])) if "select.curve" in line)
    assert line == f"dropped because of select.curve: {dropped[0]['detail']}"


def test_a_budget_above_the_cap_is_told(tmp_path: Path, records: list[dict[str, object]]) -> None:
    source, told = save(tmp_path / "in", [records]), []
    for name, budget in (("above", 1_000_000), ("below", 6_000)):
        (tmp_path / name).mkdir()
        manifest, _, _ = selected(tmp_path / name, source, select={"tokens": budget, "curve": {"cap": 4, "drop": 0.25}})
        told += [warning["message"] for warning in manifest["warnings"] if warning["code"] == "budget-unfilled"]
    (message,) = told
    assert "of the 1,000,000 tokens under select.tokens: a curve with cap 4 that drops 0.25 gives at most 2." in message


def test_a_mixture_shares_the_budget_and_a_curve_divides_it(tmp_path: Path, records: list[dict[str, object]]) -> None:
    curve = {"cap": 4, "drop": 0.25}
    select = {"tokens": 30_000, "mixture": {"weights": {"web": 1, "books": 5, "code": 0}}, "curve": curve}
    manifest, ledger, documents = selected(tmp_path, save(tmp_path / "in", dealt(records, 2, seed=1)), select=select)
    assert_emitted_as_decided(manifest, ledger, documents)
    rows = eligible(ledger)
    sizes = {name: sum(row["tokens"] for row in each) for name, each in rows.items()}
    budgets = allocate(sizes, Selection.model_validate(select))
    assert budgets["books"] == int(sizes["books"] * QualityCurve.model_validate(curve).most_epochs) < 25_000
    for name, each in rows.items():
        expected = expected_copies(each, budgets[name] / sizes[name], QualityCurve.model_validate(curve))
        assert {row["id"]: row["epochs"] for row in each} == expected


@pytest.mark.parametrize(
    "select",
    [{"curve": {"cap": 3, "drop": 0.2}, "bins": ["metadata.trap"]}, {"rehydrate": FINEWEB2, "top": 0.8}],
    ids=["curve", "rehydrate"],
)
def test_the_corpus_does_not_depend_on_how_its_input_is_split(
    tmp_path: Path, records: list[dict[str, object]], select: dict[str, object]
) -> None:
    roots = set()
    for pieces in (1, 4):
        folder = tmp_path / str(pieces)
        folder.mkdir()
        manifest, ledger, documents = selected(folder, save(folder / "in", dealt(records, pieces, seed=pieces)), select=select)
        assert_emitted_as_decided(manifest, ledger, documents)
        roots.add(corpus_of(folder / "run")[0])
    assert len(roots) == 1


def test_survivors_are_repeated_by_the_size_of_their_cluster(tmp_path: Path, records: list[dict[str, object]]) -> None:
    """In phases, too, where each has all copies of its documents."""
    phases = [{"name": "p1", "share": 0.6, "order": "uniform"}, {"name": "p2", "share": 0.4, "order": "ascending"}]
    source = save(tmp_path / "in", dealt(records, 3, seed=1))
    curriculum = {"phases": phases, "schedule": {"shape": "wsd", "peak": 3e-3, "final": 1e-3, "decay": 0.18}}
    table = {1: 0, 2: 3, 3: 1}
    manifest, ledger, documents = selected(tmp_path, source, select={"rehydrate": table}, curriculum=curriculum)
    assert_emitted_as_decided(manifest, ledger, documents)
    reached = [row for rows in eligible(ledger).values() for row in rows]
    sizes = {row["copies"] for row in reached}
    assert sizes >= {1, 2, 3}
    assert all(row["epochs"] == table[min(row["copies"], 3)] for row in reached)
    single = next(row for row in reached if row["copies"] == 1)
    assert (single["reason"], single["detail"]) == ("select.rehydrate", "for a cluster of 1")
    double = next(row for row in reached if row["copies"] == 2)
    lines = list(head(explanation(str(tmp_path / "run"), double["id"])))
    assert "is in the corpus 3 times: for a cluster of 2" in lines
    by_phase = Counter((row["id"], row["phase"]) for row in documents)
    assert set(by_phase.values()) == {1, 3}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"select": {"rehydrate": {1: 1}}, "dedup": None}, "add dedup: {exact: true}"),
        ({"select": {"rehydrate": {2: 2}}}, "add 1: 1"),
        ({"select": {"rehydrate": {1: 2}, "tokens": 5}}, "rehydrate and tokens both set how often"),
        ({"select": {"rehydrate": {1: 2}, "curve": {}}}, "rehydrate and curve both set how often"),
        ({"select": {"curve": {}, "top": 0.5}}, "a curve takes no top: curve.drop leaves the worst out"),
        ({"select": {"curve": {}, "max_epochs": 4}}, "a curve takes no max_epochs: curve.cap limits how often"),
        ({"select": {"curve": {}, "epochs": {"web": 5}}}, "takes a bin at most 4.16 times, and epochs asks for 5 times 'web'"),
        ({"select": {"curve": {}, "epochs": {"*": [1, 0.5]}}}, "a curve takes no lists of epochs"),
        ({"select": {"curve": {"drop": 1}}}, "less than 1"),
    ],
)
def test_an_impossible_repetition_is_an_error(tmp_path: Path, sections: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(str(write_recipe(tmp_path, **sections)), paths=["x"])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("sections", "codes"),
    [
        ({"select": {"epochs": {"*": 4}}}, []),
        ({"select": {"epochs": {"*": 4.5}}}, ["repeats-many"]),
        ({"select": {"epochs": {"books": 20}}}, []),
        ({"select": {"epochs": {"books": 20.5}}}, ["repeats-many"]),
        ({"select": {"curve": {}}, "quality": []}, ["curve-without-quality"]),
        ({"select": {"curve": {}}, "quality": [{"signal": "gopher.stop_words", "range": [0, 8]}]}, []),
    ],
)
def test_lint_warns_of_many_repeats_and_of_a_curve_over_nothing(sections: dict[str, object], codes: list[str]) -> None:
    recipe = Recipe.model_validate({"rate": {"gopher": {}}, **sections})
    assert [warning.code for warning in lint_recipe(recipe)] == codes
