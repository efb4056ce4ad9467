"""The laws give the published losses and the published best mixtures, and a fit gives back the laws that made its points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.select.upsampling.repetition_law import Bucket, Buckets, Form, LossCurve, cut_depths, fit_buckets, loss

S = 12_800_000
PUBLISHED = {0.5: 1.056165, 1: 0.973169, 2.5: 0.888978, 5: 0.849445, 10: 0.832460, 50: 0.828561}
POOLS = Buckets(
    scale=0.02,
    form="code",
    buckets=tuple(
        Bucket(name=f"{index}", tokens=S, utility=utility, half_life=half_life)
        for index, (utility, half_life) in enumerate([(-0.18, 2), (-0.16, 3), (-0.14, 4), (-0.12, 5)])
    ),
)


def bucket(utility: float = -0.131, half_life: float = 3, tokens: int = S, name: str = "b") -> Bucket:
    return Bucket(name=name, tokens=tokens, utility=utility, half_life=half_life)


def by_the_formula(b: float, tau: float, size: int, seen: float, a: float, d: float, form: Form) -> float:
    """The law an epoch at a time."""
    before = a * min(size, seen) / 1e5
    value = before**b + (d if form == "code" else 0)
    j = 1
    while size * j < seen:
        n = a * min(size * (j + 1), seen) / 1e5
        value *= (n / before) ** (b * 0.5 ** (j / tau))
        before, j = n, j + 1
    return value + (d if form == "paper" else 0)


@pytest.mark.parametrize(("epochs", "published"), PUBLISHED.items())
def test_losses_are_the_published_ones(epochs: float, published: float) -> None:
    assert round(loss([bucket()], epochs * S, 0.022, 0.1, "code"), 6) == published


def test_the_forms_agree_in_the_first_epoch_and_the_paper_never_falls_below_its_floor() -> None:
    assert loss([bucket()], S, 0.022, 0.1) == pytest.approx(loss([bucket()], S, 0.022, 0.1, "code"))
    assert loss([bucket()], 5 * S, 0.022, 0.1) == pytest.approx((0.849445 / 0.973169) * 0.873169 + 0.1, abs=1e-6)


FORMS = st.sampled_from(["paper", "code"])


@given(st.floats(-0.5, -0.01), st.floats(0.5, 10), st.integers(1000, 10**9), st.floats(0.01, 40), FORMS)
def test_losses_equal_the_formula(b: float, tau: float, size: int, epochs: float, form: Form) -> None:
    told = loss([bucket(b, tau, size)], epochs * size, 0.02, 0.1, form)
    assert told == pytest.approx(by_the_formula(b, tau, size, epochs * size, 0.02, 0.1, form), rel=1e-12)


@pytest.mark.parametrize(("seen", "pools"), [(12.8e6, 1), (32e6, 2), (64e6, 2), (128e6, 3), (640e6, 4)])
def test_the_best_number_of_pools_widens_with_compute(seen: float, pools: int) -> None:
    best = min(cut_depths(POOLS, seen), key=lambda cut: cut.loss)
    assert best.buckets == ("0", "1", "2", "3")[:pools]
    assert (best.share, best.epochs) == (pools / 4, seen / (pools * S))


def test_the_losses_of_the_cuts_are_the_published_ones() -> None:
    assert [round(cut.loss, 5) for cut in cut_depths(POOLS, 128e6)] == [0.79940, 0.69767, 0.69351, 0.70874]


def test_the_order_in_which_buckets_are_named_is_of_no_matter() -> None:
    turned = POOLS.model_copy(update={"buckets": POOLS.buckets[::-1]})
    assert cut_depths(turned, 128e6) == cut_depths(POOLS, 128e6)


@given(st.integers(1, 4), st.floats(0.1, 100))
def test_pools_that_are_alike_are_one_larger_pool_that_fades_more_slowly(pools: int, epochs: float) -> None:
    many = [bucket(name=str(index)) for index in range(pools)]
    one = bucket(half_life=3 * pools, tokens=S * pools)
    assert loss(many, epochs * S, 0.02, 0.1) == pytest.approx(loss([one], epochs * S, 0.02, 0.1), rel=1e-12)


@given(st.floats(0.01, 50), st.floats(1.01, 3))
def test_more_tokens_never_do_harm_while_the_exponent_has_something_to_lower(epochs: float, more: float) -> None:
    assert loss([bucket()], epochs * more * S, 0.02, 0.1) <= loss([bucket()], epochs * S, 0.02, 0.1)


def test_ten_million_epochs_take_no_longer_than_those_that_teach() -> None:
    assert loss([bucket()], 1e7 * S, 0.02, 0.1) == pytest.approx(loss([bucket()], 1e4 * S, 0.02, 0.1))


@pytest.mark.parametrize("seen", [0, -1, math.inf, math.nan])
def test_no_tokens_are_an_error(seen: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        loss([bucket()], seen, 0.02, 0.1)


def points(utility: float, half_life: float, form: Form, noise: float = 0.0) -> LossCurve:
    seen = S * np.array([0.25, 0.5, 1, 1.5, 2, 3, 5, 8, 12])
    told = np.array([loss([bucket(utility, half_life)], value, 0.02, 0.1, form) for value in seen])
    return LossCurve(S, seen, told * np.exp(noise * np.cos(np.arange(len(seen)) * 2.4)))


@pytest.mark.parametrize("form", ["paper", "code"])
def test_a_fit_finds_the_laws_that_made_the_points(form: Form) -> None:
    made = {"top": points(-0.18, 2, form), "next": points(-0.14, 4, form)}
    fitted, error = fit_buckets(made, form=form)
    assert error < 1e-6
    assert fitted.scale == pytest.approx(0.02, rel=1e-3)
    laws = {law.name: (law.utility, law.half_life) for law in fitted.buckets}
    assert laws["top"] == pytest.approx((-0.18, 2), rel=1e-3)
    assert laws["next"] == pytest.approx((-0.14, 4), rel=1e-3)
    assert fit_buckets(dict(reversed(made.items())), form=form) == (fitted, error)


def test_noise_moves_the_laws_little() -> None:
    fitted, error = fit_buckets({"top": points(-0.18, 2, "paper", 0.005), "next": points(-0.14, 4, "paper", 0.005)})
    assert 0 < error < 0.005
    assert [law.name for law in fitted.ranked] == ["top", "next"]
    assert min(cut_depths(fitted, 20 * S), key=lambda cut: cut.loss).buckets == ("top", "next")


def test_points_that_cannot_tell_are_refused_by_name() -> None:
    short = LossCurve(S, np.array([S / 2, S]), np.array([1.0, 0.9]))
    with pytest.raises(ValueError, match="'short' needs at least three points"):
        fit_buckets({"short": short})
    below = LossCurve(S, S * np.array([1.0, 2, 3]), np.array([1.0, 0.5, 0.05]))
    with pytest.raises(ValueError, match="above the floor"):
        fit_buckets({"below": below})
    with pytest.raises(ValueError, match="no losses"):
        fit_buckets({})
