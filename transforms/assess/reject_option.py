"""Leaves documents that raters are not sure of to a person: keep, drop or review, and what that gains in precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats

Labels = npt.NDArray[np.object_]

RARE: Final = 0.005
"""Values that a smaller share of a reference set has, on either side, are outside its range."""


@dataclass(frozen=True)
class Coverage:
    """With a margin: the share of the labelled documents that is decided (coverage), of those that are kept the share
    that is good (precision), and of those that are decided the share that is right (accuracy); None of no documents."""

    margin: float
    coverage: float
    precision: float | None
    accuracy: float | None


def verdicts(scores: Floats, limit: float, margin: float, disagreement: float, inside: npt.NDArray[np.bool_]) -> Labels:
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


def coverage_curve(
    scores: Floats, good: Floats, limit: float, disagreement: float, inside: npt.NDArray[np.bool_], margins: Sequence[float]
) -> list[Coverage]:
    """Coverage against precision of `verdicts` for each margin. `good`: f64[n], a label from 0 to 1, good from 0.5; NaN if
    there is none. Raises ValueError if no document has a score and a label."""
    there = ~np.isnan(scores).all(axis=1) & ~np.isnan(good)
    if not there.any():
        raise ValueError("no document has both a score and a label")
    label = good[there] >= 0.5
    curve = []
    for margin in margins:
        found = verdicts(scores[there], limit, margin, disagreement, inside[there])
        kept, dropped = found == "keep", found == "drop"
        decided = kept | dropped
        precision = float(label[kept].mean()) if kept.any() else None
        accuracy = float((kept == label)[decided].mean()) if decided.any() else None
        curve.append(Coverage(margin, float(decided.mean()), precision, accuracy))
    return curve


def common_numbers(values: Floats, reference: Floats) -> npt.NDArray[np.bool_]:
    """Which of n values lie between the outermost `RARE` of a reference set, on either side; a missing value does.
    Raises ValueError if the reference set has no value."""
    if np.isnan(reference).all():
        raise ValueError("no document of the reference set has a value")
    low, high = np.nanquantile(reference, [RARE, 1 - RARE], method="inverted_cdf")
    return ~((values < low) | (values > high))


def common_labels(values: Labels, reference: Labels) -> npt.NDArray[np.bool_]:
    """Which of n labels at least `RARE` of a reference set has."""
    names, counts = np.unique(reference.astype(str), return_counts=True)
    return np.isin(values.astype(str), names[counts >= RARE * len(reference)])
