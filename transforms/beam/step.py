"""A step of Decide: an object that owns what it reads of documents, and how its answers end them.

A capability defines its steps; the recipe lists them in the order of its sections. A step that needs
no other documents has no transform. Steps decide in turn, and the first that does not keep a
document decides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.core.parts import Part

if TYPE_CHECKING:
    import apache_beam as beam

    from tamis.transforms.beam.exchange import PartState

CUTS = pa.schema(
    [
        pa.field("doc_ref", pa.uint64(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),  # byte in the rated text
        pa.field("stop", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)
"""Spans to cut out of documents. They begin and end between characters, and may overlap."""

Details = Callable[[pa.Array], pa.Array]
"""The details of a decision for the rows with the given indices."""


class Kept(Protocol):
    """Loads the documents of a part that all steps before keep: doc_ref, id, source, tokens, bytes,
    quality, tie_break, id_hash, and columns that lasting steps added."""

    def __call__(self, part_state: PartState) -> pa.Table: ...


@dataclass
class Documents:
    """The documents of a part while steps decide about them, in the order of its rows: columns by
    name, and the decision so far (keep, drop or review), its reason and its detail."""

    columns: dict[str, pa.Array]
    decision: pa.Array
    reason: pa.Array
    detail: pa.Array
    explain: bool

    def end(self, failed: npt.NDArray[np.bool_], decision: str, reason: str | pa.Array, detail: Details) -> None:
        """Ends the kept documents that failed (bool[n]). `reason` is one for all or one for each."""
        mask = pc.and_(pc.equal(self.decision, "keep"), pa.array(failed))
        self.decision = pc.if_else(mask, decision, self.decision)
        self.reason = pc.if_else(mask, reason, self.reason)
        if self.explain:
            self.detail = pc.replace_with_mask(self.detail, mask, detail(pc.indices_nonzero(mask)))

    def tell(self, detail: Details) -> None:
        """Gives the kept documents a detail: why they are kept so."""
        mask = pc.equal(self.decision, "keep")
        self.detail = pc.replace_with_mask(self.detail, mask, detail(pc.indices_nonzero(mask)))


class Step(ABC):
    """One step. `name` is that of its results in the part states. `signals`: columns of the rated
    parts that `decide` finds among those of the documents. `lasting`: whether later steps read the
    columns that it adds. `cuts`: whether its results are spans to cut (`CUTS`)."""

    name: str
    signals: tuple[str, ...] = ()
    lasting: bool = False
    cuts: bool = False

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform | None:
        """What finds the results, from part states to part states with one more result; None if
        the step needs no other documents."""
        return None

    @classmethod
    def of(cls, options: Any, recipe: Any) -> Step | None:
        """The step of a section of a recipe; None if the section asks for none."""
        return cls(options)  # type: ignore[call-arg]

    @abstractmethod
    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        """Ends documents, and adds columns. `results`: what the transform found, None before it
        ran."""


def rated_part(part_state: PartState) -> Part:
    """The rated part of a state."""
    assert isinstance(part_state.handle, Part)
    return part_state.handle


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as one batch."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def rounded(values: pa.Array) -> pa.Array:
    """Numbers as text, to four digits."""
    return pc.round(values, ndigits=4).cast(pa.string())
