"""Finds the documents that are in an index of what was released: as they are, or as near copies.

    text and band hashes → Exchange → look-up in the indices → to the parts → shingles → verdicts

`Exchange` moves 25 bytes for a hash, and sorts hashes into ranges, so that each file of an index is
read once, whatever the number of parts. A released document is one that is kept whatever comes:
`nearest_kept` compares the others with it as within a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.exchange import (
    Exchange,
    FlatMapDoFn,
    Gathered,
    JoinResults,
    PartState,
    Rows,
    addressed,
    partition_of,
)
from tamis.transforms.beam.step import one_batch
from tamis.transforms.core.documents import part_of, row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.dedup.deduplicate import LoadTexts, mapped_lists, shingles_of
from tamis.transforms.dedup.drop_rule import drop_rules
from tamis.transforms.dedup.minhash import MinHash
from tamis.transforms.dedup.released.index_files import BANDS, DOCUMENTS, Hashes, Segment, find, read_shingles
from tamis.transforms.dedup.survivors import nearest_kept
from tamis.transforms.text.words import Words

STEP = "released"
_FOUND = "in indices"  # a result on the way

VERDICTS = pa.schema(
    [
        pa.field("doc_ref", pa.uint64(), nullable=False),
        pa.field("copy_of", pa.string(), nullable=False),  # id of the released document
        pa.field("release", pa.string(), nullable=False),  # what its index is called
        pa.field("jaccard", pa.float64()),  # exact similarity; null if the texts are equal
    ]
)

_HITS = pa.schema(
    [
        pa.field("doc_ref", pa.uint64(), nullable=False),
        pa.field("segment", pa.int64(), nullable=False),
        pa.field("id", pa.string()),  # of a document with the same text,
        pa.field("release", pa.int32()),  # its release in the index,
        pa.field("band", pa.uint64()),  # or a band that the index has,
        pa.field("released", pa.large_list(pa.uint64())),  # and once for a part the text hashes of all documents with it
    ]
)
_ENTRIES = 1 << 20  # bands in a batch


class FindReleased(beam.PTransform):
    """Adds a result `released` (`VERDICTS`): each document of which the indices have the text or,
    with `options`, a near copy. `rows` and `texts` are those of `Deduplicate`.

    Of several released documents, an equal one comes first, then the most similar; of the same
    similarity, the least text hash. If several indices have it, the first of them counts. So it does
    not matter how released documents are divided into indices that follow one another.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        options: MinHash | None,
        words: Words,
        rows: Rows,
        texts: LoadTexts,
        spill: str,
        partitions: int,
    ) -> None:
        super().__init__()
        self.segments, self.options, self.words = tuple(segments), options, words
        self.rows, self.texts, self.spill, self.partitions = rows, texts, spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        def each(function: Any, **arguments: Any) -> beam.ParDo:
            return beam.ParDo(FlatMapDoFn(partial(function, **arguments))).with_output_types(pa.RecordBatch)

        found = (
            part_states
            | "Hashes" >> each(_hashes, rows=self.rows, near=self.options is not None, partitions=self.partitions)
            | "By hash" >> Exchange(self.spill)
            | "Look up" >> each(_look_up, segments=self.segments)
        )
        compared = {"options": self.options, "words": self.words, "texts": self.texts, "spill": self.spill}
        verdicts = (
            part_states
            | "Found" >> JoinResults({_FOUND: found}, self.spill)
            | "Compare" >> each(_verdicts, segments=self.segments, **compared)
        )
        return part_states | "Return" >> JoinResults({STEP: verdicts}, self.spill)


