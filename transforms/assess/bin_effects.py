"""Scores of documents by bin: means with their errors, shrunk towards each other, contrasts, and sampling weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats, Ints


@dataclass(frozen=True)
class BinEffects:
    """Bins by name: f64 or int64[bins].

    `se` is s/√n; of a bin with one document it is by the spread within all bins. `shrunk` is the
    empirical-Bayes estimate, m + τ²/(τ² + se²) · (mean − m), where τ² is the variance between bins by the
    method of moments (DerSimonian and Laird 1986) and m their mean, weighted by precision. `between` is τ.
    """

    names: list[str]
    documents: Ints
    tokens: Floats
    mean: Floats
    se: Floats
    shrunk: Floats
    centre: float
    between: float

    def weights(self, strength: float) -> Floats:
        """Sampling weights that sum to 1: the bin's share of the tokens times e^(strength · z), where z is the
        shrunk mean in units of τ. Without differences between bins they are the shares of the tokens."""
        z = (self.shrunk - self.centre) / self.between if self.between > 0 else np.zeros(len(self.names))
        weights = self.tokens * np.exp(strength * z)
        return np.asarray(weights / weights.sum())


def bin_effects(scores: Floats, bins: npt.NDArray[np.object_], tokens: Floats) -> BinEffects:
    """The effects of n scores (NaN: left out) by the label of each document. `tokens`: f64[n], of all.

    Raises ValueError unless two documents have a score.
    """
    names, code = np.unique(bins.astype(str), return_inverse=True)
    there = ~np.isnan(scores)
    if there.sum() < 2:
        raise ValueError("fewer than two documents have a score")
    # Documents are summed in the order of their scores, so that the order of the input changes no bit.
    order = np.lexsort((scores[there], code[there]))
    value, group = scores[there][order], code[there][order]
    size = np.bincount(group, minlength=len(names))
    measured = size > 0
    mean = np.bincount(group, value, len(names)) / np.maximum(size, 1)
    squares = np.bincount(group, (value - mean[group]) ** 2, len(names))
    within = squares.sum() / max(len(value) - measured.sum(), 1)
    variance = np.where(size > 1, squares / np.maximum(size - 1, 1), within)
    error = np.maximum(variance, max(1e-9 * value.var(), 1e-60)) / np.maximum(size, 1)  # equal values are not certain
    names, size, mean, error = names[measured], size[measured], mean[measured], error[measured]
    between = _between(mean, error)
    precision = 1 / (between + error)
    centre = float((precision * mean).sum() / precision.sum())
    shrunk = centre + between * precision * (mean - centre)
    in_bins = np.asarray(np.bincount(code, tokens, len(measured))[measured], np.float64)
    return BinEffects(names.tolist(), size, in_bins, mean, np.sqrt(error), shrunk, centre, float(np.sqrt(between)))


def contrast(first: Floats, second: Floats) -> Floats:
    """What one target has over another in each document: the difference of their standard scores, NaN where
    one is missing. Its mean over all documents is 0, so its effects tell which bins serve the first target rather
    than the second. Raises ValueError if a target has only one value."""
    both = ~np.isnan(first) & ~np.isnan(second)
    standard = []
    for scores in (first, second):
        spread = scores[both].std() if both.any() else 0.0
        if not spread > 0:
            raise ValueError("a target of the contrast has one value only")
        standard.append((scores - scores[both].mean()) / spread)
    return np.where(both, standard[0] - standard[1], np.nan)


def _between(mean: Floats, error: Floats) -> float:
    """The variance between bins by the method of moments, 0 or more. `error`: squared standard errors."""
    if len(mean) < 2:
        return 0.0
    weight = 1 / error
    centre = (weight * mean).sum() / weight.sum()
    excess = (weight * (mean - centre) ** 2).sum() - (len(mean) - 1)
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    return float(max(excess / scale, 0.0)) if scale > 0 else 0.0
