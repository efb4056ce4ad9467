"""How far small runs can be trusted to rank data sets: intervals over seeds, agreement of rankings.

The measures are those of “Can Small Training Runs Reliably Guide Data Curation?” (arXiv
2512.24503): agreement of pairs, rank correlation, and the regret of training on the proxy's
favourites. A lower loss is better throughout.
"""

from typing import NamedTuple

import numpy as np

from tamis.transforms.core.arrays import Floats

WIDTH = 768
"""Width of the model for which the paper gives its learning rates (GPT-2 small)."""

TINY = 1e-5
"""The rate at `WIDTH` at which the paper's proxies ranked best; its range goes down to 1e-6."""

FLIPS = 1e-4
"""At `WIDTH`, from here on, rankings flipped: Spearman's ρ fell from above 0.92 to below 0.75."""


class Interval(NamedTuple):
    """A mean and its 95 % interval (Student's t over the seeds); infinite for a single seed."""

    mean: float
    low: float
    high: float


def scale_rate(rate: float, width: int) -> float:
    """Scales a rate given for `WIDTH` to another width: as 1 / width for matrices (µP, Adam)."""
    return rate * WIDTH / width


def interval(values: Floats, confidence: float = 0.95) -> Interval:
    """The mean of independent values, one per seed. Raises ValueError if there are none."""
    if not len(values):
        raise ValueError("an interval takes at least one value")
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, -np.inf, np.inf)
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def pairwise_differences(losses: Floats) -> list[tuple[int, int, Interval]]:
    """(i, j, interval of loss i − loss j over the seeds) for pairs of rows of (data sets, seeds).

    A seed gives every data set the same initial weights, so its luck cancels in the difference. If
    the interval of a pair holds 0, the proxies cannot tell the two data sets apart.
    """
    rows = len(losses)
    return [(i, j, interval(losses[i] - losses[j])) for i in range(rows) for j in range(i + 1, rows)]


def pairwise_agreement(proxy: Floats, target: Floats) -> float:
    """Share of pairs in the same order; a tie agrees only with a tie. NaN if there is no pair."""
    first, second = np.triu_indices(_check_shapes(proxy, target), 1)
    if not len(first):
        return np.nan
    return float(np.mean(np.sign(proxy[first] - proxy[second]) == np.sign(target[first] - target[second])))


def rank_correlation(proxy: Floats, target: Floats) -> float:
    """Spearman's ρ, with ties at their mean rank. NaN if all values of one side are equal."""
    _check_shapes(proxy, target)
    if len(set(proxy)) < 2 or len(set(target)) < 2:
        return np.nan
    from scipy.stats import spearmanr

    return float(spearmanr(proxy, target).statistic)


def top_k_regret(proxy: Floats, target: Floats, k: int) -> float:
    """Loss of the best among the proxy's k favourites − loss of the best of all. Assumes the worst
    where the proxy is tied. Raises ValueError unless k is between 1 and the number of data sets."""
    if not 1 <= k <= _check_shapes(proxy, target):
        raise ValueError(f"k is {k}, but there are {len(proxy)} data sets")
    favourites = np.lexsort((-target, proxy))[:k]
    return float(target[favourites].min() - target.min())


def ranking_warnings(rate: float, width: int, seeds: int) -> list[str]:
    """Why a ranking made with this learning rate, width and number of seeds may not hold."""
    warnings = []
    flips, tiny = scale_rate(FLIPS, width), scale_rate(TINY, width)
    if rate >= flips:
        warnings.append(
            f"[flips] A learning rate of {rate:.2g} is too high to rank data: from {flips:.2g} on, at width {width}, rankings "
            f"follow the curvature of each data set, not its value, and flip. Use {tiny:.2g} or less (arXiv 2512.24503)."
        )
    if seeds < 2:
        warnings.append("[one-seed] With one seed, a difference cannot be told from luck. Use three or more.")
    return warnings


def _check_shapes(proxy: Floats, target: Floats) -> int:
    """The number of data sets."""
    if proxy.shape != target.shape or proxy.ndim != 1:
        raise ValueError(f"losses have shapes {proxy.shape} and {target.shape}: both need one loss for each data set")
    return len(proxy)
