"""Both laws reproduce what is published of RegMix's proxies, and find a planted best mixture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from scipy.stats import spearmanr

from tamis.transforms.core.arrays import Floats
from tamis.transforms.mixture.drawn_mixtures import draw_mixtures
from tamis.transforms.mixture.log_linear_law import LogLinearLaw, least_loss
from tamis.transforms.mixture.search import mean_of_best

Proxies = tuple[list[str], Floats, Floats, Floats, Floats]

TREES = [99.60, 99.71, 99.08, 99.45, 97.20, 99.77, 99.73, 99.18, 98.92, 96.87, 98.51, 99.19, 99.12]
"""Spearman's ρ of 13 losses in RegMix's notebook (regression_fitting/regression.ipynb)."""

LOG_LINEAR = [97.83, 98.55, 97.08, 96.72, 96.16, 97.72, 97.76, 97.90, 96.25, 96.50, 96.01, 99.16, 97.36]
"""The same of olmix's law, fitted to these files."""


@pytest.fixture(scope="module")
def regmix(shared: Path) -> Proxies:
    """Names of 17 domains; mixtures and 13 losses of 512 proxies of 1M parameters; the same of 256 held-out ones."""
    tables = []
    for name in ("train_mixture_1m", "train_pile_loss_1m", "test_mixture_1m", "test_pile_loss_1m"):
        read = pyarrow.csv.read_csv(shared / "regmix" / f"{name}.csv").drop_columns(["index"])
        tables.append(np.stack([column.to_numpy() for column in read.columns], axis=1))
        if name == "train_mixture_1m":
            names = [column.removeprefix("train_the_pile_") for column in read.column_names]
    return names, tables[0], tables[1], tables[2], tables[3]


def rank_agreement(predicted: Floats, losses: Floats) -> float:
    return float(100 * spearmanr(predicted, losses).statistic)


PILE_CC = 8
"""The column of the loss on Pile-CC."""


@pytest.mark.slow
def test_trees_rank_mixtures_as_published(regmix: Proxies) -> None:
    pytest.importorskip("lightgbm")
    from tamis.transforms.mixture.tree_law import TreeLaw

    names, mixtures, losses, held_out, expected = regmix
    laws = [TreeLaw(mixtures, losses[:, target], (held_out, expected[:, target])) for target in range(13)]
    found = [rank_agreement(law.predict(held_out), expected[:, target]) for target, law in enumerate(laws)]
    np.testing.assert_allclose(found, TREES, atol=0.3)
    mixture, _ = mean_of_best(draw_mixtures(mixtures.mean(axis=0), 100_000, 42), laws[PILE_CC].predict)
    assert mixture[names.index("pile_cc")] == pytest.approx(0.89, abs=0.02)


@pytest.mark.slow
def test_the_log_linear_law_ranks_mixtures_as_published(regmix: Proxies) -> None:
    _, mixtures, losses, held_out, expected = regmix
    laws = [LogLinearLaw(mixtures, losses[:, target]) for target in range(13)]
    found = [rank_agreement(law.predict(held_out), expected[:, target]) for target, law in enumerate(laws)]
    np.testing.assert_allclose(found, LOG_LINEAR, atol=0.3)


def test_caps_and_divergence_hold_the_mixture_back(regmix: Proxies) -> None:
    names, mixtures, losses, _, _ = regmix
    law = LogLinearLaw(mixtures, losses[:, PILE_CC])
    prior, free = mixtures.mean(axis=0), np.ones(len(names))
    pile_cc = names.index("pile_cc")
    assert least_loss(law.slopes[None], free, prior, 0)[pile_cc] == pytest.approx(1)
    capped = least_loss(law.slopes[None], 4 * prior, prior, 0)
    others = capped[[pile_cc, names.index("wikipedia_en"), names.index("ubuntu_irc")]]
    assert others == pytest.approx([0.478, 0.300, 0.078], abs=2e-3)
    assert least_loss(law.slopes[None], free, prior, 0.05)[pile_cc] == pytest.approx(0.526, abs=0.01)
    assert least_loss(law.slopes[None], free, prior, 0.1)[pile_cc] == pytest.approx(0.4497, abs=0.01)


def test_a_log_linear_law_is_recovered_from_its_own_losses() -> None:
    mixtures = draw_mixtures(np.ones(5), 200, 1)
    slopes = np.array([-0.5, 0.2, 0.7, 0.1, 0.4])
    law = LogLinearLaw(mixtures, 1.5 + np.exp(mixtures @ slopes))
    other = draw_mixtures(np.ones(5), 50, 2)
    np.testing.assert_allclose(law.predict(other), 1.5 + np.exp(other @ slopes), atol=2e-3)


def test_the_least_loss_beats_every_draw() -> None:
    slopes = np.random.default_rng(3).normal(size=(4, 6))
    prior, caps = np.full(6, 1 / 6), np.array([0.5, 0.5, 0.2, 0.2, 0.5, 0.1])
    found = least_loss(slopes, caps, prior, 0.0)
    draws = draw_mixtures(np.ones(6), 20_000, 4)
    allowed = draws[(draws <= caps).all(axis=1)]
    assert len(allowed) > 100
    assert found.sum() == pytest.approx(1)
    assert (found <= caps + 1e-9).all()
    assert np.exp(slopes @ found).mean() <= np.exp(allowed @ slopes.T).mean(axis=1).min() + 1e-9


def test_caps_below_a_whole_mixture_are_refused() -> None:
    with pytest.raises(ValueError, match=r"add up to 0\.400"):
        least_loss(np.zeros((1, 4)), np.full(4, 0.1), np.full(4, 0.25), 0.0)


def test_draws_are_mixtures_and_those_of_a_published_stream() -> None:
    draws = draw_mixtures(np.ones(7), 1000, 42)
    np.testing.assert_allclose(draws.sum(axis=1), 1)
    assert (draws >= 0).all()
    np.testing.assert_array_equal(draws[0], np.random.RandomState(42).dirichlet(np.ones(7)))
    signed = draw_mixtures(np.ones(7), 1000, 42, signed=True)
    np.testing.assert_array_equal(np.abs(signed), draws)
    assert 0.4 < (signed < 0).mean() < 0.6


def test_the_best_draws_are_averaged() -> None:
    draws = draw_mixtures(np.ones(3), 5000, 5)
    mixture, loss = mean_of_best(draws, lambda mixtures: mixtures[:, 0], best=10)
    np.testing.assert_allclose(mixture, draws[np.argsort(draws[:, 0])[:10]].mean(axis=0))
    assert loss == mixture[0]
