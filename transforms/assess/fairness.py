"""Whether a score sorts documents by their source instead of their quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats

Labels = npt.NDArray[np.object_]


@dataclass(frozen=True)
class SourceScores:
    """One source: documents with a score, their mean and standard deviation, the share at the limit or above;
    `agreement`: the share of the labelled documents on whose side of the limit score and label agree (None without
    labels); `judged`: mean share of the bytes that the rater saw (None if not given)."""

    source: str
    documents: int
    mean: float
    sd: float
    high: float
    agreement: float | None
    judged: float | None


@dataclass(frozen=True)
class Fairness:
    """The sources by name, and the AUC with which the source alone predicts a high score: 0.5 if it tells
    nothing, 1 if it tells all."""

    auc: float
    sources: list[SourceScores]


def fairness(
    scores: Floats, sources: Labels, limit: float, labels: Floats | None = None, judged: Floats | None = None
) -> Fairness:
    """The scores of n documents by source (NaN: left out). High is `limit` or above.

    `labels`: f64[n], the verdict of an oracle that judges a document as an example of its own kind, good
    from 0.5, NaN where there is none. `judged`: f64[n], the share of the bytes that the rater saw.
    """
    there = ~np.isnan(scores)
    names, code = np.unique(sources[there].astype(str), return_inverse=True)
    value, high = scores[there], scores[there] >= limit
    rows = []
    for index, name in enumerate(names):
        own = code == index
        ordered = np.sort(value[own])
        rows.append(
            SourceScores(
                str(name),
                int(own.sum()),
                float(ordered.mean()),
                float(ordered.std()),
                float(high[own].mean()),
                None if labels is None else _mean((high == (labels[there] >= 0.5))[own & ~np.isnan(labels[there])]),
                None if judged is None else _mean(np.sort(judged[there][own & ~np.isnan(judged[there])])),
            )
        )
    rates = np.array([row.high for row in rows])
    return Fairness(auc(rates[code], high) if len(rows) else 0.5, rows)


def auc(values: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """The probability that a positive has the higher value, ties counted half; 0.5 if one class is empty."""
    from scipy.stats import rankdata

    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return 0.5
    return float((rankdata(values)[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _mean(values: npt.NDArray[np.generic]) -> float | None:
    return float(values.mean()) if len(values) else None
