"""Half-lives are found from noisy gains, with intervals that hold the planted ones; laws are their exponents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.core.arrays import Floats
from tamis.transforms.proxy.forgetting import (
    DRAWS,
    fit_decay,
    mean_curves,
    percentiles,
    position_curves,
    resample,
    slopes,
    slopes_within,
)

DISTANCES = np.array([0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64]) * 2048.0


def planted(half_life: float, noise: float, seed: int, gain: float = 0.05) -> Floats:
    """Gains of three seeds at four positions, f64[3, 4, distances]."""
    draw = np.random.default_rng(seed)
    heights = gain * draw.uniform(0.7, 1.3, (3, 4, 1))
    return np.asarray(heights * 2.0 ** (-DISTANCES / half_life) + draw.normal(0, noise, (3, 4, len(DISTANCES))))


@given(st.floats(2_000, 100_000), st.floats(0.001, 1), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_an_exponential_is_found_as_it_is(half_life: float, gain: float, position: int) -> None:
    found = fit_decay(DISTANCES, planted(half_life, 0, 0, gain)[:, position])
    assert found.half_life == pytest.approx(np.full(3, half_life), rel=0.01)
    assert found.gain == pytest.approx(planted(half_life, 0, 0, gain)[:, position, 0], rel=0.01)


def test_the_fit_is_the_least_squares_of_a_slow_search() -> None:
    curve = planted(9_000, 0.01, 5)[0, 0]
    found = fit_decay(DISTANCES, curve)

    def error(gain: float, half_life: float) -> float:
        return float(((curve - gain * 2.0 ** (-DISTANCES / half_life)) ** 2).sum())

    gains, half_lives = np.linspace(0, 0.2, 101), np.geomspace(1000, 200_000, 101)
    least = min(error(gain, half_life) for gain in gains.tolist() for half_life in half_lives.tolist())
    assert error(float(found.gain), float(found.half_life)) <= least


@pytest.mark.parametrize("half_life", [4_000, 12_000, 40_000])
def test_intervals_hold_the_planted_half_life_about_as_often_as_they_say(half_life: float) -> None:
    held, widths = 0, []
    for seed in range(20):
        gains = planted(half_life, 0.007, seed)
        _, low, high = percentiles(fit_decay(DISTANCES, mean_curves(gains, resample(3, 4))).half_life)
        held += low <= half_life <= high
        widths.append(high / low)
    assert held >= 17
    assert np.median(widths) < 3


def test_without_noise_an_interval_has_no_width_and_with_more_it_is_wider() -> None:
    draws = resample(3, 4)
    widths = []
    for noise in (0.0, 0.002, 0.01):
        _, low, high = percentiles(np.log(fit_decay(DISTANCES, mean_curves(planted(9_000, noise, 1), draws)).half_life))
        widths.append(high - low)
    assert widths[0] == 0
    assert widths == sorted(widths)


def test_no_gain_has_no_half_life() -> None:
    found = fit_decay(DISTANCES, np.stack([-planted(9_000, 0, 0)[0, 0], planted(9_000, 0, 0)[0, 0], 0 * DISTANCES]))
    assert np.isnan(found.half_life).tolist() == np.isnan(found.gain).tolist() == [True, False, True]
    assert percentiles(np.array([1.0, np.nan, 2.0])) == (1.0, -np.inf, np.inf)
    with pytest.raises(ValueError, match="2 distances are too few"):
        fit_decay(DISTANCES[:2], DISTANCES[:2])


def test_resamples_draw_seeds_and_positions_with_replacement_and_begin_with_the_sample() -> None:
    draws = resample(3, 4)
    assert (draws.seeds[0].tolist(), draws.positions[0].tolist()) == ([1] * 3, [1] * 4)
    assert draws.seeds.shape == (DRAWS, 3)
    assert (draws.seeds.sum(axis=1) == 3).all()
    assert (draws.positions.sum(axis=1) == 4).all()
    assert draws.seeds.mean(axis=0) == pytest.approx([1] * 3, abs=0.06)
    # As many that draw one seed three times as there should be, and as many that draw each once.
    assert (draws.seeds.max(axis=1) == 3).mean() == pytest.approx(3 / 27, abs=0.03)
    assert (draws.seeds.max(axis=1) == 1).mean() == pytest.approx(6 / 27, abs=0.03)
    assert np.corrcoef(draws.seeds[1:, 0], draws.positions[1:, 0])[0, 1] == pytest.approx(0, abs=0.07)
    assert (resample(3, 4).seeds == draws.seeds).all()
    assert mean_curves(planted(9_000, 0.01, 0), draws)[0] == pytest.approx(planted(9_000, 0.01, 0).mean(axis=(0, 1)))
    gains, draw = planted(9_000, 0.01, 0), 17
    drawn = [gains[seed] for seed, times in enumerate(draws.seeds[draw]) for _ in range(int(times))]
    assert position_curves(gains, draws)[draw] == pytest.approx(np.mean(drawn, axis=0))


def test_laws_are_the_exponents_of_powers() -> None:
    sizes, batches = np.array([6e4, 2e5, 9e5, 2e5]), np.array([2048, 2048, 2048, 1024.0])
    causes = np.log(np.stack([sizes, batches], axis=1))
    logs = np.log(7 * sizes**-0.5 * batches**0.9)[None]
    assert slopes(logs, causes)[0] == pytest.approx([-0.5, 0.9])
    alone = slopes(logs[:, :3], causes[:3])[0]
    assert (alone[0], np.isnan(alone[1])) == (pytest.approx(-0.5), True)
    assert np.isnan(slopes(np.array([[np.nan, 1, 2, 3]]), causes)).all()


def test_a_law_within_groups_ignores_the_level_of_each_and_positions_that_were_not_drawn() -> None:
    places = np.log(np.array([[1, 2, 4, 8], [10, 20, 40, 80.0]]))
    logs = 0.3 * places + np.array([[5.0], [-2]])
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 4, 0, 0]])
    several = np.stack([logs, np.where(weights[1] > 0, logs, np.nan), logs])
    found = slopes_within(several, places, weights)
    assert found[:2] == pytest.approx([0.3, 0.3])
    assert np.isnan(found[2])
