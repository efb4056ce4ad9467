"""Nemotron-CC's buckets, whatever the parts and the order of documents; equal scores share one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.core.arrays import Ints
from tamis.transforms.select.quality.score_buckets import ABSTAINS, Scores, bucket_cuts, buckets_of, highest_bucket

WEIGHTS = [100, 50, 50, 200, 100, 100, 100, 100, 100, 100]
A = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
B = [1.0, 0.1, 0.2, 0.9, 0.3, 0.8, 0.4, 0.7, 0.5, 0.6]


def ranks(scores: list[float], tokens: list[int]) -> Ints:
    """Tokens up to and including each document, the lowest score first."""
    order = np.argsort(scores, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.cumsum(np.array(tokens, np.int64)[order])
    return rank


def cuts_of(scores: list[float], tokens: list[int], buckets: int = 20) -> Scores:
    return bucket_cuts(np.array(scores, np.float32), ranks(scores, tokens), sum(tokens), buckets)


def test_the_buckets_of_nemotron_cc() -> None:
    scores, cuts = np.array([A, B], np.float32).T, np.stack([cuts_of(A, WEIGHTS), cuts_of(B, WEIGHTS)])
    assert buckets_of(scores[:, 0], cuts[0]).tolist() == [2, 3, 4, 8, 10, 12, 14, 16, 18, 19]
    assert buckets_of(scores[:, 1], cuts[1]).tolist() == [19, 1, 2, 18, 4, 14, 6, 12, 8, 10]
    assert highest_bucket(scores, cuts).tolist() == [19, 3, 4, 18, 10, 14, 14, 16, 18, 19]


def test_a_rater_that_abstains_leaves_the_others() -> None:
    cuts = np.array([[0.5], [0.5]], np.float32)
    scores = np.array([[np.nan, 0.6], [0.4, np.nan], [np.nan, np.nan]], np.float32)
    assert highest_bucket(scores, cuts).tolist() == [1, 0, ABSTAINS]


DOCUMENTS = st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0, 3.0]), st.integers(0, 20)), min_size=1, max_size=40)


@given(DOCUMENTS, st.integers(2, 20))
def test_a_bucket_is_the_share_of_the_tokens_up_to_its_score(documents: list[tuple[float, int]], buckets: int) -> None:
    scores, tokens = ([each[part] for each in documents] for part in (0, 1))
    found = buckets_of(np.array(scores, np.float32), cuts_of(scores, tokens, buckets))  # type: ignore[arg-type]
    for score, bucket in zip(scores, found.tolist(), strict=True):
        through = sum(size for other, size in documents if other <= score)
        assert bucket == min(through * buckets // max(sum(tokens), 1) if sum(tokens) else buckets, buckets - 1)


@given(DOCUMENTS, st.integers(2, 20), st.integers(0, 40))
def test_cuts_do_not_depend_on_the_parts(documents: list[tuple[float, int]], buckets: int, place: int) -> None:
    scores, tokens = np.array([each[0] for each in documents], np.float32), [each[1] for each in documents]
    rank, total = ranks(scores.tolist(), tokens), sum(tokens)
    parts = [bucket_cuts(scores[part], rank[part], total, buckets) for part in (slice(None, place), slice(place, None))]
    np.testing.assert_array_equal(np.minimum(*parts), bucket_cuts(scores, rank, total, buckets))
