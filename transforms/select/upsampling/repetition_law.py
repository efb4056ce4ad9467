"""How much of a corpus to keep, and how often to repeat it, for a number of training tokens.

Repetition lowers the value of data: the best tenth seen ten times may teach less than the best
half seen twice. The law is that of "Scaling Laws for Data Filtering: Data Curation cannot be
Compute Agnostic" (Goyal et al., CVPR 2024): a bucket of data has a utility b and a half-life τ,
fitted to trainings on that bucket alone; they predict the loss of mixtures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.options import Options, PositiveCount

Form = Literal["paper", "code"]
"""Where the irreducible loss d is added: at the end (the paper), or to the first epoch's term,
before the factors of later ones (objective.py of locuslab/scaling_laws_data_filtering)."""

_UNIT = 1e5
"""The unit of samples for the scale `a` (objective.py)."""

_FADED = 60
"""Half-lives after which an epoch has no effect in float64."""


class Bucket(Options):
    """Data of about the same quality, and the parameters of their law."""

    name: str
    tokens: PositiveCount = Field(description="tokens (or samples) of one epoch")
    utility: float = Field(lt=0, allow_inf_nan=False, description="b, the exponent of the loss; the lower, the better the data")
    half_life: float = Field(gt=0, allow_inf_nan=False, description="τ, epochs after which the utility has halved")


class Buckets(Options):
    """The buckets of a corpus, and their common parameters."""

    scale: float = Field(gt=0, allow_inf_nan=False, description="a, common to all buckets")
    floor: float = Field(default=0.1, ge=0, allow_inf_nan=False, description="d, the irreducible loss")
    form: Form = Field(
        default="paper", description="paper: d is added last; code: d is added before the factors of later epochs"
    )
    buckets: tuple[Bucket, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Buckets:
        names = [bucket.name for bucket in self.buckets]
        if len(set(names)) < len(names):
            raise ValueError(f"two buckets have the same name: {', '.join(names)}")
        return self

    @property
    def ranked(self) -> tuple[Bucket, ...]:
        """The buckets, best first."""
        return tuple(sorted(self.buckets, key=lambda bucket: (bucket.utility, bucket.name)))


@dataclass(frozen=True, slots=True)
class CutDepth:
    """The best buckets together, and the loss after training on them."""

    buckets: tuple[str, ...]
    tokens: int  # of one epoch
    share: float  # of all buckets' tokens
    epochs: float  # number of passes over them
    loss: float


def loss(buckets: Sequence[Bucket], seen: float, scale: float, floor: float, form: Form = "paper") -> float:
    """Loss after `seen` tokens of a mixture of the buckets, each in full, epoch after epoch.

    For one bucket of S tokens and N = `seen`: n_j = a·min(S(j + 1), N) / 1e5 after epoch j, whose
    exponent is b_j = b·0.5^(j/τ), and loss = n_0^b_0 · Π (n_j / n_{j−1})^b_j + d. In a mixture the
    exponents are averaged, and a bucket that is 1/p of it has p times its half-life, since p times
    as much is seen between its repeats. (The paper has p buckets of one size; here they weigh by
    their tokens.) Raises ValueError unless `seen` is above 0 and finite.
    """
    if not 0 < seen < math.inf:
        raise ValueError(f"tokens must be above 0, not {seen:g}")
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


def cut_depths(buckets: Buckets, seen: float) -> list[CutDepth]:
    """The loss after `seen` tokens of the best bucket, of the best two, and so on."""
    total = sum(bucket.tokens for bucket in buckets.buckets)
    depths = []
    for depth in range(1, len(buckets.buckets) + 1):
        best = buckets.ranked[:depth]
        names, tokens = tuple(bucket.name for bucket in best), sum(bucket.tokens for bucket in best)
        final_loss = loss(best, seen, buckets.scale, buckets.floor, buckets.form)
        depths.append(CutDepth(names, tokens, tokens / total, seen / tokens, final_loss))
    return depths


@dataclass(frozen=True, slots=True)
class LossCurve:
    """Losses of a training on one bucket alone, after `seen` tokens; an epoch has `tokens`."""

    tokens: int
    seen: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]


def fit_buckets(curves: Mapping[str, LossCurve], floor: float = 0.1, form: Form = "paper") -> tuple[Buckets, float]:
    """(buckets, root mean square error of log loss) of the laws that fit the measured losses best.

    Least squares of log loss over the logarithms of a common scale and of each bucket's utility
    and half-life, from the best starts of a fixed grid, so that the same curves give the same
    laws. (The published fit draws up to 100,000 random points of a grid.) Raises ValueError,
    naming the bucket, if a curve has fewer than three points, none beyond the first epoch, or a
    loss not above the floor.
    """
    from scipy.optimize import least_squares

    names = sorted(curves)
    if not names:
        raise ValueError("no losses to fit")
    for name in names:
        curve = curves[name]
        if len(curve.seen) < 3 or not (curve.seen > curve.tokens).any():
            raise ValueError(f"bucket '{name}' needs at least three points, one after its first epoch ({curve.tokens:,})")
        if not (curve.loss > floor).all():
            raise ValueError(f"bucket '{name}' has a loss of {curve.loss.min():g}; all must be above the floor of {floor:g}")

    def buckets_at(logs: npt.NDArray[np.float64]) -> Buckets:
        values = np.exp(logs)
        pairs = values[1:].reshape(-1, 2).tolist()
        laws = (
            Bucket(name=name, tokens=curves[name].tokens, utility=-utility, half_life=half_life)
            for name, (utility, half_life) in zip(names, pairs, strict=True)
        )
        return Buckets(scale=float(values[0]), floor=floor, form=form, buckets=tuple(laws))

    def errors(logs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        laws = buckets_at(logs)
        predicted = [
            math.log(loss([bucket], seen, laws.scale, floor, form))
            for bucket in laws.buckets
            for seen in curves[bucket.name].seen.tolist()
        ]
        return np.array(predicted) - measured

    measured = np.log(np.concatenate([curves[name].loss for name in names]))
    scale_range, *own = _RANGES
    low, high = np.log([scale_range, *own * len(names)]).T
    starts = [
        np.log([scale, *[value for _ in names for value in (utility, half_life)]])
        for scale in _STARTS[0]
        for utility in _STARTS[1]
        for half_life in _STARTS[2]
    ]
    starts.sort(key=lambda start: float(np.square(errors(start)).sum()))
    fits = [least_squares(errors, start, bounds=(low, high), xtol=1e-12, ftol=1e-12, gtol=1e-12) for start in starts[:3]]
    best = min(fits, key=lambda fit: fit.cost)
    return buckets_at(best.x), float(np.sqrt(np.mean(np.square(best.fun))))


_RANGES = ((1e-5, 1e3), (1e-4, 2.0), (0.1, 100.0))
"""Bounds of scale, −utility and half-life; the published grid (grid_search.py) is well inside."""

_STARTS = ((0.005, 0.02, 0.1), (0.05, 0.15, 0.3), (1.5, 5.0))
