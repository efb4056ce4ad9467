"""Says what happens to documents by their matches: the limits and classes of the options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.step import rounded
from tamis.transforms.decontaminate.matching.scores import Matches, by_metric, weighted
from tamis.transforms.decontaminate.record import CLASSES

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.contamination_rater import Decontaminate
    from tamis.transforms.decontaminate.matching.candidate_records import Candidates
    from tamis.transforms.decontaminate.matching.index import Index
    from tamis.transforms.decontaminate.matching.run_evidence import Evidence

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NEAR: Final = 0.75
"""Of the lower limit: from this score on, a match that reaches no limit is recorded as a near miss."""
MOST_NEAR: Final = 3
"""Near misses of a document that are recorded, those with the highest scores."""


def find(candidates: Candidates, index: Index, evidence: Evidence, options: Decontaminate) -> Matches:
    """Matches by the score of the options."""
    if options.score == "weighted":
        return weighted(candidates, index, evidence.bits)
    return by_metric(candidates, index, options.score, options.ngram, options.skip, evidence.frequent)


def severities(matches: Matches, index: Index, options: Decontaminate) -> Ints:
    """2 for matches of which a document is to be dropped or cut, 1 for review, 0 for report, else −1."""
    drop, review = _limits(matches, index, options)
    allowed = np.array([("report", "review", "drop").index(options.classes.action(name)) for name in CLASSES])
    reached = np.where(matches.score >= drop, 2, np.where(matches.score >= review, 1, -1))
    return np.minimum(allowed[matches.kind], reached)


def recorded(matches: Matches, severity: Ints, index: Index, options: Decontaminate) -> Ints:
    """Positions of the matches that a release records: those that reach a limit, and near misses."""
    _, review = _limits(matches, index, options)
    order = np.lexsort((matches.item, -matches.score, severity >= 0, matches.document))  # near misses first
    near = (severity < 0) & (matches.score >= NEAR * review)
    document = matches.document[order]
    place = np.arange(len(order)) - np.searchsorted(document, document)
    near[order[place >= MOST_NEAR]] = False
    return np.flatnonzero((severity >= 0) | near)


def deciding(matches: Matches, severity: Ints) -> Ints:
    """Position of the match that decides about each document that has one: the severest, then that with
    the highest score."""
    order = np.lexsort((matches.item, -matches.score, -severity, matches.document))
    order = order[severity[order] >= 0]
    return order[np.flatnonzero(np.diff(matches.document[order], prepend=-1))]


def decisive(matches: Matches, index: Index, options: Decontaminate) -> tuple[Matches, Ints]:
    """The matches that decide (see `deciding`), with their severities."""
    severity = severities(matches, index, options)
    best = deciding(matches, severity)
    return matches.take(best), severity[best]


def details(matches: Matches, index: Index, metric: str) -> pa.StringArray:
    """What decisions/ say of each match: `copied: gsm8k 17 (weighted 0.9812, bytes 120-430)`."""
    benchmark = index.names.take(pa.array(index.benchmark[matches.item])).cast(pa.string())
    item = index.labels.take(pa.array(matches.item)).cast(pa.string())
    kind = pa.array(CLASSES).take(pa.array(matches.kind))
    places = (pa.array(place).cast(pa.string()) for place in (matches.start, matches.stop))
    pieces = [kind, ": ", benchmark, " ", item, f" ({metric} ", rounded(pa.array(matches.score)), ", bytes "]
    return pc.binary_join_element_wise(*pieces, pc.binary_join_element_wise(*places, "-"), ")", "")


def _limits(matches: Matches, index: Index, options: Decontaminate) -> tuple[Floats, Floats]:
    """The scores from which each match drops a document, and from which it sets it aside for review."""
    limits = np.array([options.limits(name) for name in index.names.to_pylist()]).reshape(-1, 2)
    drop, review = limits[index.benchmark[matches.item]].T
    return drop, review
