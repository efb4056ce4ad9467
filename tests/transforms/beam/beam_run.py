"""Runs a transform over part_states in this process and hands back what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tamis.transforms.beam.exchange import PartState


def dossiers_of(table: pa.Table, parts: Sequence[Sequence[int]]) -> list[PartState]:
    """One part_state for each list of row numbers; their handle is the rows, with doc_refs for that cut."""
    from tamis.transforms.core.documents import doc_refs

    made = []
    for ordinal, rows in enumerate(parts):
        batch = table.take(pa.array(rows, pa.int64())).combine_chunks()
        batch = batch.append_column("doc_ref", pa.array(doc_refs(ordinal, len(rows))))
        batches = batch.to_batches()
        made.append(PartState(ordinal, batches[0] if batches else pa.RecordBatch.from_pylist([], schema=batch.schema)))
    return made


def handle(part_state: PartState) -> pa.RecordBatch:
    """The rows of a part_state made by `dossiers_of`."""
    return part_state.handle


def run(part_states: list[PartState], transform: Callable[[str], beam.PTransform], folder: Path) -> list[PartState]:
    """The part_states that come out of `transform(spill)`, by part."""
    found: list[PartState] = []
    _collected.clear()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(part_states) | transform(str(folder)) | beam.Map(_collect)
    found.extend(_collected)
    return sorted(found, key=lambda part_state: part_state.part)


_collected: list[PartState] = []


def _collect(part_state: PartState) -> None:
    _collected.append(part_state)
