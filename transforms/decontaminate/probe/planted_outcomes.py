"""Says which planted items a matcher has found, and which documents it has flagged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.transforms.decontaminate.matching.candidates import unpack
from tamis.transforms.decontaminate.matching.scores import partial_counts, word_bits
from tamis.transforms.decontaminate.matching.verdicts import decisive, find, severities

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
    item: Ints
    """[n]: the item that decides, or -1."""
    kind: Ints
    """[n]: position of its class in `CLASSES`, or -1."""
    score: npt.NDArray[np.float64]
    """[n]: its score, or -1."""
    start: Ints
    """[n]: bytes of the document, or -1."""
    stop: Ints


def outcomes(listed: pa.ListArray, plant: Ints, index: Index, options: Decontaminate) -> Outcomes:
    """Judges documents as a run of these documents would. `listed`: their candidates; `plant`: the item
    that is planted in each, or -1."""
    candidates = unpack(listed, index)
    matches = find(candidates, index, word_bits(index, partial_counts(candidates, index)), options)
    flagged = severities(matches, index, options) >= REVIEWED
    own = np.zeros(len(plant), np.bool_)
    own[matches.document[flagged & (matches.item == plant[matches.document])]] = True
    deciding, severity = decisive(matches, index, options)
    columns = (severity, deciding.item, deciding.kind, deciding.score, deciding.start, deciding.stop)
    severity, *decided = (_by_document(column, deciding.document, len(plant)) for column in columns)
    return Outcomes(severity, own, *decided)


def _by_document(column: npt.NDArray[Any], document: Ints, count: int) -> npt.NDArray[Any]:
    found = np.full(count, -1, column.dtype)
    found[document] = column
    return found