def _hashes(part_state: PartState, rows: Rows, near: bool, partitions: int) -> Iterator[pa.RecordBatch]:
    """The text hash of each document, and its bands, which have no second half."""
    batch = rows(part_state)
    columns = {"hash": batch["text_hash_0"], "text_hash_1": batch["text_hash_1"], "doc_ref": batch["doc_ref"]}
    yield _by_hash(pa.record_batch(columns), partitions)
    banded = batch.filter(batch["bands"].is_valid()) if near else batch.slice(0, 0)
    size = banded["bands"].type.list_size if near else 1
    for start in range(0, banded.num_rows, max(1, _ENTRIES // size)):
        chunk = banded.slice(start, max(1, _ENTRIES // size))
        band, doc_ref = chunk["bands"].flatten(), np.repeat(chunk["doc_ref"].to_numpy(), size)
        yield _by_hash(
            pa.record_batch({"hash": band, "text_hash_1": pa.nulls(len(band), pa.uint64()), "doc_ref": doc_ref}), partitions
        )


def _by_hash(batch: pa.RecordBatch, partitions: int) -> pa.RecordBatch:
    return addressed(batch, partition_of(batch["hash"].to_numpy(), partitions))


def _look_up(gathered: Gathered, segments: Sequence[Segment]) -> Iterator[pa.RecordBatch]:
    """`_HITS` for the hashes of a range."""
    rows = gathered.table()
    of_text = rows["text_hash_1"].is_valid()
    texts = rows.filter(of_text).combine_chunks()
    bands = rows.filter(pc.invert(of_text)).select(["hash", "doc_ref"])
    bands = bands.sort_by([("hash", "ascending"), ("doc_ref", "ascending")]).combine_chunks()
    for number, segment in enumerate(segments):
        if len(texts):
            yield _equal_texts(number, texts, find(segment, DOCUMENTS, texts["hash"].to_numpy()))
        if len(bands):
            yield _shared_bands(number, bands, find(segment, BANDS, bands["hash"].to_numpy()))


def _equal_texts(segment: int, texts: pa.Table, found: pa.Table) -> pa.RecordBatch:
    """The hits of documents that an index has. It has a text once."""
    first, second = (texts[name].to_numpy() for name in ("hash", "text_hash_1"))
    document, row = _pairs(first, found["text_hash_0"].to_numpy())
    equal = found["text_hash_1"].to_numpy()[row] == second[document]
    columns = {name: found[name].take(pa.array(row[equal])) for name in ("id", "release")}
    return _hits(segment, texts["doc_ref"].to_numpy()[document[equal]], columns)


def _shared_bands(segment: int, bands: pa.Table, found: pa.Table) -> pa.RecordBatch:
    """The hits of documents that share a band with released ones. `bands` are sorted by hash and
    document, `found` by hash. A list of those released goes to each part once, and not to every
    document: of one template, both may be many."""
    hashes, first = np.unique(found["band"].to_numpy(), return_index=True)
    offsets = np.append(first, len(found)).astype(np.int64)
    released = pa.LargeListArray.from_arrays(pa.array(offsets), found["text_hash_0"].combine_chunks())
    band, doc_ref = bands["hash"].to_numpy(), bands["doc_ref"].to_numpy()
    row, place = _pairs(band, hashes)
    band, doc_ref = band[row], doc_ref[row]
    begins = np.ones(len(row), np.bool_)
    begins[1:] = (band[1:] != band[:-1]) | (part_of(doc_ref[1:]) != part_of(doc_ref[:-1]))
    return _hits(segment, doc_ref, {"band": pa.array(band), "released": released.take(pa.array(place, mask=~begins))})


def _pairs(hashes: Hashes, ordered: Hashes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All pairs (i, j) with hashes[i] == ordered[j], by i and j."""
    left, right = (np.searchsorted(ordered, hashes, side) for side in ("left", "right"))
    count = right - left
    i = np.repeat(np.arange(len(hashes)), count)
    return i, np.arange(len(i)) + np.repeat(left - np.cumsum(count) + count, count)


def _hits(segment: int, doc_ref: Hashes, columns: dict[str, pa.Array | pa.ChunkedArray]) -> pa.RecordBatch:
    columns = {"doc_ref": pa.array(doc_ref), "segment": pa.repeat(pa.scalar(segment, pa.int64()), len(doc_ref)), **columns}
    return one_batch(pa.table([columns.get(field.name, pa.nulls(len(doc_ref), field.type)) for field in _HITS], schema=_HITS))


def _verdicts(
    part_state: PartState, segments: Sequence[Segment], options: MinHash | None, words: Words, texts: LoadTexts, spill: str
) -> Iterator[pa.RecordBatch]:
    """`VERDICTS` on the documents of a part."""
    hits = part_state.result(_FOUND)
    if hits is None:
        return
    equal = hits.filter(hits["id"].is_valid()).sort_by([(name, "ascending") for name in ("doc_ref", "segment", "id")])
    doc_ref, first = np.unique(equal["doc_ref"].to_numpy(), return_index=True)
    equal = equal.take(pa.array(first))
    yield _answers(segments, doc_ref, equal, pa.nulls(len(first), pa.float64()))
    if options is None:
        return
    of_band = hits.filter(hits["band"].is_valid())
    near = of_band.filter(pc.invert(pc.is_in(of_band["doc_ref"], value_set=pa.array(doc_ref))))
    if not len(near):
        return
    listed = of_band.filter(pc.and_(of_band["released"].is_valid(), pc.is_in(of_band["band"], value_set=near["band"])))
    released = _released(segments, listed)
    near = near.select(["doc_ref", "band"]).group_by(["doc_ref", "band"]).aggregate([])
    near = near.sort_by([("doc_ref", "ascending"), ("band", "ascending")])
    doc_ref, first = np.unique(near["doc_ref"].to_numpy(), return_index=True)
    band_first = np.concatenate([released.band_first, len(released.band) + np.append(first, len(near))[1:]])
    band = np.concatenate([released.band, near["band"].to_numpy()])

    fixed = len(released.documents)
    short = [np.zeros(fixed, np.bool_)]  # of released ones it does not matter

    def shingles() -> Iterator[pa.Array]:
        for number, segment in enumerate(segments):
            yield from read_shingles(segment, released.documents.filter(pc.equal(released.documents["segment"], number)))
        for _, text in texts(part_state, row_of(doc_ref)):
            lists, are_short = shingles_of(text, options, words)
            short.append(are_short.to_numpy(zero_copy_only=False))
            yield lists

    order = np.append(released.order, np.arange(fixed, fixed + len(doc_ref)))
    start, end, shingle = mapped_lists(shingles(), spill)
    bands, lists = (band_first[:-1][order], band_first[1:][order], band), (start[order], end[order], shingle)
    representative, similarity = nearest_kept(bands, lists, drop_rules(options), np.concatenate(short), fixed)
    duplicate = np.flatnonzero(representative[fixed:] < fixed)
    copy_of = released.documents.take(pa.array(released.order[representative[fixed:][duplicate]]))
    yield _answers(segments, doc_ref[duplicate], copy_of, pa.array(similarity[fixed:][duplicate]))


@dataclass(frozen=True)
class _Released:
    """Documents of indices, by index and text hash: their rows there with the number of their index
    (`segment`), and their bands: band[band_first[i]:band_first[i + 1]] are those of document i. `order`:
    the documents by text hash, then by index."""

    documents: pa.Table
    band_first: npt.NDArray[np.int64]
    band: Hashes
    order: npt.NDArray[np.int64]


def _released(segments: Sequence[Segment], listed: pa.Table) -> _Released:
    """The documents in the lists of `_HITS`. Raises RunError if their index does not have one."""
    size = pc.list_value_length(listed["released"]).to_numpy()
    of_segment, band = (np.repeat(listed[name].to_numpy(), size) for name in ("segment", "band"))
    text = pc.list_flatten(listed["released"]).to_numpy()
    tables, owners, bands = [], [], []
    documents = 0
    for number, segment in enumerate(segments):
        own = np.flatnonzero(of_segment == number)
        table = find(segment, DOCUMENTS, text[own])
        entry, document = _pairs(text[own], table["text_hash_0"].to_numpy())
        if len(np.unique(entry)) < len(own):
            raise RunError(
                f"dedup.against: {segment.folder} has bands of documents that it does not have: restore the files from a copy"
            )
        tables.append(table.append_column("segment", pa.repeat(pa.scalar(number, pa.int64()), len(table))))
        owners.append(documents + document)
        bands.append(band[own][entry])
        documents += len(table)
    found = pa.concat_tables(tables)
    owner = np.concatenate(owners)
    by_owner = np.lexsort((np.concatenate(bands), owner))
    first = np.searchsorted(owner[by_owner], np.arange(documents + 1))
    order = np.lexsort([found[name].to_numpy() for name in ("segment", "text_hash_1", "text_hash_0")])
    return _Released(found, first, np.concatenate(bands)[by_owner], order)


def _answers(segments: Sequence[Segment], doc_ref: Hashes, copy_of: pa.Table, jaccard: pa.Array) -> pa.RecordBatch:
    """`VERDICTS`. `copy_of`: the released documents, by `segment` and `release`."""
    names = [name for segment in segments for name in segment.names]
    first = np.cumsum([0, *(len(segment.names) for segment in segments)])
    number = first[copy_of["segment"].to_numpy()] + copy_of["release"].to_numpy()
    release = pa.array(names, pa.string()).take(pa.array(number))
    return one_batch(pa.table([pa.array(doc_ref), copy_of["id"], release, jaccard], schema=VERDICTS))
