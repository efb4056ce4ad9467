"""Fused quality rises with every signal in its better direction, stays in [0, 1], and ignores what is missing."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.core.rater import Signal
from tamis.transforms.select.quality.fuse import Quality, Weight, fuse

SIGNALS = {
    signal.name: signal
    for signal in (
        Signal("up", "float64", "share", "up", "test", 0.0, 10.0),
        Signal("down", "float64", "share", "down", "test", 0.0, 10.0),
        Signal("band", "float64", "words", "band", "test", 4.0, 6.0),
        Signal("flag", "bool", "", "down", "test"),
        Signal("fact", "int64", "words", "none", "test", 0.0, 10.0),
        Signal("open", "float64", "share", "up", "test"),
        Signal("label", "string", "", "none", "test"),
    )
}


def quality(weights: list[Weight], **columns: list[float | None]) -> list[float]:
    table = pa.table({name: pa.array(values, pa.float64()) for name, values in columns.items()})
    return fuse(table, Quality(signals=tuple(weights)) if weights else None, SIGNALS).tolist()


def test_ranges_map_to_zero_and_one_and_clip() -> None:
    values: list[float | None] = [-5, 0, 2.5, 10, 11, math.inf, -math.inf]
    assert quality([Weight(signal="up")], up=values) == [0, 0, 0.25, 1, 1, 1, 0]
    assert quality([Weight(signal="down")], down=values) == [1, 1, 0.75, 0, 0, 0, 1]


def test_a_band_is_best_inside_and_falls_to_zero_one_width_away() -> None:
    values: list[float | None] = [1, 2, 3, 4, 5, 6, 7, 8, 9, math.inf]
    assert quality([Weight(signal="band")], band=values) == [0, 0, 0.5, 1, 1, 1, 0.5, 0, 0, 0]


def test_the_recipe_overrides_direction_and_range() -> None:
    assert quality([Weight(signal="up", direction="down", range=(0, 4))], up=[1.0]) == [0.75]
    assert quality([Weight(signal="fact", direction="up")], fact=[5.0]) == [0.5]
    assert quality([Weight(signal="open", range=(0, 2))], open=[1.0]) == [0.5]


def test_a_flag_is_nought_or_one() -> None:
    table = pa.table({"flag": [True, False, None]})
    np.testing.assert_array_equal(
        fuse(table, Quality(signals=(Weight(signal="flag"),)), SIGNALS), np.array([0, 1, np.nan], np.float32)
    )


def test_a_missing_signal_leaves_its_weight_out() -> None:
    weights = [Weight(signal="up", weight=3), Weight(signal="down", weight=1)]
    found = quality(weights, up=[10, None, 10, None, math.nan], down=[10, 0, None, None, 0])
    assert found[:3] == [0.75, 1.0, 1.0]
    assert math.isnan(found[3])
    assert found[4] == 1.0


def test_without_weights_all_documents_are_alike() -> None:
    assert quality([], up=[1, 2, None]) == [0.5, 0.5, 0.5]


VALUES = st.floats(-20, 20)


@given(VALUES, VALUES, VALUES, VALUES, st.floats(0.01, 100), st.floats(0.01, 100))
def test_quality_rises_with_up_and_falls_with_down(a: float, b: float, up: float, down: float, w: float, v: float) -> None:
    weights = [Weight(signal="up", weight=w), Weight(signal="down", weight=v)]
    low, high = min(a, b), max(a, b)
    rising = quality(weights, up=[low, high], down=[down, down])
    falling = quality(weights, up=[up, up], down=[low, high])
    assert 0 <= rising[0] <= rising[1] <= 1
    assert 1 >= falling[0] >= falling[1] >= 0


@given(VALUES, VALUES)
def test_a_band_falls_with_the_distance_to_it(a: float, b: float) -> None:
    def distance(value: float) -> float:
        return max(4 - value, value - 6, 0)

    near, far = sorted((a, b), key=distance)
    found = quality([Weight(signal="band")], band=[near, far])
    assert 1 >= found[0] >= found[1] >= 0


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1), st.permutations(["up", "down", "band"]))
def test_the_order_of_the_lines_changes_no_bit(rows: list[tuple[float, float, float]], order: list[str]) -> None:
    columns = dict(zip(("up", "down", "band"), (list(column) for column in zip(*rows, strict=True)), strict=True))
    weight = {"up": 0.1, "down": 0.7, "band": 1.3}
    one = [Weight(signal=name, weight=value) for name, value in weight.items()]
    other = [Weight(signal=name, weight=weight[name]) for name in order]
    assert quality(one, **columns) == quality(other, **columns)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([Weight(signal="open")], "range for 'open'"),
        ([Weight(signal="fact")], "direction for 'fact'"),
        ([Weight(signal="label")], "'label': it is text"),
        ([Weight(signal="up"), Weight(signal="up", weight=2)], "'up' twice"),
    ],
)
def test_signals_that_cannot_be_weighed_are_named(weights: list[Weight], words: str) -> None:
    table = pa.table({name: pa.array([1.0]) for name in ("open", "fact", "up")})
    with pytest.raises(ValueError, match=words):
        fuse(table, Quality(signals=tuple(weights)) if weights else None, SIGNALS)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"weight": 0}, "greater than 0"), ({"range": [1, 1]}, "low below high"), ({"range": [0, math.nan]}, "low below high")],
)
def test_an_impossible_weight_says_why(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Weight.model_validate({"signal": "up", **options})
