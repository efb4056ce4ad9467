"""The one shuffle: rows go to numbered destinations through spill files, not through the runner.

Cost: a row is written once and read once (Arrow IPC); the runner shuffles one small `Piece` for
each (batch, destination). Memory is one batch on the writing side and what a consumer loads on the
reading side. Measured on 1.2 GB through Beam's local runner: 7-10 GB of memory when the text
itself is grouped, 1.3 GB with spill files. Text there and back costs a core 13 ms a MB with zstd,
9 with LZ4, 4 uncompressed: only what crosses a network is compressed.
"""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms import storage
from tamis.transforms.core.documents import part_of

DESTINATION = "__destination"
"""The column of a batch with each row's destination (uint32); Exchange removes it."""

_UNCOMPRESSED, _ZSTD = pa.ipc.IpcWriteOptions(), pa.ipc.IpcWriteOptions(compression="zstd")


class ArrowBatchCoder(beam.coders.Coder):
    """Encodes a batch as one Arrow IPC stream. Pickle would write a slice with its whole parent."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        return _encode(value, _ZSTD).to_pybytes()

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        return _decode(encoded)

    def estimate_size(self, value: pa.RecordBatch) -> int:
        return int(value.nbytes)  # Beam asks for it between most steps; its default encodes the batch

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, ArrowBatchCoder)
copyreg.pickle(pa.RecordBatch, lambda batch: (_decode, (_encode(batch, _UNCOMPRESSED).to_pybytes(),)))


@dataclass(frozen=True)
class Piece:
    """A reference to one batch: `size` bytes from `offset` of the spill file `uri`."""

    uri: str
    offset: int
    size: int

    def load(self) -> pa.RecordBatch:
        with storage.open_binary(self.uri) as file:
            file.seek(self.offset)
            return _decode(file.read(self.size))


@dataclass(frozen=True)
class Gathered:
    """All pieces that were sent to one destination, ordered by file and offset, not by arrival."""

    destination: int
    pieces: tuple[Piece, ...]

    def table(self) -> pa.Table:
        """The rows of all pieces. Sort if order matters: it depends on how the input was split."""
        return pa.Table.from_batches([piece.load() for piece in self.pieces])


@dataclass(frozen=True)
class PartState:
    """One rated part and references to the results of its steps. It travels in place of columns.
    `settled`: the names of the steps that have decided, and `kept`: whether each document is still
    kept by all of them."""

    part: int
    handle: object
    results: Mapping[str, tuple[Piece, ...]] = field(default_factory=dict)
    kept: tuple[Piece, ...] = ()
    settled: tuple[str, ...] = ()

    def result(self, step: str) -> pa.Table | None:
        """The rows that `step` returned for this part, sorted by doc_ref, or None."""
        pieces = self.results.get(step)
        return pa.Table.from_batches([piece.load() for piece in pieces]).sort_by("doc_ref") if pieces else None


Rows = Callable[[PartState], pa.RecordBatch]
"""Loads the small columns of a part that a transform needs, where it needs them."""


class FlatMapDoFn(beam.DoFn):
    """Like `beam.FlatMap`: yields the items of `function(element)` or `function(element, side)`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __dir__(self) -> list[str]:
        # To find user state, Beam inspects the signature of every name in `dir`, eight times for
        # each step of a pipeline. Hiding the inherited names saves a run a tenth of a second.
        return ["process"]

    def process(self, element: Any, side: Any = None) -> Iterable[object]:
        items: Iterable[object] = self.function(element) if side is None else self.function(element, side)
        return items


class MapDoFn(FlatMapDoFn):
    """Like `beam.Map`: yields `function(element)` or `function(element, side)`."""

    def process(self, element: Any, side: Any = None) -> Iterable[object]:
        yield self.function(element) if side is None else self.function(element, side)


def addressed(batch: pa.RecordBatch, destination: np.ndarray) -> pa.RecordBatch:
    """`batch` with each row's destination in a column, ready for `Exchange`."""
    return batch.append_column(DESTINATION, pa.array(destination.astype(np.uint32)))


def partition_of(hashes: np.ndarray, partitions: int) -> np.ndarray:
    """Destination of each 64-bit hash by multiply-shift: partitions are contiguous ranges."""
    return ((hashes >> np.uint64(32)) * np.uint64(partitions) >> np.uint64(32)).astype(np.uint32)


def result_column(doc_refs: pa.Array, results: pa.Table | None, column: str, default: object) -> pa.Array:
    """`column` of a step's results in the order of `doc_refs`; `default` if there is no result."""
    if results is None:
        return pa.repeat(pa.scalar(default), len(doc_refs))
    values = results[column].combine_chunks().take(pc.index_in(doc_refs, value_set=results["doc_ref"]))
    return values if default is None else pc.fill_null(values, default)


