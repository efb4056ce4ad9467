"""The checks of scores find what is planted, name values that are published, and see nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from tamis.transforms.assess.confounders import partial_correlations, residual_scores
from tamis.transforms.assess.drift import drift
from tamis.transforms.assess.fairness import auc, fairness
from tamis.transforms.assess.rater_agreement import correlation_matrix, effective_number, kappa, mutual_information


def labels(*values: str | None) -> np.ndarray:
    return np.array(values, object)


def test_code_that_is_good_but_unlike_the_prose_is_seen() -> None:
    """A rater of prose gives code low scores whatever its quality; an oracle that judges code as code disagrees."""
    draw = np.random.default_rng(1)
    sources = np.repeat(np.array(["code", "web"], object), 1000)
    scores = np.concatenate([draw.normal(0.1, 0.03, 1000), draw.uniform(0.2, 1, 1000)])
    oracle = np.concatenate([np.ones(1000), (scores[1000:] > 0.6).astype(float)])
    found = fairness(scores, sources, 0.6, oracle)
    code, web = found.sources
    assert (code.agreement, web.agreement) == (0.0, 1.0)
    assert code.sd < 0.1 < web.sd
    assert auc(scores, sources == "web") > 0.95
    split = fairness(np.where(sources == "code", 0.1, 0.9), sources, 0.6)
    assert split.auc == 1.0
    alike = fairness(draw.random(2000), sources, 0.6)
    assert alike.auc < 0.55


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_the_auc_counts_pairs(rows: list[tuple[int, bool]]) -> None:
    ones, zeros = [v for v, positive in rows if positive], [v for v, positive in rows if not positive]
    expected = np.mean([(a > b) + (a == b) / 2 for a in ones for b in zeros]) if ones and zeros else 0.5
    found = auc(np.array([v for v, _ in rows], float), np.array([positive for _, positive in rows]))
    assert found == pytest.approx(expected)


def test_an_equal_model_does_not_drift_and_a_shifted_one_flips() -> None:
    old = np.append(np.random.default_rng(2).random(1000), np.nan)
    same = drift(old, old, 0.5)
    assert (same.documents, same.rank_agreement, same.flips, same.shift) == (1000, pytest.approx(1), 0, 0)
    shifted = drift(old, old + 0.1, 0.5)
    assert shifted.rank_agreement == pytest.approx(1)
    assert shifted.flips == pytest.approx(0.1, abs=0.03)
    assert shifted.shift == pytest.approx(0.1 / np.nanstd(old))
    with pytest.raises(ValueError, match="fewer than two"):
        drift(old[:1], old[:1], 0.5)


def confounded() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    draw = np.random.default_rng(3)
    length = draw.lognormal(6, 1, 4000)
    source = np.array(["code", "web"], object)[(length + draw.normal(0, 400, 4000) > 500).astype(int)]
    return np.log(length) + draw.normal(0, 1, 4000), {"length": length, "source": source, "date": draw.random(4000)}


def test_partial_correlations_tell_length_from_what_goes_along_with_it() -> None:
    scores, confounders = confounded()
    found = partial_correlations(scores, confounders)
    assert found["length"] > 0.5
    assert abs(found["date"]) < 0.05
    assert found["source"] < 0.1
    assert partial_correlations(scores, {"source": confounders["source"]})["source"] > 0.3
    falling = partial_correlations(-scores, {"length": confounders["length"]})
    assert falling["length"] == pytest.approx(-spearmanr(scores, confounders["length"]).statistic)


def test_a_residual_score_does_not_follow_length() -> None:
    scores, confounders = confounded()
    left = residual_scores(np.append(scores, np.nan), {"length": np.append(confounders["length"], 5.0)})
    assert np.isnan(left[-1])
    assert left[:-1].mean() == pytest.approx(scores.mean())
    assert abs(spearmanr(left[:-1], confounders["length"]).statistic) < 0.02
    assert abs(np.corrcoef(left[:-1], np.log(confounders["length"]))[0, 1]) < 0.02
    assert spearmanr(left[:-1], scores - np.log(confounders["length"])).statistic > 0.95


def test_the_effective_number_of_raters_is_that_of_independent_ones() -> None:
    draw = np.random.default_rng(4)
    independent = draw.normal(size=(5000, 4))
    assert effective_number(correlation_matrix(independent)) == pytest.approx(4, abs=0.05)
    assert effective_number(correlation_matrix(np.repeat(independent[:, :1], 4, axis=1))) == pytest.approx(1)
    pairs = np.column_stack([independent[:, 0], independent[:, 0], independent[:, 1], independent[:, 1]])
    assert effective_number(correlation_matrix(pairs)) == pytest.approx(2, abs=0.05)
    assert np.isnan(correlation_matrix(np.column_stack([independent[:, 0], np.ones(5000)]))[0, 1])


def test_kappa_and_nmi_are_those_of_the_textbook() -> None:
    """Cohen 1960: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no give κ = 0.4."""
    first = labels(*["yes"] * 25, *["no"] * 25, None)
    second = labels(*["yes"] * 20, *["no"] * 5, *["yes"] * 10, *["no"] * 15, "yes")
    assert kappa(first, second) == pytest.approx(0.4)
    assert kappa(first, first) == mutual_information(first, first) == pytest.approx(1)
    draw = np.random.default_rng(5)
    a, b = (np.array(["x", "y", "z"], object)[draw.integers(0, 3, 5000)] for _ in range(2))
    assert abs(kappa(a, b)) < 0.03
    assert mutual_information(a, b) < 0.01
    near = np.array(["y", "z", "z"], object)[np.searchsorted(["x", "y", "z"], a.astype(str))]
    assert kappa(a, near, ["x", "y", "z"]) > kappa(a, near)


def test_weighted_kappa_is_that_of_the_textbook() -> None:
    """Three grades, by hand: 6 pairs agree, 2 are neighbours, 1 is two apart; chance is a third of each."""
    first = labels(*"aaabbbccc")
    second = labels(*"aabbbccca")
    weights = {1: (2 + 1 * 2) / 9, 2: (2 + 1 * 4) / 9}
    chance = {1: (4 * 1 + 2 * 2) / 9, 2: (4 * 1 + 2 * 4) / 9}
    for power in (1, 2):
        assert kappa(first, second, ["a", "b", "c"], power) == pytest.approx(1 - weights[power] / chance[power])
