"""Decides which copies to keep: verifies near-duplicates and keeps the one that goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.dedup.drop_rule import DropRules, least_jaccard
from tamis.transforms.dedup.prefix_index import candidates, count_shingles, empty_index, insert, rarest_first
from tamis.transforms.dedup.shingles import jaccard
from tamis.transforms.runtime.kernels import njit

if TYPE_CHECKING:
    ListSpans: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint64]]
    """Start and end of each list in a common array of values, and that array."""

CROWDING = 200
"""Kept documents in one bucket from which on they are found by their rarest shingles. Any number
gives the same verdicts."""

_WORTH = 8  # entries of the index that take as long as a comparison

VERDICT_SCHEMA = pa.schema(
    [
        pa.field("doc_ref", pa.uint64(), nullable=False),
        pa.field("duplicate_of", pa.string()),  # id of the kept representative; null if the document is kept
        pa.field("jaccard", pa.float64()),  # exact similarity to the representative, 1 for an equal text; null if kept
        pa.field("kind", pa.string()),  # 'exact', 'near' or, below the threshold, 'contained'; null if kept
        pa.field("containment", pa.float64()),  # share of its shingles that the representative has; null if not 'contained'
        pa.field("copies", pa.int64()),  # documents that a kept document represents, including itself; null for duplicates
        pa.field("sources", pa.list_(pa.string())),  # different ones of these documents, sorted; null if not asked for
    ]
)


def survivors(documents: pa.Table, shingles: ListSpans, rules: DropRules) -> pa.Table:
    """One verdict per document (`VERDICT_SCHEMA`), sorted by doc_ref.

    `documents` has complete components of the candidate graph, in any order. Its columns are
    `component`, `doc_ref`, `text_hash_0`, `text_hash_1`, `tie_break` (uint64), unique `id`
    (string), `quality` (float), what else `best_first` reads, `bands` (lists of uint64; null if
    there is nothing to compare), `short` if some are cut into runs of characters and, if the sources of
    copies are asked for, `source`.
    `shingles` are sorted and unique, in the same order. Only those of heads are read, each a few
    times, so they may be in a mapped file. They may be empty if they are not needed: without bands,
    or if a better exact copy in the table has them (`best_first`).

    The best of equal texts (by the 128-bit hash) is their head. Heads are examined best first.
    Among the documents kept so far that share a band and for which the rule drops the head, the most
    similar one (the better of equals) becomes the representative; if there is none, the head is
    kept. So a duplicate is always verified against the document that replaces it, and in a
    chain A ~ B ~ C, A does not replace C. An exact copy follows its head; its kind is 'exact' if
    the head is kept. Where more than `CROWDING` kept documents share a band, a document is compared
    with those alone that can be similar enough (`prefix_index`); that leaves out none.

    Raises ValueError, naming the document, if it needs shingles and has none.
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
        document = ids[int(heads[missing][0])].as_py()
        raise ValueError(f"document {document!r} has bands but no shingles to verify them, nor has a better exact copy")
    short = documents["short"].take(row).to_numpy() if "short" in documents.column_names else np.zeros(heads.size, np.bool_)
    representative, similarity = nearest_kept((band_start, band_end, band), (shingle_start, shingle_end, shingle), rules, short)

    place = np.searchsorted(heads, head)
    kept_row = heads[representative][place]
    duplicate = kept_row != np.arange(kept_row.size)
    exact = duplicate & (kept_row == head)
    contained = duplicate & ~exact & (similarity < np.where(short, rules.short.threshold, rules.other.threshold))[place]
    size = shingle_end - shingle_start
    common = np.rint(similarity / (1 + similarity) * (size + size[representative]))
    verdicts = pa.table(
        [
            pa.array(doc_ref),
            ids.take(pa.array(kept_row, mask=~duplicate)),
            pa.array(np.where(exact, 1.0, similarity[place]), mask=~duplicate),
            pa.array(np.select([exact, contained], ["exact", "contained"], "near"), pa.string(), mask=~duplicate),
            pa.array((common / np.maximum(size, 1))[place], mask=~contained),
            pa.array(np.bincount(kept_row, minlength=kept_row.size), pa.int64(), mask=duplicate),
            _sources_of(kept_row, documents["source"].take(rank))
            if "source" in documents.column_names
            else pa.nulls(kept_row.size, pa.list_(pa.string())),
        ],
        schema=VERDICT_SCHEMA,
    )
    return verdicts.take(pa.array(np.argsort(doc_ref, kind="stable")))


