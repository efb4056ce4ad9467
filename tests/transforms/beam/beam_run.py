"""Runs a transform over part states in this process and returns those that come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tamis.transforms.beam.exchange import PartState
from tamis.transforms.core.documents import doc_refs


def part_states_of(table: pa.Table, parts: Sequence[Sequence[int]]) -> list[PartState]:
    """One part state for each list of row numbers, with these rows and their doc_refs."""
    part_states = []
    for ordinal, rows in enumerate(parts):
        batch = table.take(pa.array(rows, pa.int64())).combine_chunks()
        batch = batch.append_column("doc_ref", pa.array(doc_refs(ordinal, len(rows))))
        batches = batch.to_batches()
        part_states.append(PartState(ordinal, batches[0] if batches else pa.RecordBatch.from_pylist([], schema=batch.schema)))
    return part_states


def rows_of(part_state: PartState) -> pa.RecordBatch:
    """The rows of a part state made by `part_states_of`."""
    return part_state.handle


def run(part_states: list[PartState], transform: Callable[[str], beam.PTransform], folder: Path) -> list[PartState]:
    """The part states that come out of `transform(spill)`, by part."""
    _collected.clear()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(part_states) | transform(str(folder)) | beam.Map(_collect)
    return sorted(_collected, key=lambda part_state: part_state.part)


_collected: list[PartState] = []


def _collect(part_state: PartState) -> None:
    _collected.append(part_state)
