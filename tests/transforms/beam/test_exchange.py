"""Every row reaches its destination exactly once, whatever carries it and however the input is cut."""

from __future__ import annotations

from collections import Counter

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tamis.transforms.beam.exchange import ArrowBatchCoder, Exchange, Gathered, JoinResults, _Spill, addressed, partition_of
from tests.transforms.beam.beam_run import dossiers_of, handle, run

_seen: list[tuple[int, list[dict]]] = []


def _see(gathered: Gathered) -> None:
    _seen.append((gathered.destination, gathered.table().to_pylist()))


def exchanged(batches: list[pa.RecordBatch], folder, via: str) -> dict[int, Counter]:
    _seen.clear()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        source = (
            pipeline | beam.Create(list(range(len(batches)))) | beam.Map(lambda i: batches[i]).with_output_types(pa.RecordBatch)
        )
        _ = source | Exchange(str(folder), via) | beam.Map(_see)
    assert len({to for to, _ in _seen}) == len(_seen), "a destination is gathered once"
    return {to: Counter(tuple(row.items()) for row in rows) for to, rows in _seen}


def batch(start: int, stop: int, destinations: list[int]) -> pa.RecordBatch:
    rows = pa.record_batch({"n": list(range(start, stop)), "text": [f"row {n} é" for n in range(start, stop)]})
    return addressed(rows, np.array(destinations))


@pytest.mark.parametrize("via", ["storage", "runner"])
def test_rows_reach_their_destinations(tmp_path, via):
    batches = [batch(0, 5, [2, 0, 2, 7, 0]), batch(5, 5, []), batch(5, 8, [7, 7, 2])]
    found = exchanged(batches, tmp_path, via)
    numbers = {to: sorted(dict(row)["n"] for row in rows) for to, rows in found.items()}
    assert numbers == {0: [1, 4], 2: [0, 2, 7], 7: [3, 5, 6]}


def test_both_carriers_and_any_cut_gather_the_same(tmp_path):
    draw = np.random.default_rng(3)
    to = draw.integers(0, 9, 200).tolist()
    whole = [batch(0, 200, to)]
    cut = [batch(a, b, to[a:b]) for a, b in ((150, 200), (0, 1), (1, 80), (80, 150))]
    assert exchanged(whole, tmp_path / "a", "storage") == exchanged(cut, tmp_path / "b", "runner")


def test_a_spill_file_is_named_by_its_content(tmp_path):
    """A bundle that is tried again writes the same file, so nothing is doubled."""
    exchanged([batch(0, 5, [1, 1, 2, 2, 3])], tmp_path, "storage")
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    exchanged([batch(0, 5, [1, 1, 2, 2, 3])], tmp_path, "storage")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first
    assert len(first) == 1


def test_a_piece_is_read_from_its_own_bytes_of_the_file(tmp_path):
    pieces = dict(_Spill(str(tmp_path), "storage").process(batch(0, 5, [1, 1, 2, 2, 3])))
    assert {to: piece.load()["n"].to_pylist() for to, piece in pieces.items()} == {1: [0, 1], 2: [2, 3], 3: [4]}
    (file,) = tmp_path.iterdir()
    assert [piece.offset for piece in pieces.values()] == [0, pieces[1].size, pieces[1].size + pieces[2].size]
    assert sum(piece.size for piece in pieces.values()) == file.stat().st_size


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


def test_answers_come_back_to_the_part_they_are_about(tmp_path):
    rows = pa.table({"n": pa.array(range(6), pa.int64())})

    class Double(beam.PTransform):
        def expand(self, part_states):
            doubled = part_states | beam.Map(_doubled).with_output_types(pa.RecordBatch)
            return part_states | JoinResults({"double": doubled}, str(tmp_path))

    out = run(dossiers_of(rows, [[0, 2], [], [1, 3, 4, 5]]), lambda _: Double(), tmp_path)
    found = [(d.part, d.result("double").to_pylist() if d.result("double") is not None else None) for d in out]
    assert found[1] == (1, None)
    assert [row["twice"] for row in found[0][1]] == [0, 4]
    assert [row["twice"] for row in found[2][1]] == [2, 6, 8, 10]


def _doubled(part_state) -> pa.RecordBatch:
    batch = handle(part_state)
    return pa.record_batch({"doc_ref": batch["doc_ref"], "twice": pa.array(batch["n"].to_numpy() * 2)})
