"""The step that drops duplicates, and its options."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.cuts import BANDS, RECOUNT, read_texts, recounted
from tamis.transforms.beam.exchange import PartState, result_column
from tamis.transforms.beam.step import Documents, Kept, Step, one_batch, rated_part, rounded
from tamis.transforms.core.documents import row_of
from tamis.transforms.dedup.deduplicate import STEP, Deduplicate
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.dedup.preference import preference
from tamis.transforms.text.metadata import field_texts
from tamis.transforms.text.words import Words

if TYPE_CHECKING:
    import apache_beam as beam


class DropDuplicates(Step):
    """Drops every duplicate but the best. Adds representative (the id of the one that is kept),
    jaccard, and copies (how many documents a kept one stands for), which last if the selection
    repeats documents by them, and copy_sources if they are asked for."""

    name = STEP

    def __init__(self, options: Dedup, words: Words, lasting: bool = False) -> None:
        self.options, self.words, self.lasting = options, words, lasting

    @classmethod
    def of(cls, options: Dedup, recipe: Any) -> DropDuplicates:
        return cls(options, recipe.words, lasting=recipe.select.rehydrate is not None)

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform | None:
        if not self.options.exact:
            return None
        rows = partial(_ranked_rows, kept=kept, options=self.options)
        return Deduplicate(self.options.minhash, rows, texts_of, spill, partitions, words=self.words)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        defaults = {"duplicate_of": None, "jaccard": None, "kind": None, "containment": None, "copies": 1}
        doc_ref = documents.columns["doc_ref"]
        duplicate_of, jaccard, kind, containment, copies = (
            result_column(doc_ref, results, column, default) for column, default in defaults.items()
        )
        representative, jaccard = duplicate_of.cast(pa.string()), jaccard.cast(pa.float64())
        if results is not None:

            def detail(rows: pa.Array) -> pa.Array:
                kept = representative.take(rows)
                share = rounded(pc.multiply(containment.cast(pa.float64()).take(rows), 100))
                contained = pc.binary_join_element_wise(share, "% of its shingles are in ", kept, "")
                similar = pc.binary_join_element_wise("Jaccard", rounded(jaccard.take(rows)), "with", kept, " ")
                return pc.coalesce(contained, similar)

            failed = duplicate_of.is_valid().to_numpy(zero_copy_only=False)
            documents.end(failed, "drop", pc.binary_join_element_wise("dedup", kind, "."), detail)
        before = documents.columns.get("representative")  # of documents that ended by their address
        representative = representative if before is None else pc.coalesce(before, representative)
        documents.columns |= {"representative": representative, "jaccard": jaccard, "copies": copies.cast(pa.int64())}
        if self.options.sources:
            own = pa.ListArray.from_arrays(pa.array(np.arange(len(doc_ref) + 1, dtype=np.int32)), documents.columns["source"])
            own = pc.if_else(duplicate_of.is_null(), own, pa.scalar(None, own.type))
            of_copies = result_column(doc_ref, results, "sources", None).cast(own.type)
            documents.columns["copy_sources"] = pc.coalesce(of_copies, own)


def _ranked_rows(part_state: PartState, kept: Kept, options: Dedup) -> pa.RecordBatch:
    """The rows that `Deduplicate` reads, with what decides before quality, if something does."""
    batch = hashed_rows(part_state, kept, options.minhash is not None)
    table = kept(part_state)
    rows = pa.array(row_of(batch["doc_ref"].to_numpy()))
    if options.keep != "best":
        dates = rated_part(part_state).columns(["date"])["date"].take(rows).combine_chunks()
        batch = batch.append_column("preference", pa.array(preference(options.keep, dates, table["bytes"], table["tie_break"])))
    if options.sources:
        batch = batch.append_column("source", table["source"].combine_chunks())
    if options.prefer or options.parent:
        rank = pc.index_in(table["source"].combine_chunks(), value_set=pa.array(options.prefer, pa.string()))
        rank = pc.fill_null(rank, len(options.prefer))
        if options.parent:
            metadata = rated_part(part_state).columns(["metadata"])["metadata"].take(rows).combine_chunks()
            derived = pc.not_equal(pc.fill_null(field_texts(metadata, options.parent), ""), "")
            rank = pc.add(rank, pc.multiply(derived.cast(pa.int32()), len(options.prefer) + 1))
        batch = batch.append_column("source_rank", rank)
    return batch


def hashed_rows(part_state: PartState, kept: Kept, bands: bool) -> pa.RecordBatch:
    """The kept documents of a part with their quality, and the hashes of their texts as they end."""
    table = kept(part_state).combine_chunks()
    names = ["text_hash_0", "text_hash_1", *(["bands"] if bands else [])]
    sketch = rated_part(part_state).sketch(names).take(pa.array(row_of(table["doc_ref"].to_numpy())))
    table = table.select(["doc_ref", "id", "quality", "tie_break"])
    doc_ref = table["doc_ref"].combine_chunks()
    for name in names:
        results = part_state.result(BANDS if name == "bands" else RECOUNT)
        table = table.append_column(name, recounted(sketch[name].combine_chunks(), doc_ref, results, name))
    return one_batch(table)


def texts_of(part_state: PartState, rows: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """The texts of the given rows of a part, a row group at a time."""
    for read, batch in read_texts(part_state, rows, ["text"]):
        yield read, batch["text"]
