"""How far small training runs can be trusted to rank data: intervals over seeds, and agreement of one ranking with another.

The measures are those of “Can Small Training Runs Reliably Guide Data Curation?” (arXiv 2512.24503): agreement of pairs, rank
correlation, and the regret of whoever trains on what the proxy likes best. A loss that is lower is better throughout.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WIDTH = 768
"""Of the model (GPT-2 small) whose learning rates the paper names."""

TINY = 1e-5
"""The learning rate at that width under which the paper's proxies ranked best; its range goes down to 1e-6."""

FLIPS = 1e-4
"""From here on, at that width, rankings flipped: Spearman fell from above 0.92 to below 0.75."""


class Interval(NamedTuple):
    """A mean and where it lies with 95 % confidence (Student's t over the seeds); without bounds for a single seed."""

    mean: float
    low: float
    high: float


def at_width(rate: float, width: int) -> float:
    """What a learning rate named for `WIDTH` is at another: the rate of matrices goes as 1 / width (µP, with Adam)."""
    return rate * WIDTH / width


def interval(values: Floats, confidence: float = 0.95) -> Interval:
    """Of the mean of independent values, one for each seed. Infinite for one value. ValueError for none."""
    if not len(values):
        raise ValueError("an interval takes at least one value")
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, -np.inf, np.inf)
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def differences(losses: Floats) -> list[tuple[int, int, Interval]]:
    """For each pair of rows i < j of (data sets, seeds) the interval of loss i − loss j, seed by seed.

    Seeds that begin with the same weights share their luck, which the difference is free of. Pairs whose interval holds 0 are
    not told apart.
    """
    rows = len(losses)
    return [(i, j, interval(losses[i] - losses[j])) for i in range(rows) for j in range(i + 1, rows)]


def pairwise_agreement(proxy: Floats, target: Floats) -> float:
    """Share of the pairs that both put in the same order; a tie agrees with a tie only. NaN for fewer than two."""
    first, second = np.triu_indices(_alike(proxy, target), 1)
    return (
        float(np.mean(np.sign(proxy[first] - proxy[second]) == np.sign(target[first] - target[second])))
        if len(first)
        else np.nan
    )


def spearman(proxy: Floats, target: Floats) -> float:
    """Correlation of ranks, ties at their mean rank; NaN where one side ranks nothing."""
    _alike(proxy, target)
    one, other = (_ranks(values) - (len(values) - 1) / 2 for values in (proxy, target))
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / scale if scale else np.nan


def top_k_regret(proxy: Floats, target: Floats, k: int) -> float:
    """How much the best of the proxy's k favourites loses against the best of all. Where the proxy is tied, the worst case."""
    if not 1 <= k <= _alike(proxy, target):
        raise ValueError(f"the best {k} of {len(proxy)}")
    chosen = np.lexsort((-target, proxy))[:k]
    return float(target[chosen].min() - target.min())


def warnings(rate: float, width: int, seeds: int) -> list[str]:
    """Why a ranking made with this learning rate, at this width, may not hold."""
    found = []
    flips, tiny = at_width(FLIPS, width), at_width(TINY, width)
    if rate >= flips:
        found.append(
            f"[flips] At a learning rate of {rate:.2g} rankings of data flip: from {flips:.2g} on, at width {width}, "
            f"they follow the curvature of each data set and not its use. Take {tiny:.2g} or less (arXiv 2512.24503)."
        )
    if seeds < 2:
        found.append("[one-seed] One seed has no interval: nothing tells a difference from luck. Take three or more.")
    return found


def _alike(proxy: Floats, target: Floats) -> int:
    if proxy.shape != target.shape or proxy.ndim != 1:
        raise ValueError(f"losses of {proxy.shape} and {target.shape}: one for each data set, the same ones, are compared")
    return len(proxy)


def _ranks(values: npt.NDArray[Any]) -> Floats:
    """From 0; tied values get the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[place], np.float64)
