"""Schedules give the paper's learning rates, and their integrals are those of the midpoint rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from transforms.curriculum.schedule import Schedule

STEPS = 1_000_000
SHARES = st.floats(0, 1)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    peak = draw(st.floats(1e-6, 1))
    warmup = draw(st.floats(0, 0.99))
    return Schedule(
        shape=draw(st.sampled_from(["constant", "cosine", "wsd"])),
        peak=peak,
        final=peak * draw(SHARES),
        warmup=warmup,
        decay=(1 - warmup) * draw(st.floats(0, 0.999)),
        decay_shape=draw(st.sampled_from(["sqrt", "linear"])),
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
def test_mass_of_the_run_is_the_sum_over_its_stretches(schedule: Schedule, cuts: list[float]) -> None:
    ends = np.array([0.0, *sorted(cuts), 1.0])
    stretches = schedule.mass(ends[:-1], ends[1:])
    assert (stretches >= -1e-12 * schedule.peak).all()
    assert stretches.sum() == pytest.approx(float(schedule.mass(0, 1)))


@given(schedules(), SHARES, SHARES)
def test_range_holds_every_rate_of_the_stretch(schedule: Schedule, one: float, other: float) -> None:
    a, b = min(one, other), max(one, other)
    low, high = schedule.lr_range(a, b)
    rates = schedule.learning_rate(np.clip(np.linspace(a, b, 999), a, b))
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


def test_a_constant_schedule_has_no_final_rate() -> None:
    np.testing.assert_array_equal(Schedule(shape="constant", peak=1e-6, final=1e-5).learning_rate([0, 1]), [1e-6, 1e-6])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"final": 1e-2}, "final 0.01 is above peak 0.003"),
        ({"warmup": 0.5, "decay": 0.6}, "is more than the run"),
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
