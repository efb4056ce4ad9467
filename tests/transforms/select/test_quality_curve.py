"""OLMo 3's ratios for its 24 topics, exact yields whatever the size of documents, and times that rise with quality."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.select.upsampling.quality_curve import MILLION, QualityCurve, curve_times, document_times, drawn_copies
from tamis.transforms.text.hashing import mix

VIGINTILES = [*range(2, 19), 20]
SCIENCE = [
    *(634293754, 337448964, 366551070, 415981166, 450777803, 502642089, 554755871, 611132456, 699924387, 792318369),
    *(897487097, 997732189, 1116032181, 1252464063, 1419005930, 1590665816, 1574105446, 1009834086),
]
"""Tokens of OLMo 3's pool of science, mathematics and technology, by vigintile."""

CURVES = st.builds(QualityCurve, cap=st.floats(0.1, 50), drop=st.floats(0, 0.95), buckets=st.integers(2, 40))
SHARES = st.floats(0.001, 1)
"""Of what the curve can give at most."""


def test_the_ratios_of_olmo_3_for_science() -> None:
    times = curve_times(SCIENCE, 26_899_823_159, cap=7, drop=0.4)
    expected = {12: 0.0363, 13: 0.2311, 14: 0.6258, 15: 1.2667, 16: 2.2259, 17: 3.5924, 18: 5.3427, 20: 7.0}
    assert [round(float(each), 4) for each in times] == [expected.get(vigintile, 0.0) for vigintile in VIGINTILES]
    assert times @ SCIENCE == pytest.approx(26_899_823_159)


def test_the_ratios_and_yields_of_olmo_3_for_all_topics(shared: Path) -> None:
    published = json.loads((shared / "mixing/olmo3_upsampling.json").read_text())
    assert len(published["topic_results"]) == 24
    for topic, results in published["topic_results"].items():
        pool = sorted((vigintile, tokens) for vigintile, name, tokens, _ in published["pool"] if name == topic)
        tokens = np.array([size for _, size in pool])
        target = published["target_tokens"] * published["pstar"][topic]
        times = curve_times(tokens, target, published["max_upsample"], published["throwaway"])
        ratios, yields = (list(results[name].values()) for name in ("upsample_ratio", "token_yields"))
        np.testing.assert_allclose(times, ratios, atol=2e-6)
        np.testing.assert_allclose(times * tokens, yields, rtol=1e-5, atol=2000)
        assert times @ tokens == pytest.approx(published["target_topic_tokens"][topic], abs=2)


def test_the_two_topics_of_the_readme() -> None:
    assert curve_times([1000, 2000], 6000, cap=7, drop=0.5) == pytest.approx([0, 3])
    assert curve_times([3000, 4000], 14_000, cap=7, drop=0.5) == pytest.approx([0, 3.5])


def test_more_than_the_cap_allows_is_an_error_that_says_how_much_it_allows() -> None:
    with pytest.raises(ValueError, match=r"5 times its tokens is more than the cap allows, which is 4\.16\d+ times"):
        curve_times(np.ones(20), 100, cap=7, drop=0.4)


@given(CURVES, SHARES)
def test_the_buckets_give_the_tokens_wanted_and_the_best_stays_below_the_cap(curve: QualityCurve, share: float) -> None:
    epochs = share * curve.most_epochs
    times = curve.bucket_times(epochs) / MILLION
    assert times.mean() == pytest.approx(epochs, abs=1e-6)
    assert times.max() <= curve.cap + 1e-6
    assert (np.diff(times) >= 0).all()
    dropped = int(curve.drop * curve.buckets + 1e-9)
    assert (times[:dropped] == 0).all()


