"""How deep to cut a corpus and how often to repeat what is left, for the tokens that training will see.

Quality loses its worth by repetition: the best tenth seen ten times may teach less than the best half seen twice. The laws
are of "Scaling Laws for Data Filtering: Data Curation cannot be Compute Agnostic" (Goyal et al., CVPR 2024): a bucket of data
has a utility b and a half-life τ, fitted on training on the bucket alone; what a mixture does follows without training on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.options import Options

Form = Literal["paper", "code"]
"""Where the irreducible loss d stands: added to the whole (the paper's equation), or to the first epoch's term before the
factors of the later ones (objective.py of locuslab/scaling_laws_data_filtering)."""

_UNIT = 1e5
"""The scale `a` counts samples in hundred thousands (objective.py)."""

_FADED = 60
"""Half-lives after which an epoch teaches nothing that a float64 could tell."""


class Bucket(Options):
    """A pool of data of about the same quality, and what its tokens do."""

    name: str
    tokens: Annotated[int, Field(gt=0, description="size of the pool: tokens (or samples) of one epoch")]
    utility: Annotated[
        float,
        Field(lt=0, allow_inf_nan=False, description="b: the exponent of the loss; the more negative, the better the data"),
    ]
    half_life: Annotated[float, Field(gt=0, allow_inf_nan=False, description="τ: epochs after which the utility has halved")]


class Buckets(Options):
    """The pools a corpus can be cut into, and what they share."""

    scale: Annotated[float, Field(gt=0, allow_inf_nan=False, description="a: common to all buckets")]
    floor: Annotated[float, Field(ge=0, allow_inf_nan=False, description="d: the loss that no data lowers")] = 0.1
    form: Annotated[Form, Field(description="paper: d is added last; code: before the factors of later epochs")] = "paper"
    buckets: Annotated[tuple[Bucket, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> Buckets:
        names = [bucket.name for bucket in self.buckets]
        if len(set(names)) < len(names):
            raise ValueError(f"buckets need names of their own: {', '.join(names)}")
        return self

    @property
    def ranked(self) -> tuple[Bucket, ...]:
        """The best first."""
        return tuple(sorted(self.buckets, key=lambda bucket: (bucket.utility, bucket.name)))


@dataclass(frozen=True, slots=True)
class CutDepth:
    """The best buckets together, trained on for a number of tokens."""

    buckets: tuple[str, ...]
    tokens: int  # of one epoch
    share: float  # of all buckets' tokens
    epochs: float  # how often they are seen
    loss: float


def loss(buckets: Sequence[Bucket], seen: float, scale: float, floor: float, form: Form = "paper") -> float:
    """Loss after `seen` tokens of a mixture of the buckets, each taken whole, epoch after epoch.

    Of one bucket: n_j = a·min(S(j + 1), N) / 1e5 has been seen after epoch j, whose exponent is b_j = b·0.5^(j/τ), and
    loss = n_0^b_0 · Π (n_j / n_{j−1})^b_j + d. In a mixture the exponents are averaged, and a bucket that is 1/p of it has p
    times its half-life: as much more was seen in between. (The paper has p buckets of one size; here unequal ones weigh by
    their tokens.) Raises ValueError unless `seen` is above 0.
    """
    if not 0 < seen < math.inf:
        raise ValueError(f"tokens are a number above 0, not {seen:g}")
    size = sum(bucket.tokens for bucket in buckets)
    part = [bucket.tokens / size for bucket in buckets]
    faded = _FADED * max(bucket.half_life / share for bucket, share in zip(buckets, part, strict=True))
    epoch = np.arange(min(math.ceil(seen / size), math.ceil(faded) + 1))
    exponent = np.zeros(len(epoch))
    for bucket, share in zip(buckets, part, strict=True):
        exponent += share * bucket.utility * 0.5 ** (epoch * share / bucket.half_life)
    through = np.log(scale * np.minimum(size * (epoch + 1.0), seen) / _UNIT)
    first, later = exponent[0] * through[0], float(exponent[1:] @ np.diff(through))
    if form == "code":
        return (math.exp(first) + floor) * math.exp(later)
    return math.exp(first + later) + floor


def cut_depths(pools: Buckets, seen: float) -> list[CutDepth]:
    """The loss after `seen` tokens of the best bucket, the best two, and so on."""
    ranked = pools.ranked
    whole = sum(bucket.tokens for bucket in ranked)
    found = []
    for depth in range(1, len(ranked) + 1):
        best = ranked[:depth]
        tokens = sum(bucket.tokens for bucket in best)
        names = tuple(bucket.name for bucket in best)
        found.append(
            CutDepth(names, tokens, tokens / whole, seen / tokens, loss(best, seen, pools.scale, pools.floor, pools.form))
        )
    return found


@dataclass(frozen=True, slots=True)
class LossCurve:
    """What training on one bucket alone came to: the loss after so many tokens, in epochs of `tokens`."""

    tokens: int
    seen: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]


def fit_buckets(points: Mapping[str, LossCurve], floor: float = 0.1, form: Form = "paper") -> tuple[Buckets, float]:
    """The buckets whose laws come nearest to the measured losses, and the root mean square error of log loss.

    Least squares of log loss over a common scale and each bucket's utility and half-life, in logarithms, from the best starts
    of a fixed grid: the same points give the same laws. (The published fit draws at most 100,000 points of a grid at random.)
    Raises ValueError naming a bucket whose points cannot tell its parameters: fewer than three, or none beyond its first epoch,
    or a loss that is not above the floor.
    """
    from scipy.optimize import least_squares

    names = sorted(points)
    if not names:
        raise ValueError("no points to fit")
    for name in names:
        of = points[name]
        if len(of.seen) < 3 or not (of.seen > of.tokens).any():
            raise ValueError(f"bucket '{name}' needs three points or more, one of them beyond its first epoch of {of.tokens:,}")
        if not (of.loss > floor).all():
            raise ValueError(f"bucket '{name}' has a loss of {of.loss.min():g}; all must lie above the floor of {floor:g}")

    def made(logs: npt.NDArray[np.float64]) -> Buckets:
        values = np.exp(logs)
        pairs = values[1:].reshape(-1, 2).tolist()
        laws = (
            Bucket(name=name, tokens=points[name].tokens, utility=-utility, half_life=half_life)
            for name, (utility, half_life) in zip(names, pairs, strict=True)
        )
        return Buckets(scale=float(values[0]), floor=floor, form=form, buckets=tuple(laws))

    def errors(logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        laws = made(logs)
        told = [
            math.log(loss([bucket], seen, laws.scale, floor, form))
            for bucket in laws.buckets
            for seen in points[bucket.name].seen.tolist()
        ]
        return np.array(told) - measured

    measured = np.log(np.concatenate([points[name].loss for name in names]))
    scale_range, *own = _RANGES
    low, high = np.log([scale_range, *own * len(names)]).T
    starts = [
        np.log([scale, *[value for _ in names for value in (utility, half_life)]])
        for scale in _STARTS[0]
        for utility in _STARTS[1]
        for half_life in _STARTS[2]
    ]
    starts.sort(key=lambda start: float(np.square(errors(start)).sum()))
    found = [least_squares(errors, start, bounds=(low, high), xtol=1e-12, ftol=1e-12, gtol=1e-12) for start in starts[:3]]
    best = min(found, key=lambda result: result.cost)
    return made(best.x), float(np.sqrt(np.mean(np.square(best.fun))))


_RANGES = ((1e-5, 1e3), (1e-4, 2.0), (0.1, 100.0))
"""Within which scale, −utility and half-life are looked for; the published grid (grid_search.py) lies well inside."""

_STARTS = ((0.005, 0.02, 0.1), (0.05, 0.15, 0.3), (1.5, 5.0))
