"""The learning-rate schedule a corpus is ordered for, and exactly how much of it falls on any stretch of the run.

Under SGD the step `θ ← θ − η g` weighs the gradient of a sample by the learning rate η of the moment it is seen, so the
integral of η over a stretch of tokens is the weight that stretch has in training ("How Learning Rate Decay Wastes Your
Best Data in Curriculum-Based LLM Pretraining", arXiv 2511.18903).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from transforms.options import Options

Floats = npt.NDArray[np.float64]
Curve = Literal["linear", "sqrt", "cosine"]


class Schedule(Options):
    """A learning rate over a run whose length is 1.

    The defaults are the paper's baseline for shuffled data: WSD, the last 18 % decaying to 1e-5. For an ascending order
    its best is the same schedule with `final` at a third of the peak (CDMA).
    """

    shape: Annotated[
        Literal["constant", "cosine", "wsd"],
        Field(description="wsd: stay at the peak, decay at the end; cosine: decay all along; constant: stay"),
    ] = "wsd"
    peak: Annotated[float, Field(gt=0, allow_inf_nan=False, description="highest learning rate")] = 3e-3
    final: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False, description="learning rate at the end; constant stays at the peak instead"),
    ] = 1e-5
    warmup: Annotated[float, Field(ge=0, lt=1, description="share of the run that rises linearly from 0 to the peak")] = 0.0
    decay: Annotated[float, Field(ge=0, le=1, description="share of the run that decays, at its end (wsd)")] = 0.18
    decay_shape: Annotated[
        Literal["sqrt", "linear"],
        Field(description="sqrt: η = peak·(1 − √r) + final·√r, r from 0 to 1 over the decay; linear: r for √r (wsd)"),
    ] = "sqrt"

    @model_validator(mode="after")
    def _possible(self) -> Schedule:
        if self.shape != "constant" and self.final > self.peak:
            raise ValueError(f"final {self.final:g} is above peak {self.peak:g}: a decay ends at or below its peak")
        if self.shape == "wsd" and self.warmup + self.decay > 1:
            raise ValueError(
                f"warmup {self.warmup:g} + decay {self.decay:g} is more than the run: shares of it sum to at most 1"
            )
        return self

    def learning_rate(self, t: npt.ArrayLike) -> Floats:
        """Learning rate at each point of the run, `t` from 0 (start) to 1 (end)."""
        at = _within_run(t)
        rate = np.empty_like(at)
        for piece in self._pieces():
            # Pieces come in order and share their ends, where both agree: the later one may overwrite.
            inside = (at >= piece.start) & (at <= piece.end)
            rate[inside] = piece.value(at[inside])
        return rate

    def mass(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
        """Exact integral of the learning rate over [a, b] of the run; `mass(0, 1)` is the mean learning rate."""
        start, end = np.broadcast_arrays(_within_run(a), _within_run(b))
        total = np.zeros(start.shape)
        for piece in self._pieces():
            low, high = np.clip(start, piece.start, piece.end), np.clip(end, piece.start, piece.end)
            total = total + piece.integral(low, high)
        return total

    def lr_range(self, a: float, b: float) -> tuple[float, float]:
        """Lowest and highest learning rate within [a, b] of the run."""
        # No piece turns inside: extremes lie at the ends of the stretch or where two pieces meet.
        joints = [piece.end for piece in self._pieces() if a < piece.end < b]
        rates = self.learning_rate([a, *joints, b])
        return float(rates.min()), float(rates.max())

    def _pieces(self) -> Iterator[_Piece]:
        if self.warmup > 0:
            yield _Piece(0.0, self.warmup, "linear", 0.0, self.peak)
        if self.shape == "cosine":
            yield _Piece(self.warmup, 1.0, "cosine", self.peak, self.final)
            return
        turn = max(1.0 - self.decay, self.warmup) if self.shape == "wsd" else 1.0
        if self.warmup < turn:
            yield _Piece(self.warmup, turn, "linear", self.peak, self.peak)
        if turn < 1:
            yield _Piece(turn, 1.0, self.decay_shape, self.peak, self.final)


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
        if self.curve == "sqrt":
            r = np.sqrt(r)
        elif self.curve == "cosine":
            r = (1 - np.cos(np.pi * r)) / 2
        return self.first * (1 - r) + self.last * r

    def integral(self, a: Floats, b: Floats) -> Floats:
        bent = (self.end - self.start) * (self._antiderivative(b) - self._antiderivative(a))
        return self.first * (b - a) + (self.last - self.first) * bent

    def _antiderivative(self, t: Floats) -> Floats:
        """Integral of the curve from 0 to 1, over its progress up to t."""
        r = self._progress(t)
        if self.curve == "sqrt":
            return 2 / 3 * r * np.sqrt(r)
        if self.curve == "cosine":
            return (r - np.sin(np.pi * r) / np.pi) / 2
        return r * r / 2

    def _progress(self, t: Floats) -> Floats:
        return np.clip((t - self.start) / (self.end - self.start), 0.0, 1.0)


def _within_run(t: npt.ArrayLike) -> Floats:
    at = np.asarray(t, np.float64)
    if at.size and not (np.min(at) >= 0 and np.max(at) <= 1):
        raise ValueError(f"points of a run lie between 0 and 1, not at {at[~((at >= 0) & (at <= 1))].flat[0]:g}")
    return at
