"""Budgets are never exceeded and never wasted, the best come first and repeat first, a draw is the one its weights ask for."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.select.allocation import (
    Mixture,
    Selection,
    allocate,
    copies,
    gumbel_scores,
    pools_and_budgets,
    portable_log,
)
from tamis.transforms.select.bins import labels

TOKENS = st.lists(st.integers(0, 50), min_size=1, max_size=30)


def selection(**fields: object) -> Selection:
    return Selection.model_validate(fields)


def by_hand(tokens: list[int], budget: int) -> list[int]:
    """Takes the best documents, epoch after epoch, while their sum is within the budget; an epoch needs at least a token."""
    seen, spent = [0] * len(tokens), 0
    while sum(tokens):
        first = spent + 1
        for document, size in enumerate(tokens):
            spent += size
            if max(spent, first) > budget:
                return seen
            seen[document] += 1
    return seen


@given(TOKENS.filter(any), st.floats(0, 5))
def test_copies_are_those_of_a_loop_over_the_best_documents(tokens: list[int], times: float) -> None:
    rank = np.cumsum(tokens)
    budget = int(times * rank[-1])
    seen = copies(rank, np.full(len(tokens), rank[-1]), np.full(len(tokens), budget))
    assert seen.tolist() == by_hand(tokens, budget)
    assert int(seen @ np.array(tokens)) <= budget
    assert budget - int(seen @ np.array(tokens)) < max(max(tokens), 1)
    assert (np.diff(seen) <= 0).all()


def test_a_pool_cuts_whatever_the_budget_and_a_bin_without_tokens_is_kept() -> None:
    rank, pool = np.array([4, 8, 12]), np.array([8, 8, 8])
    assert copies(rank, pool, np.array([20, 20, 20])).tolist() == [3, 2, 0]
    assert copies(rank, pool, np.array([[8, 20], [8, 20], [8, 20]])).tolist() == [[1, 3], [1, 2], [0, 0]]
    assert copies(np.array([0]), np.array([0]), np.array([0])).tolist() == [1]


def test_no_document_comes_more_often_than_its_pool_fits_the_budget() -> None:
    tokens = np.array([0, 0, 5, 0, 5])
    rank, pool = np.cumsum(tokens), np.full(5, 10)
    assert copies(rank, pool, pool).tolist() == [1, 1, 1, 1, 1]
    assert copies(rank, pool, 2 * pool).tolist() == [2, 2, 2, 2, 2]
    assert copies(rank, pool, 0 * pool).tolist() == [0, 0, 0, 0, 0]


def test_pools_and_budgets_by_bin() -> None:
    bins, sizes = pa.array(["web", "book", "code"]), np.array([100, 40, 10])

    def budget(**fields: object) -> list[object]:
        return [part.tolist() for part in pools_and_budgets(bins, sizes, None, selection(**fields))]

    assert budget(tokens=70) == [[100, 40, 10], [[70], [40], [10]]]
    assert budget(tokens={"web": 50, "code": 99}) == [[100, 40, 10], [[50], [40], [10]]]
    assert budget(tokens={"web": 50, "code": 99}, max_epochs=4) == [[100, 40, 10], [[50], [40], [40]]]
    assert budget(epochs={"web": 0.3, "code": 2.5}) == [[100, 40, 10], [[30], [40], [25]]]
    assert budget(epochs={"web": [1, 0.3], "*": [1, 2]}) == [[100, 40, 10], [[100, 30], [40, 80], [10, 20]]]
    assert budget(top={"web": 0.5}, epochs={"web": 2}) == [[50, 40, 10], [[100], [40], [10]]]
    assert budget(top=0.5) == [[50, 20, 5], [[50], [20], [5]]]
    _, budgets = pools_and_budgets(bins, sizes, np.array([55, 60, 70]), selection(tokens=99, mixture={}, max_epochs=2))
    assert budgets.tolist() == [[55], [60], [20]]


def test_a_mixture_gives_shares_and_redistributes_the_rest() -> None:
    sizes = {"web": 1000, "book": 100, "code": 200}
    weights = {"web": 0.5, "book": 0.3, "code": 0.2}
    assert allocate(sizes, selection(tokens=200, mixture={"weights": weights})) == {"web": 100, "book": 60, "code": 40}
    assert allocate(sizes, selection(tokens=600, mixture={"weights": weights})) == {"book": 100, "code": 142, "web": 357}
    more = selection(tokens=600, mixture={"weights": weights}, max_epochs=2)
    assert allocate(sizes, more) == {"book": 180, "code": 120, "web": 300}
    assert allocate(sizes, selection(tokens=600, mixture={"weights": {"web": 1}})) == {"web": 600, "book": 0, "code": 0}
    rest = allocate(sizes, selection(tokens=300, mixture={"weights": {"web": 1, "*": 1}}))
    assert rest == {"web": 150, "book": 50, "code": 100}


def test_the_temperature_of_a_mixture_goes_from_the_natural_shares_to_even_ones() -> None:
    sizes = {"a": 10_000, "b": 100}
    assert allocate(sizes, selection(tokens=1010, mixture={})) == {"a": 1000, "b": 10}
    assert allocate(sizes, selection(tokens=110, mixture={"temperature": 2})) == {"a": 100, "b": 10}
    even = allocate(sizes, selection(tokens=100, mixture={"temperature": 1e9}))
    assert even == {"a": 50, "b": 49}  # rounded down


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**6), min_size=1),
    st.integers(1, 10**7),
    st.floats(0.5, 8),
    st.floats(1, 4),
)
def test_a_mixture_never_exceeds_the_budget_or_the_caps_and_uses_what_it_can(
    sizes: dict[str, int], tokens: int, temperature: float, most: float
) -> None:
    tokens_of = allocate(sizes, selection(tokens=tokens, mixture={"temperature": temperature}, max_epochs=most))
    assert tokens_of.keys() == sizes.keys()
    room = {name: int(size * most) for name, size in sizes.items()}
    assert all(tokens_of[name] <= room[name] for name in sizes)
    assert sum(tokens_of.values()) <= tokens
    assert sum(tokens_of.values()) >= min(tokens, sum(room.values())) - len(sizes)


def test_the_coldest_mixture_of_the_largest_bins_is_a_number() -> None:
    assert allocate({"a": 10**15, "b": 10**14}, selection(tokens=10**15, mixture={"temperature": 0.05})) == {
        "a": 10**15,
        "b": 0,
    }
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Mixture(temperature=0.01)


def test_a_weight_of_no_bin_is_an_error() -> None:
    with pytest.raises(ValueError, match="names a bin 'wbe' that does not exist; bins are web"):
        allocate({"web": 5}, selection(tokens=5, mixture={"weights": {"wbe": 1}}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tokens": 5, "epochs": {"a": 1}}, "give only one"),
        ({"mixture": {}}, "set tokens to a number"),
        ({"mixture": {}, "tokens": {"a": 5}}, "set tokens to a number"),
        ({"tokens": 5, "mixture": {"weights": {"a": 1}, "temperature": 2}}, "give only one of them"),
        ({"tokens": 5, "mixture": {"weights": {"a": 0}}}, "every weight is 0"),
        ({"epochs": {"a": [1, 2], "*": 1}}, "do not mix them"),
        ({"epochs": {"a": [1, 2]}}, "for all other bins"),
        ({"epochs": {"a": [1, 2], "*": [1]}}, "need the same length"),
        ({"tokens": 5, "bins": ["licence"]}, "bins have no effect"),
    ],
)
def test_options_that_contradict_each_other_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Selection.model_validate(fields)


def test_when_a_selection_repeats() -> None:
    assert not selection().is_active
    assert not selection(tokens=5).repeats
    assert selection(tokens=5, max_epochs=1.5).repeats
    assert not selection(epochs={"a": 0.5}).repeats
    assert selection(epochs={"a": 1.5}).repeats
    assert selection(epochs={"*": [1, 0.5]}).repeats
    assert Mixture().temperature == 1


def test_the_portable_logarithm_is_accurate() -> None:
    values = np.concatenate([np.random.default_rng(0).random(10_000), 2.0 ** -np.arange(1, 54), [1.0, 0.5**0.5, 36.7]])
    np.testing.assert_allclose(portable_log(values), [math.log(value) for value in values], rtol=4e-16, atol=3e-16)


def test_gumbel_top_k_draws_by_the_weights() -> None:
    """Of three documents, the first of each draw is document i in a share exp(q_i / T) / Σ of 60,000 seeds."""
    quality, temperature, draws = np.array([0.2, 0.5, 0.9], np.float32), 0.4, 60_000
    tie_break = np.random.default_rng(1).integers(0, 2**63, 3 * draws).astype(np.uint64)
    keys = gumbel_scores(np.tile(quality, draws), tie_break, temperature).reshape(draws, 3)
    share = np.bincount(keys.argmax(axis=1), minlength=3) / draws
    weight = np.exp(quality / temperature)
    np.testing.assert_allclose(share, weight / weight.sum(), atol=0.006)


def test_temperature_zero_is_the_quality_and_missing_stays_missing() -> None:
    quality = np.array([0.2, np.nan], np.float32)
    tie_break = np.array([1, 2], np.uint64)
    assert gumbel_scores(quality, tie_break, 0.0) is quality
    assert np.isnan(gumbel_scores(quality, tie_break, 1.0)).tolist() == [False, True]
    np.testing.assert_array_equal(gumbel_scores(quality, tie_break, 1.0), gumbel_scores(quality, tie_break, 1.0))


def test_labels_are_joined_and_missing_ones_named() -> None:
    columns = [pa.array(["science", None]), pa.array([True, False]), pa.array([3, None], pa.int64())]
    assert labels(columns).to_pylist() == ["science|true|3", "none|false|none"]
    assert labels(columns[:1]).to_pylist() == ["science", "none"]
