"""Whether two sets of documents differ in a value, also if they share documents.

Tests of two samples take them to be independent. Two releases of a corpus share most documents, which makes the
difference of their distributions smaller than that of independent samples: with n and m documents, of which k are
in both with the same value, its variance is 1/n + 1/m - 2k/(nm) times that of one document. So a statistic is scaled by
this. Without shared documents the results are those of `scipy.stats.ks_2samp` and `chi2_contingency`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats

LEAST_EXPECTED = 5
"""Labels of which fewer documents are expected on a side are counted as one, as is usual for chi-square."""


@dataclass(frozen=True)
class Shift:
    """A difference between two sets, of `before` and `after` documents. `effect`: the largest difference between their
    shares of documents, 0 to 1: of those up to any value (the statistic of Kolmogorov and Smirnov), or of those with
    any of the labels (total variation). `p`: its probability if both sets were drawn from the same documents."""

    test: str
    before: int
    after: int
    effect: float
    p: float


def number_shift(before: Floats, after: Floats, shared: int = 0) -> Shift:
    """The shift of numbers: f64[n] and f64[m] without NaN, `shared` of which are of one document and equal. The p-value
    is asymptotic. Raises ValueError if a side is empty."""
    from scipy.stats import kstwo

    n, m = len(before), len(after)
    if not n or not m:
        raise ValueError("a side has no documents")
    values = np.sort(np.concatenate([before, after]))
    shares = [np.searchsorted(np.sort(side), values, "right") / len(side) for side in (before, after)]
    effect = float(np.abs(shares[0] - shares[1]).max())
    size = _independent_size(n, m, shared)
    p = 1.0 if effect == 0 or size == np.inf else float(np.clip(kstwo.sf(effect, max(round(size), 1)), 0, 1))
    return Shift("Kolmogorov-Smirnov", n, m, effect, p)


def label_shift(before: Mapping[str, int], after: Mapping[str, int], shared: int = 0) -> Shift:
    """The shift of labels, from the documents that have each. `shared`: documents in both with the same label. Raises
    ValueError if a side is empty."""
    from scipy.stats import chi2

    labels = sorted(before.keys() | after.keys())
    counts = np.array([[side.get(label, 0) for label in labels] for side in (before, after)], np.int64).reshape(2, -1)
    totals = counts.sum(axis=1)
    n, m = totals.tolist()
    if not n or not m:
        raise ValueError("a side has no documents")
    effect = float(np.abs(counts[0] / n - counts[1] / m).sum() / 2)
    cells = _with_rare_ones_together(counts)
    size = _independent_size(n, m, shared)
    if cells.shape[1] < 2 or effect == 0 or size == np.inf:
        return Shift("chi-square", n, m, effect, 1.0)
    difference = cells[0] / n - cells[1] / m
    statistic = size * float((difference**2 / (cells.sum(axis=0) / (n + m))).sum())
    return Shift("chi-square", n, m, effect, float(chi2.sf(statistic, cells.shape[1] - 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values as they are after so many comparisons (Holm 1979): the chance that any of the equal ones
    seems to differ at a level is at most the level."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    return corrected.tolist()


def _with_rare_ones_together(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """i64[2, labels] with the rarest labels as one, so that enough documents of each are expected."""
    totals = counts.sum(axis=0)
    order = np.argsort(totals, kind="stable")
    expected = totals[order] * (counts.sum(axis=1).min() / totals.sum())
    rare = int((expected < LEAST_EXPECTED).sum())
    while 0 < rare < len(order) and expected[:rare].sum() < LEAST_EXPECTED:
        rare += 1
    sums = [counts[:, order[:rare]].sum(axis=1)] if rare else []
    return np.column_stack([*sums, counts[:, order[rare:]]])


def _independent_size(n: int, m: int, shared: int) -> float:
    """nm/(n+m) of independent samples whose difference would vary as much; infinite if both are the same."""
    variance = (n + m - 2 * shared) / (n * m)
    return 1 / variance if variance > 0 else np.inf
