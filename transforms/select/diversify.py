"""Keeps only the best of documents with similar embeddings, within each cluster.

Each cluster is gathered in one worker; `similarity.py` decides. Cost: the embeddings go once
through `Exchange`, then the cosine of each document to those kept before it in its cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import apache_beam as beam
import numpy as np
import orjson
import pyarrow as pa

from tamis.transforms.beam.exchange import Exchange, FlatMapDoFn, Gathered, JoinResults, PartState, addressed, partition_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.select.similarity import representatives
from tamis.transforms.text.hashing import hash128

ROWS = pa.schema(
    [
        pa.field("doc_ref", pa.uint64()),
        pa.field("id", pa.string()),
        pa.field("quality", pa.float32()),
        pa.field("tie_break", pa.uint64()),
        pa.field("id_hash", pa.uint64()),
        pa.field("cluster", pa.string()),  # null: no cluster
        pa.field("embedding", pa.large_list(pa.float32())),
    ]
)
"""Columns of the documents that have an embedding."""

STEP = "diverse"

Vectors = Callable[[PartState], Iterable[pa.RecordBatch]]
"""Yields `ROWS` of a part in batches, since embeddings may be larger than the texts."""


class Diversify(beam.PTransform):
    """Adds a result under `STEP` for every document that is too similar to a better one. Its
    columns are `representative` (the id of the better one) and `cosine`. The result is that of one
    pass over each cluster from its best document down; a seeded hash of the id breaks ties."""

    def __init__(self, ceiling: float, rows: Vectors, spill: str, partitions: int) -> None:
        super().__init__()
        self.ceiling, self.rows = ceiling, rows
        self.spill, self.partitions = spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        address = partial(_address, rows=self.rows, partitions=self.partitions)
        results = (
            part_states
            | "Vectors" >> beam.ParDo(FlatMapDoFn(address)).with_output_types(pa.RecordBatch)
            | Exchange(self.spill)
            | "Choose" >> beam.ParDo(FlatMapDoFn(partial(_choose, ceiling=self.ceiling))).with_output_types(pa.RecordBatch)
        )
        return part_states | "Return" >> JoinResults({STEP: results}, self.spill)


def vectors(metadata: pa.Array, name: str) -> pa.Array:
    """Field `name` of n JSON objects as large_list<float32>; null if missing. Raises
    ValueError(row) if a value is not a list of numbers."""
    values = [orjson.loads(text).get(name) if text else None for text in metadata.to_pylist()]
    for row, value in enumerate(values):
        if value is not None and not (isinstance(value, list) and all(type(number) in (float, int) for number in value)):
            raise ValueError(row)
    return pa.array(values, ROWS.field("embedding").type)


def _address(part_state: PartState, rows: Vectors, partitions: int) -> Iterable[pa.RecordBatch]:
    for batch in rows(part_state):
        if batch.num_rows:
            cluster = np.ascontiguousarray(hash128(batch["cluster"].fill_null(""))[:, 0])
            yield addressed(batch, partition_of(cluster, partitions))


def _choose(gathered: Gathered, ceiling: float) -> Iterable[pa.RecordBatch]:
    rows = gathered.table().combine_chunks()
    offsets = rows["embedding"].combine_chunks().offsets.to_numpy()
    sizes, first = np.unique(np.diff(offsets), return_index=True)
    if len(sizes) > 1:
        ids = sorted(rows["id"].take(pa.array(first)).to_pylist())
        raise RunError(
            f"select.diverse: embeddings need one length, but have {sizes[0]} and {sizes[-1]} numbers, for example those of "
            f"{ids[0]!r} and {ids[1]!r}"
        )
    matrix = rows["embedding"].combine_chunks().flatten().to_numpy().reshape(len(rows), sizes[0])
    if not (finite := np.isfinite(matrix).all(axis=1)).all():
        worst = sorted(rows["id"].filter(pa.array(~finite)).to_pylist())[0]
        raise RunError(f"select.diverse: the embedding of document {worst!r} has a number too large for float32")
    quality = rows["quality"].to_numpy()
    keys = (rows["id_hash"].to_numpy(), rows["tie_break"].to_numpy(), -np.where(np.isnan(quality), -np.inf, quality))
    clusters = rows["cluster"].combine_chunks().fill_null("").dictionary_encode().indices.to_numpy().astype(np.int64)
    kept = representatives(matrix, np.lexsort(keys), clusters, ceiling)
    near = np.flatnonzero(kept != np.arange(len(rows)))
    if len(near):
        doc_ref, ids = rows["doc_ref"].combine_chunks().take(pa.array(near)), rows["id"].combine_chunks()
        cosine = _cosine(matrix[near], matrix[kept[near]])
        yield pa.record_batch({"doc_ref": doc_ref, "representative": ids.take(pa.array(kept[near])), "cosine": cosine})


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosines of n pairs, summed by column, since numpy's sums differ between processors."""
    sums = np.zeros((3, len(one)))
    for a, b in zip(one.T.astype(np.float64), other.T.astype(np.float64), strict=True):
        sums += (a * b, a * a, b * b)
    return np.asarray(sums[0] / np.sqrt(sums[1] * sums[2]))
