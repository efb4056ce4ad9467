"""How fast a model forgets: the half-life of what good documents gain, with intervals, and how it scales.

A model that has just read a block of good documents has a lower loss on others like them than one
that has not. Both then read on, the same. Their difference, the gain, decays by the number of tokens
read since. Gains are f64[seeds, positions of the block, distances from its end].
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats
from tamis.transforms.proxy.agreement import Interval

DRAWS: Final = 1000
"""Resamples of the bootstrap."""

UNTOLD: Final = 0.025
"""From this share of resamples without a half-life on, there is no interval: it may be anything."""

_HALF_LIVES: Final = 400


class Decay(NamedTuple):
    """gain · 2^(−distance / half_life) for each curve. NaN where there is no gain."""

    gain: Floats
    half_life: Floats


class Draws(NamedTuple):
    """How often each resample draws each seed, f64[draws, seeds], and each position, f64[draws, positions].

    The first draw is the sample itself. Seeds and positions are drawn independently, since neither
    curves of one seed nor of one position are independent (A. B. Owen, The pigeonhole bootstrap, Annals
    of Applied Statistics 1, 2007, 386-411)."""

    seeds: Floats
    positions: Floats


def fit_decay(distances: Floats, gains: Floats) -> Decay:
    """The exponentials that fit curves f64[…, distances] with the least squared error.

    Half-lives are sought between a quarter of the first distance after 0 and twice the last. Raises
    ValueError if there are fewer than three distances, for two unknowns.
    """
    if len(distances) < 3:
        raise ValueError(f"{len(distances)} distances are too few to fit a decay: three or more")
    half_lives = np.geomspace(distances[1] / 4, 2 * distances[-1], _HALF_LIVES)
    basis = 2.0 ** (-distances / half_lives[:, None])
    size = (basis**2).sum(axis=1)
    gain = gains @ basis.T / size  # the best for each half-life: a projection
    best = np.where(gain > 0, gain**2 * size, -1.0).argmax(axis=-1)
    first = np.take_along_axis(gain, best[..., None], -1)[..., 0]
    found = first > 0
    return Decay(np.where(found, first, np.nan), np.where(found, half_lives[best], np.nan))


def resample(seeds: int, positions: int) -> Draws:
    """The draws of the bootstrap, the same ones each time."""
    return Draws(_counts(seeds, 0), _counts(positions, 1))


def mean_curves(gains: Floats, draws: Draws) -> Floats:
    """The mean curve of each resample, f64[draws, distances]."""
    seeds, positions, _ = gains.shape
    return np.asarray(np.einsum("ds,dp,spx->dx", draws.seeds, draws.positions, gains, optimize=True) / (seeds * positions))


def position_curves(gains: Floats, draws: Draws) -> Floats:
    """The mean curve at each position over the seeds of each resample, f64[draws, positions, distances]."""
    return np.asarray(np.einsum("ds,spx->dpx", draws.seeds, gains, optimize=True) / len(gains))


def percentiles(values: Floats) -> Interval:
    """The first value, and the 95 % interval of all: values of resamples. Infinite where too many are NaN."""
    if np.isnan(values).mean() >= UNTOLD:
        return Interval(float(values[0]), -np.inf, np.inf)
    low, high = np.nanpercentile(values, (2.5, 97.5)).tolist()
    return Interval(float(values[0]), low, high)


def slopes(logs: Floats, causes: Floats) -> Floats:
    """The exponents of a power law by least squares: f64[draws, causes] of log half-lives f64[draws, n] on
    logs of causes f64[n, causes]. NaN for a cause that does not vary, and all for a draw with a NaN."""
    varying = np.ptp(causes, axis=0) > 0
    centred = causes[:, varying] - causes[:, varying].mean(axis=0)
    found = np.full((len(logs), causes.shape[1]), np.nan)
    found[:, varying] = logs @ np.linalg.pinv(centred).T
    return found


def slopes_within(logs: Floats, causes: Floats, weights: Floats) -> Floats:
    """The exponent in one cause, f64[draws]: of log half-lives f64[draws, groups, n] on causes f64[groups, n],
    each group with a constant of its own, with weights f64[draws, n]. NaN for a draw in which no
    cause varies, and for one with a NaN of any weight."""
    share = (weights / weights.sum(axis=1, keepdims=True))[:, None]
    logs, causes = np.where(share > 0, logs, 0.0), np.broadcast_to(causes, logs.shape)
    causes = causes - (share * causes).sum(axis=2, keepdims=True)
    spread = (share * causes**2).sum(axis=(1, 2))
    together = (share * causes * logs).sum(axis=(1, 2))
    return np.divide(together, spread, out=np.full(len(spread), np.nan), where=spread > 1e-12)


def _counts(number: int, stream: int) -> Floats:
    from tamis.transforms.text.hashing import mix

    hashes = mix(mix(np.arange((DRAWS - 1) * number, dtype=np.uint64), stream), number)
    drawn: npt.NDArray[np.int64] = (hashes % np.uint64(number)).astype(np.int64).reshape(DRAWS - 1, number)
    counts = (drawn[:, :, None] == np.arange(number)).sum(axis=1)
    return np.vstack([np.ones(number), counts])
