"""Steps of Decide are objects: the first that does not keep a document decides, and each costs the same."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tamis.pipelines.decisions import document_states
from tamis.pipelines.decisions.document_states import decided_documents, explained_documents, kept_documents, settle
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.beam.step import Documents, Step
from tamis.transforms.core.release import open_release
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import write_recipe


class DropByHash(Step):
    """Drops a tenth of the documents, by a hash of the id; works as long as a step with results."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"tenth_{number}"

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        hashes = documents.columns["id_hash"].to_numpy()
        for _ in range(20):
            failed = (hashes >> 8) % 10 == self.number
        documents.end(failed, "drop", self.name, lambda rows: documents.columns["id"].take(rows))


class Steps(Recipe):
    """A recipe whose steps are given."""

    def with_steps(self, *steps: Step) -> Steps:
        self.__dict__["steps"] = (*steps, *Recipe.model_validate(self.model_dump(exclude_unset=True)).steps)
        return self


@pytest.fixture(scope="module")
def part_state(tmp_path_factory) -> PartState:
    """A rated part of a few thousand documents."""
    folder = tmp_path_factory.mktemp("steps")
    source = save(folder / "in", [corpus(4000, seed=6, sentences=(1, 3))])
    launch(load_recipe(str(write_recipe(folder)), (), [str(source)]), str(folder / "run"), workers=1)
    return PartState(0, open_release(str(folder / "run")).part(0))


def recipe_of(steps: int) -> Steps:
    return Steps.model_validate({"rate": {"gopher": {}}, "thresholds": {"gopher.word_count": {"min": 5}}}).with_steps(
        *(DropByHash(number) for number in range(steps))
    )


def test_the_first_step_that_does_not_keep_a_document_decides(part_state):
    recipe = recipe_of(3)
    table = explained_documents(part_state, recipe)
    reasons = pc.unique(table["reason"]).to_pylist()
    assert {"tenth_0", "tenth_1", "tenth_2", "gopher.word_count", None} <= set(reasons)
    for row in table.filter(pc.equal(table["reason"], "tenth_1")).to_pylist():
        assert row["detail"] == row["id"]
        assert (row["id_hash"] >> 8) % 10 == 1


def test_steps_that_settle_one_by_one_keep_what_all_at_once_keep(part_state, tmp_path):
    recipe = recipe_of(5)
    expected = kept_documents(part_state, recipe, complete=True)["id"].to_pylist()
    state: Any = part_state
    for step in recipe.steps:
        state = settle(state, recipe, (step.name,), str(tmp_path))
    assert kept_documents(state, recipe)["id"].to_pylist() == expected
    assert (
        decided_documents(state, recipe)["decision"].to_pylist()
        == decided_documents(part_state, recipe)["decision"].to_pylist()
    )


def test_a_step_that_comes_later_does_not_decide_for_an_earlier_one(part_state, tmp_path):
    recipe = recipe_of(2)
    first = settle(part_state, recipe, ("tenth_0",), str(tmp_path))
    hashes = kept_documents(first, recipe)["id_hash"].to_numpy() >> 8
    assert set(hashes % 10) == set(range(10)) - {0}


def seconds_of(part_state: PartState, steps: int, spill: str) -> float:
    """CPU seconds until that many steps have settled, one after the other, as when each has results."""
    recipe, state = recipe_of(steps), part_state
    document_states.clear_cache()
    start = time.process_time()
    for number in range(steps):
        state = settle(state, recipe, (f"tenth_{number}",), spill)
        kept_documents(state, recipe)
    return time.process_time() - start


@pytest.mark.slow
def test_ten_steps_cost_ten_times_one(part_state, tmp_path):
    seconds_of(part_state, 2, str(tmp_path))
    measured = {steps: min(seconds_of(part_state, steps, str(tmp_path)) for _ in range(3)) for steps in (2, 10, 20)}
    each = {steps: seconds / steps for steps, seconds in measured.items()}
    print(f"CPU milliseconds a step: { ({steps: round(1000 * value, 2) for steps, value in each.items()}) }")
    assert each[20] < 1.5 * each[2] + 0.002


def test_urls_in_a_list_are_dropped(tmp_path):
    records = corpus(60, seed=3)
    source = save(tmp_path / "in", dealt(records, 2, seed=1))
    urls = [str(record["url"]) for record in records[:5]]
    recipe = load_recipe(str(write_recipe(tmp_path, drop_urls=urls, thresholds={})), (), [str(source)])
    counts = launch(recipe, str(tmp_path / "run"), workers=1).manifest["counts"]
    assert {row["reason"]: row["documents"] for row in counts["reasons"]}["drop_urls"] == 5
