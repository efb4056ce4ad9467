"""How much raters say the same: correlations and the effective number of raters; κ and NMI of categories."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats

Labels = npt.NDArray[np.object_]


def correlation_matrix(scores: Floats) -> Floats:
    """Spearman's ρ of each pair of m raters: f64[m, m], by the documents that both have rated. `scores` is f64[n, m].
    NaN where two share fewer than two documents or one gives one value only."""
    from scipy.stats import rankdata

    raters = scores.shape[1]
    matrix = np.eye(raters)
    for i in range(raters):
        for j in range(i):
            both = ~np.isnan(scores[:, i]) & ~np.isnan(scores[:, j])
            ranks = [rankdata(scores[both, column]) for column in (i, j)]
            ranks = [rank - rank.mean() for rank in ranks] if both.sum() > 1 else [np.zeros(1), np.zeros(1)]
            norm = np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1]))
            matrix[i, j] = matrix[j, i] = ranks[0] @ ranks[1] / norm if norm > 0 else np.nan
    return matrix


def effective_number(correlations: Floats) -> float:
    """(Σ λ)² / Σ λ² of the eigenvalues of a correlation matrix: m for m raters that are uncorrelated, 1 if all
    say the same. Unknown correlations count as 0."""
    eigenvalues = np.linalg.eigvalsh(np.nan_to_num(correlations))
    return float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


def kappa(first: Labels, second: Labels, order: Sequence[str] = (), power: int = 2) -> float:
    """Cohen's κ of two raters of n documents; None leaves a document out. `order`: the labels from lowest to highest,
    for weighted κ (Cohen 1968), by which labels k places apart differ k^`power` times as much as neighbours. NaN if no
    document has both or chance explains all."""
    table, names = _table(first, second)
    if not table.sum():
        return float("nan")
    if order:
        place = np.array([order.index(name) for name in names], np.float64)
        weight = np.abs(place[:, None] - place[None, :]) ** power
    else:
        weight = 1.0 - np.eye(len(names))
    share = table / table.sum()
    chance = share.sum(axis=1)[:, None] * share.sum(axis=0)[None, :]
    expected = (weight * chance).sum()
    return float(1 - (weight * share).sum() / expected) if expected > 0 else float("nan")


def mutual_information(first: Labels, second: Labels) -> float:
    """Normalised mutual information, 2 I / (H₁ + H₂), 0 to 1; None leaves a document out. 0 if a rater gives one label only."""
    table, _ = _table(first, second)
    if not table.sum():
        return float("nan")
    share = table / table.sum()
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    entropy = _entropy(rows) + _entropy(columns)
    return float(2 * (entropy - _entropy(share.ravel())) / entropy) if entropy > 0 else 0.0


def _entropy(shares: Floats) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())


def _table(first: Labels, second: Labels) -> tuple[Floats, list[str]]:
    """Documents by their two labels, and the labels."""
    both = np.array([a is not None and b is not None for a, b in zip(first, second, strict=True)], bool)
    names, code = np.unique(np.concatenate([first[both], second[both]]).astype(str), return_inverse=True)
    n, size = len(names), int(both.sum())
    return np.bincount(code[:size] * n + code[size:], minlength=n * n).reshape(n, n).astype(np.float64), names.tolist()
