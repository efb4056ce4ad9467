"""The step that keeps one document for each address.

addresses → 128-bit keys → Exchange by key → all but the best document of each key
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.exchange import (
    Exchange,
    FlatMapDoFn,
    Gathered,
    JoinResults,
    PartState,
    addressed,
    partition_of,
    result_column,
)
from tamis.transforms.beam.step import Documents, Kept, Step, one_batch, rated_part
from tamis.transforms.core.documents import row_of
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.dedup.preference import preference
from tamis.transforms.dedup.survivors import best_first
from tamis.transforms.dedup.urls.url_options import RepeatedUrls

STEP = "dedup.url"

Addressed = Callable[[PartState], pa.Table]
"""Loads the documents of a part that have an address: doc_ref, id, key_0, key_1, and what
`best_first` reads."""


class DropRepeatedUrls(Step):
    """Drops every document but one of those that have one address. Adds representative, the id of the one
    that is kept."""

    name = STEP

    def __init__(self, options: RepeatedUrls) -> None:
        self.options = options

    @classmethod
    def of(cls, options: Dedup, recipe: object) -> DropRepeatedUrls | None:
        return None if options.url is None else cls(options.url)

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform:
        return FindRepeatedUrls(partial(_with_addresses, kept=kept, options=self.options), spill, partitions)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        representative = result_column(documents.columns["doc_ref"], results, "duplicate_of", None).cast(pa.string())

        def detail(rows: pa.Array) -> pa.Array:
            return pc.binary_join_element_wise("same address as", representative.take(rows), " ")

        documents.end(representative.is_valid().to_numpy(zero_copy_only=False), "drop", STEP, detail)
        documents.columns["representative"] = representative


class FindRepeatedUrls(beam.PTransform):
    """Adds a result `dedup.url`: `duplicate_of`, the id of the document that stays, for every other
    document with its key."""

    def __init__(self, documents: Addressed, spill: str, partitions: int) -> None:
        super().__init__()
        self.documents, self.spill, self.partitions = documents, spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        def each(function: Callable[..., Any], **arguments: Any) -> beam.ParDo:
            return beam.ParDo(FlatMapDoFn(partial(function, **arguments))).with_output_types(pa.RecordBatch)

        repeats = (
            part_states
            | "Addresses" >> each(_by_key, documents=self.documents, partitions=self.partitions)
            | "Equal addresses" >> Exchange(self.spill)
            | "Repeats" >> each(_repeats)
        )
        return part_states | "Return" >> JoinResults({STEP: repeats}, self.spill)


def _with_addresses(part_state: PartState, kept: Kept, options: RepeatedUrls) -> pa.Table:
    from tamis.transforms.dedup.urls.url_keys import url_keys

    table = kept(part_state).select(["doc_ref", "id", "quality", "tie_break", "bytes"]).combine_chunks()
    rows = pa.array(row_of(table["doc_ref"].to_numpy()))
    columns = rated_part(part_state).columns(["url", "date"]).take(rows).combine_chunks()
    keys, found = url_keys(columns["url"].combine_chunks(), options)
    for half in range(2):
        table = table.append_column(f"key_{half}", pa.array(np.ascontiguousarray(keys[:, half])))
    table = table.append_column(
        "preference", pa.array(preference(options.keep, columns["date"].combine_chunks(), table["bytes"], table["tie_break"]))
    )
    return table.drop_columns("bytes").filter(pa.array(found))


def _by_key(part_state: PartState, documents: Addressed, partitions: int) -> Iterable[pa.RecordBatch]:
    table = documents(part_state)
    for batch in table.combine_chunks().to_batches():
        yield addressed(batch, partition_of(batch["key_0"].to_numpy(), partitions))


def _repeats(gathered: Gathered) -> Iterable[pa.RecordBatch]:
    """The documents whose key a document has that goes before them."""
    rows = gathered.table()
    key = rows["key_0"].to_numpy()
    # Most addresses occur once: only the others are sorted by what decides.
    order = np.argsort(key, kind="stable")
    same = np.zeros(len(key) + 1, np.bool_)
    same[1:-1] = key[order][1:] == key[order][:-1]
    rows = rows.take(pa.array(order[same[1:] | same[:-1]])).combine_chunks()
    if not len(rows):
        return
    rows = rows.take(best_first(rows, ["key_0", "key_1"]))
    halves = [rows[name].to_numpy() for name in ("key_0", "key_1")]
    repeated = np.zeros(len(rows), np.bool_)
    repeated[1:] = np.logical_and.reduce([half[1:] == half[:-1] for half in halves])
    head = np.maximum.accumulate(np.where(repeated, 0, np.arange(len(rows))))
    if repeated.any():
        ids = rows["id"].take(pa.array(head[repeated]))
        yield one_batch(pa.table({"doc_ref": rows["doc_ref"].filter(pa.array(repeated)), "duplicate_of": ids}))
