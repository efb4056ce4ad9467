"""Joins scores from other files with the documents, by id.

Both sides go once through `Exchange`, in partitions of the hash of the id. Cost: an id's hash and
its scores for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

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
    Spread,
    addressed,
    partition_of,
)
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.rater import Signal
from tamis.transforms.select.score_files import ScoreCounts, ScoreFile, score_rows
from tamis.transforms.text.hashing import hash128

_KEY = ("id_hash_0", "id_hash_1")


def step(name: str) -> str:
    """The step that joins the scores of this name."""
    return f"scores.{name}"


@dataclass(frozen=True)
class _File:
    ordinal: int
    uri: str


class JoinScores(beam.PTransform):
    """Adds a result under `step(name)` for each document with a score: a column for each signal.

    Raises RunError if more documents, or more scores, have no counterpart than the options allow.
    `rows` has the columns doc_ref and id; `record` gets the counts once.
    """

    def __init__(
        self,
        name: str,
        options: ScoreFile,
        signals: Sequence[Signal],
        rows: Rows,
        record: Callable[[ScoreCounts], object],
        spill: str,
        partitions: int,
    ) -> None:
        super().__init__()
        self.name, self.options, self.signals = name, options, tuple(signals)
        self.rows, self.record = rows, record
        self.spill, self.partitions = spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        files = [_File(number, entry.uri) for number, entry in enumerate(storage.expand([self.options.path]))]
        read = partial(_scores, options=self.options, signals=self.signals, partitions=self.partitions)
        address = partial(_documents, rows=self.rows, signals=self.signals, partitions=self.partitions)
        scores = part_states.pipeline | "Files" >> beam.Create(files, reshuffle=False) | Spread() | "Read" >> _rows_of(read)
        documents = part_states | "Ids" >> _rows_of(address)
        gathered = (documents, scores) | beam.Flatten() | Exchange(self.spill)
        matched = gathered | "Match" >> _rows_of(_match)
        counts = gathered | "Count" >> beam.ParDo(MapDoFn(_count))
        total = beam.pvalue.AsList(counts)
        once = part_states.pipeline | "Once" >> beam.Create([None])
        _ = once | "Record" >> beam.ParDo(MapDoFn(partial(_record, record=self.record)), total)
        check = MapDoFn(partial(_check, name=self.name, options=self.options))
        joined = part_states | "Return" >> JoinResults({step(self.name): matched}, self.spill)
        return joined | "Check" >> beam.ParDo(check, total).with_output_types(PartState)


def _rows_of(function: Callable[..., Iterable[pa.RecordBatch]]) -> beam.ParDo:
    return beam.ParDo(FlatMapDoFn(function)).with_output_types(pa.RecordBatch)


def _scores(file: _File, options: ScoreFile, signals: Sequence[Signal], partitions: int) -> Iterator[pa.RecordBatch]:
    for batch in score_rows(file.uri, options, signals):
        columns = {signal.name: batch[signal.name] for signal in signals}
        yield _addressed(pa.nulls(len(batch), pa.uint64()), batch["id"], columns, partitions)


def _documents(part_state: PartState, rows: Rows, signals: Sequence[Signal], partitions: int) -> Iterator[pa.RecordBatch]:
    batch = rows(part_state)
    nothing = {signal.name: pa.nulls(len(batch), signal.type()) for signal in signals}
    yield _addressed(batch["doc_ref"], batch["id"], nothing, partitions)


def _addressed(doc_ref: pa.Array, ids: pa.Array, columns: dict[str, pa.Array], partitions: int) -> pa.RecordBatch:
    hashes = hash128(ids)
    keys = {name: pa.array(np.ascontiguousarray(hashes[:, half])) for half, name in enumerate(_KEY)}
    batch = pa.record_batch({"doc_ref": doc_ref, **keys, **columns})
    return addressed(batch, partition_of(np.ascontiguousarray(hashes[:, 0]), partitions))


def _match(gathered: Gathered) -> Iterator[pa.RecordBatch]:
    documents, scores, _ = _sides(gathered)
    index = pc.index_in(_keys(documents), value_set=_keys(scores))
    found = index.is_valid()
    if found.true_count:
        columns = {name: scores[name].combine_chunks() for name in scores.column_names if name not in ("doc_ref", *_KEY)}
        rows = index.filter(found)
        values = {name: column.take(rows) for name, column in columns.items()}
        yield pa.record_batch({"doc_ref": documents["doc_ref"].combine_chunks().filter(found), **values})


def _count(gathered: Gathered) -> ScoreCounts:
    documents, scores, ambiguous = _sides(gathered)
    ids, scored = _keys(documents), _keys(scores)
    unscored = len(ids) - pc.is_in(ids, value_set=scored).true_count
    unused = len(scored) - pc.is_in(scored, value_set=ids).true_count
    return ScoreCounts(len(ids), unscored, len(scored) + ambiguous, unused, ambiguous)


def _sides(gathered: Gathered) -> tuple[pa.Table, pa.Table, int]:
    """Documents, one score for each id, and how many ids were left out, as their scores differ."""
    rows = gathered.table().combine_chunks()
    documents, scores = rows.filter(rows["doc_ref"].is_valid()), rows.filter(rows["doc_ref"].is_null())
    code = _keys(scores).dictionary_encode().indices.to_numpy()
    _, first, times = np.unique(code, return_index=True, return_counts=True)
    differ = np.zeros(len(first), bool)
    for group in np.flatnonzero(times > 1):
        values = scores.take(pa.array(np.flatnonzero(code == code[first[group]]))).to_pylist()
        differ[group] = any(value != values[0] for value in values)
    return documents, scores.take(pa.array(first[~differ])), int(differ.sum())


def _keys(table: pa.Table) -> pa.Array:
    halves = np.stack([table[name].to_numpy() for name in _KEY], axis=1)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(halves), [None, pa.py_buffer(halves.tobytes())])


def _record(_: None, counts: list[ScoreCounts], record: Callable[[ScoreCounts], object]) -> None:
    record(ScoreCounts.sum(counts))


def _check(part_state: PartState, counts: list[ScoreCounts], name: str, options: ScoreFile) -> PartState:
    total = ScoreCounts.sum(counts)
    if total.unscored > options.max_unscored * total.documents:
        raise RunError(
            f"scores.{name}: {total.unscored:,} of {total.documents:,} documents have no score in {options.path}, and "
            f"max_unscored is {options.max_unscored:g}: are these the ids of the input (scores.{name}.id, input.fields.id)?"
        )
    if total.unused > options.max_unused * total.scores:
        raise RunError(
            f"scores.{name}: {total.unused:,} of {total.scores:,} scores in {options.path} belong to no document, and "
            f"max_unused is {options.max_unused:g}"
        )
    return part_state
