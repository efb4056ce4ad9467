"""Measures how much of a model's performance on a benchmark goes with contaminated items.

The gain is the mean over all items minus the mean over the clean ones (estimated performance gain:
Singh et al. 2024, arXiv 2411.03923). Z says how unlikely the mean of a subset is if its items were
drawn at random (Touvron et al. 2023, arXiv 2307.09288, appendix A.6).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CLEAN, DIRTY = 0.2, 0.8
"""Llama 2 calls items below the first clean, and those from the second on dirty."""

SIGNIFICANT = 2.0
"""The least |Z| that Llama 2 takes for evidence."""

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""The thresholds of a sweep: 0.05 to 1."""


@dataclass(frozen=True, slots=True)
class Subset:
    """Some items of a benchmark. Mean and Z are None if it is empty; Z is None, too, if all items have
    the same result."""

    items: int
    mean: float | None
    z: float | None


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """The items with scores below a threshold, and those from it on."""

    threshold: float
    clean: Subset
    contaminated: Subset
    gain: float | None
    """Mean of all items minus the mean of the clean ones; None if none is clean."""


@dataclass(frozen=True, slots=True)
class PerformanceGain:
    """The results of a model on n items of a benchmark, by their contamination."""

    items: int
    mean: float
    sweep: tuple[AtThreshold, ...]
    evident: bool
    """Llama 2's rule: |Z| > 2 for the items that are clean, not clean, not dirty, and dirty."""


def z_value(mean: float, overall: float, items: int) -> float | None:
    """(mean - overall) / sqrt(overall (1 - overall) / items): the distance of the mean of a subset from
    that of the whole benchmark in standard deviations. None if it is not defined."""
    if not items or not 0 < overall < 1:
        return None
    return (mean - overall) / math.sqrt(overall * (1 - overall) / items)


def performance_gain(
    correct: npt.NDArray[np.float64], scores: npt.NDArray[np.float64], thresholds: Iterable[float] = THRESHOLDS
) -> PerformanceGain:
    """The gain over a sweep of thresholds.

    `correct`: [n], between 0 and 1, the result of each item. `scores`: [n], how contaminated it is.
    Raises ValueError if there are no items, or values out of this range.
    """
    if not len(correct):
        raise ValueError("there are no items")
    if not ((correct >= 0) & (correct <= 1)).all():
        raise ValueError("a result is between 0 (wrong) and 1 (right)")
    sweep = tuple(_at(float(threshold), correct, scores) for threshold in thresholds)
    ends = [_at(threshold, correct, scores) for threshold in (CLEAN, DIRTY)]
    z_values = [subset.z for end in ends for subset in (end.clean, end.contaminated)]
    evident = all(z is not None and abs(z) > SIGNIFICANT for z in z_values)
    return PerformanceGain(len(correct), float(correct.mean()), sweep, evident)


def _at(threshold: float, correct: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> AtThreshold:
    overall = float(correct.mean())
    below = scores < threshold
    clean, contaminated = _subset(correct[below], overall), _subset(correct[~below], overall)
    return AtThreshold(threshold, clean, contaminated, None if clean.mean is None else overall - clean.mean)


def _subset(correct: npt.NDArray[np.float64], overall: float) -> Subset:
    if not len(correct):
        return Subset(0, None, None)
    mean = float(correct.mean())
    return Subset(len(correct), mean, z_value(mean, overall, len(correct)))
