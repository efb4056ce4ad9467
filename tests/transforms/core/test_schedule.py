"""Schedules give the paper's learning rates, and their integrals are those of the midpoint rule."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.core.schedule import Curve, Piece, Schedule

STEPS = 1_000_000
SHARES = st.floats(0, 1)


@st.composite
def pieces(draw: st.DrawFn, until: float, peak: float) -> Piece:
    curve = draw(st.sampled_from(get_args(Curve)))
    power = draw(st.floats(0.5, 3)) if curve == "linear" else 1.0
    first, last = (peak * draw(st.floats(1e-3, 1)) for _ in range(2))
    return Piece(until=until, curve=curve, first=first, last=last, power=power)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    peak = draw(st.floats(1e-6, 1))
    shape = draw(st.sampled_from(["constant", "linear", "cosine", "wsd", "step", "pieces", "points"]))
    if shape == "points":
        tokens = sorted(draw(st.lists(st.integers(1, 1000), max_size=6)))
        rates = draw(st.lists(SHARES, min_size=len(tokens) + 2, max_size=len(tokens) + 2))
        rates[0] = max(rates[0], 1e-3)
        return Schedule(points=tuple((at, peak * rate) for at, rate in zip([0, *tokens, 1000], rates, strict=True)))
    if shape == "pieces":
        ends = sorted(draw(st.sets(st.floats(0.01, 0.99), max_size=4)))
        return Schedule(pieces=tuple(draw(pieces(until, peak)) for until in [*ends, draw(st.floats(1, 2))]))
    warmup = draw(st.floats(0, 0.9))
    steps = sorted(draw(st.sets(st.floats(0.901, 0.999), min_size=1, max_size=4))) if shape == "step" else []
    return Schedule(
        shape=shape,
        peak=peak,
        final=peak * draw(st.floats(1e-3, 1)),
        warmup=warmup,
        decay=(1 - warmup) * draw(st.floats(0, 0.999)),
        decay_shape=draw(st.sampled_from(get_args(Curve))),
        steps=tuple((at, draw(SHARES)) for at in steps),
    )


PUBLISHED = [
    (Schedule(shape="constant"), 10.000, 100.00),
    (Schedule(decay=0.06, final=1e-5), 6.263, 60.13),
    (Schedule(decay=0.18, final=1e-3), 4.750, 43.70),
    (Schedule(decay=0.18, final=1e-5), 1.799, 15.84),
    (Schedule(decay=0.37, final=1e-5), 0.982, 7.41),
    (Schedule(shape="cosine", final=1e-5), 0.229, 1.15),
]


@pytest.mark.parametrize(("schedule", "share", "mean"), PUBLISHED)
def test_share_of_the_learning_rate_on_the_last_tenth(schedule: Schedule, share: float, mean: float) -> None:
    rate = schedule.learning_rate((np.arange(STEPS) + 0.5) / STEPS)
    last = rate[-STEPS // 10 :]
    assert 100 * last.sum() / rate.sum() == pytest.approx(share, abs=5e-4)
    assert 100 * last.mean() / schedule.peak == pytest.approx(mean, abs=5e-3)
    assert 100 * schedule.mass(0.9, 1) / schedule.mass(0, 1) == pytest.approx(share, abs=5e-4)


@given(schedules(), SHARES, SHARES)
def test_mass_is_the_midpoint_rule(schedule: Schedule, one: float, other: float) -> None:
    a, b = min(one, other), max(one, other)
    points = a + (b - a) * (np.arange(20_000) + 0.5) / 20_000
    assert float(schedule.mass(a, b)) == pytest.approx(
        schedule.learning_rate(points).mean() * (b - a), abs=2e-4 * schedule.peak
    )


@given(schedules(), st.lists(SHARES, min_size=1, max_size=8))
def test_mass_of_the_run_is_the_sum_over_its_parts(schedule: Schedule, cuts: list[float]) -> None:
    ends = np.array([0.0, *sorted(cuts), 1.0])
    parts = schedule.mass(ends[:-1], ends[1:])
    assert (parts >= -1e-12 * schedule.peak).all()
    assert parts.sum() == pytest.approx(float(schedule.mass(0, 1)))


@given(schedules(), SHARES, SHARES)
def test_range_holds_every_rate(schedule: Schedule, one: float, other: float) -> None:
    a, b = min(one, other), max(one, other)
    low, high = schedule.lr_range(a, b)
    inside = np.linspace(a, b, 999, endpoint=a == b)  # a jump at b is not included
    rates = schedule.learning_rate(np.clip(inside, a, b))
    slack = 1e-9 * schedule.peak
    assert low - slack <= rates.min()
    assert rates.max() <= high + slack
    assert high <= schedule.peak * (1 + 1e-12)


def test_the_decay_is_the_papers_square_root() -> None:
    schedule = Schedule(peak=3e-3, final=1e-3, decay=0.2)
    r = np.linspace(0, 1, 11)
    expected = 3e-3 * (1 - np.sqrt(r)) + 1e-3 * np.sqrt(r)
    np.testing.assert_allclose(schedule.learning_rate(0.8 + 0.2 * r), expected, rtol=1e-6)


def test_ends_and_corners() -> None:
    schedule = Schedule(warmup=0.1, decay=0.2)
    np.testing.assert_array_equal(schedule.learning_rate([0, 0.1, 0.5, 0.8, 1]), [0, 3e-3, 3e-3, 3e-3, 1e-5])
    assert schedule.lr_range(0.2, 0.7) == (3e-3, 3e-3)
    assert schedule.lr_range(0, 1) == (0, 3e-3)
    np.testing.assert_array_equal(Schedule(decay=0).learning_rate([0, 1]), [3e-3, 3e-3])
    np.testing.assert_array_equal(Schedule(decay=1).learning_rate([0, 1]), [3e-3, 1e-5])


@given(st.integers(1, 10**7), st.integers(1, 10**7), st.sampled_from(get_args(Curve)))
def test_at_the_step_where_a_decay_begins_the_rate_is_the_peak(before: int, decay: int, curve: Curve) -> None:
    steps = before + decay
    schedule = Schedule(decay=decay / steps, decay_shape=curve)
    assert schedule.learning_rate([0, before / steps, 1]).tolist() == pytest.approx([3e-3, 3e-3, 1e-5], rel=1e-15)


def test_a_constant_schedule_has_no_final_rate() -> None:
    np.testing.assert_array_equal(Schedule(shape="constant", peak=1e-6, final=1e-5).learning_rate([0, 1]), [1e-6, 1e-6])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"final": 1e-2}, "final 0.01 is above peak 0.003"),
        ({"warmup": 0.5, "decay": 0.6}, "is longer than the run"),
        ({"decay_shape": "exponential", "final": 0}, "never reaches 0"),
        ({"shape": "step"}, "shape: step needs steps"),
        ({"steps": [[0.8, 0.1]]}, "other shapes have none"),
        ({"shape": "step", "steps": [[0.8, 0.1], [0.7, 0.01]]}, "in order"),
        ({"shape": "step", "warmup": 0.85, "steps": [[0.8, 0.1]]}, "in order"),
        ({"shape": "points"}, "shape: points needs points"),
        ({"points": [[1, 0.1], [2, 0.1]]}, "must start at 0"),
        ({"points": [[0, 0.1], [2, 0.1], [1, 0.1]]}, "must start at 0"),
        ({"points": [[0, 0.1], [2, 0.1]], "peak": 1}, "leave it out"),
        ({"points": [[0, 0.1], [2, 0.1]], "warmup": 0.1}, "include the warm-up"),
        ({"points": [[0, 0.1], [2, 0.1]], "tokens": 5}, "leave out tokens"),
        ({"points": [[0, 0.0], [2, 0.0]]}, "greater than 0"),
        ({"points": [[0, 1.0], [0, 0.0], [2, 0.0]]}, "0 throughout"),
        ({"shape": "pieces"}, "shape: pieces needs pieces"),
        ({"pieces": [{"until": 0.5, "first": 1, "last": 0}]}, "only the last one at 1 or later"),
        ({"pieces": [{"until": 1, "first": 1, "last": 0}, {"until": 2, "first": 1, "last": 0}]}, "only the last one at 1"),
        ({"pieces": [{"until": 1, "first": 0, "last": 0}]}, "greater than 0"),
        ({"pieces": [{"until": 1, "first": 1, "last": 0}], "peak": 2}, "leave it out"),
        ({"pieces": [{"until": 1, "first": 1, "last": 0}], "warmup": 0.1}, "include the warm-up"),
        ({"pieces": [{"until": 1, "first": 1, "last": 0, "curve": "exponential"}]}, "has no rate of 0"),
        ({"pieces": [{"until": 1, "first": 1, "last": 0, "curve": "cosine", "power": 2}]}, "for linear pieces"),
        ({"points": [[0, "x"]]}, "valid number"),
        ({"points": "no/such.csv"}, "no such file"),
        ({"peak": 0}, "greater than 0"),
        ({"peak": float("inf")}, "finite"),
        ({"decay": 1.5}, "less than or equal to 1"),
        ({"warmup": -0.1}, "greater than or equal to 0"),
    ],
)
def test_an_impossible_schedule_says_why(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Schedule(**options)


@pytest.mark.parametrize("point", [-0.1, 1.1, float("nan")])
def test_points_outside_the_run_are_an_error(point: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Schedule().learning_rate(point)


@pytest.mark.parametrize("behind", [(), (0.0,), (1.0,), (1.0, 0.0), (0.0, 1.0, 0.5)])
def test_a_jump_at_the_very_end_is_behind_the_run(behind: tuple[float, ...]) -> None:
    schedule = Schedule(points=((0, 1.0), (10, 0.25), *((10, rate) for rate in behind)))
    assert schedule.learning_rate([0.0, 1.0]).tolist() == [1.0, 0.25]
    assert schedule.lr_range(0.5, 1.0) == pytest.approx((0.25, 0.625))
    assert schedule.mass(0, 1) == pytest.approx(0.625)


def test_a_step_drops_at_its_place_and_not_before() -> None:
    schedule = Schedule(shape="step", peak=1.0, steps=((0.8, 0.316), (0.9, 0.1)))
    np.testing.assert_array_equal(schedule.learning_rate([0, 0.79, 0.8, 0.89, 0.9, 1]), [1, 1, 0.316, 0.316, 0.1, 0.1])
    assert float(schedule.mass(0, 1)) == pytest.approx(0.8 + 0.0316 + 0.01)
    assert schedule.lr_range(0.5, 0.8) == (1, 1)
    assert schedule.lr_range(0.5, 0.85) == (0.316, 1)


def test_an_exponential_tail_halves_at_even_distances() -> None:
    schedule = Schedule(peak=1.0, final=1 / 16, decay=0.4, decay_shape="exponential")
    np.testing.assert_allclose(schedule.learning_rate([0.6, 0.7, 0.8, 0.9, 1]), [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16])


def test_a_halving_decay_falls_by_halves_of_what_is_above_twice_the_fall() -> None:
    schedule = Schedule(peak=3.0, final=1.0, decay=1.0, decay_shape="halving")
    np.testing.assert_allclose(schedule.learning_rate([0, 0.5, 1]), [3, 1 + 2 * (2 * 0.5**0.5 - 1), 1])


def test_an_inverse_square_root_halves_at_four_times_the_step() -> None:
    schedule = Schedule(
        pieces=({"until": 0.1, "first": 0, "last": 8}, {"until": 1, "first": 8, "last": 8 / 10**0.5, "curve": "inverse_sqrt"})
    )
    np.testing.assert_allclose(schedule.learning_rate([0.05, 0.1, 0.4, 0.9]), [4, 8, 4, 8 / 3])


@pytest.mark.parametrize("curve", get_args(Curve))
def test_a_curve_that_hardly_falls_has_the_mass_of_a_constant_rate(curve: Curve) -> None:
    last = float(np.nextafter(1, 0))
    schedule = Schedule(pieces=(Piece(until=1, first=1, last=last, curve=curve),))
    ends = np.arange(4097) / 4096
    np.testing.assert_allclose(schedule.mass(ends[:-1], ends[1:]), 1 / 4096, rtol=1e-9)


def test_a_run_may_end_within_the_last_piece() -> None:
    schedule = Schedule(pieces=({"until": 2, "first": 4, "last": 0, "curve": "cosine"},))
    np.testing.assert_allclose(schedule.learning_rate([0, 1]), [4, 2])


def test_a_moderate_decay_ends_at_a_third() -> None:
    schedule = Schedule.moderate(3e-3)
    assert schedule.final == pytest.approx(1e-3)
    assert 100 * schedule.mass(0.9, 1) / schedule.mass(0, 1) == pytest.approx(4.750, abs=5e-4)
    assert Schedule.moderate(1.0, warmup=0.9).decay == pytest.approx(0.1)


def test_a_csv_is_read_once_and_travels_with_the_schedule(tmp_path: Path) -> None:
    file = tmp_path / "lr.csv"
    file.write_text("tokens,lr\n0,0\n100,3e-3\n\n800,3e-3\n1000,1e-3\n")
    schedule = Schedule.model_validate({"points": str(file)})
    assert (schedule.shape, schedule.peak) == ("points", 3e-3)
    np.testing.assert_allclose(schedule.learning_rate([0, 0.05, 0.1, 0.5, 0.9, 1]), [0, 1.5e-3, 3e-3, 3e-3, 2e-3, 1e-3])
    assert float(schedule.mass(0.8, 1)) == pytest.approx(0.2 * 2e-3)
    file.unlink()
    assert Schedule.model_validate(schedule.model_dump(mode="json")) == schedule


def test_a_broken_csv_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "lr.csv"
    file.write_text("0,1\n5,one\n")
    with pytest.raises(ValidationError, match=r"lr\.csv:2: should be two numbers"):
        Schedule.model_validate({"points": str(file)})
    file.write_text("tokens,lr\n")
    with pytest.raises(ValidationError, match="no rows"):
        Schedule.model_validate({"points": str(file)})


def test_the_half_life_is_one_of_the_peak() -> None:
    schedule = Schedule(shape="constant", peak=2e-3)
    curvature = schedule.curvature(0.1)
    one, other = schedule.weight([0.5, 0.4], [0.6, 0.5], curvature)
    assert one / other == pytest.approx(2)
    assert schedule.curvature(None) == 0


@given(schedules(), st.floats(0.01, 10))
def test_weight_is_what_steps_of_sgd_leave(schedule: Schedule, half_life: float) -> None:
    """w_i = η_i ∏_{j>i}(1 − λη_j), summed over each twentieth of the run."""
    steps, curvature = 20_000, schedule.curvature(half_life)
    rate = schedule.learning_rate((np.arange(steps) + 0.5) / steps) / steps
    later = np.append(np.cumprod((1 - curvature * rate)[::-1])[::-1][1:], 1.0)
    expected = (rate * later).reshape(20, -1).sum(axis=1)
    ends = np.arange(21) / 20
    weights = schedule.weight(ends[:-1], ends[1:], curvature)
    np.testing.assert_allclose(weights, expected, atol=1e-2 * expected.max() + 1e-12)
    assert weights.sum() == pytest.approx(float(schedule.weight(0, 1, curvature)))


@given(schedules(), SHARES, SHARES)
def test_without_forgetting_the_weight_is_the_mass(schedule: Schedule, one: float, other: float) -> None:
    a, b = min(one, other), max(one, other)
    mass = float(schedule.mass(a, b))
    assert float(schedule.weight(a, b, 0.0)) == pytest.approx(max(mass, 0))
    assert float(schedule.weight(a, b, schedule.curvature(1e6))) == pytest.approx(max(mass, 0), rel=1e-4, abs=1e-12)


def test_a_logged_run_of_many_steps_is_read_at_once() -> None:
    cosine = Schedule(shape="cosine", peak=1.0, final=0.1)
    at = np.arange(200_001)
    logged = Schedule(points=tuple(zip(at.tolist(), cosine.learning_rate(at / at[-1]).tolist(), strict=True)))
    assert logged.length == 200_000
    ends = np.linspace(0, 1, 5_000)
    np.testing.assert_allclose(logged.mass(ends[:-1], ends[1:]), cosine.mass(ends[:-1], ends[1:]), rtol=1e-6)
    assert logged.lr_range(0.25, 0.75) == pytest.approx(cosine.lr_range(0.25, 0.75))
