"""Pairs of documents that belong together, such as versions of one article, of which one has the higher target."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def ranked_pairs(groups: npt.NDArray[np.int64], targets: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """[p, 2]: (better, worse) documents, by their places among n, of each pair in a group with two targets. `groups`: [n]."""
    order = np.lexsort((targets, groups))
    end = np.searchsorted(groups[order], groups[order], side="right")
    later = end - np.arange(len(order)) - 1
    worse = np.repeat(np.arange(len(order)), later)
    better = worse + 1 + np.arange(len(worse)) - np.repeat(np.cumsum(later) - later, later)
    differ = targets[order[better]] > targets[order[worse]]
    return np.stack([order[better[differ]], order[worse[differ]]], axis=1)
