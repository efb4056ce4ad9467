"""Every document has an id of its own, whatever the order and the cut of the input."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest

from tamis.transforms.beam.unique_ids import STEP, Identify
from tamis.transforms.core.errors import RunError
from tests.transforms.beam.beam_run import part_states_of, rows_of, run

ROWS = [  # id, text hash, hash of the other fields
    ("a", 1, 1),
    ("b", 2, 1),
    ("a", 3, 1),
    ("a", 3, 0),
    ("c", 2, 1),
]


def table(rows: list[tuple[str, int, int]]) -> pa.Table:
    ids = [row[0] for row in rows]
    u64 = pa.uint64()
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "id_hash_0": pa.array([int.from_bytes(i.encode()) << 16 for i in ids], u64),
            "id_hash_1": pa.array([int.from_bytes(i.encode()) for i in ids], u64),
            "text_hash_0": pa.array([row[1] for row in rows], u64),
            "text_hash_1": pa.array([row[1] for row in rows], u64),
            "record_hash": pa.array([row[2] for row in rows], u64),
        }
    )


def numbered(rows, parts, folder, error=False):
    found = set()
    for part_state in run(part_states_of(table(rows), parts), lambda spill: Identify(rows_of, error, spill, 3), folder):
        batch, results = rows_of(part_state), part_state.result(STEP)
        ordinals = (
            dict(zip(results["doc_ref"].to_pylist(), results["ordinal"].to_pylist(), strict=True))
            if results is not None
            else {}
        )
        for row in batch.to_pylist():
            found.add((row["id"], row["text_hash_0"], row["record_hash"], ordinals.get(row["doc_ref"], 1)))
    return found


def test_the_later_of_equal_ids_are_numbered_by_content(tmp_path):
    expected = {("a", 1, 1, 1), ("a", 3, 0, 2), ("a", 3, 1, 3), ("b", 2, 1, 1), ("c", 2, 1, 1)}
    for order in itertools.islice(itertools.permutations(ROWS), 0, 120, 29):
        assert numbered(list(order), [[0, 1], [2, 3, 4]], tmp_path) == expected


def test_no_number_makes_an_id_that_the_input_has(tmp_path):
    rows = [("a", n, 0) for n in range(4)] + [("a#2", 9, 0), ("a#2", 8, 0), ("a#4", 7, 0), ("a#2#2", 6, 0), ("b#2", 5, 0)]
    found = numbered(rows, [[3, 4, 8], [0, 5, 2], [7, 6, 1]], tmp_path)
    named = {(f"{name}#{ordinal}" if ordinal > 1 else name): text for name, text, _, ordinal in found}
    assert named == {"a": 0, "a#3": 1, "a#5": 2, "a#6": 3, "a#2": 8, "a#2#3": 9, "a#4": 7, "a#2#2": 6, "b#2": 5}
    assert numbered(rows, [[6, 1, 4, 0], [2, 8, 7], [], [5, 3]], tmp_path) == found


def test_a_shared_id_can_stop_the_run_and_is_named(tmp_path):
    with pytest.raises((RunError, RuntimeError), match="1 ids name more than one document, for example 'a'"):
        numbered(ROWS, [[0, 1, 2], [3, 4]], tmp_path, error=True)
    assert len(numbered(ROWS[:2], [[0], [1]], tmp_path, error=True)) == 2


def test_no_documents(tmp_path):
    assert numbered([], [[], []], tmp_path) == set()
