"""Leaves documents that raters are not sure of to a person: keep, drop or review, and what that gains in precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats

Verdicts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Coverage:
    """With a margin: the share of the labelled documents that is decided (coverage), of those that are kept the share
    that is good (precision), and of those that are decided the share that is right (accuracy); None of no documents."""

    margin: float
    coverage: float
    precision: float | None
    accuracy: float | None


def verdicts(scores: Floats, limit: float, margin: float, disagreement: float, inside: npt.NDArray[np.bool_]) -> Verdicts:
    """keep, drop, or the reason for a review of each of n documents, by m raters: object[n].

    `scores` is f64[n, m], NaN if missing. A document is kept if its mean score is `limit` or more. It is reviewed
    if no rater has a score (review: missing), if it is not `inside` the range that the scores were calibrated on (review:
    range), if two raters differ by more than `disagreement` (review: disagreement), or if the mean is nearer to the
    limit than `margin` (review: margin); the first of these counts.
    """
    there = ~np.isnan(scores)
    mean = mean_score(scores)
    spread = np.where(there, scores, -np.inf).max(axis=1) - np.where(there, scores, np.inf).min(axis=1)
    checks = {
        "review: missing": np.isnan(mean),
        "review: range": ~inside,
        "review: disagreement": spread > disagreement,
        "review: margin": np.abs(mean - limit) < margin,
        "keep": mean >= limit,
    }
    return np.select(list(checks.values()), list(checks), "drop").astype(object)


def mean_score(scores: Floats) -> Floats:
    """The mean of the scores that are there: f64[n], NaN if none is."""
    there = ~np.isnan(scores)
    total = np.where(there, scores, 0.0).sum(axis=1)
    return np.divide(total, there.sum(axis=1), out=np.full(len(scores), np.nan), where=there.any(axis=1))


def coverage_curve(scores: Floats, good: Floats, limit: float, margins: Sequence[float]) -> list[Coverage]:
    """Coverage against precision of n scores for each margin. `good`: f64[n], a label from 0 to 1, good from 0.5; NaN if
    there is none. Raises ValueError if no document has a score and a label."""
    there = ~np.isnan(scores) & ~np.isnan(good)
    if not there.any():
        raise ValueError("no document has both a score and a label")
    score, label = scores[there], good[there] >= 0.5
    curve = []
    for margin in margins:
        decided = np.abs(score - limit) >= margin
        kept = decided & (score >= limit)
        right = (score >= limit) == label
        precision = float(label[kept].mean()) if kept.any() else None
        accuracy = float(right[decided].mean()) if decided.any() else None
        curve.append(Coverage(margin, float(decided.mean()), precision, accuracy))
    return curve
