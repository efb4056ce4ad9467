"""How far the scores of a new model are from those of the old one on the same documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tamis.transforms.core.arrays import Floats


@dataclass(frozen=True)
class Drift:
    """What changed on n documents with both scores. `rank_agreement`: Spearman's ρ. `flips`: the share that is on the
    other side of the limit. `shift`: mean of new − old, in standard deviations of the old. `limit`: the score."""

    documents: int
    rank_agreement: float
    flips: float
    shift: float
    limit: float


def drift(old: Floats, new: Floats, limit: float) -> Drift:
    """The drift of n scores (NaN: left out) at a limit: a document passes with a score of `limit` or more.
    Raises ValueError unless two documents have both scores."""
    from scipy.stats import rankdata

    both = ~np.isnan(old) & ~np.isnan(new)
    if both.sum() < 2:
        raise ValueError("fewer than two documents have both scores")
    before, after = old[both], new[both]
    ranks = [rankdata(values) for values in (before, after)]
    ranks = [rank - rank.mean() for rank in ranks]
    norm = np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1]))
    agreement = float(ranks[0] @ ranks[1] / norm) if norm > 0 else float((before == after).all())
    flips = float(np.mean((before >= limit) != (after >= limit)))
    difference = float(np.sort(after - before).mean())
    spread = float(np.sort(before).std())
    return Drift(int(both.sum()), agreement, flips, difference / spread if spread > 0 else difference, limit)
