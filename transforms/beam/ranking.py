"""Exact ranks in tokens within groups: sampled ranges, a sort in each, offsets between them.

Cost: two passes over the small columns (three when `partitions` > 1), one `Exchange`, and a table
of partitions × groups. Rows are ordered by (major, tie_break, hash of the id), so the position of
a document in the input cannot matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tamis.transforms.beam.exchange import Exchange, FlatMapDoFn, Gathered, JoinResults, MapDoFn, PartState, Rows, addressed
from tamis.transforms.text.hashing import mix

ROWS = pa.schema(
    [
        pa.field("doc_ref", pa.uint64()),
        pa.field("group", pa.string()),  # ranks count within a group
        pa.field("major", pa.uint64()),  # the sort key, ascending
        pa.field("tie_break", pa.uint64()),  # seeded hash of the id: orders rows of equal major
        pa.field("id_hash", pa.uint64()),  # orders rows of equal tie_break
        pa.field("tokens", pa.int64()),
    ]
)
"""The columns that a ranking reads."""

COPY_ROWS = ROWS.append(pa.field("copy_no", pa.int64()))
"""The columns if documents have several rows. `copy_no` tells these apart, in the results too."""

GroupValues = Callable[[Mapping[str, int]], Mapping[str, int]]
"""From the tokens of every group to a number for each."""

_PARTITIONS_PER_RANGE = 4

_SAMPLE = 64
"""Sampled keys for each partition. 64 keep the largest range within about 1.3 times the mean."""


def ranges(partitions: int) -> int:
    """How many ranges a ranking has beside exchanges of so many partitions. Its rows are 53 bytes,
    so a range of four times as many documents is still small. Each range costs one piece for every
    part, and the number of pieces grows faster than the corpus."""
    return max(2, partitions // _PARTITIONS_PER_RANGE)


class Rank(beam.PTransform):
    """Adds a result to each part state, under `step`, with a row for every row of `rows`.

    Columns: doc_ref; `rank`, the tokens of the group up to and including the document;
    `group_tokens`; `copy_no` where the rows have it; `group_value`, if `group_values` is given.
    """

    def __init__(self, step: str, rows: Rows, spill: str, partitions: int, group_values: GroupValues | None = None) -> None:
        super().__init__()
        self.step, self.rows, self.group_values = step, rows, group_values
        self.spill, self.partitions = spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        if self.partitions > 1:
            cuts = beam.pvalue.AsSingleton(
                part_states
                | "Sample" >> beam.ParDo(MapDoFn(partial(_sample, rows=self.rows, size=self.partitions * _SAMPLE)))
                | "Cuts" >> beam.CombineGlobally(SampledCuts(self.partitions)).without_defaults()
            )
        else:
            cuts = np.empty((0, 2), np.uint64)
        ranges = (
            part_states
            | "Range" >> beam.ParDo(FlatMapDoFn(partial(_address, rows=self.rows)), cuts).with_output_types(pa.RecordBatch)
            | Exchange(self.spill)
        )
        totals = beam.pvalue.AsList(ranges | "Totals" >> beam.ParDo(FlatMapDoFn(_totals)))
        rank = MapDoFn(partial(_ranks, group_values=self.group_values))
        ranks = ranges | "Rank" >> beam.ParDo(rank, totals).with_output_types(pa.RecordBatch)
        return part_states | "Return" >> JoinResults({self.step: ranks}, self.spill)


class SampledCuts(beam.CombineFn):
    """Merges samples of keys (u64[n, 2]: major, tie_break); cuts the result into equal ranges.
    The sample is the keys with the smallest hashes: the same however the keys were split."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions

    def create_accumulator(self) -> np.ndarray:
        return np.empty((0, 2), np.uint64)

    def add_input(self, accumulator: np.ndarray, sample: np.ndarray) -> np.ndarray:
        return _smallest_hashes(np.concatenate([accumulator, sample]), self.partitions * _SAMPLE)

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        return _smallest_hashes(np.concatenate([np.empty((0, 2), np.uint64), *accumulators]), self.partitions * _SAMPLE)

    def extract_output(self, accumulator: np.ndarray) -> np.ndarray:
        keys = accumulator[np.lexsort((accumulator[:, 1], accumulator[:, 0]))]
        return keys[np.arange(1, self.partitions) * len(keys) // self.partitions] if len(keys) else keys


def range_of(keys: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Range of each key (u64[n, 2]): how many of the sorted cuts (u64[m, 2]) are no greater. Sorts
    both together instead of comparing one by one: there may be thousands of cuts."""
    both = np.concatenate([cuts, keys])
    order = np.lexsort((both[:, 1], both[:, 0]))  # stable: cuts come before equal keys
    number = np.empty(len(both), np.uint32)
    number[order] = np.cumsum(order < len(cuts))
    return number[len(cuts) :]


def _sample(part_state: PartState, rows: Rows, size: int) -> np.ndarray:
    return _smallest_hashes(_keys(rows(part_state)), size)


def _keys(batch: pa.RecordBatch) -> np.ndarray:
    return np.stack([batch["major"].to_numpy(), batch["tie_break"].to_numpy()], axis=1)


def _smallest_hashes(keys: np.ndarray, size: int) -> np.ndarray:
    if len(keys) <= size:
        return keys
    hashes = mix(mix(keys[:, 0], 0) + keys[:, 1], 0)
    return keys[np.lexsort((keys[:, 1], keys[:, 0], hashes))[:size]]


def _address(part_state: PartState, cuts: np.ndarray, rows: Rows) -> Iterable[pa.RecordBatch]:
    batch = rows(part_state)
    if batch.num_rows:
        yield addressed(batch, range_of(_keys(batch), cuts))


def _totals(gathered: Gathered) -> Iterable[tuple[int, str, int]]:
    sums = gathered.table().group_by("group").aggregate([("tokens", "sum")])
    for group, tokens in zip(sums["group"].to_pylist(), sums["tokens_sum"].to_pylist(), strict=True):
        yield gathered.destination, group, tokens


def _ranks(gathered: Gathered, totals: list[tuple[int, str, int]], group_values: GroupValues | None) -> pa.RecordBatch:
    before: dict[str, int] = {}
    group_tokens: dict[str, int] = {}
    for destination, group, tokens in totals:
        group_tokens[group] = group_tokens.get(group, 0) + tokens
        if destination < gathered.destination:
            before[group] = before.get(group, 0) + tokens
    rows = gathered.table().sort_by([("major", "ascending"), ("tie_break", "ascending"), ("id_hash", "ascending")])
    codes = rows["group"].combine_chunks().dictionary_encode()
    groups = codes.dictionary.to_pylist()
    code, row_tokens = codes.indices.to_numpy(), rows["tokens"].to_numpy()
    rank = np.empty(len(rows), np.int64)
    for index, group in enumerate(groups):
        in_group = code == index
        rank[in_group] = before.get(group, 0) + np.cumsum(row_tokens[in_group])
    result = {"doc_ref": rows["doc_ref"].combine_chunks(), "rank": rank}
    result["group_tokens"] = np.array([group_tokens[group] for group in groups], np.int64)[code]
    if "copy_no" in rows.column_names:
        result["copy_no"] = rows["copy_no"].combine_chunks()
    if group_values is not None:
        values = group_values(group_tokens)
        result["group_value"] = np.array([values[group] for group in groups], np.int64)[code]
    return pa.record_batch(result)
