"""Decides which documents stay: exact copies collapse, near copies are verified, quality picks the one that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.dedup.shingles import jaccard
from tamis.transforms.runtime.kernels import njit

if TYPE_CHECKING:
    Spans: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint64]]
    """Lists: where each starts and ends, and the values that they lie in."""

SCHEMA = pa.schema(
    [
        pa.field("doc_ref", pa.uint64(), nullable=False),
        pa.field("duplicate_of", pa.string()),  # id of the kept representative; null: the document itself is kept
        pa.field("jaccard", pa.float64()),  # exact similarity to the representative, 1 for an equal text; null: kept
        pa.field("kind", pa.string()),  # 'exact', 'near'; null: kept
        pa.field("copies", pa.int64()),  # on a kept document, how many it stands for with itself; null on duplicates
        pa.field("capped", pa.bool_()),  # more kept documents shared its bands than were compared with it
    ]
)


def survivors(documents: pa.Table, shingles: Spans, threshold: float, max_candidates: int) -> pa.Table:
    """One verdict a document (`SCHEMA`), by doc_ref.

    `documents` holds whole components of the candidate graph, any number of them, in any order: `component`, `doc_ref`,
    `text_hash_0`, `text_hash_1`, `tie_break` (uint64), unique `id` (string), `quality` (float) and `bands` (lists of uint64).
    `shingles` are theirs in the same order, sorted and unique; only those of heads are read, each a few times, so their values
    may lie in a file that is mapped. `bands` is null where there is nothing to compare; shingles may be none where they are
    not needed: without bands, or when a better exact copy in the table has them (`best_first`).

    Equal texts (128-bit hash) collapse onto the best of them, their head. The heads are then taken best first: of the
    documents kept so far that share a band, the most similar (of equals, the better) is the representative when its
    exact Jaccard similarity reaches `threshold`; else the head is kept. So a duplicate is always verified against the
    very document that replaces it, and a chain A ~ B ~ C does not drag C along. An exact copy follows its head, with
    kind 'exact' when the head itself is kept. At most `max_candidates` kept documents, best first, are compared with
    one document; where that left some out, `capped` is true.

    Raises ValueError naming a document that cannot be verified for want of shingles.
    """
    rank = best_first(documents, ["component"])
    ids = documents["id"].take(rank)
    component, doc_ref, *text = (
        documents[name].take(rank).to_numpy() for name in ("component", "doc_ref", "text_hash_0", "text_hash_1")
    )

    head = _best_of_equals(component, *text)
    heads = np.flatnonzero(head == np.arange(head.size))
    row = rank.take(pa.array(heads))
    band_start, band_end, band = spans(documents["bands"].take(row))
    shingle_start, shingle_end, shingle = shingles[0][row.to_numpy()], shingles[1][row.to_numpy()], shingles[2]
    missing = (band_end > band_start) & (shingle_end == shingle_start)
    if missing.any():
        lost = ids[int(heads[missing][0])].as_py()
        raise ValueError(f"document {lost!r} has bands but no shingles to verify them, nor has a better exact copy")
    buckets = pa.array(band).dictionary_encode()
    bucket, count = buckets.indices.to_numpy(), len(buckets.dictionary)
    representative, similarity, capped = _keep_or_drop(
        band_start, band_end, bucket, count, shingle_start, shingle_end, shingle, threshold, max_candidates
    )

    place = np.searchsorted(heads, head)
    kept = heads[representative][place]
    duplicate = kept != np.arange(kept.size)
    exact = duplicate & (kept == head)
    verdicts = pa.table(
        [
            pa.array(doc_ref),
            ids.take(pa.array(kept, mask=~duplicate)),
            pa.array(np.where(exact, 1.0, similarity[place]), mask=~duplicate),
            pa.array(np.where(exact, "exact", "near"), pa.string(), mask=~duplicate),
            pa.array(np.bincount(kept, minlength=kept.size), pa.int64(), mask=duplicate),
            pa.array(capped[place] & (head == np.arange(head.size))),
        ],
        schema=SCHEMA,
    )
    return verdicts.take(pa.array(np.argsort(doc_ref, kind="stable")))


def best_first(documents: pa.Table, within: list[str]) -> pa.Array:
    """Row numbers of `documents` by the columns `within`, then best first: quality (missing last), then tie, then id.

    This order says which copy is kept: whoever chooses among copies asks here.
    """
    quality = pc.cast(documents["quality"], pa.float64())
    quality = pc.if_else(pc.is_nan(quality), None, quality)
    columns = {name: documents[name] for name in within} | {
        "quality": quality,
        "tie_break": documents["tie_break"],
        "id": documents["id"],
    }
    return pc.sort_indices(
        pa.table(columns).combine_chunks(),
        sort_keys=[(name, "descending" if name == "quality" else "ascending") for name in columns],
    )


def _best_of_equals(
    component: npt.NDArray[np.uint64], text_0: npt.NDArray[np.uint64], text_1: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """For each row, the first row with the same text in its component; rows come best first."""
    order = np.lexsort((text_1, text_0, component))  # stable: equal texts stay in rank order
    starts = np.ones(order.size, np.bool_)
    starts[1:] = False
    for column in (component, text_0, text_1):
        starts[1:] |= column[order[1:]] != column[order[:-1]]
    head = np.empty(order.size, np.int64)
    head[order] = order[starts][np.cumsum(starts) - 1]
    return head


def spans(lists: pa.ChunkedArray) -> Spans:
    """Where each list starts and ends, and the values they lie in; a null list is an empty one."""
    size = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    end = np.cumsum(size)
    return end - size, end, pc.list_flatten(lists).to_numpy()


@njit(cache=True, nogil=True)
def _keep_or_drop(  # type: ignore[no-untyped-def]
    band_start, band_end, bucket, buckets, shingle_start, shingle_end, shingle, threshold, max_candidates
):
    """For each head, best first: what replaces it (itself when kept), their similarity, and whether it met the cap."""
    heads = band_start.size
    first = np.zeros(buckets + 1, np.int64)
    for entry in range(bucket.size):
        first[bucket[entry] + 1] += 1
    for b in range(buckets):
        first[b + 1] += first[b]
    kept = np.empty(bucket.size, np.int64)  # kept[first[b]:end[b]]: the kept heads of bucket b, best first
    end = first[:-1].copy()
    representative = np.arange(heads)
    similarity = np.zeros(heads)
    capped = np.zeros(heads, np.bool_)
    most = 0
    for head in range(heads):
        most = max(most, band_end[head] - band_start[head])
    cursor = np.empty(most, np.int64)
    for head in range(heads):
        own = bucket[band_start[head] : band_end[head]]
        for band in range(own.size):
            cursor[band] = first[own[band]]
        compared = 0
        while True:
            # Merge the kept heads of all its buckets: the next is the best-ranked that has not been compared.
            candidate = heads
            for band in range(own.size):
                if cursor[band] < end[own[band]]:
                    candidate = min(candidate, kept[cursor[band]])
            if candidate == heads:
                break
            if compared == max_candidates:
                capped[head] = True
                break
            compared += 1
            for band in range(own.size):
                if cursor[band] < end[own[band]] and kept[cursor[band]] == candidate:
                    cursor[band] += 1
            found = jaccard(
                shingle[shingle_start[head] : shingle_end[head]],
                shingle[shingle_start[candidate] : shingle_end[candidate]],
                max(threshold, similarity[head]),
            )
            if found >= threshold and found > similarity[head]:
                similarity[head] = found
                representative[head] = candidate
        if representative[head] == head:
            for band in range(own.size):
                kept[end[own[band]]] = head
                end[own[band]] += 1
    return representative, similarity, capped
