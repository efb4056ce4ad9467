"""What to take of several ways of training, from their losses with the same seeds.

Differences are paired by seed (Student's t). Their number is corrected for by Holm's procedure with
weights (S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Statist. 6, 1979,
65-70), which holds however the differences depend on each other, and by Bonferroni's intervals. A
question that is asked first has half of the weight, so that all others together cannot drown it.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from tamis.transforms.core.arrays import Floats

LEVEL: Final = 0.05
"""Chance, at most, of calling any difference real where all are luck."""


class Comparisons(NamedTuple):
    """How much lower the loss of each way is than that of its reference: the mean over the seeds, the
    interval that holds the true one for all ways together with 95 % confidence, and Holm's
    corrected p-value. Ways that are the same training count once. `number`: differences tested."""

    gain: Floats
    low: Floats
    high: Floats
    p: Floats
    number: int

    @property
    def better(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which ways are better than their reference by more than luck."""
        return (self.p < LEVEL) & (self.gain > 0)


class Choice(NamedTuple):
    """The way to take; the simplest way that nothing simpler matches; all ways compared with that."""

    taken: int
    reference: int
    against: Comparisons


def compare_paired(losses: Floats, reference: Floats, first: int | None = None) -> Comparisons:
    """Compares f64[ways, seeds] with references of that shape, or with one, f64[seeds]. `first`: the way
    that is asked for first. With one seed, intervals are infinite and p is 1: no difference can be told
    from luck."""
    from scipy.stats import t

    differences = reference - losses
    distinct, index = np.unique(differences, axis=0, return_inverse=True)
    index = index.ravel()
    tested = np.asarray(distinct.any(axis=1))
    number, seeds = int(tested.sum()), differences.shape[1]
    mean = distinct.mean(axis=1)
    half, p = np.where(tested, np.inf, 0.0), np.ones(len(distinct))
    if seeds > 1 and number:
        weights = np.where(tested, 1.0, 0.0)
        if first is not None and tested[index[first]]:
            weights[index[first]] = max(number - 1, 1)
        weights = weights[tested] / weights.sum()
        error = distinct[tested].std(axis=1, ddof=1) / np.sqrt(seeds)
        with np.errstate(divide="ignore"):
            p[tested] = holm(2 * t.sf(np.abs(mean[tested]) / error, seeds - 1), weights)
        half[tested] = t.isf(LEVEL * weights / 2, seeds - 1) * error
    gain, low, high, corrected = (values[index] for values in (mean, mean - half, mean + half, p))
    return Comparisons(gain, low, high, corrected, number)


def holm(p: Floats, weights: Floats) -> Floats:
    """Corrects p-values for their number. The one that is least for its weight is multiplied by the sum
    of all weights over its own, the next by the sum of the rest over its own, …; none falls below one
    before it, or rises above 1."""
    order = np.argsort(p / weights, kind="stable")
    left = np.cumsum(weights[order][::-1])[::-1]
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * left / weights[order]), 1.0)
    return corrected


def choose(losses: Floats, simplest: Sequence[int]) -> Choice:
    """What to take of f64[ways, seeds]. `simplest`: the way to prefer to all others, and, if there is one,
    the way to prefer to all but that, which is the first question.

    The simplest way is left for the second if this beats it, and either for the best way that beats it.
    Where all ways are equally good, another than the first is taken with a chance of `LEVEL` at most.
    """
    reference, *second = simplest
    against = compare_paired(losses, losses[reference], *second)
    if second and against.better[second[0]]:
        reference, against = second[0], compare_paired(losses, losses[second[0]])
    better = np.flatnonzero(against.better)
    taken = int(better[np.argmin(losses[better].mean(axis=1))]) if len(better) else reference
    return Choice(taken, reference, against)
