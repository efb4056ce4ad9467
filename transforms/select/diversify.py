"""Diversity as a transform: of documents of a cluster whose embeddings lie close to each other only the best stays.

Clusters meet whole in one place, best document first; `diverse.py` chooses. Cost: the embeddings once through `Exchange`, then
the cosines of each document to those kept before it in its cluster.
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
from tamis.transforms.select.similarity import diverse
from tamis.transforms.text.hashing import hash128

ROWS = pa.schema(
    [
        pa.field("doc_ref", pa.uint64()),
        pa.field("id", pa.string()),
        pa.field("quality", pa.float32()),
        pa.field("tie_break", pa.uint64()),
        pa.field("id_hash", pa.uint64()),
        pa.field("cluster", pa.string()),  # null: one of those without a cluster
        pa.field("embedding", pa.large_list(pa.float32())),
    ]
)
"""What it reads of a document that has an embedding."""

STEP = "diverse"

Vectors = Callable[[PartState], Iterable[pa.RecordBatch]]
"""`ROWS` of a part, some at a time: embeddings may be larger than the texts."""


class Diversify(beam.PTransform):
    """Adds a result under `STEP` for every document that is too similar to a better one: `representative` (the id of the
    better one) and `cosine`.

    The result is that of one pass over each cluster from its best document down, ties by a seeded hash of the id.
    """

    def __init__(self, ceiling: float, rows: Vectors, spill: str, partitions: int) -> None:
        super().__init__()
        self.ceiling = ceiling
        self.rows = rows
        self.spill = spill
        self.partitions = partitions

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
    """Field `name` of n JSON objects as large_list<float32>, null where there is none.

    Raises ValueError, telling the row, for what is no list of finite numbers.
    """
    found = [orjson.loads(text).get(name) if text else None for text in metadata.to_pylist()]
    for row, value in enumerate(found):
        if value is not None and not (isinstance(value, list) and all(type(number) in (float, int) for number in value)):
            raise ValueError(row)
    return pa.array(found, ROWS.field("embedding").type)


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
            f"select.diverse: embeddings of {sizes[0]} and of {sizes[-1]} numbers, for example of {ids[0]!r} and {ids[1]!r}"
        )
    matrix = rows["embedding"].combine_chunks().flatten().to_numpy().reshape(len(rows), sizes[0])
    if not (finite := np.isfinite(matrix).all(axis=1)).all():
        worst = sorted(rows["id"].filter(pa.array(~finite)).to_pylist())[0]
        raise RunError(f"select.diverse: the embedding of document {worst!r} holds a number too large")
    quality = rows["quality"].to_numpy()
    keys = (rows["id_hash"].to_numpy(), rows["tie_break"].to_numpy(), -np.where(np.isnan(quality), -np.inf, quality))
    clusters = rows["cluster"].combine_chunks().fill_null("").dictionary_encode().indices.to_numpy().astype(np.int64)
    stands = diverse(matrix, np.lexsort(keys), clusters, ceiling)
    near = np.flatnonzero(stands != np.arange(len(rows)))
    if len(near):
        doc_ref, ids = rows["doc_ref"].combine_chunks().take(pa.array(near)), rows["id"].combine_chunks()
        cosine = _cosine(matrix[near], matrix[stands[near]])
        yield pa.record_batch({"doc_ref": doc_ref, "representative": ids.take(pa.array(stands[near])), "cosine": cosine})


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosines of n pairs, added up column by column: numpy's own sums differ by a bit from processor to processor."""
    sums = np.zeros((3, len(one)))
    for a, b in zip(one.T.astype(np.float64), other.T.astype(np.float64), strict=True):
        sums += (a * b, a * a, b * b)
    return np.asarray(sums[0] / np.sqrt(sums[1] * sums[2]))
