"""Combines the scores of a document into one: weighted mean, product, minimum, or a soft AND.

Logarithms and exponentials are of basic arithmetic, since numpy's differ between processors.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np

from tamis.transforms.core.arrays import Floats
from tamis.transforms.select.allocation import portable_log

Combination = Literal["mean", "product", "min", "and"]
COMBINATIONS: Final[tuple[Combination, ...]] = get_args(Combination)

_LEAST = 1e-9
"""Scores are kept this far from 0 and 1 before their log-odds are taken."""

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts (fdlibm, e_exp.c). A whole number below 2^20 times the first is exact."""


def combine(scores: Floats, weights: Floats, combination: Combination, references: Floats) -> Floats:
    """One score from 0 to 1 for each document. A missing score does not count; NaN if all are missing.

    `scores` is f64[n, m] from 0 to 1, NaN if missing; `weights` f64[m] above 0; `references` f64[m],
    for `and`: the score that is good enough. With W the weights of the scores that are there:

    - mean: Σ wᵢ sᵢ / W
    - product: Π sᵢ^(wᵢ / W), the weighted geometric mean, which orders as the product does
    - min: the lowest score, whatever the weights
    - and: exp(Σ wᵢ log σ(logit sᵢ − logit refᵢ) / W), so 0.5 if all scores are at their references
    """
    present = ~np.isnan(scores)
    if combination == "min":
        return np.where(present.any(axis=1), np.where(present, scores, np.inf).min(axis=1), np.nan)
    if combination == "and":
        terms = log_sigmoid(log_odds(scores) - log_odds(references))
    else:
        terms = scores if combination == "mean" else _log(scores)
    total, weight = np.zeros(len(scores)), np.zeros(len(scores))
    for column in range(scores.shape[1]):
        rows = present[:, column]
        total[rows] += weights[column] * terms[rows, column]
        weight[rows] += weights[column]
    mean = np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
    return mean if combination == "mean" else portable_exp(mean)


def log_sigmoid(x: Floats) -> Floats:
    """log σ(x), the log of the probability that a document with log-odds x is good.

    Summed over raters that are centred at their references, it is the log of the probability that the
    document is good by all of them: it saturates above a reference and falls linearly below it
    (Wang et al. 2024, "Transforming and Combining Rewards", arXiv 2402.00742).
    """
    return np.minimum(x, 0.0) - portable_log(1.0 + portable_exp(-np.abs(x)))


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e^−x)."""
    small = portable_exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def log_odds(probability: Floats) -> Floats:
    """log(p / (1 − p)), of p moved into [1e-9, 1 − 1e-9]."""
    p = np.clip(probability, _LEAST, 1.0 - _LEAST)
    return portable_log(p) - portable_log(1.0 - p)


def portable_exp(x: Floats) -> Floats:
    """e^x by basic arithmetic. Below −708 it is 0."""
    x = np.minimum(x, 709.0)
    power = np.rint(np.where(np.isfinite(x), x, 0.0) * 1.4426950408889634)
    rest = (x - power * _LN2_HIGH) - power * _LN2_LOW
    series = np.ones_like(rest)
    for term in range(13, 0, -1):
        series = series * rest / term + 1.0
    return np.where(x < -708.0, 0.0, np.ldexp(series, power.astype(np.int32)))


def _log(scores: Floats) -> Floats:
    positive = scores > 0
    return np.where(positive | np.isnan(scores), portable_log(np.where(positive, scores, 1.0)), -np.inf)
