"""The step that cuts lines which many texts of a host, or of a source, have.

    hosts with enough texts → their lines → Exchange by line → lines with enough texts → spans

`Exchange` moves 44 bytes for a line and no text, and only for groups that have as many texts as a
line must be in; of the others, which are most hosts of a sample of the web, not even the text is
read.
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
from tamis.transforms.beam.step import CUTS, Documents, Kept, Step, one_batch, rated_part
from tamis.transforms.core.documents import hosts, row_of
from tamis.transforms.dedup.deduplicate import LoadTexts
from tamis.transforms.dedup.duplicates import texts_of
from tamis.transforms.dedup.lines.line_options import RepeatedLines
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.text.hashing import hash128, hash_texts, text_buffer

STEP = "dedup.lines"

_LARGE, _FOUND = "large groups", "repeated lines"  # results on the way
_ENTRIES = 1 << 20
"""Lines in a batch, about: each batch becomes a file."""

Grouped = Callable[[PartState], pa.Table]
"""Loads the documents of a part that have a group: doc_ref, group, text_hash_0, bytes."""


class CutRepeatedLines(Step):
    """Cuts the lines that are in too many texts of a group. It ends no document."""

    name = STEP
    cuts = True

    def __init__(self, options: RepeatedLines) -> None:
        self.options = options

    @classmethod
    def of(cls, options: Dedup, recipe: object) -> CutRepeatedLines | None:
        return None if options.lines is None else cls(options.lines)

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform:
        grouped = partial(_grouped, kept=kept, within=self.options.within)
        return FindRepeatedLines(self.options.documents, grouped, texts_of, spill, partitions)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        pass


class FindRepeatedLines(beam.PTransform):
    """Adds a result `dedup.lines` (`CUTS`): the lines that are in at least `documents` different
    texts of their group, in every document that has them.

    A span takes the line break after its line along. If the last line of a text is cut, so are the
    line breaks before it: the text ends in one only if it did before.
    """

    def __init__(self, documents: int, grouped: Grouped, texts: LoadTexts, spill: str, partitions: int) -> None:
        super().__init__()
        self.documents, self.grouped, self.texts = documents, grouped, texts
        self.spill, self.partitions = spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        def each(function: Callable[..., Any], **arguments: Any) -> beam.ParDo:
            return beam.ParDo(FlatMapDoFn(partial(function, **arguments))).with_output_types(pa.RecordBatch)

        exchanged: dict[str, Any] = {"grouped": self.grouped, "partitions": self.partitions}
        large = (
            part_states
            | "Texts" >> each(_texts_by_group, documents=self.documents, **exchanged)
            | "Groups" >> Exchange(self.spill)
            | "Large" >> each(_large_groups, documents=self.documents)
        )
        repeated = (
            part_states
            | "In large" >> JoinResults({_LARGE: large}, self.spill)
            | "Lines" >> each(_lines, texts=self.texts, **exchanged)
            | "Equal lines" >> Exchange(self.spill)
            | "Repeated" >> each(_repeated, documents=self.documents)
        )
        cuts = (
            part_states | "Found" >> JoinResults({_FOUND: repeated}, self.spill) | "Spans" >> each(_cuts, grouped=self.grouped)
        )
        return part_states | "Return" >> JoinResults({STEP: cuts}, self.spill)


def _grouped(part_state: PartState, kept: Kept, within: str) -> pa.Table:
    table, part = kept(part_state), rated_part(part_state)
    rows = pa.array(row_of(table["doc_ref"].to_numpy()))
    sketch = part.sketch(["text_hash_0", "bytes"]).take(rows)
    group = table["source"] if within == "source" else hosts(part.columns(["url"]).take(rows)["url"].combine_chunks())
    columns = {"doc_ref": table["doc_ref"], "group": group, "text_hash_0": sketch["text_hash_0"], "bytes": sketch["bytes"]}
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


def _lines(part_state: PartState, grouped: Grouped, texts: LoadTexts, partitions: int) -> Iterator[pa.RecordBatch]:
    """The lines of the documents of large groups."""
    from tamis.transforms.dedup.lines.line_keys import lines_of

    large = part_state.result(_LARGE)
    if large is None:
        return
    table = grouped(part_state)
    code, names = _codes(table["group"])
    doc_ref, text_hash = table["doc_ref"].to_numpy(), table["text_hash_0"].to_numpy()
    member = np.isin(code, code[np.isin(doc_ref, large["doc_ref"].to_numpy())])
    code, doc_ref, text_hash, group = code[member], doc_ref[member], text_hash[member], hash128(names)
    pending: list[pa.RecordBatch] = []
    first = 0
    for read, text in texts(part_state, row_of(doc_ref)):
        here = slice(first, first + len(read))
        first += len(read)
        lines = lines_of(*text_buffer(text), group[code[here]])
        columns = {
            "key_0": np.ascontiguousarray(lines.key[:, 0]),
            "key_1": np.ascontiguousarray(lines.key[:, 1]),
            "text": text_hash[here][lines.document],
            "doc_ref": doc_ref[here][lines.document],
            "after": lines.after,
            "start": lines.start,
            "stop": lines.stop,
        }
        pending.append(pa.record_batch(columns))
        if sum(batch.num_rows for batch in pending) >= _ENTRIES:
            yield _by_line(pending, partitions)
            pending = []
    if pending:
        yield _by_line(pending, partitions)


def _by_line(batches: list[pa.RecordBatch], partitions: int) -> pa.RecordBatch:
    batch = pa.concat_batches(batches)
    return addressed(batch, partition_of(batch["key_0"].to_numpy(), partitions))


def _repeated(gathered: Gathered, documents: int) -> Iterable[pa.RecordBatch]:
    """The lines that are in at least `documents` different texts, and in how many."""
    rows = gathered.table()
    key = np.sort(rows["key_0"].to_numpy())
    frequent = key[documents - 1 :]
    frequent = frequent[frequent == key[: len(frequent)]]
    # Most lines occur once: only the others are sorted by all of their key.
    rows = rows.filter(pc.is_in(rows["key_0"], value_set=pa.array(np.unique(frequent)))).combine_chunks()
    text, *keys = (rows[name].to_numpy() for name in ("text", "key_0", "key_1"))
    order = np.lexsort((text, *keys))
    texts = _texts_of_runs(text[order], *(column[order] for column in keys))
    found = rows.select(["doc_ref", "after", "start", "stop"]).take(pa.array(order[texts >= documents]))
    if len(found):
        yield one_batch(found.append_column("texts", pa.array(texts[texts >= documents])))


def _texts_of_runs(text: npt.NDArray[np.uint64], *keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """For each row the number of different texts with the same keys; rows are sorted by keys, then text."""
    begins = np.ones(len(text), np.bool_)
    begins[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    differs = begins.copy()
    differs[1:] |= text[1:] != text[:-1]
    run = np.cumsum(begins) - 1
    return np.bincount(run[differs])[run]


def _cuts(part_state: PartState, grouped: Grouped) -> Iterable[pa.RecordBatch]:
    """What is cut from each document of a part, as `CUTS`."""
    found = part_state.result(_FOUND)
    if found is None:
        return
    found = one_batch(found.sort_by([("doc_ref", "ascending"), ("start", "ascending")]))
    doc_ref, after, start, stop = (found[name].to_numpy().copy() for name in ("doc_ref", "after", "start", "stop"))
    start, stop = start.astype(np.int64), stop.astype(np.int64)
    table = grouped(part_state)
    size, group = (result_column(found["doc_ref"], table, name, None) for name in ("bytes", "group"))
    last = stop == size.to_numpy()
    begins = np.ones(len(found), np.bool_)  # of runs of lines between which no other line remains
    begins[1:] = (doc_ref[1:] != doc_ref[:-1]) | (after[1:] != stop[:-1])
    run = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    start[last] = after[run[last]]
    stop[~last] += 1
    detail = pc.binary_join_element_wise("in", found["texts"].cast(pa.string()), "texts of", group.cast(pa.string()), " ")
    yield pa.record_batch([doc_ref, start, stop, pa.repeat(STEP, len(found)), detail], schema=CUTS)


def _codes(groups: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """The number of each document's group, and the names of the groups."""
    encoded = groups.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary
