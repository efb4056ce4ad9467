"""Averaging weights are the published ones, sum to one, and do what a decay would have done."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import averaging_weights


def test_normalised_ema_over_six() -> None:
    np.testing.assert_allclose(averaging_weights("ema"), [0.0888, 0.1110, 0.1388, 0.1735, 0.2168, 0.2711], atol=5e-5)


def test_sma_and_none() -> None:
    np.testing.assert_allclose(averaging_weights("sma", 4), [0.25] * 4)
    assert averaging_weights("none", 3).tolist() == [0, 0, 1]


def test_wma_over_six() -> None:
    np.testing.assert_allclose(averaging_weights("wma"), [0.408, 0.169, 0.130, 0.109, 0.096, 0.087], atol=6e-4)


@given(st.sampled_from(["sma", "ema", "wma", "none"]), st.integers(1, 50), st.floats(0.01, 0.99))
def test_weights_sum_to_one_and_only_wma_falls(kind: str, checkpoints: int, alpha: float) -> None:
    weights = averaging_weights(kind, checkpoints, alpha)
    assert len(weights) == checkpoints
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    steps = np.diff(weights)
    assert (steps < 0).all() if kind == "wma" else (steps >= -1e-12).all()


@pytest.mark.parametrize(("kind", "shape"), [("wma", "sqrt"), ("sma", "linear")])
def test_an_average_weighs_gradients_like_a_decay_of_its_shape(kind: str, shape: str) -> None:
    """With n checkpoints after the start of a decay, its k-th part weighs as much as all checkpoints from k on."""
    n = 64
    together = np.cumsum(averaging_weights(kind, n)[::-1])[::-1]
    decay = Schedule(peak=1.0, final=0.0, decay=1.0, decay_shape=shape).learning_rate(np.arange(n) / n)
    np.testing.assert_allclose(together, decay, atol=1e-12)


@pytest.mark.parametrize(("arguments", "words"), [(("sma", 0), "at least one"), (("ema", 6, 1.0), "alpha")])
def test_impossible_averages(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        averaging_weights(*arguments)
