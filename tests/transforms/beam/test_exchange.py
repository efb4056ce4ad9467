"""Every row reaches its destination exactly once, however the input is split."""

from __future__ import annotations

from collections import Counter

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tamis.transforms.beam.exchange import ArrowBatchCoder, Exchange, Gathered, JoinResults, addressed, partition_of
from tests.transforms.beam.beam_run import part_states_of, rows_of, run

_gathered: list[Gathered] = []


def _collect(gathered: Gathered) -> None:
    _gathered.append(gathered)


def exchanged(batches: list[pa.RecordBatch], folder) -> dict[int, Gathered]:
    _gathered.clear()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        source = (
            pipeline | beam.Create(list(range(len(batches)))) | beam.Map(lambda i: batches[i]).with_output_types(pa.RecordBatch)
        )
        _ = source | Exchange(str(folder)) | beam.Map(_collect)
    assert len({gathered.destination for gathered in _gathered}) == len(_gathered), "a destination is gathered once"
    return {gathered.destination: gathered for gathered in _gathered}


def rows_by_destination(batches: list[pa.RecordBatch], folder) -> dict[int, Counter]:
    return {
        destination: Counter(tuple(row.items()) for row in gathered.table().to_pylist())
        for destination, gathered in exchanged(batches, folder).items()
    }


def batch(start: int, stop: int, destinations: list[int]) -> pa.RecordBatch:
    rows = pa.record_batch({"n": list(range(start, stop)), "text": [f"row {n} é" for n in range(start, stop)]})
    return addressed(rows, np.array(destinations))


def test_rows_reach_their_destinations(tmp_path):
    gathered = exchanged([batch(0, 5, [2, 0, 2, 7, 0]), batch(5, 5, []), batch(5, 8, [7, 7, 2])], tmp_path)
    numbers = {destination: sorted(rows.table()["n"].to_pylist()) for destination, rows in gathered.items()}
    assert numbers == {0: [1, 4], 2: [0, 2, 7], 7: [3, 5, 6]}


def test_any_split_of_the_input_gathers_the_same_rows(tmp_path):
    to = np.random.default_rng(3).integers(0, 9, 200).tolist()
    split = [batch(a, b, to[a:b]) for a, b in ((150, 200), (0, 1), (1, 80), (80, 150))]
    assert rows_by_destination([batch(0, 200, to)], tmp_path / "a") == rows_by_destination(split, tmp_path / "b")


def test_a_spill_file_is_named_by_its_content(tmp_path):
    """A bundle that is tried again writes the same file, so no row is doubled."""
    exchanged([batch(0, 5, [1, 1, 2, 2, 3])], tmp_path)
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    exchanged([batch(0, 5, [1, 1, 2, 2, 3])], tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first
    assert len(first) == 1


def test_a_piece_is_read_from_its_own_bytes_of_the_file(tmp_path):
    pieces = {to: gathered.pieces for to, gathered in exchanged([batch(0, 5, [1, 1, 2, 2, 3])], tmp_path).items()}
    (one,), (two,), (three,) = (pieces[to] for to in (1, 2, 3))
    assert [piece.load()["n"].to_pylist() for piece in (one, two, three)] == [[0, 1], [2, 3], [4]]
    (file,) = tmp_path.iterdir()
    assert [piece.offset for piece in (one, two, three)] == [0, one.size, one.size + two.size]
    assert one.size + two.size + three.size == file.stat().st_size


def test_the_coder_writes_a_slice_without_its_parent():
    parent = pa.record_batch({"text": ["x" * 1000] * 1000})
    encoded = ArrowBatchCoder().encode(parent.slice(10, 3))
    assert len(encoded) < 5_000
    assert ArrowBatchCoder().decode(encoded).equals(parent.slice(10, 3))


def test_partitions_are_even_contiguous_and_in_range():
    hashes = np.sort(np.random.default_rng(1).integers(0, 2**64, 10_000, dtype=np.uint64))
    parts = partition_of(hashes, 7)
    assert (np.diff(parts.astype(int)) >= 0).all()
    assert set(parts.tolist()) == set(range(7))
    assert np.bincount(parts).max() < 1.2 * len(hashes) / 7


def test_results_return_to_the_part_they_are_about(tmp_path):
    rows = pa.table({"n": pa.array(range(6), pa.int64())})

    class Double(beam.PTransform):
        def expand(self, part_states):
            doubled = part_states | beam.Map(_doubled).with_output_types(pa.RecordBatch)
            return part_states | JoinResults({"double": doubled}, str(tmp_path))

    out = run(part_states_of(rows, [[0, 2], [], [1, 3, 4, 5]]), lambda _: Double(), tmp_path)
    results = {part_state.part: part_state.result("double") for part_state in out}
    assert results[1] is None
    assert results[0]["twice"].to_pylist() == [0, 4]
    assert results[2]["twice"].to_pylist() == [2, 6, 8, 10]


def _doubled(part_state) -> pa.RecordBatch:
    batch = rows_of(part_state)
    return pa.record_batch({"doc_ref": batch["doc_ref"], "twice": pa.array(batch["n"].to_numpy() * 2)})
