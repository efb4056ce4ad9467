"""Buckets of a score by share of the tokens, and the highest that any of several raters gives (Nemotron-CC).

A score says little by itself: one rater calls a third of the web good, another a hundredth. A bucket
says which share of the tokens has a lower score, so buckets of different raters can be compared.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Ints

Scores = npt.NDArray[np.float32]

ABSTAINS = -1
"""The bucket of a document without a score."""


def bucket_cuts(scores: Scores, rank: Ints, total: int, buckets: int) -> Scores:
    """The least scores of the buckets above the lowest, by the given documents: f32[buckets - 1].

    `rank` counts the tokens of all documents up to and including each, the lowest score first;
    `total` are the tokens of all. The cut of bucket k is the lowest score at which k / buckets of
    the tokens are reached, the inverse of the cumulative distribution. Infinite where these
    documents do not reach it: the cuts of a corpus are the least of those of its parts.
    """
    reached = rank[:, None] * buckets >= np.arange(1, buckets) * total
    return np.asarray(np.where(reached, scores[:, None], np.inf).min(axis=0, initial=np.inf).astype(np.float32))


def buckets_of(scores: Scores, cuts: Scores) -> Ints:
    """Bucket of each score, from 0 (the lowest): int64[n]; `ABSTAINS` where it is NaN."""
    return np.where(np.isnan(scores), ABSTAINS, np.searchsorted(cuts, scores, side="right")).astype(np.int64)


def highest_bucket(scores: Scores, cuts: Scores) -> Ints:
    """The highest bucket that any rater gives each of n documents: int64[n]; `ABSTAINS` if all abstain.

    `scores` are f32[n, raters], `cuts` f32[raters, buckets - 1]. Source: Nemotron-CC (Su et al.
    2025, arXiv 2412.02595), with 20 buckets and three raters.
    """
    highest = np.full(len(scores), ABSTAINS, np.int64)
    for own, cut in zip(scores.T, cuts, strict=True):
        highest = np.maximum(highest, buckets_of(own, cut))
    return highest
