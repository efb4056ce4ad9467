"""Measures how well scores agree with labels: AUC, rank correlation, precision at the top, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, spearmanr

Floats = npt.NDArray[np.float64]

_LEAST = 20
"""Documents of a source or a language that has a row of its own."""
_BINS = 10


@dataclass(frozen=True)
class Agreement:
    """Of some documents; None where their labels are all the same."""

    name: str
    documents: int
    auc: float | None
    """Chance that a positive document scores higher than a negative one; those with a target from .5 on are positive."""
    spearman: float | None
    precision: float
    """Mean target of the documents at the top, as many as are kept."""
    calibration_error: float
    """Expected calibration error: the mean |score − target| of tenths of the documents by score."""


def agreement(name: str, scores: Floats, targets: Floats, keep: float) -> Agreement:
    """Of n documents. `keep`: the share that would be selected."""
    positive = targets >= 0.5
    order = np.argsort(-scores, kind="stable")
    top = max(1, round(keep * len(scores)))
    varied = len(np.unique(targets)) > 1 and len(np.unique(scores)) > 1
    return Agreement(
        name,
        len(scores),
        auc(scores, positive) if 0 < positive.sum() < len(positive) else None,
        float(spearmanr(scores, targets).statistic) if varied else None,
        float(targets[order[:top]].mean()),
        calibration_error(scores, targets),
    )


def auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """The area under the ROC curve, where equal scores count half."""
    ranks = rankdata(scores)
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def calibration_error(scores: Floats, targets: Floats) -> float:
    """Σ share of a bin · |its mean score − its mean target|, over tenths of the documents by score."""
    order = np.argsort(scores, kind="stable")
    bins = [each for each in np.array_split(order, _BINS) if len(each)]
    return float(sum(len(each) * abs(scores[each].mean() - targets[each].mean()) for each in bins) / len(scores))


def by_group(scores: Floats, targets: Floats, names: Sequence[str | None], keep: float) -> Iterator[Agreement]:
    """The agreement within each group of at least 20 documents, the largest first."""
    labels = np.array([name or "" for name in names], dtype=object)
    groups, counts = np.unique(labels, return_counts=True)
    for k in np.lexsort((groups, -counts)):
        if counts[k] >= _LEAST and groups[k]:
            own = labels == groups[k]
            yield agreement(str(groups[k]), scores[own], targets[own], keep)
