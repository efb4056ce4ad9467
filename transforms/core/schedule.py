"""The learning-rate schedule a corpus is ordered for, and exactly how much of it falls on any stretch of the run.

Under SGD the step `θ ← θ − η g` weighs the gradient of a sample by the learning rate η of the moment it is seen, so the
integral of η over a stretch of tokens is the weight that stretch has in training ("How Learning Rate Decay Wastes Your
Best Data in Curriculum-Based LLM Pretraining", arXiv 2511.18903).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.options import Options

Floats = npt.NDArray[np.float64]
Curve = Literal["linear", "sqrt", "cosine", "exponential"]

MODERATE = 1 / 3
"""Where arXiv 2511.18903 lets the rate of an ascending order end, as a share of the peak (CDMA)."""

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _or_a_file(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{name: schema.pop(name) for name in ("type", "items")}, {"type": "string"}]


class Schedule(Options):
    """A learning rate over a run whose length is 1.

    The defaults are the paper's baseline for shuffled data: WSD, the last 18 % decaying to 1e-5. For an ascending order
    its best is the same schedule with `final` at a third of the peak (CDMA): `Schedule.moderate(peak)`.
    """

    shape: Annotated[
        Literal["constant", "linear", "cosine", "wsd", "step", "points"],
        Field(
            description="wsd: stay at the peak, decay at the end; cosine, linear: decay all along; constant: stay; "
            "step: fall at `steps`; points: through `points`"
        ),
    ] = "wsd"
    tokens: Annotated[
        int | None,
        Field(gt=0, description="planned length of the run, for what is given in tokens (points tell it themselves)"),
    ] = None
    peak: Annotated[float, Field(gt=0, allow_inf_nan=False, description="highest learning rate (of points: theirs)")] = 3e-3
    final: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False, description="learning rate at the end; constant, step and points say theirs instead"),
    ] = 1e-5
    warmup: Annotated[float, Field(ge=0, lt=1, description="share of the run that rises linearly from 0 to the peak")] = 0.0
    decay: Annotated[float, Field(ge=0, le=1, description="share of the run that decays, at its end (wsd)")] = 0.18
    decay_shape: Annotated[
        Curve,
        Field(
            description="sqrt: η = peak·(1 − √r) + final·√r, r from 0 to 1 over the decay; linear: r for √r; "
            "cosine: (1 − cos πr)/2 for √r; exponential: peak·(final/peak)^r (wsd)"
        ),
    ] = "sqrt"
    steps: Annotated[
        tuple[tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(ge=0, le=1)]], ...],
        Field(description="[share of the run, share of the peak from there on], in order (step)"),
    ] = ()
    points: Annotated[
        tuple[tuple[Rate, Rate], ...],
        Field(
            description="[tokens, learning rate], in order from 0 tokens to the end of the run, straight between; two at one "
            "token are a jump, a run of another length stretches them; or a CSV file of two such columns (points)",
            json_schema_extra=_or_a_file,
        ),
    ] = ()

    @classmethod
    def moderate(cls, peak: float, share: float = MODERATE, warmup: float = 0.0, decay: float = 0.18) -> Schedule:
        """WSD that ends at `share` of its peak: the decay under which an ascending order gained most (CDMA)."""
        return cls(peak=peak, final=peak * share, warmup=warmup, decay=min(decay, 1 - warmup))

    @model_validator(mode="before")
    @classmethod
    def _through_points(cls, values: Any) -> Any:
        """Reads a CSV, so that a schedule carries its points wherever it is written; the peak is theirs."""
        points = values.get("points") if isinstance(values, dict) else None
        if not points:
            return values
        if isinstance(points, str):
            points = read_points(points)
        values = {**values, "points": points}
        try:
            highest = max(float(rate) for _, rate in points)
        except (TypeError, ValueError):
            return values  # the field's own check says what is wrong
        return {"shape": "points", "peak": highest, **values}

    @model_validator(mode="after")
    def _possible(self) -> Schedule:
        if self.shape in ("linear", "cosine", "wsd") and self.final > self.peak:
            raise ValueError(f"final {self.final:g} is above peak {self.peak:g}: a decay ends at or below its peak")
        if self.shape == "wsd" and self.warmup + self.decay > 1:
            raise ValueError(
                f"warmup {self.warmup:g} + decay {self.decay:g} is more than the run: shares of it sum to at most 1"
            )
        if self.shape == "wsd" and self.decay_shape == "exponential" and self.final == 0:
            raise ValueError("an exponential decay never reaches 0: give a final learning rate above it")
        if (self.shape == "step") != bool(self.steps):
            raise ValueError("steps: [[share of the run, share of the peak], …] go with shape: step, and it needs them")
        shares = [self.warmup, *(at for at, _ in self.steps)]
        if self.steps and any(later <= sooner for sooner, later in pairwise(shares)):
            raise ValueError("steps come in order, each at a share of the run above the one before and the warm-up")
        if (self.shape == "points") != bool(self.points):
            raise ValueError("points: [[tokens, learning rate], …], or a CSV file, go with shape: points, and it needs them")
        if self.points:
            self._possible_points()
        return self

    def _possible_points(self) -> None:
        tokens = [at for at, _ in self.points]
        if tokens[0] != 0 or tokens[-1] <= 0 or tokens != sorted(tokens):
            raise ValueError("points: their tokens rise from 0 to the length of the run")
        if self.peak != max(rate for _, rate in self.points):
            raise ValueError(f"peak {self.peak:g} is not the highest learning rate of the points: leave it out")
        if self._polyline.before[-1] == 0:
            raise ValueError("points: their learning rate is 0 all along")
        if self.tokens is not None:
            raise ValueError("points say how long the run is: leave tokens out")
        if self.warmup:
            raise ValueError("points hold their own warm-up: leave warmup out")

    def learning_rate(self, t: npt.ArrayLike) -> Floats:
        """Learning rate at each point of the run, `t` from 0 (start) to 1 (end); at a jump, the rate from there on."""
        at = _within_run(t)
        if self.points:
            return self._polyline.value(at)
        rate = np.empty_like(at)
        for piece in self._pieces():
            # Pieces come in order and share their ends: the later one overwrites.
            inside = (at >= piece.start) & (at <= piece.end)
            rate[inside] = piece.value(at[inside])
        return rate

    def mass(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
        """Exact integral of the learning rate over [a, b] of the run; `mass(0, 1)` is the mean learning rate."""
        start, end = np.broadcast_arrays(_within_run(a), _within_run(b))
        if self.points:
            return np.asarray(self._polyline.through(end) - self._polyline.through(start))
        total = np.zeros(start.shape)
        for piece in self._pieces():
            low, high = np.clip(start, piece.start, piece.end), np.clip(end, piece.start, piece.end)
            total = total + piece.integral(low, high)
        return total

    def curvature(self, half_life: float | None) -> float:
        """The λ under which what was learnt fades to a half within `half_life` of the run at the peak learning rate.

        `half_life` is a share of the run (tokens ÷ tokens of the run), λ·peak·half_life = ln 2; None never fades, λ = 0.
        The peak is the reference, because there most runs stay longest and the number does not change with the decay.
        """
        return 0.0 if half_life is None else float(np.log(2) / (self.peak * half_life))

    def log_weight(self, a: npt.ArrayLike, b: npt.ArrayLike, curvature: float, end: float = 1.0) -> Floats:
        """Logarithm of `weight`, which does not underflow; −∞ where the learning rate is 0, and behind `end`."""
        a, b = np.minimum(a, end), np.minimum(b, end)
        mass = np.maximum(self.mass(a, b), 0.0)
        with np.errstate(divide="ignore"):
            if curvature == 0:
                return np.asarray(np.log(mass))
            inside = np.log(-np.expm1(-curvature * mass) / curvature)
        return np.asarray(inside - curvature * self.mass(b, end))

    def weight(self, a: npt.ArrayLike, b: npt.ArrayLike, curvature: float, end: float = 1.0) -> Floats:
        """What the samples seen in [a, b] of the run weigh in the model at `end`: ∫ η(t)·exp(−λ ∫ₜᵉⁿᵈ η) dt, exactly.

        For SGD on a quadratic of curvature λ a sample of step i weighs w_i = η_i ∏_{j>i}(1 − λη_j), of which this is the
        limit of small steps; λ as decoupled weight decay is how long AdamW remembers. The integrand is the derivative of
        exp(−λ ∫ₜᵉⁿᵈ η)/λ, so no quadrature is needed. With λ = 0 it is `mass`.
        """
        return np.asarray(np.exp(self.log_weight(a, b, curvature, end)))

    def lr_range(self, a: float, b: float) -> tuple[float, float]:
        """Lowest and highest learning rate within [a, b] of the run; a jump at b lies behind it."""
        if a >= b:
            rate = float(self.learning_rate(a))
            return rate, rate
        if self.points:
            return self._polyline.extremes(a, b)
        # No piece turns inside: extremes lie at the ends of the stretch or where two pieces meet.
        rates = [
            float(rate)
            for piece in self._pieces()
            if piece.start < b and piece.end > a
            for rate in piece.value(np.array([max(a, piece.start), min(b, piece.end)]))
        ]
        return min(rates), max(rates)

    @property
    def length(self) -> float | None:
        """Tokens of the run, where the schedule says so."""
        return self.points[-1][0] if self.points else self.tokens

    @cached_property
    def _polyline(self) -> _Polyline:
        tokens, rate = np.array(self.points, np.float64).T
        inside = slice(np.searchsorted(tokens, tokens[-1]) + 1)  # what jumps at the very end is behind the run
        at, rate = tokens[inside] / tokens[-1], rate[inside]
        width = np.diff(at)
        slope = np.divide(np.diff(rate), width, out=np.zeros_like(width), where=width > 0)
        before = np.append(0.0, np.cumsum(width * (rate[:-1] + rate[1:]) / 2))
        return _Polyline(at, rate, slope, before)

    def _pieces(self) -> Iterator[_Piece]:
        if self.warmup > 0:
            yield _Piece(0.0, self.warmup, "linear", 0.0, self.peak)
        if self.shape == "cosine" or self.shape == "linear":
            yield _Piece(self.warmup, 1.0, self.shape, self.peak, self.final)
            return
        if self.shape == "step":
            falls = [(self.warmup, 1.0), *self.steps, (1.0, 0.0)]
            for (start, share), (end, _) in pairwise(falls):
                yield _Piece(start, end, "linear", self.peak * share, self.peak * share)
            return
        turn = max(1.0 - self.decay, self.warmup) if self.shape == "wsd" else 1.0
        if self.warmup < turn:
            yield _Piece(self.warmup, turn, "linear", self.peak, self.peak)
        if turn < 1:
            yield _Piece(turn, 1.0, self.decay_shape, self.peak, self.final)


def read_points(path: str) -> list[tuple[float, float]]:
    """(tokens, learning rate) of each row of a CSV file; a first row that is no numbers names the columns.

    Raises ValueError naming the file and line.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if row]
    points = [_point(row) for _, row in rows]
    for (number, _), point in list(zip(rows, points, strict=True))[1:]:
        if point is None:
            raise ValueError(f"{path}:{number}: should be two numbers, tokens and learning rate")
    found = [point for point in points if point is not None]
    if not found:
        raise ValueError(f"{path}: no rows of tokens and learning rate")
    return found


