"""The step that keeps the best of documents with similar embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.exchange import PartState, result_column
from tamis.transforms.beam.step import Documents, Kept, Step, one_batch, rated_part, rounded
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.select import diversify
from tamis.transforms.select.allocation import Diversity, Selection
from tamis.transforms.text.metadata import field_texts

if TYPE_CHECKING:
    import apache_beam as beam


class DropSimilar(Step):
    """Drops documents whose embedding is too similar to that of a better one in their cluster."""

    name = diversify.STEP

    def __init__(self, options: Diversity) -> None:
        self.options = options

    @classmethod
    def of(cls, options: Selection, recipe: object) -> DropSimilar | None:
        return None if options.diverse is None else cls(options.diverse)

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform:
        return diversify.Diversify(self.options.ceiling, partial(_rows, kept=kept, options=self.options), spill, partitions)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        if results is None:
            return
        doc_ref = documents.columns["doc_ref"]
        representative, cosine = (result_column(doc_ref, results, name, None) for name in ("representative", "cosine"))

        def detail(rows: pa.Array) -> pa.Array:
            return pc.binary_join_element_wise("cosine", rounded(cosine.take(rows)), "with", representative.take(rows), " ")

        documents.end(representative.is_valid().to_numpy(zero_copy_only=False), "drop", "select.diverse", detail)


def _embeddings_of(ids: pa.ChunkedArray, metadata: pa.Array, column: str) -> pa.Array:
    try:
        return diversify.vectors(metadata, column.removeprefix(METADATA))
    except ValueError as error:
        name = ids[error.args[0]]
        raise RunError(
            f"select.diverse: {column} of document {str(name)!r} is not a list of numbers. "
            "Correct it, remove it, or name another column with select.diverse.column"
        ) from None


def _rows(part_state: PartState, kept: Kept, options: Diversity) -> Iterator[pa.RecordBatch]:
    """The rows that `Diversify` reads: documents with an embedding, a row group at a time."""
    table = kept(part_state).combine_chunks()
    rows, first = row_of(table["doc_ref"].to_numpy()), 0
    measured = not options.column.startswith(METADATA)
    for read, batch in rated_part(part_state).read(rows, ["metadata", *([options.column] if measured else [])]):
        group = table.slice(first, len(read))
        first += len(read)
        if measured:
            embedding = batch[options.column].cast(diversify.ROWS.field("embedding").type)
        else:
            embedding = _embeddings_of(group["id"], batch["metadata"], options.column)
        if options.within is None:
            cluster = pa.nulls(len(group), pa.string())
        elif options.within == "source":
            cluster = group["source"]
        else:
            cluster = field_texts(batch["metadata"], options.within.removeprefix(METADATA))
        columns = {name: group[name] for name in ("doc_ref", "id", "quality", "tie_break", "id_hash")}
        embedded = pa.table({**columns, "cluster": cluster, "embedding": embedding}, schema=diversify.ROWS)
        yield one_batch(embedded.filter(embedding.is_valid()))
