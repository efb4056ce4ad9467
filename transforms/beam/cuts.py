"""Cuts: spans of several steps become one list for each document, and texts are read without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.exchange import PartState
from tamis.transforms.beam.step import CUTS, rated_part
from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.documents import row_of
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import text_buffer
from tamis.transforms.text.splice import splice

RECOUNT, SPANS, BANDS = "recount", "recount.spans", "recount.bands"
"""Results of a part state about the documents that were cut: what was counted again (`doc_ref`,
`tokens`, `bytes`, `chars`, `cut_chars`, `text_hash_0`, `text_hash_1`, …), the spans that were cut
(`MERGED`), and the bands of what is left. They are there only if a document was cut."""

MERGED = CUTS.append(pa.field("chars", pa.int64(), nullable=False))
"""Spans that were cut, sorted by document and place, without overlaps; `chars` are the code points
of each."""


_PLACE_BITS = 40  # of a place in a text, in a key that begins with the number of the document


@njit(cache=True, nogil=True)
def _next_free(following: Ints, i: int) -> int:
    end = i
    while following[end] != end:
        end = following[end]
    while following[i] != end:
        following[i], i = end, following[i]
    return end


@njit(cache=True, nogil=True)
def _first_owner(first: Ints, last: Ints, intervals: int) -> Ints:
    owner = np.full(intervals, -1)
    following = np.arange(intervals + 1)  # the interval itself while it is free
    for k in range(len(first)):
        i = _next_free(following, first[k])
        while i < last[k]:
            owner[i] = k
            following[i] = i + 1
            i = _next_free(following, i + 1)
    return owner


def merge(document: Ints, start: Ints, stop: Ints, label: Ints) -> tuple[Ints, Ints, Ints]:
    """Spans without overlaps that cover what k spans cover: (span, start, stop), in text order.

    Each byte belongs to the first of the k spans that covers it, and adjoining bytes of one document
    whose spans have one `label` (a reason) are one span. `span`: the one that a result comes from.
    `start` and `stop` are offsets into one buffer, in which the documents are apart.
    """
    edges = np.unique(np.concatenate([start, stop]))
    owner = _first_owner(np.searchsorted(edges, start), np.searchsorted(edges, stop), len(edges))
    place = np.flatnonzero(owner >= 0)
    owner = owner[place]
    same = np.diff(place) == 1  # as the interval before
    for identity in (document[owner], label[owner]):
        same &= identity[1:] == identity[:-1]
    first = np.flatnonzero(np.append(True, ~same)[: len(place)])
    last = np.flatnonzero(np.append(~same, True)[: len(place)])
    return owner[first], edges[place[first]], edges[place[last] + 1]


def spans_of(part_state: PartState) -> pa.Table | None:
    """What was cut out of the documents of a part, as `MERGED`; None if nothing was."""
    spans = part_state.result(SPANS)
    return None if spans is None else spans.sort_by([("doc_ref", "ascending"), ("start", "ascending")]).combine_chunks()


def rated_places(spans: pa.Table | None, doc_ref: npt.NDArray[np.uint64], places: Ints) -> Ints:
    """Where in the rated texts the bytes are that are at `places` (int64[k]) of what `spans` (`spans_of`) left of the
    documents `doc_ref` (u64[k]). Before a byte that was cut out comes the one that is left."""
    if spans is None:
        return places
    document, first = np.unique(spans["doc_ref"].to_numpy(), return_index=True)
    start, cut = spans["start"].to_numpy(), (spans["stop"].to_numpy() - spans["start"].to_numpy()).cumsum()
    before = cut - (spans["stop"].to_numpy() - start)  # of all documents
    number = np.repeat(np.arange(len(document)), np.diff(np.append(first, len(start))))
    before_document = before[first]
    left = start - (before - before_document[number])  # where each span was, in what is left
    of = np.minimum(np.searchsorted(document, doc_ref), len(document) - 1)
    span = np.searchsorted((number << _PLACE_BITS) + left, (of << _PLACE_BITS) + places, side="right") - 1
    shift = np.where(span >= first[of], cut[np.maximum(span, 0)] - before_document[of], 0)
    return places + np.where(document[of] == doc_ref, shift, 0)


def read_texts(
    part_state: PartState, rows: npt.NDArray[np.int64], names: Sequence[str]
) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
    """Like `Part.read`, with texts as they end: without what was cut. The one way by which text gets
    out of a part once steps have decided."""
    spans = spans_of(part_state) if "text" in names else None
    if spans is None:
        yield from rated_part(part_state).read(rows, names)
        return
    span_row, start, stop = row_of(spans["doc_ref"].to_numpy()), spans["start"].to_numpy(), spans["stop"].to_numpy()
    for read, batch in rated_part(part_state).read(rows, names):
        first, last = (np.searchsorted(span_row, read, side) for side in ("left", "right"))
        counts = last - first
        if counts.any():
            document = np.repeat(np.arange(len(read)), counts)
            span = np.arange(len(document)) + np.repeat(first - np.cumsum(counts) + counts, counts)
            data, text_start = text_buffer(batch["text"])
            begin = text_start[document]
            texts = splice(data, text_start, document, begin + start[span], begin + stop[span], None)
            place = batch.schema.get_field_index("text")
            batch = batch.set_column(place, batch.schema.field(place), texts)
        yield read, batch


def recounted(values: pa.Array, doc_refs: pa.Array, results: pa.Table | None, column: str) -> pa.Array:
    """Values of n documents, those of documents that were cut replaced by what `results` say. A null
    replaces, too. `results`: those of `RECOUNT` or `BANDS`."""
    if results is None:
        return values
    place = pc.index_in(doc_refs, value_set=results["doc_ref"]).cast(pa.int64())
    everything = pa.concat_arrays([values, results[column].combine_chunks().cast(values.type)])
    return everything.take(pc.coalesce(pc.add(place, len(values)), pa.array(np.arange(len(values)))))
