"""Runs a transform over dossiers in this process and hands back what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tamis.transforms.beam.exchange import Dossier


def dossiers_of(table: pa.Table, parts: Sequence[Sequence[int]]) -> list[Dossier]:
    """One dossier for each list of row numbers; their handle is the rows, with tickets for that cut."""
    from tamis.transforms.core.documents import tickets

    made = []
    for ordinal, rows in enumerate(parts):
        batch = table.take(pa.array(rows, pa.int64())).combine_chunks()
        batch = batch.append_column("ticket", pa.array(tickets(ordinal, len(rows))))
        batches = batch.to_batches()
        made.append(Dossier(ordinal, batches[0] if batches else pa.RecordBatch.from_pylist([], schema=batch.schema)))
    return made


def handle(dossier: Dossier) -> pa.RecordBatch:
    """The rows of a dossier made by `dossiers_of`."""
    return dossier.handle


def run(dossiers: list[Dossier], transform: Callable[[str], beam.PTransform], folder: Path) -> list[Dossier]:
    """The dossiers that come out of `transform(spill)`, by part."""
    found: list[Dossier] = []
    _collected.clear()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(dossiers) | transform(str(folder)) | beam.Map(_collect)
    found.extend(_collected)
    return sorted(found, key=lambda dossier: dossier.part)


_collected: list[Dossier] = []


def _collect(dossier: Dossier) -> None:
    _collected.append(dossier)
