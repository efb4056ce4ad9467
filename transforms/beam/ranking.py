"""Exact ranks in tokens within groups, independent of sharding: sampled ranges, a sort in each, offsets between them.

Cost: two passes over the small columns (three when `partitions` > 1), one `Exchange`, and a table of partitions × groups. Rows
are ordered by (major, tie, hash of the id): where a document lay cannot matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.exchange import (
    Exchange,
    FlatMapDoFn,
    Gathered,
    JoinResults,
    MapDoFn,
    PartState,
    Rows,
    Via,
    addressed,
)
from tamis.transforms.text.hashing import mix

ROWS = pa.schema(
    [
        pa.field("doc_ref", pa.uint64()),
        pa.field("group", pa.string()),  # ranks count within a group
        pa.field("major", pa.uint64()),  # what is ranked by, ascending
        pa.field("tie_break", pa.uint64()),  # seeded hash of the id: decides between equal majors
        pa.field("id_hash", pa.uint64()),  # decides between equal ties
        pa.field("tokens", pa.int64()),
    ]
)
"""What a ranking reads of a document."""

MARKED = ROWS.append(pa.field("mark", pa.int64()))
"""What it reads where a document has several rows: the answers carry the mark that tells them apart."""

Allot = Callable[[Mapping[str, int]], Mapping[str, int]]
"""From the tokens of every group to a number for each."""

_NARROW = 4
"""Partitions of an exchange that make one range of a ranking."""

_SAMPLE = 64
"""Sampled keys for each partition. 64 keep the largest range within about 1.3 times the mean."""


def ranges(partitions: int) -> int:
    """Ranges of a ranking beside exchanges of so many partitions. Its rows are 53 bytes, so a range of four times as many
    documents is small still; and each costs a piece for every part, which is what grows faster than the corpus."""
    return max(2, partitions // _NARROW)


class Rank(beam.PTransform):
    """Adds to each part_state, under `tag`, `rank` (tokens up to and including the document, in order within its group) and
    `group_tokens` (tokens of the whole group) for every row that `rows` yields; with its `mark`, where rows have one, and with
    what its group was `allotted`, where asked."""

    def __init__(
        self, tag: str, rows: Rows, spill: str, partitions: int, via: Via = "storage", allot: Allot | None = None
    ) -> None:
        super().__init__()
        self.tag = tag
        self.rows = rows
        self.spill = spill
        self.partitions = partitions
        self.via = via
        self.allot = allot

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        if self.partitions > 1:
            cuts = beam.pvalue.AsSingleton(
                part_states
                | "Sample" >> beam.ParDo(MapDoFn(partial(_sample, rows=self.rows, size=self.partitions * _SAMPLE)))
                | "Cuts" >> beam.CombineGlobally(_Cuts(self.partitions)).without_defaults()
            )
        else:
            cuts = np.empty((0, 2), np.uint64)
        ranges = (
            part_states
            | "Range" >> beam.ParDo(FlatMapDoFn(partial(_address, rows=self.rows)), cuts).with_output_types(pa.RecordBatch)
            | Exchange(self.spill, self.via)
        )
        totals = beam.pvalue.AsList(ranges | "Totals" >> beam.ParDo(FlatMapDoFn(_totals)))
        ranks = ranges | "Rank" >> beam.ParDo(FlatMapDoFn(partial(_ranks, allot=self.allot)), totals).with_output_types(
            pa.RecordBatch
        )
        return part_states | "Return" >> JoinResults({self.tag: ranks}, self.spill, self.via)


def _sample(part_state: PartState, rows: Rows, size: int) -> np.ndarray:
    return _bottom(_keys(rows(part_state)), size)


def _keys(batch: pa.RecordBatch | pa.Table) -> np.ndarray:
    return np.stack([batch["major"].to_numpy(), batch["tie_break"].to_numpy()], axis=1)


def _bottom(keys: np.ndarray, size: int) -> np.ndarray:
    """The keys with the `size` smallest hashes: the same sample however the keys were split."""
    if len(keys) <= size:
        return keys
    draw = mix(mix(keys[:, 0], 0) + keys[:, 1], 0)
    return keys[np.lexsort((keys[:, 1], keys[:, 0], draw))[:size]]


class _Cuts(beam.CombineFn):
    """Merges samples and cuts the sorted sample into equal ranges."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions

    def create_accumulator(self) -> np.ndarray:
        return np.empty((0, 2), np.uint64)

    def add_input(self, accumulator: np.ndarray, sample: np.ndarray) -> np.ndarray:
        return _bottom(np.concatenate([accumulator, sample]), self.partitions * _SAMPLE)

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        return _bottom(np.concatenate([np.empty((0, 2), np.uint64), *accumulators]), self.partitions * _SAMPLE)

    def extract_output(self, accumulator: np.ndarray) -> np.ndarray:
        keys = accumulator[np.lexsort((accumulator[:, 1], accumulator[:, 0]))]
        return keys[np.arange(1, self.partitions) * len(keys) // self.partitions] if len(keys) else keys


def _address(part_state: PartState, cuts: np.ndarray, rows: Rows) -> Iterable[pa.RecordBatch]:
    batch = rows(part_state)
    if not batch.num_rows:
        return
    keys = np.concatenate([cuts, _keys(batch)])
    # A row's range is how many cuts are no greater. Sorted together, not compared one by one: there may be thousands.
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: a cut comes before the rows that equal it
    destination = np.empty(len(keys), np.uint32)
    destination[order] = np.cumsum(order < len(cuts))
    yield addressed(batch, destination[len(cuts) :])


def _totals(gathered: Gathered) -> Iterable[tuple[int, str, int]]:
    sums = gathered.table().group_by("group").aggregate([("tokens", "sum")])
    for group, tokens in zip(sums["group"].to_pylist(), sums["tokens_sum"].to_pylist(), strict=True):
        yield gathered.destination, group, tokens


def _ranks(gathered: Gathered, totals: list[tuple[int, str, int]], allot: Allot | None) -> Iterable[pa.RecordBatch]:
    before: dict[str, int] = {}
    whole: dict[str, int] = {}
    for destination, group, tokens in totals:
        whole[group] = whole.get(group, 0) + tokens
        if destination < gathered.destination:
            before[group] = before.get(group, 0) + tokens
    rows = gathered.table().sort_by([("major", "ascending"), ("tie_break", "ascending"), ("id_hash", "ascending")])
    codes = rows["group"].combine_chunks().dictionary_encode()
    groups = codes.dictionary.to_pylist()
    code, tokens_of = codes.indices.to_numpy(), rows["tokens"].to_numpy()
    rank = np.empty(len(rows), np.int64)
    for index, group in enumerate(groups):
        of_group = code == index
        rank[of_group] = before.get(group, 0) + np.cumsum(tokens_of[of_group])
    result = {"doc_ref": rows["doc_ref"].combine_chunks(), "rank": rank}
    result["group_tokens"] = np.array([whole[group] for group in groups], np.int64)[code]
    if "mark" in rows.column_names:
        result["mark"] = rows["mark"].combine_chunks()
    if allot is not None:
        allotted = allot(whole)
        result["allotted"] = np.array([allotted[group] for group in groups], np.int64)[code]
    yield pa.record_batch(result)


def aligned(doc_refs: pa.Array, results: pa.Table | None, column: str, default: object) -> pa.Array:
    """`column` of the answers in the order of `doc_refs`, joined on the doc_ref; `default` where nobody answered."""
    if results is None:
        return pa.repeat(pa.scalar(default), len(doc_refs))
    place = pc.index_in(doc_refs, value_set=results["doc_ref"])
    values = results[column].combine_chunks().take(place)
    return values if default is None else pc.fill_null(values, default)
