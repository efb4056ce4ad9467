"""Makes ids unique: numbers all but the first document of an id, whatever the input's order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.exchange import (
    Exchange,
    FlatMapDoFn,
    Gathered,
    JoinResults,
    MapDoFn,
    PartState,
    Rows,
    addressed,
    partition_of,
)
from tamis.transforms.core.errors import RunError
from tamis.transforms.text.hashing import hash128

ROWS = pa.schema(
    [
        pa.field("doc_ref", pa.uint64()),
        pa.field("id", pa.string()),
        *(pa.field(name, pa.uint64()) for name in ("id_hash_0", "id_hash_1", "text_hash_0", "text_hash_1")),
        pa.field("record_hash", pa.uint64()),  # everything but id and text
    ]
)
"""The columns that `Identify` reads."""

STEP = "unique_ids"


class Identify(beam.PTransform):
    """Adds a result under `STEP`: `ordinal` > 1 for each document with an earlier one's id, and
    whether it is a `copy`, with the text of an earlier one, too.

    Documents of one id are ordered by the hash of their text, then of their other fields. Numbers
    that would make another id of the input are skipped. With `error`, raises RunError if documents
    share an id. Cost: one `Exchange` of 60 bytes a document.
    """

    def __init__(self, rows: Rows, error: bool, spill: str, partitions: int) -> None:
        super().__init__()
        self.rows, self.error = rows, error
        self.spill, self.partitions = spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        address = partial(_address, rows=self.rows, partitions=self.partitions)
        ordinals = (
            part_states
            | "Rows" >> beam.ParDo(MapDoFn(address)).with_output_types(pa.RecordBatch)
            | Exchange(self.spill)
            | "Number" >> beam.ParDo(FlatMapDoFn(partial(_number, error=self.error))).with_output_types(pa.RecordBatch)
        )
        return part_states | "Return" >> JoinResults({STEP: ordinals}, self.spill)


def numbered(ids: pa.Array, ordinals: pa.Array) -> pa.Array:
    """The ids with their ordinals: id#2, id#3."""
    return pc.binary_join_element_wise(ids, ordinals.cast(pa.string()), "#")


def _address(part_state: PartState, rows: Rows, partitions: int) -> pa.RecordBatch:
    batch = rows(part_state)
    # id, id#2 and id#2#2 go to one destination: a number that is already in use can be seen there.
    bare = hash128(pc.replace_substring_regex(batch["id"], r"(#\d+)+$", ""))
    return addressed(batch, partition_of(np.ascontiguousarray(bare[:, 0]), partitions))


def _number(gathered: Gathered, error: bool) -> Iterable[pa.RecordBatch]:
    order = ("id_hash_0", "id_hash_1", "text_hash_0", "text_hash_1", "record_hash")
    rows = gathered.table().sort_by([(name, "ascending") for name in order])
    same = np.zeros(len(rows), bool)
    if len(rows) > 1:
        first, second = rows["id_hash_0"].to_numpy(), rows["id_hash_1"].to_numpy()
        same[1:] = (first[1:] == first[:-1]) & (second[1:] == second[:-1])
    if not same.any():
        return
    ids = rows["id"].combine_chunks()
    later = ids.filter(pa.array(same))
    if error:
        names = sorted(later.unique().to_pylist())
        raise RunError(
            f"{len(names)} ids name more than one document, for example {', '.join(map(repr, names[:5]))}. "
            "Make them unique, map another field with input.fields.id, or set duplicate_ids: suffix"
        )
    position = np.arange(len(rows))
    start = np.maximum.accumulate(np.where(same, 0, position))
    ordinal = (position - start + 1)[same]
    group = np.searchsorted(start[same], start[same])  # first later row of each id
    while (in_use := pc.is_in(numbered(later, pa.array(ordinal)), value_set=ids).to_numpy(zero_copy_only=False)).any():
        count = np.cumsum(in_use)
        ordinal += count > np.concatenate([[0], count])[group]  # moves up all from the first in use
    texts = [rows[name].to_numpy() for name in ("text_hash_0", "text_hash_1")]
    copy = np.logical_and.reduce([hashes == np.roll(hashes, 1) for hashes in texts])[same]  # of the document before
    doc_ref = rows["doc_ref"].combine_chunks().filter(pa.array(same))
    yield pa.record_batch({"doc_ref": doc_ref, "ordinal": ordinal, "copy": copy})
