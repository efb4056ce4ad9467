"""What else a score measures: its partial correlations with length, language, source or date, and a score without them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats

_KNOTS = 16
"""Pieces of the curve by which a number is taken out of a score."""

_CATEGORIES = 50
"""Labels that count by themselves: the most frequent ones. The others are one."""


def partial_correlations(scores: Floats, confounders: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, float]:
    """The correlation of n scores with each confounder when the others are held fixed: −1 to 1.

    Numbers are ranked, as are the scores, so it is Spearman's; labels (object arrays) count as 0/1 columns, and
    theirs is the multiple partial correlation, 0 to 1. Documents that lack a score or a number are left out.
    NaN if fewer documents are left than columns.
    """
    there = ~np.isnan(scores)
    for values in confounders.values():
        if values.dtype != object:
            there &= ~np.isnan(values.astype(np.float64))
    y = _ranks(scores[there])
    blocks = {name: _columns(values[there]) for name, values in confounders.items()}
    found = {}
    for name, block in blocks.items():
        others = [other for key, other in blocks.items() if key != name]
        if there.sum() <= 1 + sum(each.shape[1] for each in blocks.values()):
            found[name] = float("nan")
            continue
        base = np.column_stack([np.ones(len(y)), *others])
        rest, free = _residual(y, base), _residual(block, base)
        unexplained = rest @ rest
        left = _residual(rest, free)
        share = 1 - (left @ left) / unexplained if unexplained > 1e-9 else 0.0
        sign = np.sign(rest @ free[:, 0]) if block.shape[1] == 1 else 1.0
        found[name] = float(sign * np.sqrt(min(max(share, 0.0), 1.0)))
    return found


def residual_scores(scores: Floats, confounders: Mapping[str, npt.NDArray[np.generic]]) -> Floats:
    """Scores without what the confounders explain: f64[n] with the mean of `scores`; NaN if one is missing.

    A score is fitted by the sum of a piecewise linear curve of the rank of each number, and a mean for each
    label, by least squares; the residual is uncorrelated with all of them.
    """
    there = ~np.isnan(scores)
    for values in confounders.values():
        if values.dtype != object:
            there &= ~np.isnan(values.astype(np.float64))
    found = np.full(len(scores), np.nan)
    if there.any():
        bases = [_columns(v[there]) if v.dtype == object else _curve(v[there].astype(np.float64)) for v in confounders.values()]
        design = np.column_stack([np.ones(int(there.sum())), *bases])
        found[there] = _residual(scores[there], design) + scores[there].mean()
    return found


def _columns(values: npt.NDArray[np.generic]) -> Floats:
    """A column of ranks, or 0/1 columns of labels, all but one."""
    if values.dtype != object:
        return _ranks(values.astype(np.float64))[:, None]
    names, code, size = np.unique(values.astype(str), return_inverse=True, return_counts=True)
    frequent = np.argsort(-size, kind="stable")[:_CATEGORIES]
    return (code[:, None] == frequent[1:][None, :]).astype(np.float64) if len(names) > 1 else np.zeros((len(values), 1))


def _curve(values: Floats) -> Floats:
    """The basis of a piecewise linear curve of the rank: f64[n, _KNOTS]."""
    share = _ranks(values) / max(len(values), 1) + 0.5
    return np.maximum(share[:, None] - np.arange(_KNOTS) / _KNOTS, 0.0)


def _ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata

    ranks = np.asarray(rankdata(values), np.float64)
    return ranks - ranks.mean()


def _residual(y: Floats, design: Floats) -> Floats:
    return np.asarray(y - design @ np.linalg.lstsq(design, y, rcond=None)[0])
