"""Calibrations: monotone maps from the values of a signal to scores from 0 to 1, frozen in a file.

A calibration is fitted once, on a reference set, and never on the documents that it scores. So a
score means the same in every source and every month, and so does a limit of it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import nearest
from tamis.transforms.core.options import Options

QUANTILES = 101
"""Quantiles of the reference set that a calibration keeps: the minimum, 1 %, …, the maximum."""

Method = Literal["ecdf", "logit", "platt", "isotonic"]

_Numbers = tuple[float, ...]


class Calibration(Options):
    """How the values of one signal become scores, where more is better."""

    method: Method = Field(
        description="ecdf: the share of the reference set that is worse, half of its equals included; logit: log-odds of a "
        "probability, with the quartiles of the reference set at 1/4 and 3/4; platt, isotonic: the probability of the good "
        "label, by a logistic curve or a step-wise one"
    )
    documents: int = Field(ge=1, description="documents of the reference set with a value")
    quantiles: _Numbers = Field(min_length=QUANTILES, max_length=QUANTILES, description="values at 0 %, 1 %, … 100 %")
    values: _Numbers = Field((), description="knots of ecdf and isotonic: values that rise")
    scores: _Numbers = Field((), description="the scores at the knots; linear between them, constant outside")
    slope: float = Field(0.0, description="of logit and platt: score = σ(slope · x + intercept)")
    intercept: float = Field(0.0, description="of logit and platt; x is the value, or its log-odds for logit")

    @model_validator(mode="after")
    def _is_a_monotone_map(self) -> Calibration:
        numbers = (*self.quantiles, *self.values, *self.scores, self.slope, self.intercept)
        if not np.isfinite(numbers).all():
            raise ValueError("a calibration has finite numbers only")
        if len(self.values) != len(self.scores) or bool(self.values) != (self.method in ("ecdf", "isotonic")):
            raise ValueError(f"a calibration by {self.method} has other knots: one score for each value")
        steps = np.diff(self.scores)
        if (np.diff(self.values) <= 0).any() or ((steps < 0).any() and (steps > 0).any()):
            raise ValueError("the values of a calibration rise, and its scores only rise or only fall")
        if self.scores and not 0 <= min(self.scores) <= max(self.scores) <= 1:
            raise ValueError("the scores of a calibration are from 0 to 1")
        return self

    def apply(self, values: Floats) -> Floats:
        """The scores of n values: f64[n] from 0 to 1; NaN stays NaN."""
        from tamis.transforms.select.quality.combine import log_odds, sigmoid

        if self.values:
            return np.where(np.isnan(values), np.nan, np.interp(values, self.values, self.scores))
        x = log_odds(values) if self.method == "logit" else values
        return sigmoid(np.clip(self.slope * x + self.intercept, -700.0, 700.0))

    def score_at(self, quantile: float) -> float:
        """The score that this share of the reference set does not exceed."""
        scores = np.sort(self.apply(np.array(self.quantiles)))
        return float(np.interp(quantile, np.linspace(0.0, 1.0, QUANTILES), scores))

    def covers(self, values: Floats) -> np.ndarray:
        """Which of n values lie in the range of the reference set: bool[n]. A missing value does."""
        return ~((values < self.quantiles[0]) | (values > self.quantiles[-1]))


class CalibrationFile(Options):
    """What `tamis rate calibrate` writes: calibrations by signal, and what they were fitted on."""

    reference: str = Field(description="what was read: a release, or files")
    signals: dict[str, Calibration] = Field(min_length=1)


def read_calibration(uri: str, signal: str) -> Calibration:
    """The calibration of a signal in a file. Raises ValueError saying what is wrong with the file."""
    try:
        file = CalibrationFile.model_validate_json(storage.read_bytes(uri))
    except FileNotFoundError:
        raise ValueError(f"there is no file {uri}; tamis rate calibrate writes one") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{uri} is no file of tamis rate calibrate: {place or 'JSON'}: {first['msg']}") from None
    if signal not in file.signals:
        close = nearest(signal, file.signals)
        hint = f"did you mean '{close}'?" if close else f"it has {', '.join(sorted(file.signals))}"
        raise ValueError(f"{uri} has no calibration of '{signal}': {hint}")
    return file.signals[signal]
