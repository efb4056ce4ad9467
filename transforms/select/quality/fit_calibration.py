"""Fits calibrations: the distribution of a reference set, or labels that say which documents are good."""

from __future__ import annotations

import numpy as np

from tamis.transforms.core.arrays import Floats
from tamis.transforms.select.quality.calibration import QUANTILES, Calibration, Method
from tamis.transforms.select.quality.combine import log_odds

KNOTS = 512
"""Knots of an ECDF, at most: a score is off by 1/1024 of the documents between two of them, at most."""

_LOG_3 = 1.0986122886681098  # the log-odds of 3/4


def fit_calibration(values: Floats, method: Method, better: str = "up", labels: Floats | None = None) -> Calibration:
    """The calibration of a signal by the n values of a reference set (NaN: missing, left out).

    `better`: up or down, which values are better; labels tell it themselves. `labels`: f64[n] from 0
    (bad) to 1 (good), NaN where there is none; platt and isotonic need them. The order of the
    documents changes nothing. Raises ValueError if the values or labels do not allow it.
    """
    there = np.isfinite(values)
    if labels is not None:
        there &= np.isfinite(labels)
    values = values[there]
    if len(values) < 2 or values.min() == values.max():
        raise ValueError(f"{len(values):,} documents have a value, and no two differ: a calibration needs different values")
    order = np.argsort(values, kind="stable") if labels is None else np.lexsort((labels[there], values))
    values = values[order]
    quantiles = np.quantile(values, np.linspace(0.0, 1.0, QUANTILES))
    base = {"method": method, "documents": len(values), "quantiles": tuple(quantiles.tolist())}
    if method == "ecdf":
        knots, below = _ecdf(values)
        scores = below if better == "up" else 1 - below
        return Calibration(**base, values=tuple(knots.tolist()), scores=tuple(scores.tolist()))
    if method == "logit":
        return Calibration(**base, **_logit(values, better))
    if labels is None:
        raise ValueError(f"{method} needs labels: documents that are known to be good (1) or bad (0)")
    good = labels[there][order]
    if good.min() < 0 or good.max() > 1 or good.min() == good.max():
        raise ValueError("labels are from 0 (bad) to 1 (good), and some differ")
    if method == "platt":
        return Calibration(**base, **_platt(values, good))
    knots, scores = _isotonic(values, good)
    return Calibration(**base, values=tuple(knots.tolist()), scores=tuple(scores.tolist()))


def _ecdf(values: Floats) -> tuple[Floats, Floats]:
    """Different values and the share of the set below each, half of its equals included."""
    knots, counts = np.unique(values, return_counts=True)
    scores = (np.cumsum(counts) - counts / 2) / len(values)
    if len(knots) > KNOTS:
        chosen = np.unique(np.searchsorted(scores, np.linspace(scores[0], scores[-1], KNOTS)).clip(0, len(knots) - 1))
        knots, scores = knots[chosen], scores[chosen]
    return knots, scores


def _logit(values: Floats, better: str) -> dict[str, float]:
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"logit is for probabilities, but the values are from {values.min():g} to {values.max():g}")
    low, middle, high = np.quantile(log_odds(values), [0.25, 0.5, 0.75])
    if low == high:
        raise ValueError(f"half of the documents or more have the value {np.quantile(values, 0.5):g}: use ecdf")
    slope = 2 * _LOG_3 / (high - low) * (1 if better == "up" else -1)
    return {"slope": float(slope), "intercept": float(-slope * middle)}


def _platt(values: Floats, good: Floats) -> dict[str, float]:
    """A logistic curve by maximum likelihood, with the smoothed targets of Platt 1999, section 2.2."""
    from scipy.optimize import minimize

    positive, negative = good.sum(), (1 - good).sum()
    targets = good * (positive + 1) / (positive + 2) + (1 - good) / (negative + 2)
    centre, scale = np.median(values), values.std()
    x = (values - centre) / scale

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * x + parameters[1]
        residual = 1 / (1 + np.exp(-z)) - targets
        return float(np.mean(np.logaddexp(0, z) - targets * z)), np.array([np.mean(residual * x), np.mean(residual)])

    slope, intercept = minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return {"slope": float(slope / scale), "intercept": float(intercept - slope * centre / scale)}


def _isotonic(values: Floats, good: Floats) -> tuple[Floats, Floats]:
    """The monotone steps that are nearest to the labels, rising or falling as the labels do; linear between
    the ends of two steps, as scikit-learn's IsotonicRegression."""
    from scipy.optimize import isotonic_regression

    knots, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, good) / counts
    rising = bool(np.sum((values - values.mean()) * (good - good.mean())) >= 0)
    scores = np.clip(isotonic_regression(means, weights=counts, increasing=rising).x, 0.0, 1.0)
    ends = np.ones(len(knots), bool)  # the first and the last value of each step
    ends[1:-1] = (scores[1:-1] != scores[:-2]) | (scores[1:-1] != scores[2:])
    return knots[ends], scores[ends]
