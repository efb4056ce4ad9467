"""The one shuffle: rows go to numbered destinations, by default as claim doc_refs on files, never as text through a runner.

Cost: with ``via="storage"`` a row is written once and read once (Arrow IPC) and the runner shuffles one small `Piece` for each
(batch, destination); memory is one batch on the writing side and what a consumer loads on the reading side. With
``via="runner"`` the engine's own shuffle carries the same packed Arrow bytes. Measured on 1.2 GB through Beam's local runner:
7-10 GB of memory when the text itself is grouped, 1.3 GB with staged files. Text there and back costs a core 13 ms a MB with
zstd, 9 with LZ4, 4 as it is: only what crosses a network is compressed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.core.documents import part_of

Via = Literal["storage", "runner"]

TO = "__to"
"""The column of a batch that names each row's destination (uint32); Exchange strips it."""

_AS_IT_IS, _SMALL = pa.ipc.IpcWriteOptions(), pa.ipc.IpcWriteOptions(compression="zstd")


class ArrowBatchCoder(beam.coders.Coder):
    """Encodes a batch as one Arrow IPC stream. Pickle, Beam's default, writes a slice together with its whole parent."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        return _encode(value, _SMALL).to_pybytes()

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        return _decode(encoded)

    def estimate_size(self, value: pa.RecordBatch) -> int:
        # Beam asks for the size of most batches that pass between steps; its default encodes them to find out.
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        return True

    def to_type_hint(self) -> type:
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, ArrowBatchCoder)


@dataclass(frozen=True)
class Piece:
    """A claim doc_ref: the batch packed in `size` bytes from `offset` of the file `uri`, or `packed` itself when the runner
    carries it."""

    uri: str
    offset: int
    size: int
    packed: bytes | None = None

    def load(self) -> pa.RecordBatch:
        if self.packed is not None:
            return _decode(self.packed)
        with storage.open_binary(self.uri) as file:
            file.seek(self.offset)
            return _decode(file.read(self.size))


@dataclass(frozen=True)
class Gathered:
    """All pieces that were sent to one destination, in a fixed order of their names (not of their arrival)."""

    destination: int
    pieces: tuple[Piece, ...]

    def table(self) -> pa.Table:
        """The rows of every piece. Their order depends on how the input was cut: whoever needs an order sorts."""
        return pa.Table.from_batches([piece.load() for piece in self.pieces])


@dataclass(frozen=True)
class PartState:
    """One rated part and what was answered about its documents, by tag. Small: it travels in place of the columns."""

    part: int
    handle: object
    results: Mapping[str, tuple[Piece, ...]] = field(default_factory=dict)

    def result(self, tag: str) -> pa.Table | None:
        """The answers under `tag` sorted by doc_ref, or None when nobody answered about this part."""
        pieces = self.results.get(tag, ())
        if not pieces:
            return None
        return pa.Table.from_batches([piece.load() for piece in pieces]).sort_by("doc_ref")


class Step(beam.DoFn):
    """A DoFn with no method of its own but `process`, and no user state.

    To find state, Beam inspects the signature of everything that `dir` names, eight times for each step of a pipeline: a tenth
    of a second for a run, were it not told that the rest is Beam's own.
    """

    def __dir__(self) -> list[str]:
        return ["process"]


class FlatMapDoFn(Step):
    """Calls `function` with each element, and with the side input if there is one, and passes on all that it gives, as
    `beam.FlatMap` does."""

    def __init__(self, function: Callable[..., Iterable[object]]) -> None:
        self.function = function

    def process(self, element: Any, side: Any = None) -> Iterable[object]:
        return self.function(element) if side is None else self.function(element, side)


class MapDoFn(Step):
    """Passes on the one thing that `function` returns, as `beam.Map` does."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function

    def process(self, element: Any, side: Any = None) -> Iterable[object]:
        yield self.function(element) if side is None else self.function(element, side)


def addressed(batch: pa.RecordBatch, destination: np.ndarray) -> pa.RecordBatch:
    """`batch` with each row's destination written beside it, ready for `Exchange`."""
    return batch.append_column(TO, pa.array(destination.astype(np.uint32)))


class Exchange(beam.PTransform):
    """Addressed batches in, one `Gathered` a destination out. Destinations that got no row do not appear."""

    def __init__(self, spill: str, via: Via = "storage") -> None:
        super().__init__()
        self.spill = spill
        self.via = via

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return (
            batches
            | "Spill" >> beam.ParDo(_Spill(self.spill, self.via)).with_output_types(tuple[int, Piece])
            | "Group" >> beam.GroupByKey()
            | "Gather" >> beam.ParDo(FlatMapDoFn(_gather)).with_output_types(Gathered)
        )


