"""Repeats documents by quality: a curve per bin that drops the worst and repeats the best most (OLMo 3).

x is the share of a bin's tokens in worse documents. The curve is f(x) = C (x − a)^p e^{λ(x − a)}
above a, and 0 below. Its integral is the tokens wanted as a multiple of the bin's. A document is
seen f times on average: the integer part always, one more time by a seeded draw for the fraction.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.options import Options

MILLION = 1_000_000
"""Times are kept in millionths, so that the last bits of a processor's exponential change no copy."""

_POWERS = np.linspace(0.01, 2.0, 20)
"""p is one of these; λ is between 0 and `_STEEPEST` (dolma3, mixing_utils.py)."""

_STEEPEST = 2.0
_DRAW_SEED = 4
"""Seed that mixes the tie break for the draw of the fraction; orders and Gumbel scores use 1 to 3."""

_ROUNDING = 1e-9


class QualityCurve(Options):
    """Repetition by quality: the worst documents of a bin are dropped, the best are repeated most."""

    cap: float = Field(
        default=7.0, gt=0, le=1000, allow_inf_nan=False, description="how often the best bucket is seen at most; OLMo 3: 7"
    )
    drop: float = Field(
        default=0.4,
        ge=0,
        lt=1,
        description="share of a bin's tokens, the worst, that is dropped; rounded down to whole buckets; OLMo 3: 0.4",
    )
    buckets: int = Field(default=20, ge=2, le=100, description="buckets of equal tokens into which quality is cut; OLMo 3: 20")

    @property
    def most_epochs(self) -> float:
        """The most tokens that a bin can give, as a multiple of its tokens: the flattest curve, with
        its best bucket at `cap`."""
        (best,) = _flattest(self._edges, self._start)[-1:]
        return float(np.floor(self.cap / best * MILLION) / MILLION)

    @property
    def _edges(self) -> Floats:
        return np.arange(self.buckets + 1) / self.buckets

    @property
    def _start(self) -> float:
        return float(np.floor(self.drop * self.buckets + _ROUNDING) / self.buckets)

    def bucket_times(self, epochs: float) -> Ints:
        """How often each bucket is seen, the worst first, in millionths: int64[buckets]. Their mean
        is `epochs`, which is no more than `most_epochs`."""
        return np.rint(_bucket_times(self.cap, self.drop, self.buckets, epochs) * MILLION).astype(np.int64)


def curve_times(tokens: npt.ArrayLike, target: float, cap: float, drop: float) -> Floats:
    """How often each bucket is seen: f64[buckets], the worst first; 0 for the worst share `drop`.

    `tokens` are those of each bucket, `target` those of all copies together. The steepest curve
    whose best bucket is seen at most `cap` times: the largest p of 20 that is feasible, then the
    largest λ. Source: OLMo 3 (allenai/dolma3, datasets/dolma3_mix/mixes/mixing_utils.py). Raises
    ValueError if even the flattest curve exceeds the cap.
    """
    size = np.asarray(tokens, np.float64)
    edges = np.concatenate([[0.0], np.cumsum(size)]) / size.sum()
    start = float(edges[edges <= drop + _ROUNDING][-1])
    return _steepest(edges, start, target / float(size.sum()), cap)


def document_times(tokens: Ints, rank: Ints, pool: Ints, bin_: Ints, times: Ints) -> Ints:
    """How often each of n documents is seen, in millionths: int64[n].

    `rank` counts the tokens of the bin up to and including the document, the best first; `pool` are
    all of them; `bin_` is the row of `times` (int64[bins, buckets], the worst bucket first) that is
    for it. A document that lies in several
    buckets has their mean by tokens, so all copies together have the tokens wanted, however large
    documents are.
    """
    buckets = times.shape[1]
    whole = np.maximum(pool, 1)
    low, high = (pool - rank) * buckets, (pool - rank + tokens) * buckets  # in units of tokens / buckets
    first = np.minimum(low // whole, buckets - 1)
    last = np.minimum(np.maximum(high - 1, low) // whole, buckets - 1)
    seen = times[bin_, first]
    across = np.flatnonzero(last > first)
    sums = np.zeros(len(across))
    for bucket in range(buckets):
        inside = np.minimum(high[across], (bucket + 1) * pool[across]) - np.maximum(low[across], bucket * pool[across])
        sums += np.maximum(inside, 0) * times[bin_[across], bucket].astype(np.float64)
    seen[across] = np.rint(sums / ((high - low)[across])).astype(np.int64)
    return seen


def drawn_copies(times: Ints, tie_break: npt.NDArray[np.uint64]) -> Ints:
    """Copies of n documents that are seen so many millionths of times: int64[n]. The integer part,
    and one more if the seeded hash of the id falls into the fraction."""
    from tamis.transforms.text.hashing import mix

    draw = (mix(np.ascontiguousarray(tie_break), _DRAW_SEED) % np.uint64(MILLION)).astype(np.int64)
    return np.asarray((times + draw) // MILLION)


@lru_cache(maxsize=4096)
def _bucket_times(cap: float, drop: float, buckets: int, epochs: float) -> Floats:
    """The curve of a bin, which every part of the corpus asks for."""
    return curve_times(np.ones(buckets), epochs * buckets, cap, drop)


def _steepest(edges: Floats, start: float, epochs: float, cap: float) -> Floats:
    """Means of the curve between the edges (shares of the tokens)."""
    from scipy.optimize import brentq
    from scipy.special import hyp1f1

    above = np.maximum(edges - start, 0.0)

    def means(power: float, rate: float) -> Floats:
        integral = above ** (power + 1) * hyp1f1(power + 1, power + 2, rate * above)  # but for a factor, which cancels
        return np.asarray(epochs * np.diff(integral / integral[-1]) / np.diff(edges))

    feasible = [power for power in _POWERS.tolist() if means(power, 0.0)[-1] <= cap * (1 + _ROUNDING)]
    if not feasible:
        most = cap / _flattest(edges, start)[-1]
        raise ValueError(f"{epochs:g} times its tokens is more than the cap allows, which is {most:g} times")
    power, rate = feasible[-1], _STEEPEST
    if means(power, rate)[-1] > cap:
        rate = (
            0.0
            if means(power, 0.0)[-1] >= cap
            else brentq(lambda rate: means(power, rate)[-1] - cap, 0.0, _STEEPEST, xtol=1e-13)
        )
    return means(power, rate)


def _flattest(edges: Floats, start: float) -> Floats:
    """Means of the flattest curve between the edges, if its integral is 1."""
    integral = np.maximum(edges - start, 0.0) ** (_POWERS[0] + 1)
    return np.asarray(np.diff(integral / integral[-1]) / np.diff(edges))