def _point(row: Sequence[str]) -> tuple[float, float] | None:
    try:
        tokens, rate = map(float, row)
    except ValueError:
        return None
    return tokens, rate


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of the run on which the learning rate goes from `first` to `last` along one curve."""

    start: float
    end: float
    curve: Curve
    first: float
    last: float

    def value(self, t: Floats) -> Floats:
        if self.first == self.last:
            return np.full_like(t, self.first)
        r = self._progress(t)
        if self.curve == "exponential":
            return np.asarray(self.first * (self.last / self.first) ** r)
        if self.curve == "sqrt":
            r = np.sqrt(r)
        elif self.curve == "cosine":
            r = (1 - np.cos(np.pi * r)) / 2
        return self.first * (1 - r) + self.last * r

    def integral(self, a: Floats, b: Floats) -> Floats:
        if self.first == self.last:
            return np.asarray(self.first * (b - a))
        bent = (self.end - self.start) * (self._antiderivative(b) - self._antiderivative(a))
        return self.first * (b - a) + (self.last - self.first) * bent

    def _antiderivative(self, t: Floats) -> Floats:
        """Integral of the curve's share of the way, 0 at `first` and 1 at `last`, over its progress up to t."""
        r = self._progress(t)
        if self.curve == "sqrt":
            return 2 / 3 * r * np.sqrt(r)
        if self.curve == "cosine":
            return (r - np.sin(np.pi * r) / np.pi) / 2
        if self.curve == "exponential":
            fall = np.log(self.last / self.first)
            return np.asarray((np.expm1(fall * r) / fall - r) / np.expm1(fall))
        return r * r / 2

    def _progress(self, t: Floats) -> Floats:
        return np.clip((t - self.start) / (self.end - self.start), 0.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Polyline:
    """Straight lines between points; a logged run has one for each of its steps, so nothing here walks through them."""

    at: Floats
    rate: Floats
    slope: Floats  # from each point to the next; 0 where they are at one place
    before: Floats  # integral up to each point

    def value(self, t: Floats) -> Floats:
        line, on = self._line(t)
        return np.maximum(self.rate[line] + self.slope[line] * on, 0.0)  # rounding may step below it

    def through(self, t: Floats) -> Floats:
        """Integral from 0 to t."""
        line, on = self._line(t)
        return np.asarray(self.before[line] + on * (self.rate[line] + self.slope[line] * on / 2))

    def extremes(self, a: float, b: float) -> tuple[float, float]:
        """Lowest and highest within [a, b), a < b."""
        first, last = np.searchsorted(self.at, [a, b])
        end = max(int(last) - 1, 0)
        meets = [*self.value(np.array([a])), *self.rate[first:last][self.at[first:last] > a]]
        meets.append(max(self.rate[end] + self.slope[end] * (b - self.at[end]), 0.0))
        return float(min(meets)), float(max(meets))

    def _line(self, t: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
        """The line each t lies on, the later one where two meet, and how far on it."""
        line = np.clip(np.searchsorted(self.at, t, side="right") - 1, 0, len(self.slope) - 1)
        return line, t - self.at[line]


def _within_run(t: npt.ArrayLike) -> Floats:
    at = np.asarray(t, np.float64)
    if at.size and not (np.min(at) >= 0 and np.max(at) <= 1):
        raise ValueError(f"points of a run lie between 0 and 1, not at {at[~((at >= 0) & (at <= 1))].flat[0]:g}")
    return at
