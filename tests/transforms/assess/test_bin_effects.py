"""Bins recover planted effects that single documents hide; errors are s/√n, and shrinkage moves little-known bins most."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from tamis.transforms.assess.bin_effects import bin_effects, contrast


def planted(documents: int = 20_000, bins: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy scores, the bins of the documents, and the effect of each bin."""
    draw = np.random.default_rng(1)
    effect = draw.normal(0, 0.3, bins)
    code = draw.integers(0, bins, documents)
    names = np.array([f"topic-{number:02d}|faq" for number in range(bins)], object)
    return effect[code] + draw.normal(0, 2, documents), names[code], effect


def test_bins_recover_effects_that_single_documents_do_not() -> None:
    scores, bins, effect = planted()
    found = bin_effects(scores, bins, np.ones(len(scores)))
    true = effect[[int(name[6:8]) for name in bins]]
    assert spearmanr(found.shrunk, effect).statistic > 0.9
    assert spearmanr(scores, true).statistic < 0.25
    best_bins = np.isin(bins, np.array(found.names)[np.argsort(-found.shrunk)[:4]])
    best_documents = scores >= np.quantile(scores, 1 - best_bins.mean())
    assert true[best_bins].mean() > true[best_documents].mean() + 0.2
    assert found.between == pytest.approx(effect.std(), rel=0.3)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-10, 10) | st.just(float("nan"))), min_size=2, max_size=60))
def test_means_and_errors_agree_with_a_slow_reference(rows: list[tuple[str, float]]) -> None:
    bins, scores = np.array([name for name, _ in rows], object), np.array([value for _, value in rows])
    if (~np.isnan(scores)).sum() < 2:
        with pytest.raises(ValueError, match="fewer than two"):
            bin_effects(scores, bins, np.ones(len(scores)))
        return
    found = bin_effects(scores, bins, np.ones(len(scores)))
    for index, name in enumerate(found.names):
        own = np.array([value for label, value in rows if label == name and not np.isnan(value)])
        assert found.documents[index] == len(own)
        assert found.mean[index] == pytest.approx(own.mean(), abs=1e-9)
        if len(own) > 1 and own.std() > 1e-3:
            assert found.se[index] == pytest.approx(own.std(ddof=1) / np.sqrt(len(own)))
        low, high = sorted((found.mean[index], found.centre))
        assert low - 1e-9 <= found.shrunk[index] <= high + 1e-9
    order = np.random.default_rng(2).permutation(len(rows))
    again = bin_effects(scores[order], bins[order], np.ones(len(scores)))
    assert again.shrunk.tolist() == found.shrunk.tolist()


def test_a_bin_of_few_documents_is_shrunk_most() -> None:
    draw = np.random.default_rng(3)
    scores = np.concatenate([draw.normal(0, 1, 500), draw.normal(1, 1, 500), draw.normal(1, 1, 3)])
    bins = np.array(["a"] * 500 + ["b"] * 500 + ["c"] * 3, object)
    found = bin_effects(scores, bins, np.ones(len(scores)))
    kept = (found.shrunk - found.centre) / (found.mean - found.centre)
    assert kept[2] < kept[0]
    assert kept[2] < kept[1]


def test_weights_are_shares_of_the_tokens_tilted_by_the_effects() -> None:
    scores, bins, _ = planted()
    tokens = np.random.default_rng(4).integers(1, 100, len(scores)).astype(float)
    found = bin_effects(scores, bins, tokens)
    np.testing.assert_allclose(found.weights(0.0), found.tokens / tokens.sum())
    ratio = found.weights(1.0) / found.weights(0.0)
    assert (np.diff(ratio[np.argsort(found.shrunk)]) > 0).all()
    assert found.weights(1.0).sum() == pytest.approx(1)


def test_a_contrast_is_positive_where_the_first_target_gains() -> None:
    draw = np.random.default_rng(5)
    bins = np.array(["social", "science"] * 2000, object)
    shared = draw.normal(size=4000)
    first = shared + np.where(bins == "social", 1, 0) + draw.normal(size=4000)
    second = 10 * (shared + np.where(bins == "science", 1, 0) + draw.normal(size=4000))
    found = bin_effects(contrast(first, second), bins, np.ones(4000))
    assert dict(zip(found.names, found.mean > 0, strict=True)) == {"science": False, "social": True}
    assert found.mean @ found.documents == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="one value only"):
        contrast(np.ones(5), first[:5])