def _sources_of(kept_row: npt.NDArray[np.int64], source: pa.ChunkedArray) -> pa.Array:
    """For each kept row, the different sources of the rows that it represents, sorted; null for others."""
    names = pc.unique(source).sort()
    code = pc.index_in(source, names).to_numpy()
    row, place = np.unique(np.column_stack((kept_row, code)), axis=0).T
    first = np.searchsorted(row, np.arange(kept_row.size + 1)).astype(np.int32)
    represents_none = pa.array(first[1:] == first[:-1])
    return pa.ListArray.from_arrays(pa.array(first), names.take(pa.array(place)), mask=represents_none)


def best_first(documents: pa.Table, within: list[str]) -> pa.Array:
    """Row numbers sorted by the columns `within`; then, if there are such columns, by `source_rank` and
    from the largest `preference` down; then by quality (missing last), `tie_break` and id.

    This order alone decides which copy is kept.
    """
    quality = pc.cast(documents["quality"], pa.float64())
    descending = {"preference": documents["preference"]} if "preference" in documents.column_names else {}
    descending["quality"] = pc.if_else(pc.is_nan(quality), None, quality)
    ranked = [name for name in ("source_rank",) if name in documents.column_names]
    columns = {name: documents[name] for name in (*within, *ranked)} | descending
    columns |= {name: documents[name] for name in ("tie_break", "id")}
    return pc.sort_indices(
        pa.table(columns).combine_chunks(),
        sort_keys=[(name, "descending" if name in descending else "ascending") for name in columns],
    )