class Exchange(beam.PTransform):
    """Turns addressed batches into one `Gathered` for each destination that got a row."""

    def __init__(self, spill: str) -> None:
        super().__init__()
        self.spill = spill

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        write = FlatMapDoFn(partial(spill_rows, folder=self.spill))
        return (
            batches
            | "Spill" >> beam.ParDo(write).with_output_types(tuple[int, Piece])
            | "Group" >> beam.GroupByKey()
            | "Gather" >> beam.ParDo(MapDoFn(_gather)).with_output_types(Gathered)
        )


class JoinResults(beam.PTransform):
    """Adds results (batches with `doc_ref`, by name of the step) to the states of their parts."""

    def __init__(self, results: Mapping[str, beam.PCollection], spill: str) -> None:
        super().__init__()
        self.results, self.spill = results, spill

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        # A CoGroupByKey takes three times the steps, and Beam spends 10 ms on each before a run.
        keyed = tuple[int, tuple[str, object]]
        inputs = [part_states | "Part" >> beam.ParDo(MapDoFn(_by_part)).with_output_types(keyed)]
        for step, batches in self.results.items():
            write = FlatMapDoFn(partial(_spill_results, step=step, folder=self.spill))
            inputs.append(batches | f"Spill {step}" >> beam.ParDo(write).with_output_types(keyed))
        return (
            inputs
            | "Join" >> beam.Flatten()
            | "Group" >> beam.GroupByKey()
            | "Add" >> beam.ParDo(MapDoFn(_add_results)).with_output_types(PartState)
        )


class Spread(beam.PTransform):
    """Spreads work items over all workers: what follows a Create runs on one until a shuffle."""

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        return (
            items
            | "Key" >> beam.WithKeys(lambda item: item.ordinal).with_output_types(tuple[int, object])
            | "Group" >> beam.GroupByKey()
            | "Items" >> beam.ParDo(FlatMapDoFn(itemgetter(1)))
        )


def spill_rows(batch: pa.RecordBatch, folder: str) -> Iterable[tuple[int, Piece]]:
    """Writes an addressed batch to one file of `folder`; returns each destination with the piece
    that holds its rows. The name is a hash of the content: a bundle that is tried again writes the
    same file, and sorting by name orders pieces alike on every runner."""
    if not batch.num_rows:
        return []
    options = _UNCOMPRESSED if storage.local_path(folder) is not None else _ZSTD
    encoded = [(destination, _encode(rows, options)) for destination, rows in _by_destination(batch)]
    name = hashlib.sha256()
    for _, stream in encoded:
        name.update(stream)
    uri = storage.join(folder, f"{name.hexdigest()[:32]}.arrows")
    pieces = []
    with storage.commit(uri, durable=False) as sink:
        for destination, stream in encoded:
            pieces.append((destination, Piece(uri, sink.size, stream.size)))
            sink.write(stream)
    return pieces


def _by_destination(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    destination = batch[DESTINATION].to_numpy()
    order = np.argsort(destination, kind="stable")
    rows = batch.drop_columns([DESTINATION])
    if np.any(np.diff(destination.astype(np.int64)) < 0):
        rows, destination = rows.take(pa.array(order)), destination[order]
    starts = np.flatnonzero(np.diff(destination, prepend=destination[:1] + np.uint32(1)))
    for start, stop in pairwise((*starts, len(destination))):
        yield int(destination[start]), rows.slice(start, stop - start)


def _spill_results(batch: pa.RecordBatch, step: str, folder: str) -> Iterable[tuple[int, tuple[str, Piece]]]:
    for part, piece in spill_rows(addressed(batch, part_of(batch["doc_ref"].to_numpy())), folder):
        yield part, (step, piece)


def _by_part(part_state: PartState) -> tuple[int, tuple[str, PartState]]:
    return part_state.part, ("", part_state)


def _gather(group: tuple[int, Iterable[Piece]]) -> Gathered:
    destination, pieces = group
    return Gathered(destination, _in_order(pieces))


def _in_order(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    return tuple(sorted(pieces, key=lambda piece: (piece.uri, piece.offset)))


def _add_results(group: tuple[int, Iterable[tuple[str, object]]]) -> PartState:
    part, items = group
    part_states: list[PartState] = []
    pieces: dict[str, list[Piece]] = {}
    for step, item in items:
        if isinstance(item, PartState):
            part_states.append(item)
        elif isinstance(item, Piece):
            pieces.setdefault(step, []).append(item)
    if len(part_states) != 1:
        raise RuntimeError(f"results for part {part}, of which there are {len(part_states)} part states, not 1")
    results = {step: _in_order(pieces[step]) for step in sorted(pieces)}
    return replace(part_states[0], results={**part_states[0].results, **results})


def _encode(batch: pa.RecordBatch, options: pa.ipc.IpcWriteOptions) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _decode(encoded: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(encoded) as reader:
        return reader.read_next_batch()
