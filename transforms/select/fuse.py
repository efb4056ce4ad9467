"""Fuses signals into quality, from 0 to 1: the weighted mean of signals scaled by their range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.options import Options

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.core.rater import Signal

DEFAULT_QUALITY = 0.5
"""Quality of every document if the recipe weighs no signal."""


class Weight(Options):
    """The weight of one signal, and how its values map to 0 (worst) … 1 (best)."""

    signal: str = Field(description="name of the signal")
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="relative weight")
    direction: Literal["up", "down", "band"] | None = Field(
        default=None,
        description="up: more is better; down: less is better; band: best inside the range; null: as the rater declares",
    )
    range: tuple[float, float] | None = Field(
        default=None, description="useful range [low, high], mapped to 0 and 1 and clipped; null: as the rater declares"
    )

    @model_validator(mode="after")
    def _range_has_width(self) -> Weight:
        if self.range is not None and not -np.inf < self.range[0] < self.range[1] < np.inf:
            raise ValueError(f"range of '{self.signal}' is [low, high] with low below high, not {list(self.range)}")
        return self


def fuse(
    columns: pa.Table | pa.RecordBatch, weights: Sequence[Weight], signals: Mapping[str, Signal]
) -> npt.NDArray[np.float32]:
    """Weighted mean of the scaled signals of n documents: float32[n] in [0, 1]. A missing signal
    does not count; NaN if all are missing.

    Sums run in float64 over the signals by name, so that the
    order of the recipe's lines changes no bit. Raises ValueError, naming the signal, if neither
    recipe nor rater gives a direction or range, or if a signal is weighed twice.
    """
    if not weights:
        return np.full(columns.num_rows, DEFAULT_QUALITY, np.float32)
    total, present = np.zeros(columns.num_rows), np.zeros(columns.num_rows)
    if twice := [name for name, times in Counter(weight.signal for weight in weights).items() if times > 1]:
        raise ValueError(f"quality weighs '{twice[0]}' twice")
    for weight in sorted(weights, key=lambda weight: weight.signal):
        direction, low, high = resolve_range(weight, signals[weight.signal])
        score = _score(_values(columns, weight.signal), direction, low, high)
        measured = ~np.isnan(score)
        total[measured] += weight.weight * score[measured]
        present[measured] += weight.weight
    quality = np.divide(total, present, out=np.full_like(total, np.nan), where=present > 0)
    return quality.astype(np.float32)


def resolve_range(weight: Weight, signal: Signal) -> tuple[str, float, float]:
    """(direction, low, high) by the recipe, else by the rater. Raises ValueError if by neither."""
    direction = weight.direction or signal.direction
    if signal.has_labels:
        raise ValueError(f"quality cannot weigh '{weight.signal}': it is text")
    if direction == "none":
        raise ValueError(f"quality needs a direction for '{weight.signal}': up, down or band")
    low, high = (0.0, 1.0) if signal.kind == "bool" else (signal.low, signal.high)
    if weight.range is not None:
        low, high = weight.range
    if low is None or high is None or not low < high:
        raise ValueError(f"quality needs a range for '{weight.signal}': range: [low, high]")
    return direction, low, high


def _score(values: npt.NDArray[np.float64], direction: str, low: float, high: float) -> npt.NDArray[np.float64]:
    """Scores from 0 to 1. Outside a band, they fall from 1 to 0 over one width of the band."""
    if direction == "band":
        outside = np.maximum(np.maximum(low - values, values - high), 0.0)
        return 1.0 - np.minimum(outside / (high - low), 1.0)
    score = np.clip((values - low) / (high - low), 0.0, 1.0)
    return 1.0 - score if direction == "down" else score


def _values(columns: pa.Table | pa.RecordBatch, name: str) -> npt.NDArray[np.float64]:
    import pyarrow as pa

    column = columns[name]
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