@settings(max_examples=20)
@given(CURVES, SHARES)
def test_the_means_are_those_of_numerical_integration_and_no_curve_of_the_grid_is_steeper(
    curve: QualityCurve, share: float
) -> None:
    epochs, edges = share * curve.most_epochs, np.arange(curve.buckets + 1) / curve.buckets
    start = int(curve.drop * curve.buckets + 1e-9) / curve.buckets

    def integral(low: float, high: float, power: float, rate: float) -> float:
        return float(quad(lambda x: x**power * np.exp(rate * x), max(low - start, 0), max(high - start, 0))[0])

    def means(power: float, rate: float) -> Floats:
        whole = integral(0, 1, power, rate)
        return np.array([epochs * curve.buckets * integral(*pair, power, rate) / whole for pair in pairwise(edges.tolist())])

    times = curve.bucket_times(epochs) / MILLION
    grid = [0.01 + 1.99 / 19 * step for step in range(20)]
    fits = [power for power in grid if means(power, 0)[-1] <= curve.cap * (1 + 1e-6)]
    low, high = 0.0, 2.0
    if means(fits[-1], high)[-1] > curve.cap:  # bisection, as in OLMo 3's code
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if means(fits[-1], middle)[-1] <= curve.cap else (low, middle)
        high = low
    np.testing.assert_allclose(times, means(fits[-1], high), rtol=1e-5, atol=2e-5)


def by_token(tokens: list[int], times: Ints) -> list[float]:
    """The mean over the tokens of each document, the best first, of what their buckets are seen."""
    whole, buckets = sum(tokens), len(times)
    of_token = [times[(whole - 1 - place) * buckets // whole] for place in range(whole)]  # if buckets divide whole
    ends = np.cumsum(tokens)
    return [float(np.mean(of_token[end - size : end])) for size, end in zip(tokens, ends.tolist(), strict=True)]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(2, 12), SHARES)
def test_documents_are_seen_as_their_tokens_are_whatever_their_size(tokens: list[int], buckets: int, share: float) -> None:
    tokens = [*tokens, -sum(tokens) % buckets or buckets]  # so that no bucket ends within a token
    curve = QualityCurve(buckets=buckets)
    times, size = curve.bucket_times(share * curve.most_epochs), np.array(tokens)
    rank, pool = np.cumsum(size), np.full(len(size), size.sum())
    seen = document_times(size, rank, pool, np.zeros(len(size), np.int64), times[None])
    np.testing.assert_allclose(seen, by_token(tokens, times), atol=0.5)
    assert seen @ size == pytest.approx(times.mean() * size.sum(), abs=int(size.sum()))
    assert (np.diff(seen) <= 0).all()


def test_a_document_without_tokens_is_seen_as_its_bucket_is() -> None:
    times, one_bin = np.array([[0, MILLION, 3 * MILLION]]), np.zeros(4, np.int64)
    tokens, rank = np.array([0, 5, 0, 10]), np.array([0, 5, 5, 15])
    assert document_times(tokens, rank, np.full(4, 15), one_bin, times).tolist() == [
        3 * MILLION,
        3 * MILLION,
        3 * MILLION,
        MILLION // 2,
    ]


def test_tokens_of_a_large_corpus_do_not_overflow() -> None:
    pool, times = 50 * 10**12, np.array([[0] * 8 + [MILLION] * 91 + [7 * MILLION]])
    for rank, expected in ((1000, 7 * MILLION), (pool // 2, MILLION), (pool, 0)):
        assert document_times(np.array([1000]), np.array([rank]), np.array([pool]), np.array([0]), times).tolist() == [expected]


@given(st.integers(0, 8 * MILLION), st.integers(0, 2**32))
def test_the_integer_part_repeats_and_the_fraction_is_drawn(times: int, seed: int) -> None:
    hashes = mix(np.arange(20_000, dtype=np.uint64), seed)
    copies = drawn_copies(np.full(len(hashes), times), hashes)
    assert set(copies.tolist()) <= {times // MILLION, -(-times // MILLION)}
    assert copies.mean() == pytest.approx(times / MILLION, abs=5 * 0.5 / np.sqrt(len(hashes)) + 1e-9)
    more = drawn_copies(np.full(len(hashes), times + 12_345), hashes)
    assert (more >= copies).all()
