"""Fuses signals into quality, from 0 to 1: each becomes a score by its range or calibration, and the scores are combined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Discriminator, Field, Tag, WithJsonSchema, model_validator

from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.options import Options
from tamis.transforms.select.quality.calibration import Calibration, read_calibration
from tamis.transforms.select.quality.learned_weights import LearnedWeights, read_weights
from tamis.transforms.select.quality.score_buckets import Scores

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.core.rater import Signal

_BUCKETS = 20

DEFAULT_QUALITY = 0.5
"""Quality of every document if the recipe weighs no signal."""

_PATH = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})


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
    calibration: Annotated[Calibration | None, _PATH] = Field(
        default=None,
        description="file of tamis rate calibrate, which maps the values instead of direction and range; a release keeps "
        "what the file says of the signal",
    )
    reference: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="for combine: and, what is good enough: with a calibration, a quantile of its reference set, else a score "
        "(by default 0.5)",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_calibration(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and isinstance(fields.get("calibration"), str):
            return fields | {"calibration": read_calibration(fields["calibration"], str(fields.get("signal")))}
        return fields

    @model_validator(mode="after")
    def _range_has_width(self) -> Weight:
        if self.range is not None and not -np.inf < self.range[0] < self.range[1] < np.inf:
            raise ValueError(f"range of '{self.signal}' is [low, high] with low below high, not {list(self.range)}")
        if self.calibration is not None and (self.range is not None or self.direction is not None):
            raise ValueError(f"the calibration of '{self.signal}' says what is better: leave out direction and range")
        return self


class Quality(Options):
    """The signals that make up quality, and how their scores are combined. A list instead of this section is
    short for their weighted mean."""

    combine: Literal["mean", "product", "min", "and", "buckets"] = Field(
        default="mean",
        description="mean: weighted mean; product: weighted geometric mean, in order of the product; min: the lowest score; "
        "and: probability that all signals are good enough, which a single bad one makes small; "
        "buckets: the highest bucket of equal tokens that any signal puts the document in (Nemotron-CC)",
    )
    buckets: int | None = Field(
        default=None, ge=2, le=1000, description="for combine: buckets, their number; null: 20, as in Nemotron-CC"
    )
    signals: tuple[Weight, ...] = Field(min_length=1, description="the signals")
    weights: Annotated[LearnedWeights | None, _PATH] = Field(
        default=None,
        description="file of tamis rate fuse, with a weight of each signal, where below 0 less is better; a release keeps it",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_weights(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and isinstance(fields.get("weights"), str):
            return fields | {"weights": read_weights(fields["weights"])}
        return fields

    @property
    def by_signal(self) -> dict[str, float]:
        """The weight of each signal."""
        return {
            each.signal: each.weight if self.weights is None else self.weights.weights[each.signal] for each in self.signals
        }

    @model_validator(mode="after")
    def _options_have_an_effect(self) -> Quality:
        if self.weights is not None:
            named = {each.signal for each in self.signals}
            if others := sorted(named ^ self.weights.weights.keys()):
                where = "signals, but not in the file" if others[0] in named else "the file, but not under signals"
                raise ValueError(f"weights: '{others[0]}' is under {where}: the weights were learned for all of them together")
            if self.combine in ("min", "buckets") or any(each.weight != 1 for each in self.signals):
                raise ValueError("weights come from the file: give no weight to a signal, and combine by mean, product or and")
        for weight in self.signals:
            if weight.reference is not None and self.combine != "and":
                raise ValueError(f"reference of '{weight.signal}' has no effect without combine: and")
            if weight.weight != 1 and self.combine in ("min", "buckets"):
                raise ValueError(f"weight of '{weight.signal}' has no effect with combine: {self.combine}")
            if weight.range is not None and self.combine == "buckets":
                raise ValueError(f"range of '{weight.signal}' has no effect with combine: buckets")
        if self.buckets is not None and self.combine != "buckets":
            raise ValueError("buckets has no effect without combine: buckets")
        return self

    @property
    def number_of_buckets(self) -> int:
        """The number of buckets; 0 if quality is not by buckets."""
        return (self.buckets or _BUCKETS) if self.combine == "buckets" else 0


def _is_section(value: object) -> str:
    written = isinstance(value, dict) and bool(value.keys() & (Quality.model_fields.keys() - Weight.model_fields.keys()))
    return "[section]" if isinstance(value, Quality) or written else "[list]"


QualityOptions = Annotated[
    Annotated[list[Weight], Tag("[list]")] | Annotated[Quality, Tag("[section]")], Discriminator(_is_section)
]
"""What a recipe may say of quality: a list of weights, or the section."""


def fuse(columns: pa.Table | pa.RecordBatch, quality: Quality | None, signals: Mapping[str, Signal]) -> npt.NDArray[np.float32]:
    """Quality of n documents: float32[n] in [0, 1]. A missing signal does not count; NaN if all are
    missing; `DEFAULT_QUALITY` for all without a `quality`. Not for buckets, which need all documents
    of a corpus (`bucket_quality.py`).

    Sums run in float64 over the signals by name, so that the
    order of the recipe's lines changes no bit. Raises ValueError, naming the signal, if neither
    recipe nor rater gives a direction or range, or if a signal is weighed twice.
    """
    from tamis.transforms.select.quality.combine import combine

    if quality is None:
        return np.full(columns.num_rows, DEFAULT_QUALITY, np.float32)
    assert quality.combine != "buckets"
    if twice := [name for name, times in Counter(weight.signal for weight in quality.signals).items() if times > 1]:
        raise ValueError(f"quality weighs '{twice[0]}' twice")
    options = sorted(quality.signals, key=lambda weight: weight.signal)
    scores = np.stack([_score(weight, columns, signals[weight.signal]) for weight in options], axis=1)
    references = np.array([_reference(weight) for weight in options])
    weights = np.array([quality.by_signal[weight.signal] for weight in options])
    # Σ w s with w < 0 orders as Σ |w| (1 − s) does.
    scores, references = np.where(weights < 0, 1 - scores, scores), np.where(weights < 0, 1 - references, references)
    return combine(scores, np.abs(weights), quality.combine, references).astype(np.float32)


def directed_values(columns: pa.Table | pa.RecordBatch, quality: Quality, signals: Mapping[str, Signal]) -> Scores:
    """The values of the signals of n documents: f32[n, signals], higher is better, NaN if missing."""
    values = []
    for weight in quality.signals:
        own = _values(columns, weight.signal)
        sign = better(weight, signals[weight.signal])
        values.append(sign * own if weight.calibration is None else weight.calibration.apply(own))
    return np.stack(values, axis=1).astype(np.float32)


def better(weight: Weight, signal: Signal) -> float:
    """1 if more is better, -1 if less is. Raises ValueError if neither the recipe nor the rater says so."""
    direction = "up" if weight.calibration is not None else weight.direction or signal.direction
    if signal.has_labels:
        raise ValueError(f"quality cannot weigh '{weight.signal}': it is text")
    if direction not in ("up", "down"):
        raise ValueError(f"quality needs a direction for '{weight.signal}': up or down")
    return 1.0 if direction == "up" else -1.0


def _score(weight: Weight, columns: pa.Table | pa.RecordBatch, signal: Signal) -> Floats:
    """The scores of a signal: f64[n] from 0 to 1, NaN if missing."""
    direction, low, high = resolve_range(weight, signal)
    values = _values(columns, weight.signal)
    return _scaled(values, direction, low, high) if weight.calibration is None else weight.calibration.apply(values)


def resolve_range(weight: Weight, signal: Signal) -> tuple[str, float, float]:
    """(direction, low, high) by the recipe, else by the rater. Raises ValueError if by neither."""
    direction = weight.direction or signal.direction
    if signal.has_labels:
        raise ValueError(f"quality cannot weigh '{weight.signal}': it is text")
    if weight.calibration is not None:
        return "up", weight.calibration.quantiles[0], weight.calibration.quantiles[-1]
    if direction == "none":
        raise ValueError(f"quality needs a direction for '{weight.signal}': up, down or band")
    low, high = (0.0, 1.0) if signal.kind == "bool" else (signal.low, signal.high)
    if weight.range is not None:
        low, high = weight.range
    if low is None or high is None or not low < high:
        raise ValueError(f"quality needs a range for '{weight.signal}': range: [low, high]")
    return direction, low, high


def _scaled(values: Floats, direction: str, low: float, high: float) -> Floats:
    """Scores from 0 to 1. Outside a band, they fall from 1 to 0 over one width of the band."""
    if direction == "band":
        outside = np.maximum(np.maximum(low - values, values - high), 0.0)
        return 1.0 - np.minimum(outside / (high - low), 1.0)
    scaled = np.clip((values - low) / (high - low), 0.0, 1.0)
    return 1.0 - scaled if direction == "down" else scaled


def _reference(weight: Weight) -> float:
    """The score that is good enough."""
    quantile = 0.5 if weight.reference is None else weight.reference
    return quantile if weight.calibration is None else weight.calibration.score_at(quantile)


def _values(columns: pa.Table | pa.RecordBatch, name: str) -> Floats:
    import pyarrow as pa

    column = columns[name]
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