class JoinResults(beam.PTransform):
    """Joins answers (batches with a `doc_ref` column) to the part_states they are about, by rated part, each under its tag."""

    def __init__(self, results: Mapping[str, beam.PCollection], spill: str, via: Via = "storage") -> None:
        super().__init__()
        self.results = results
        self.spill = spill
        self.via = via

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        # A CoGroupByKey does the same in three times the steps, and Beam takes 10 ms for each before it runs anything.
        keyed = tuple[int, tuple[str, object]]
        joined = [part_states | "Part" >> beam.ParDo(FlatMapDoFn(_by_part)).with_output_types(keyed)]
        for tag, batches in self.results.items():
            filed = beam.ParDo(_SpillAnswers(tag, self.spill, self.via)).with_output_types(keyed)
            joined.append(batches | f"Spill {tag}" >> filed)
        return (
            joined
            | "Join" >> beam.Flatten()
            | "Group" >> beam.GroupByKey()
            | "File" >> beam.ParDo(FlatMapDoFn(_file)).with_output_types(PartState)
        )


class Spread(beam.PTransform):
    """Spreads small work items over all workers. Everything after a Create runs on one worker until the first shuffle."""

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        return (
            items
            | "Key" >> beam.WithKeys(lambda item: item.ordinal).with_output_types(tuple[int, object])
            | "Group" >> beam.GroupByKey()
            | "Items" >> beam.ParDo(FlatMapDoFn(itemgetter(1)))
        )


def partition_of(hashes: np.ndarray, partitions: int) -> np.ndarray:
    """Destination of each 64-bit hash: its high bits scaled to `partitions` (multiply-shift), so ranges stay contiguous."""
    return ((hashes >> np.uint64(32)) * np.uint64(partitions) >> np.uint64(32)).astype(np.uint32)


class _Spill(Step):
    def __init__(self, spill: str, via: Via) -> None:
        self.spill = spill
        self.via = via

    def process(self, batch: pa.RecordBatch) -> Iterable[tuple[int, Piece]]:
        if not batch.num_rows:
            return
        if self.via == "runner":
            yield from ((to, Piece("", 0, 0, _encode(rows, _SMALL).to_pybytes())) for to, rows in _runs(batch))
            return
        options = _AS_IT_IS if storage.local_path(self.spill) is not None else _SMALL
        packed = [(to, _encode(rows, options)) for to, rows in _runs(batch)]
        # Named by content: a bundle that is tried again writes the same file, and the name orders pieces alike on every runner.
        name = hashlib.sha256()
        for _, run in packed:
            name.update(run)
        uri = storage.join(self.spill, f"{name.hexdigest()[:32]}.arrows")
        pieces = []
        with storage.commit(uri, durable=False) as sink:
            for to, run in packed:
                pieces.append((to, Piece(uri, sink.size, run.size)))
                sink.write(run)
        yield from pieces


class _SpillAnswers(Step):
    """Spills answers by the part that they are about, under their tag."""

    def __init__(self, tag: str, spill: str, via: Via) -> None:
        self.tag = tag
        self.spill = _Spill(spill, via)

    def process(self, batch: pa.RecordBatch) -> Iterable[tuple[int, tuple[str, Piece]]]:
        for part, piece in self.spill.process(addressed(batch, part_of(batch["doc_ref"].to_numpy()))):
            yield part, (self.tag, piece)


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    to = batch[TO].to_numpy()
    order = np.argsort(to, kind="stable")
    rows = batch.drop_columns([TO])
    if np.any(np.diff(to.astype(np.int64)) < 0):
        rows, to = rows.take(pa.array(order)), to[order]
    starts = np.flatnonzero(np.diff(to, prepend=to[:1] + np.uint32(1)))
    for start, stop in pairwise((*starts, len(to))):
        yield int(to[start]), rows.slice(start, stop - start)


def _in_order(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    return tuple(sorted(pieces, key=lambda piece: (piece.uri, piece.offset, piece.packed or b"")))


def _by_part(part_state: PartState) -> Iterable[tuple[int, tuple[str, PartState]]]:
    yield part_state.part, ("", part_state)


def _gather(sent: tuple[int, Iterable[Piece]]) -> Iterable[Gathered]:
    to, pieces = sent
    yield Gathered(to, _in_order(pieces))


def _file(answered: tuple[int, Iterable[tuple[str, object]]]) -> Iterable[PartState]:
    part, group = answered
    part_states: list[PartState] = []
    pieces: dict[str, list[Piece]] = {}
    for tag, found in group:
        if isinstance(found, PartState):
            part_states.append(found)
        elif isinstance(found, Piece):
            pieces.setdefault(tag, []).append(found)
    if len(part_states) != 1:
        raise RuntimeError(f"answers name part {part}, of which there are {len(part_states)} part_states, not 1")
    results = {tag: _in_order(pieces[tag]) for tag in sorted(pieces)}
    yield replace(part_states[0], results={**part_states[0].results, **results})


def _encode(batch: pa.RecordBatch, options: pa.ipc.IpcWriteOptions) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _decode(encoded: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(encoded) as reader:
        return reader.read_next_batch()


Rows = Callable[[PartState], pa.RecordBatch]
"""Loads the small columns that a transform needs of a part: stages pass part states and load columns where they need them."""
