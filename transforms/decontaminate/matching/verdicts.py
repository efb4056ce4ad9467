"""Says what happens to documents by their matches: the limits and classes of the options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tamis.transforms.decontaminate.matching.scores import CLASSES, Matches, by_metric, weighted

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.contamination_rater import Decontaminate
    from tamis.transforms.decontaminate.matching.candidates import Candidates
    from tamis.transforms.decontaminate.matching.index import Index

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def find(candidates: Candidates, index: Index, bits: Floats, options: Decontaminate) -> Matches:
    """Matches by the score of the options."""
    if options.score == "weighted":
        return weighted(candidates, index, bits)
    return by_metric(candidates, index, options.score, options.ngram, options.skip)


def severities(matches: Matches, index: Index, options: Decontaminate) -> Ints:
    """2 for matches of which a document is to be dropped or cut, 1 for review, 0 for report, else −1."""
    names = index.names.to_pylist()
    drop, review = (np.array([options.limits(name)[k] for name in names])[index.benchmark[matches.item]] for k in (0, 1))
    allowed = np.array([("report", "review", "drop").index(options.classes.action(name)) for name in CLASSES])
    reached = np.where(matches.score >= drop, 2, np.where(matches.score >= review, 1, -1))
    return np.minimum(allowed[matches.kind], reached)


def decisive(matches: Matches, index: Index, options: Decontaminate) -> tuple[Matches, Ints]:
    """The match that decides about each document that has one, with its severity: the severest, then
    that with the highest score."""
    severity = severities(matches, index, options)
    order = np.lexsort((matches.item, -matches.score, -severity, matches.document))
    order = order[severity[order] >= 0]
    best = order[np.flatnonzero(np.diff(matches.document[order], prepend=-1))]
    return matches.take(best), severity[best]
