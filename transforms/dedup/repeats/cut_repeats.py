"""The steps that cut lines, paragraphs and sentences which are in many texts of a host, a source or the corpus.

    groups with enough texts → their pieces → Exchange by piece → pieces in enough texts → spans

`Exchange` moves 48 bytes for a piece (68 if the best document keeps it) and no text, and only for groups
that have as many texts as a piece must be in; of the others, which are most hosts of a sample of the
web, not even the text is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.cuts import RECOUNT, rated_places, recounted, spans_of
from tamis.transforms.beam.exchange import (
    Exchange,
    FlatMapDoFn,
    Gathered,
    JoinResults,
    PartState,
    addressed,
    partition_of,
    result_column,
)
from tamis.transforms.beam.step import CUTS, Documents, Kept, Step, one_batch, rated_part, rounded
from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.documents import hosts, row_of
from tamis.transforms.dedup.deduplicate import LoadTexts
from tamis.transforms.dedup.duplicates import texts_of
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.dedup.repeats.repeat_options import Repeats
from tamis.transforms.text.hashing import hash128, hash_texts, text_buffer

_PLACES = ("after", "start", "stop", "following")
_RANK = ("quality", "tie_break", "id_hash")
_LARGE, _FOUND = "large groups", "repeats"  # results on the way
_ENTRIES = 1 << 20
"""Pieces in a batch, about: each batch becomes a file."""

RESULTS = CUTS.append(pa.field("repeated", pa.float64()))
"""What is found: spans, and the share of its bytes that is cut of a document that is dropped for it; null
for others."""

Grouped = Callable[[PartState], pa.Table]
"""Loads the documents of a part that have a group: doc_ref, group, text_hash_0, bytes, and what ranks
them: quality, tie_break, id_hash."""


class CutRepeats(Step):
    """Cuts pieces that are in too many texts of a group, or drops the documents that have too many of them."""

    cuts = True
    section: str

    def __init__(self, options: Repeats) -> None:
        self.options = options

    @classmethod
    def of(cls, options: Dedup, recipe: object) -> CutRepeats | None:
        repeats = getattr(options, cls.section)
        return None if repeats is None else cls(repeats)

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform:
        grouped = partial(_grouped, kept=kept, within=self.options.within)
        return FindRepeats(self.name, self.options, grouped, texts_of, spill, partitions)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        repeated = result_column(documents.columns["doc_ref"], results, "repeated", None).cast(pa.float64())

        def detail(rows: pa.Array) -> pa.Array:
            return pc.binary_join_element_wise(
                rounded(pc.multiply(repeated.take(rows), 100)), "% of its bytes are in other documents", ""
            )

        documents.end(repeated.is_valid().to_numpy(zero_copy_only=False), "drop", self.name, detail)


class CutRepeatedLines(CutRepeats):
    """Before duplicates are looked for: pages that differ in their menus alone are duplicates."""

    name, section = "dedup.lines", "lines"


class CutRepeatedParagraphs(CutRepeats):
    """After duplicates are dropped: of a near-duplicate only a torso would be left."""

    name, section = "dedup.paragraphs", "paragraphs"


class CutRepeatedSentences(CutRepeats):
    """The last level, of texts without repeated paragraphs."""

    name, section = "dedup.sentences", "sentences"


class FindRepeats(beam.PTransform):
    """Adds a result `step` (`RESULTS`): the pieces that are in at least `options.documents` different texts of
    their group, in every document that has them, but the one that keeps them.

    A span takes the white space after its piece along, of a line its line break. If the last piece of a
    text is cut, so is the white space before it: the text ends in a line break only if it did before.
    """

    def __init__(self, step: str, options: Repeats, grouped: Grouped, texts: LoadTexts, spill: str, partitions: int) -> None:
        super().__init__()
        self.step, self.options, self.grouped, self.texts = step, options, grouped, texts
        self.spill, self.partitions = spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        def each(function: Callable[..., Any], **arguments: Any) -> beam.ParDo:
            return beam.ParDo(FlatMapDoFn(partial(function, **arguments))).with_output_types(pa.RecordBatch)

        exchanged: dict[str, Any] = {"grouped": self.grouped, "partitions": self.partitions}
        documents, options = self.options.documents, self.options
        large = (
            part_states
            | "Texts" >> each(_texts_by_group, documents=documents, **exchanged)
            | "Groups" >> Exchange(self.spill)
            | "Large" >> each(_large_groups, documents=documents)
        )
        repeated = (
            part_states
            | "In large" >> JoinResults({_LARGE: large}, self.spill)
            | "Pieces" >> each(_pieces, texts=self.texts, options=options, **exchanged)
            | "Equal pieces" >> Exchange(self.spill)
            | "Repeated" >> each(repeated_pieces, documents=documents, best=options.keep == "best")
        )
        found = part_states | "Found" >> JoinResults({_FOUND: repeated}, self.spill)
        cuts = found | "Spans" >> each(_cuts, step=self.step, options=options, grouped=self.grouped)
        return part_states | "Return" >> JoinResults({self.step: cuts}, self.spill)


def _grouped(part_state: PartState, kept: Kept, within: str) -> pa.Table:
    table, part = kept(part_state).combine_chunks(), rated_part(part_state)
    doc_ref = table["doc_ref"].combine_chunks()
    rows = pa.array(row_of(doc_ref.to_numpy()))
    text_hash = part.sketch(["text_hash_0"]).take(rows)["text_hash_0"].combine_chunks()
    if within == "host":
        group = hosts(part.columns(["url"]).take(rows)["url"].combine_chunks())
    else:
        group = table["source"] if within == "source" else pa.repeat("", len(table))
    columns = {name: table[name] for name in ("doc_ref", "bytes", *_RANK)}
    columns |= {"group": group, "text_hash_0": recounted(text_hash, doc_ref, part_state.result(RECOUNT), "text_hash_0")}
    return pa.table(columns).filter(pc.is_valid(group)).combine_chunks()


def _texts_by_group(part_state: PartState, grouped: Grouped, documents: int, partitions: int) -> Iterable[pa.RecordBatch]:
    """The least text hashes of each group, `documents` at most, with a document that stands for the
    group in this part. The least ones of all parts are enough to tell whether there are so many."""
    table = grouped(part_state)
    if not len(table):
        return
    code, names = _codes(table["group"])
    first = np.unique(code, return_index=True)[1]
    text = table["text_hash_0"].to_numpy()
    order = np.lexsort((text, code))
    code, text = code[order], text[order]
    differs = np.ones(len(code), np.bool_)
    differs[1:] = (code[1:] != code[:-1]) | (text[1:] != text[:-1])
    code, text = code[differs], text[differs]
    least = np.arange(len(code)) - np.searchsorted(code, code) < documents
    code, text = code[least], text[least]
    group = hash_texts(names)[code]  # if two have one hash, lines are counted in vain
    doc_ref = table["doc_ref"].to_numpy()[first[code]]
    yield addressed(pa.record_batch({"group": group, "text": text, "doc_ref": doc_ref}), partition_of(group, partitions))


def _large_groups(gathered: Gathered, documents: int) -> Iterable[pa.RecordBatch]:
    """The documents that stand for a group with at least `documents` texts."""
    rows = gathered.table()
    group, text, doc_ref = (rows[name].to_numpy() for name in ("group", "text", "doc_ref"))
    order = np.lexsort((text, group))
    large = np.empty(len(order), np.bool_)
    large[order] = _texts_of_runs(text[order], group[order]) >= documents
    if large.any():
        yield pa.record_batch({"doc_ref": np.unique(doc_ref[large])})


def _pieces(
    part_state: PartState, grouped: Grouped, texts: LoadTexts, options: Repeats, partitions: int
) -> Iterator[pa.RecordBatch]:
    """The pieces of the documents of large groups."""
    from tamis.transforms.dedup.repeats.text_units import units_of

    large = part_state.result(_LARGE)
    if large is None:
        return
    table = grouped(part_state)
    code, names = _codes(table["group"])
    member = np.isin(code, code[np.isin(table["doc_ref"].to_numpy(), large["doc_ref"].to_numpy())])
    table, code, group = table.filter(pa.array(member)), code[member], hash128(names)
    columns = {"text": "text_hash_0", "doc_ref": "doc_ref"}
    if options.keep == "best":
        columns |= {name: name for name in _RANK}
    values = {name: table[column].to_numpy() for name, column in columns.items()}
    pending: list[pa.RecordBatch] = []
    first = 0
    for read, text in texts(part_state, row_of(values["doc_ref"])):
        here = slice(first, first + len(read))
        first += len(read)
        units = units_of(*text_buffer(text), group[code[here]], options)
        keys = {f"key_{half}": np.ascontiguousarray(units.key[:, half]) for half in range(2)}
        places = {name: getattr(units, name) for name in _PLACES}
        of_document = {name: each[here][units.document] for name, each in values.items()}
        pending.append(pa.record_batch(keys | places | of_document))
        if sum(batch.num_rows for batch in pending) >= _ENTRIES:
            yield _by_piece(pending, partitions)
            pending = []
    if pending:
        yield _by_piece(pending, partitions)


def _by_piece(batches: list[pa.RecordBatch], partitions: int) -> pa.RecordBatch:
    batch = pa.concat_batches(batches)
    return addressed(batch, partition_of(batch["key_0"].to_numpy(), partitions))


def repeated_pieces(gathered: Gathered, documents: int, best: bool) -> Iterable[pa.RecordBatch]:
    """The pieces that are in at least `documents` different texts, and in how many. `best`: not those of the best
    document that has one."""
    rows = gathered.table()
    key = np.sort(rows["key_0"].to_numpy())
    frequent = key[documents - 1 :]
    frequent = frequent[frequent == key[: len(frequent)]]
    # Most pieces occur once: only the others are sorted by all of their key.
    rows = rows.filter(pc.is_in(rows["key_0"], value_set=pa.array(np.unique(frequent)))).combine_chunks()
    text, *keys = (rows[name].to_numpy() for name in ("text", "key_0", "key_1"))
    order = np.lexsort((text, *keys))
    texts = _texts_of_runs(text[order], *(column[order] for column in keys))
    found = rows.take(pa.array(order[texts >= documents])).append_column("texts", pa.array(texts[texts >= documents]))
    if best:
        found = found.filter(pa.array(~_of_best(found)))
    if len(found):
        yield one_batch(found.select(["doc_ref", *_PLACES, "texts"]))


def _of_best(found: pa.Table) -> npt.NDArray[np.bool_]:
    """Whether each row is of the document of the best quality, then of the least hash of its id, that has its piece."""
    quality, *hashes = (found[name].to_numpy() for name in _RANK)
    worse = -np.where(np.isnan(quality), -np.inf, quality)
    keys = [found[name].to_numpy() for name in ("key_1", "key_0")]
    order = np.lexsort((*hashes[::-1], worse, *keys))
    begins = np.ones(len(order), np.bool_)
    begins[1:] = np.logical_or.reduce([key[order][1:] != key[order][:-1] for key in keys])
    doc_ref = found["doc_ref"].to_numpy()[order]
    best = np.empty(len(order), np.bool_)
    best[order] = doc_ref == doc_ref[begins][np.cumsum(begins) - 1]
    return best


def _texts_of_runs(text: npt.NDArray[np.uint64], *keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """For each row the number of different texts with the same keys; rows are sorted by keys, then text."""
    begins = np.ones(len(text), np.bool_)
    begins[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    differs = begins.copy()
    differs[1:] |= text[1:] != text[:-1]
    run = np.cumsum(begins) - 1
    return np.bincount(run[differs])[run]


def _cuts(part_state: PartState, step: str, options: Repeats, grouped: Grouped) -> Iterable[pa.RecordBatch]:
    """What is cut from each document of a part, as `RESULTS`."""
    found = part_state.result(_FOUND)
    if found is None:
        return
    found = one_batch(found.sort_by([("doc_ref", "ascending"), ("start", "ascending")]))
    doc_ref, *places = (found[name].to_numpy() for name in ("doc_ref", *_PLACES))
    after, start, stop, following = (place.astype(np.int64) for place in places)
    last = following == 0
    begins = np.ones(len(found), np.bool_)  # of runs of pieces between which no other one remains
    begins[1:] = (doc_ref[1:] != doc_ref[:-1]) | (after[1:] > stop[:-1])
    run = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    start[last] = after[run[last]]
    stop[~last] = following[~last]
    size, group = (result_column(found["doc_ref"], grouped(part_state), name, None) for name in ("bytes", "group"))
    repeated = _share(doc_ref, start, stop, size.to_numpy(), options.drop_above)
    words = ["in", found["texts"].cast(pa.string()), "texts"]
    if options.within != "corpus":
        words += ["of", group.cast(pa.string())]
    spans = spans_of(part_state)
    start, stop = (rated_places(spans, doc_ref, places) for places in (start, stop))
    columns = [doc_ref, start, stop, pa.repeat(step, len(found)), pc.binary_join_element_wise(*words, " "), repeated]
    yield pa.record_batch(columns, schema=RESULTS)


def _share(doc_ref: npt.NDArray[np.uint64], start: Ints, stop: Ints, size: Ints, limit: float | None) -> pa.Array:
    """For each span the share of the bytes of its document that spans cover, if it is above the limit."""
    if limit is None:
        return pa.nulls(len(doc_ref), pa.float64())
    document, first = np.unique(doc_ref, return_inverse=True)
    number = first.astype(np.int64) << 40
    covered = np.maximum.accumulate(np.append(-1, number + stop))[:-1]  # by the spans before, of any document
    new = np.maximum(number + stop - np.maximum(number + start, covered), 0)
    share = (np.bincount(first, new, len(document))[first]) / size
    return pa.array(share, mask=share <= limit)


def _codes(groups: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """The number of each document's group, and the names of the groups."""
    encoded = groups.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary
