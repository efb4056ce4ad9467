"""Removes duplicates: buckets find candidates, exact similarity decides, the best copy is kept.

    band and text hashes → buckets → edges → components → shingles of their documents → survivors

`Exchange` moves 16 bytes per band and document, and then the shingles (8 bytes per word) of
documents that share a bucket. Documents are compared only within a component, and a dropped
document is always verified against the one that is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms import storage
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
from tamis.transforms.core.documents import part_of, row_of
from tamis.transforms.dedup.components import bucket_edges, forest
from tamis.transforms.dedup.drop_rule import drop_rules
from tamis.transforms.dedup.minhash import MinHash
from tamis.transforms.dedup.survivors import best_first, survivors
from tamis.transforms.text.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    from tamis.transforms.dedup.survivors import ListSpans

STEP = "copies"

_ENTRIES = 1 << 20
"""Bands per batch; a part of many short documents has a hundred megabytes of them."""

LoadTexts = Callable[[PartState, np.ndarray], Iterator[tuple[np.ndarray, pa.Array]]]
"""Loads the texts of given rows of a part, in several steps: (rows, texts)."""


class Deduplicate(beam.PTransform):
    """Adds a result `copies`: a verdict (`VERDICT_SCHEMA`) on each document that shares a bucket.

    `rows` returns the documents of a part, with doc_ref, id, what else `best_first` reads, text_hash_0,
    text_hash_1, for near-duplicates `bands` (a fixed-size list of uint64) and, for the sources of copies,
    `source`. `texts` loads their
    texts, which are cut into the same `words` as for the bands. If `options` is None, only equal
    texts are duplicates.
    """

    def __init__(
        self, options: MinHash | None, rows: Rows, texts: LoadTexts, spill: str, partitions: int, words: Words = DEFAULT_WORDS
    ) -> None:
        super().__init__()
        self.options, self.rows, self.texts, self.words = options, rows, texts, words
        self.spill, self.partitions = spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        source: dict[str, Any] = {"rows": self.rows, "partitions": self.partitions}
        shingling: dict[str, Any] = {"texts": self.texts, "options": self.options, "words": self.words}
        equal = (
            part_states
            | "Texts" >> beam.ParDo(MapDoFn(partial(_by_text, **source))).with_output_types(pa.RecordBatch)
            | "Equal texts" >> Exchange(self.spill)
        )
        repeats = equal | "Lesser" >> beam.ParDo(FlatMapDoFn(_repeats)).with_output_types(pa.RecordBatch)
        edges = [equal | "Text edges" >> beam.ParDo(MapDoFn(_text_edges))]
        if self.options is not None:
            edges.append(
                part_states
                | "Bands" >> beam.ParDo(FlatMapDoFn(partial(_by_band, **source))).with_output_types(pa.RecordBatch)
                | "Buckets" >> Exchange(self.spill)
                | "Bucket edges" >> beam.ParDo(MapDoFn(_bucket_edges))
            )
        components = (
            edges
            | "Edges" >> beam.Flatten()
            | "Components" >> beam.CombineGlobally(SpanningForest()).without_defaults()
            | "Roots" >> beam.ParDo(FlatMapDoFn(_roots)).with_output_types(pa.RecordBatch)
        )
        verdicts = partial(find_survivors, options=self.options or MinHash(), spill=self.spill)
        copies = (
            part_states
            | "Candidates" >> JoinResults({"component": components, "repeats": repeats}, self.spill)
            | "Shingles" >> beam.ParDo(FlatMapDoFn(partial(_members, **source, **shingling))).with_output_types(pa.RecordBatch)
            | "Members" >> Exchange(self.spill)
            | "Survivors" >> beam.ParDo(FlatMapDoFn(verdicts)).with_output_types(pa.RecordBatch)
        )
        return part_states | "Return" >> JoinResults({STEP: copies}, self.spill)


class SpanningForest(beam.CombineFn):
    """Finds connected components in one reduction; partial forests merge in any order. One worker
    holds 16 bytes per document that shares a bucket. 5 M edges of 4 M documents took 2.8 CPU s."""

    _COMPACT = 1 << 20  # pending edges before the first merge; later three times the last forest, else merging is quadratic

    def create_accumulator(self) -> tuple[list[np.ndarray], int, int]:
        return [], 0, self._COMPACT

    def add_input(self, accumulator: tuple[list[np.ndarray], int, int], edges: np.ndarray) -> tuple[list[np.ndarray], int, int]:
        pending, size, limit = accumulator
        pending.append(edges)
        size += len(edges)
        if size > limit:
            merged = forest(np.concatenate(pending))
            return [merged], len(merged), max(self._COMPACT, 3 * len(merged))
        return pending, size, limit

    def merge_accumulators(
        self, accumulators: Iterable[tuple[list[np.ndarray], int, int]]
    ) -> tuple[list[np.ndarray], int, int]:
        merged = self.extract_output(([edges for pending, _, _ in accumulators for edges in pending], 0, 0))
        return [merged], len(merged), max(self._COMPACT, 3 * len(merged))

    def extract_output(self, accumulator: tuple[list[np.ndarray], int, int]) -> np.ndarray:
        return forest(np.concatenate([np.empty((0, 2), np.uint64), *accumulator[0]]))


def _by_text(part_state: PartState, rows: Rows, partitions: int) -> pa.RecordBatch:
    batch = rows(part_state)
    batch = batch.drop_columns([name for name in ("bands", "source") if name in batch.schema.names])
    return addressed(batch, partition_of(batch["text_hash_0"].to_numpy(), partitions))


def _by_band(part_state: PartState, rows: Rows, partitions: int) -> Iterable[pa.RecordBatch]:
    batch = rows(part_state)
    banded = batch.filter(batch["bands"].is_valid()).select(["bands", "doc_ref"])
    bands = banded["bands"].type.list_size
    for start in range(0, banded.num_rows, max(1, _ENTRIES // bands)):
        chunk = banded.slice(start, max(1, _ENTRIES // bands))
        bucket = chunk["bands"].flatten()
        member = np.repeat(chunk["doc_ref"].to_numpy(), bands)
        yield addressed(pa.record_batch({"bucket": bucket, "doc_ref": member}), partition_of(bucket.to_numpy(), partitions))


def _equal_texts(gathered: Gathered) -> tuple[pa.Table, np.ndarray]:
    """doc_ref and text hash, best first within equal texts; a mask of the repeats of a better one.
    No ids: for a text of sixty million documents, they do not fit into an Arrow string array."""
    rows = gathered.table()
    order = best_first(rows, ["text_hash_0", "text_hash_1"])
    rows = rows.select(["doc_ref", "text_hash_0", "text_hash_1"]).take(order)
    same = np.zeros(len(rows), bool)
    if len(rows) > 1:
        first, second = rows["text_hash_0"].to_numpy(), rows["text_hash_1"].to_numpy()
        same[1:] = (first[1:] == first[:-1]) & (second[1:] == second[:-1])
    return rows, same


def _repeats(gathered: Gathered) -> Iterable[pa.RecordBatch]:
    """Documents with the same text as a better one, which need no shingles."""
    rows, same = _equal_texts(gathered)
    if same.any():
        yield pa.record_batch({"doc_ref": rows["doc_ref"].combine_chunks().filter(pa.array(same))})


def _text_edges(gathered: Gathered) -> np.ndarray:
    rows, same = _equal_texts(gathered)
    doc_ref = rows["doc_ref"].to_numpy()
    head = np.maximum.accumulate(np.where(same, 0, np.arange(len(same))))
    return np.column_stack((doc_ref[head][same], doc_ref[same]))


def _bucket_edges(gathered: Gathered) -> np.ndarray:
    rows = gathered.table()
    return forest(bucket_edges(rows["bucket"].to_numpy(), rows["doc_ref"].to_numpy()))


def _roots(star: np.ndarray) -> Iterable[pa.RecordBatch]:
    """The component of each node of the forest, one batch per part."""
    root = np.unique(star[:, 0])
    doc_ref, component = np.concatenate([star[:, 1], root]), np.concatenate([star[:, 0], root])
    order = np.argsort(doc_ref)
    doc_ref, component = doc_ref[order], component[order]
    starts = np.flatnonzero(np.diff(part_of(doc_ref), prepend=-1))
    for start, stop in pairwise((*starts, len(doc_ref))):
        yield pa.record_batch({"doc_ref": doc_ref[start:stop], "component": component[start:stop]})


def _members(
    part_state: PartState, rows: Rows, texts: LoadTexts, options: MinHash | None, words: Words, partitions: int
) -> Iterable[pa.RecordBatch]:
    components = part_state.result("component")
    if components is None:
        return
    batch = rows(part_state)
    places = np.searchsorted(batch["doc_ref"].to_numpy(), components["doc_ref"].to_numpy())
    members = pa.table(batch.take(pa.array(places))).append_column("component", components["component"])
    doc_ref = members["doc_ref"].to_numpy()
    repeats = part_state.result("repeats")
    repeated = np.isin(doc_ref, repeats["doc_ref"].to_numpy()) if repeats is not None else np.zeros(len(members), bool)
    if "bands" not in members.column_names:
        members = members.append_column("bands", pa.nulls(len(members), pa.list_(pa.uint64(), 1)))
    if options is None:
        without_shingles = np.ones(len(members), bool)
    else:
        without_shingles = repeated
        for chunk, text in texts(part_state, row_of(doc_ref[~repeated])):
            chunk_members = members.take(pa.array(np.searchsorted(row_of(doc_ref), chunk)))
            yield _member_batch(chunk_members, *shingles_of(text, options, words), partitions)
    if without_shingles.any():
        others = members.filter(pa.array(without_shingles))
        no_shingles = pa.nulls(len(others), pa.large_list(pa.uint64()))
        yield _member_batch(others, no_shingles, pa.repeat(pa.scalar(False), len(others)), partitions)


def shingles_of(texts: pa.Array, options: MinHash, words: Words) -> tuple[pa.Array, pa.Array]:
    """The sorted and unique shingles of each text, as large lists of u64, and whether they are runs of characters."""
    from tamis.transforms.dedup.character_shingles import short_texts
    from tamis.transforms.dedup.shingles import shingles
    from tamis.transforms.text.segment import segment
    from tamis.transforms.text.word_hashes import hashed_words

    both = options.short is not None and not options.fold  # folded words tell which texts are short
    cut = segment(texts, words) if both else hashed_words(texts, words, options.fold)
    first, hashes = shingles(cut, options.ngram, options.fold, options.short)
    return pa.LargeListArray.from_arrays(pa.array(first), pa.array(hashes)), pa.array(short_texts(cut, options.short))


def _member_batch(members: pa.Table, shingles: pa.Array, short: pa.Array, partitions: int) -> pa.RecordBatch:
    from tamis.transforms.text.hashing import mix

    batch = members.append_column("shingles", shingles).append_column("short", short).combine_chunks().to_batches()[0]
    return addressed(batch, partition_of(mix(batch["component"].to_numpy(), 0), partitions))


def find_survivors(gathered: Gathered, options: MinHash, spill: str) -> Iterable[pa.RecordBatch]:
    """The verdicts on the documents of a partition, which has complete components."""
    verdicts = survivors(*spill_shingles(gathered, spill), drop_rules(options))
    yield from verdicts.combine_chunks().to_batches()


def spill_shingles(gathered: Gathered, spill: str) -> tuple[pa.Table, ListSpans]:
    """The documents, and their shingles in a mapped temporary file. A partition has complete
    components of any size, and nine tenths of their bytes are shingles. They are compared only with
    those of kept documents, so the system keeps these pages in memory and drops the others."""
    batches = []

    def lists() -> Iterator[pa.Array]:
        for piece in gathered.pieces:
            batch = piece.load()
            yield batch["shingles"]
            # The columns of a piece share one buffer: only copies let it go.
            batches.append(batch.drop_columns(["shingles"]).take(pa.array(np.arange(len(batch)))))

    shingles = mapped_lists(lists(), spill)
    return pa.Table.from_batches(batches), shingles


def mapped_lists(lists: Iterable[pa.Array], spill: str) -> ListSpans:
    """Lists of u64 in a mapped temporary file in the folder `spill`; a null list counts as empty."""
    local = storage.local_path(spill)
    sizes = [np.empty(0, np.int64)]
    with tempfile.TemporaryFile(dir=local if local is not None and local.is_dir() else None) as file:
        for each in lists:
            sizes.append(pc.fill_null(pc.list_value_length(each), 0).to_numpy().astype(np.int64))
            file.write(each.flatten().to_numpy())
        file.flush()
        end = np.cumsum(np.concatenate(sizes))
        # An empty file cannot be mapped.
        values = np.asarray(np.memmap(file, np.uint64, "r")) if end.size and end[-1] else np.empty(0, np.uint64)
    return end - np.diff(end, prepend=0), end, values