def _best_of_equals(
    component: npt.NDArray[np.uint64], text_0: npt.NDArray[np.uint64], text_1: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """The first row with the same text and component, for each row; rows must be best first."""
    order = np.lexsort((text_1, text_0, component))  # stable: equal texts stay in rank order
    starts = np.ones(order.size, np.bool_)
    starts[1:] = False
    for column in (component, text_0, text_1):
        starts[1:] |= column[order[1:]] != column[order[:-1]]
    head = np.empty(order.size, np.int64)
    head[order] = order[starts][np.cumsum(starts) - 1]
    return head


def spans(lists: pa.ChunkedArray) -> ListSpans:
    """Start and end of each list, and the values; a null list counts as empty."""
    size = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    end = np.cumsum(size)
    return end - size, end, pc.list_flatten(lists).to_numpy()


def nearest_kept(
    bands: ListSpans, shingles: ListSpans, rules: DropRules, short: npt.NDArray[np.bool_], fixed: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The representative of each of n documents (itself if it is kept), and their Jaccard similarity.

    Documents are examined in their order. The first `fixed` are kept whatever they are; if there are
    any, the others are compared with them alone. Bands are any hashes; those who share one meet.
    """
    band_start, band_end, band = bands
    shingle_start, shingle_end, shingle = shingles
    buckets = pa.array(band).dictionary_encode()
    bucket, count = buckets.indices.to_numpy(), len(buckets.dictionary)
    size = np.bincount(bucket, minlength=count)
    large = np.zeros(band_start.size, np.bool_)
    large[np.repeat(np.arange(large.size), band_end - band_start)[size[bucket] > CROWDING]] = True
    index = empty_index((shingle_end - shingle_start)[large], min(rules))  # the lower threshold, which needs more room
    first = np.concatenate([[0], np.cumsum(size)])
    representative, similarity = _keep_or_drop(
        *(band_start, band_end, bucket, shingle_start, shingle_end, shingle),
        *(rules, short, first, large, index, CROWDING, fixed),
    )
    return representative, similarity


@njit(cache=True, nogil=True)
def _keep_or_drop(  # type: ignore[no-untyped-def]
    band_start, band_end, bucket, shingle_start, shingle_end, shingle, rules, short, first, large, index, crowding, fixed
):
    """The representative of each head (itself if kept), and their similarity.

    `short`: heads that are cut into runs of characters. `first`: where the kept heads of each bucket begin.
    They are compared one by one until there are more than `crowding`; from then on, they are in the index.
    `large`: heads to which that can happen.
    `fixed`: heads that are kept; if there are any, the others are never compared with.
    """
    heads = band_start.size
    size = shingle_end - shingle_start
    kept_heads = np.empty(bucket.size, np.int64)  # kept_heads[first[b]:end[b]] are those of bucket b, best first
    end = first[:-1].copy()
    representative = np.arange(heads)
    similarity = np.zeros(heads)
    indexed = np.zeros(heads, np.bool_)
    seen = np.full(heads, -1)
    found = np.empty(heads, np.int64)
    most = longest = 0
    for head in range(heads):
        most = max(most, band_end[head] - band_start[head])
        longest = max(longest, size[head])
    cursor = np.empty(most, np.int64)
    keys = np.empty(longest, np.uint64)
    counted = False
    for head in range(heads):
        rule = rules.short if short[head] else rules.other
        own = bucket[band_start[head] : band_end[head]]
        content = shingle[shingle_start[head] : shingle_end[head]]
        crowd = count = 0
        for b in own:
            if end[b] - first[b] > crowding and head >= fixed:
                crowd += end[b] - first[b]
        by_index = False
        if crowd:
            ordered = rarest_first(index, content, keys)
            others = candidates(index, ordered, size, rule, crowd * _WORTH, seen, head, found)
            by_index = others >= 0
            for i in range(others):
                if _meet(own, bucket[band_start[found[i]] : band_end[found[i]]]):
                    found[count] = found[i]
                    count += 1
        for band in range(own.size):
            b = own[band]
            cursor[band] = end[b] if by_index and end[b] - first[b] > crowding else first[b]
        # Merge the kept heads of the other buckets, so that each is compared once.
        while head >= fixed:
            candidate = heads
            for band in range(own.size):
                if cursor[band] < end[own[band]]:
                    candidate = min(candidate, kept_heads[cursor[band]])
            if candidate == heads:
                break
            for band in range(own.size):
                if cursor[band] < end[own[band]] and kept_heads[cursor[band]] == candidate:
                    cursor[band] += 1
            if seen[candidate] != head:
                found[count] = candidate
                count += 1
        for candidate in found[:count]:
            floor = max(least_jaccard(rule, content.size, size[candidate]), similarity[head])
            overlap = jaccard(content, shingle[shingle_start[candidate] : shingle_end[candidate]], floor)
            if overlap < floor:
                continue
            if overlap > similarity[head] or candidate < representative[head]:
                similarity[head] = overlap
                representative[head] = candidate
        if representative[head] != head or 0 < fixed <= head:
            continue
        for band in range(own.size):
            b = own[band]
            kept_heads[end[b]] = head
            end[b] += 1
            if end[b] - first[b] <= crowding:
                continue
            if not counted:
                counted = True
                for other in range(heads):
                    if large[other]:
                        count_shingles(index, shingle[shingle_start[other] : shingle_end[other]])
            for other in kept_heads[first[b] if end[b] - first[b] == crowding + 1 else end[b] - 1 : end[b]]:
                if not indexed[other]:
                    indexed[other] = True
                    ordered = rarest_first(index, shingle[shingle_start[other] : shingle_end[other]], keys)
                    insert(index, other, ordered, rules.short if short[other] else rules.other)
    return representative, similarity


@njit(cache=True, nogil=True)
def _meet(own, others):  # type: ignore[no-untyped-def]
    for b in own:
        for other in others:
            if b == other:
                return True
    return False
