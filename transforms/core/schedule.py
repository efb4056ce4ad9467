"""The learning-rate schedule that a corpus is ordered for, and its exact integrals.

SGD's step `θ ← θ − η g` weighs the gradient of a sample by the learning rate η at that time. So
the integral of η over a range of tokens, its LR mass, is the weight of that range in training
("How Learning Rate Decay Wastes Your Best Data in Curriculum-Based LLM Pretraining", arXiv
2511.18903).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.options import Options, PositiveCount

Curve = Literal["linear", "sqrt", "cosine", "exponential", "halving", "inverse_sqrt"]
"""How a rate goes from one value to another (`Section.value`)."""

MODERATE = 1 / 3
"""Final rate, as a share of the peak, of the best ascending run in arXiv 2511.18903 (CDMA)."""

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_EDGE = 1e-14
"""How near to the end of a section a point is at it. Shares of whole steps are rounded, and a root makes 1e-16 into 1e-8."""

_POSITIVE = ("exponential", "inverse_sqrt")
"""Curves that never reach 0."""


def _allow_file(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{name: schema.pop(name) for name in ("type", "items")}, {"type": "string"}]


class Piece(Options):
    """A stretch of a run in which the learning rate goes along one curve."""

    until: float = Field(
        gt=0, allow_inf_nan=False, description="share of the run at which it ends; the last one ends at 1, or the run within it"
    )
    first: Rate = Field(description="learning rate at its beginning")
    last: Rate = Field(description="learning rate at its end")
    curve: Curve = Field(default="linear", description="as decay_shape")
    power: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="of a linear piece: (1 − r)^power, not 1 − r")

    @model_validator(mode="after")
    def _check(self) -> Piece:
        if self.power != 1 and self.curve != "linear":
            raise ValueError(f"a power is for linear pieces, not for curve: {self.curve}")
        if self.curve in _POSITIVE and min(self.first, self.last) == 0:
            raise ValueError(f"curve: {self.curve} has no rate of 0: set first and last above it")
        return self


class Schedule(Options):
    """The learning rate along a run, whose length is 1.

    The defaults are the paper's baseline for shuffled data: WSD, whose last 18 % decay to 1e-5.
    Its best schedule for an ascending order is the same with `final` at a third of the peak
    (CDMA): `Schedule.moderate(peak)`.
    """

    shape: Literal["constant", "linear", "cosine", "wsd", "step", "pieces", "points"] = Field(
        default="wsd",
        description="wsd: constant, then a decay at the end; cosine, linear: decay throughout; constant: no decay; "
        "step: drop at each of `steps`; pieces: one curve after the other; points: through `points`",
    )
    tokens: PositiveCount | None = Field(
        default=None, description="planned length of the run, needed by options in tokens (not with points, which end there)"
    )
    peak: float = Field(
        default=3e-3, gt=0, allow_inf_nan=False, description="highest learning rate (with pieces or points, theirs)"
    )
    final: float = Field(default=1e-5, ge=0, allow_inf_nan=False, description="learning rate at the end (wsd, cosine, linear)")
    warmup: float = Field(
        default=0.0, ge=0, lt=1, description="share of the run in which the rate rises linearly from 0 to the peak"
    )
    decay: float = Field(default=0.18, ge=0, le=1, description="share of the run, at its end, in which the rate decays (wsd)")
    decay_shape: Curve = Field(
        default="sqrt",
        description="sqrt: η = peak·(1 − √r) + final·√r, with r from 0 to 1 over the decay; linear: r instead of √r; "
        "cosine: (1 − cos πr)/2 instead of √r; exponential: peak·(final/peak)^r; halving: 2 − 2·½^r instead of √r; "
        "inverse_sqrt: 1/η² = (1 − r)/peak² + r/final² (wsd)",
    )
    steps: tuple[tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(ge=0, le=1)]], ...] = Field(
        default=(), description="list of [share of the run, share of the peak from there on], in order (step)"
    )
    pieces: tuple[Piece, ...] = Field(
        default=(), description="curves from the beginning of the run to its end, in order, with their learning rates (pieces)"
    )
    points: tuple[tuple[Rate, Rate], ...] = Field(
        default=(),
        description="list of [tokens, learning rate] from 0 to the end of the run, linear in between, or a CSV file with "
        "these two columns; two points at one token are a jump; points are stretched to the length of the run (points)",
        json_schema_extra=_allow_file,
    )

    @classmethod
    def moderate(cls, peak: float, share: float = MODERATE, warmup: float = 0.0, decay: float = 0.18) -> Schedule:
        """WSD that ends at `share` of its peak, under which ascending order gains most (CDMA)."""
        return cls(peak=peak, final=peak * share, warmup=warmup, decay=min(decay, 1 - warmup))

    @model_validator(mode="before")
    @classmethod
    def _read_points(cls, values: Any) -> Any:
        """Reads a CSV file, so that a saved schedule holds its points, and their peak."""
        points = values.get("points") if isinstance(values, dict) else None
        if not points:
            return values
        if isinstance(points, str):
            points = read_points(points)
        values = {**values, "points": points}
        try:
            highest = max(float(rate) for _, rate in points)
        except (TypeError, ValueError):
            return values  # the validation of the field reports it
        return {"shape": "points", "peak": highest, **values}

    @model_validator(mode="before")
    @classmethod
    def _find_peak_of_pieces(cls, values: Any) -> Any:
        pieces = values.get("pieces") if isinstance(values, dict) else None
        try:
            ends = [float(dict(piece)[end]) for piece in pieces or () for end in ("first", "last")]
        except (TypeError, KeyError, ValueError):
            return values  # the validation of the field reports it
        return {"shape": "pieces", "peak": max(ends), **values} if ends else values

    @model_validator(mode="after")
    def _check(self) -> Schedule:
        if self.shape in ("linear", "cosine", "wsd") and self.final > self.peak:
            raise ValueError(f"final {self.final:g} is above peak {self.peak:g}: a decay must end at or below the peak")
        if self.shape == "wsd" and self.warmup + self.decay > 1:
            raise ValueError(
                f"warmup {self.warmup:g} + decay {self.decay:g} is longer than the run: they must sum to at most 1"
            )
        if self.shape == "wsd" and self.decay_shape in _POSITIVE and self.final == 0:
            raise ValueError(f"a decay of shape {self.decay_shape} never reaches 0: set final above 0")
        if (self.shape == "step") != bool(self.steps):
            raise ValueError("shape: step needs steps ([[share of the run, share of the peak], …]), other shapes have none")
        shares = [self.warmup, *(at for at, _ in self.steps)]
        if self.steps and any(later <= sooner for sooner, later in pairwise(shares)):
            raise ValueError("steps must be in order, each later than the one before and than the warm-up")
        if (self.shape == "points") != bool(self.points):
            raise ValueError("shape: points needs points ([[tokens, learning rate], …] or a CSV file), other shapes have none")
        if (self.shape == "pieces") != bool(self.pieces):
            raise ValueError("shape: pieces needs pieces ([{until, first, last}, …]), other shapes have none")
        if self.pieces:
            self._check_pieces()
        if self.points:
            self._check_points()
        return self

    def _check_pieces(self) -> None:
        ends = [0.0, *(piece.until for piece in self.pieces)]
        if any(later <= sooner for sooner, later in pairwise(ends)) or not ends[-2] < 1 <= ends[-1]:
            raise ValueError("pieces: each must end after the one before, and only the last one at 1 or later")
        if self.peak != max(rate for piece in self.pieces for rate in (piece.first, piece.last)):
            raise ValueError(f"peak {self.peak:g} is not the highest learning rate of the pieces: leave it out")
        if self.peak == 0:
            raise ValueError("pieces: the learning rate is 0 throughout")
        if self.warmup:
            raise ValueError("pieces include the warm-up: leave out warmup")

    def _check_points(self) -> None:
        tokens = [at for at, _ in self.points]
        if tokens[0] != 0 or tokens[-1] <= 0 or tokens != sorted(tokens):
            raise ValueError("points: tokens must start at 0 and rise to the length of the run")
        if self.peak != max(rate for _, rate in self.points):
            raise ValueError(f"peak {self.peak:g} is not the highest learning rate of the points: leave it out")
        if self._polyline.integral[-1] == 0:
            raise ValueError("points: the learning rate is 0 throughout")
        if self.tokens is not None:
            raise ValueError("points determine the length of the run: leave out tokens")
        if self.warmup:
            raise ValueError("points include the warm-up: leave out warmup")

    def learning_rate(self, t: npt.ArrayLike) -> Floats:
        """Learning rate at points `t` of the run, from 0 to 1; at a jump, the rate after it."""
        at = _check_range(t)
        if self.points:
            return self._polyline.value(at)
        rate = np.empty_like(at)
        for section in self.sections():
            # Sections are in order and share their ends: the later one overwrites.
            inside = (at >= section.start) & (at <= section.end)
            rate[inside] = section.value(at[inside])
        return rate

    def mass(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
        """Exact integral of the learning rate over [a, b] of the run; `mass(0, 1)` is its mean."""
        start, end = np.broadcast_arrays(_check_range(a), _check_range(b))
        if self.points:
            return np.asarray(self._polyline.integral_to(end) - self._polyline.integral_to(start))
        total = np.zeros(start.shape)
        for section in self.sections():
            low, high = np.clip(start, section.start, section.end), np.clip(end, section.start, section.end)
            total = total + section.integral(low, high)
        return total

    def curvature(self, half_life: float | None) -> float:
        """The λ at which the effect of a sample halves within `half_life` at the peak rate.

        `half_life` is a share of the run's tokens: λ·peak·half_life = ln 2. None: effects never
        fade, λ = 0. The reference is the peak since most runs stay there longest, and since λ then
        does not depend on the decay.
        """
        return 0.0 if half_life is None else float(np.log(2) / (self.peak * half_life))

    def log_weight(self, a: npt.ArrayLike, b: npt.ArrayLike, curvature: float, end: float = 1.0) -> Floats:
        """Logarithm of `weight`, which does not underflow; −∞ if the rate is 0, and after `end`."""
        a, b = np.minimum(a, end), np.minimum(b, end)
        mass = np.maximum(self.mass(a, b), 0.0)
        with np.errstate(divide="ignore"):
            if curvature == 0:
                return np.asarray(np.log(mass))
            inside = np.log(-np.expm1(-curvature * mass) / curvature)
        return np.asarray(inside - curvature * self.mass(b, end))

    def weight(self, a: npt.ArrayLike, b: npt.ArrayLike, curvature: float, end: float = 1.0) -> Floats:
        """Exact weight in the model at `end` of samples seen in [a, b]: ∫ η(t)·exp(−λ ∫ₜᵉⁿᵈ η) dt.

        For SGD on a quadratic of curvature λ, the sample of step i weighs w_i = η_i ∏_{j>i}(1 −
        λη_j); this is the limit of small steps. With λ as decoupled weight decay, it is how long
        AdamW remembers. The integrand is the derivative of exp(−λ ∫ₜᵉⁿᵈ η)/λ, so no quadrature is
        needed. With λ = 0 it is `mass`.
        """
        return np.asarray(np.exp(self.log_weight(a, b, curvature, end)))

    def lr_range(self, a: float, b: float) -> tuple[float, float]:
        """Lowest and highest learning rate within [a, b] of the run, not including a jump at b."""
        if a >= b:
            rate = float(self.learning_rate(a))
            return rate, rate
        if self.points:
            return self._polyline.extremes(a, b)
        # Sections are monotonic: extremes are at a, b or where two sections meet.
        rates = [
            float(rate)
            for section in self.sections()
            if section.start < b and section.end > a
            for rate in section.value(np.array([max(a, section.start), min(b, section.end)]))
        ]
        return min(rates), max(rates)

    @property
    def length(self) -> float | None:
        """Tokens of the run; None if the schedule does not determine them."""
        return self.points[-1][0] if self.points else self.tokens

    @cached_property
    def _polyline(self) -> _Polyline:
        tokens, rate = np.array(self.points, np.float64).T
        inside = slice(np.searchsorted(tokens, tokens[-1]) + 1)  # a jump at the end has no effect
        at, rate = tokens[inside] / tokens[-1], rate[inside]
        width = np.diff(at)
        slope = np.divide(np.diff(rate), width, out=np.zeros_like(width), where=width > 0)
        integral = np.append(0.0, np.cumsum(width * (rate[:-1] + rate[1:]) / 2))
        return _Polyline(at, rate, slope, integral)

    def sections(self) -> Iterator[Section]:
        """The curves that the rate follows, in order; none with `points`."""
        if self.shape in ("pieces", "points"):
            for start, piece in zip((0.0, *(piece.until for piece in self.pieces)), self.pieces, strict=False):
                yield Section(start, piece.until, piece.curve, piece.first, piece.last, piece.power)
            return
        if self.warmup > 0:
            yield Section(0.0, self.warmup, "linear", 0.0, self.peak)
        if self.shape == "cosine" or self.shape == "linear":
            yield Section(self.warmup, 1.0, self.shape, self.peak, self.final)
            return
        if self.shape == "step":
            levels = [(self.warmup, 1.0), *self.steps, (1.0, 0.0)]
            for (start, share), (end, _) in pairwise(levels):
                yield Section(start, end, "linear", self.peak * share, self.peak * share)
            return
        decay_start = max(1.0 - self.decay, self.warmup) if self.shape == "wsd" else 1.0
        if self.warmup < decay_start:
            yield Section(self.warmup, decay_start, "linear", self.peak, self.peak)
        if decay_start < 1:
            yield Section(decay_start, 1.0, self.decay_shape, self.peak, self.final)


def read_points(path: str) -> list[tuple[float, float]]:
    """(tokens, learning rate) of each row of a CSV file, with or without a header. Raises
    ValueError naming the file and line."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    points = []
    for index, (number, row) in enumerate(rows):
        try:
            tokens, rate = map(float, row)
        except ValueError:
            if index == 0:
                continue  # the header
            raise ValueError(f"{path}:{number}: should be two numbers, tokens and learning rate") from None
        points.append((tokens, rate))
    if not points:
        raise ValueError(f"{path}: no rows of tokens and learning rate")
    return points


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the run in which the learning rate goes from `first` to `last` along one curve."""

    start: float
    end: float
    curve: Curve
    first: float
    last: float
    power: float = 1.0

    def value(self, t: Floats) -> Floats:
        if self.first == self.last:
            return np.full_like(t, self.first)
        r = self._progress(t)
        if self.curve == "exponential":
            return np.asarray(self.first * (self.last / self.first) ** r)
        if self.curve == "inverse_sqrt":
            return np.asarray((self.first**-2 * (1 - r) + self.last**-2 * r) ** -0.5)
        if self.curve == "sqrt":
            r = np.sqrt(r)
        elif self.curve == "cosine":
            r = (1 - np.cos(np.pi * r)) / 2
        elif self.curve == "halving":
            r = 2 - 2 * 0.5**r
        elif self.power != 1:
            r = 1 - (1 - r) ** self.power
        return self.first * (1 - r) + self.last * r

    def integral(self, a: Floats, b: Floats) -> Floats:
        if self.first == self.last:
            return np.asarray(self.first * (b - a))
        if self.curve == "inverse_sqrt":  # as 1/η² has a constant slope, its mean rate is the harmonic mean of the ends
            return np.asarray((b - a) * 2 / (1 / self.value(a) + 1 / self.value(b)))
        bent = (self.end - self.start) * (self._antiderivative(b) - self._antiderivative(a))
        return self.first * (b - a) + (self.last - self.first) * bent

    def _antiderivative(self, t: Floats) -> Floats:
        """Integral, over progress up to t, of the curve from 0 at `first` to 1 at `last`."""
        r = self._progress(t)
        if self.curve == "sqrt":
            return 2 / 3 * r * np.sqrt(r)
        if self.curve == "cosine":
            return (r - np.sin(np.pi * r) / np.pi) / 2
        if self.curve == "halving":
            return np.asarray(2 * r + 2 * 0.5**r / np.log(2))
        if self.power != 1:
            return np.asarray(r + (1 - r) ** (self.power + 1) / (self.power + 1))
        if self.curve == "exponential":
            fall = np.log(self.last / self.first)
            return np.asarray((np.expm1(fall * r) / fall - r) / np.expm1(fall))
        return r * r / 2

    def _progress(self, t: Floats) -> Floats:
        r = np.clip((t - self.start) / (self.end - self.start), 0.0, 1.0)
        return np.where(self.end - t < _EDGE, 1.0, np.where(t - self.start < _EDGE, 0.0, r))


@dataclass(frozen=True, slots=True, eq=False)
class _Polyline:
    """Lines between points. A logged run has one per step, so nothing here loops over them."""

    at: Floats
    rate: Floats
    slope: Floats  # from each point to the next; 0 at a jump
    integral: Floats  # up to each point

    def value(self, t: Floats) -> Floats:
        line, offset = self._line(t)
        return np.maximum(self.rate[line] + self.slope[line] * offset, 0.0)  # despite rounding

    def integral_to(self, t: Floats) -> Floats:
        """Integral from 0 to t."""
        line, offset = self._line(t)
        return np.asarray(self.integral[line] + offset * (self.rate[line] + self.slope[line] * offset / 2))

    def extremes(self, a: float, b: float) -> tuple[float, float]:
        """Lowest and highest value within [a, b), a < b."""
        first, last = np.searchsorted(self.at, [a, b])
        end = max(int(last) - 1, 0)
        values = [*self.value(np.array([a])), *self.rate[first:last][self.at[first:last] > a]]
        values.append(max(self.rate[end] + self.slope[end] * (b - self.at[end]), 0.0))
        return float(min(values)), float(max(values))

    def _line(self, t: Floats) -> tuple[Ints, Floats]:
        """The line of each t (where two meet, the later one), and the offset on it."""
        line = np.clip(np.searchsorted(self.at, t, side="right") - 1, 0, len(self.slope) - 1)
        return line, t - self.at[line]


def _check_range(t: npt.ArrayLike) -> Floats:
    at = np.asarray(t, np.float64)
    if at.size and not (np.min(at) >= 0 and np.max(at) <= 1):
        raise ValueError(f"points of a run must lie between 0 and 1, not at {at[~((at >= 0) & (at <= 1))].flat[0]:g}")
    return at
