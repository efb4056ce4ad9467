"""Says which planted items a matcher has found, and which documents it has flagged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tamis.transforms.decontaminate.matching.candidate_records import unpack
from tamis.transforms.decontaminate.matching.run_evidence import RunCounts, evidence
from tamis.transforms.decontaminate.matching.verdicts import decisive, details, find, severities

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.decontaminate.contamination_rater import Decontaminate
    from tamis.transforms.decontaminate.matching.index import Index

Ints = npt.NDArray[np.int64]

REPORTED, REVIEWED, DROPPED = range(3)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What happens to n documents."""

    severity: Ints
    """[n]: `DROPPED` (or cut), `REVIEWED`, `REPORTED`, or -1."""
    own: npt.NDArray[np.bool_]
    """[n]: whether the item that is planted there is a match that alone would drop or review it."""
    detail: list[str]
    """[n]: the match that decides about a document that is flagged, as decisions/ name it; else empty."""


def outcomes(listed: pa.ListArray, plant: Ints, index: Index, options: Decontaminate) -> Outcomes:
    """Judges documents as a run of these documents would. `listed`: their candidates; `plant`: the item
    that is planted in each, or -1."""
    candidates = unpack(listed, index)
    seen = evidence(index, RunCounts.of(candidates, index, options), options)
    matches = find(candidates, index, seen, options)
    flagged = severities(matches, index, options) >= REVIEWED
    own = np.zeros(len(plant), np.bool_)
    own[matches.document[flagged & (matches.item == plant[matches.document])]] = True
    deciding, severity = decisive(matches, index, options)
    severity_of, detail = np.full(len(plant), -1), [""] * len(plant)
    severity_of[deciding.document] = severity
    shown = deciding.take(severity >= REVIEWED)
    for document, text in zip(shown.document.tolist(), details(shown, index, options.score).to_pylist(), strict=True):
        detail[document] = text
    return Outcomes(severity_of, own, detail)
