"""Ranks are exact, counted in tokens within groups, and the same however documents and ranges are cut."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tamis.transforms.beam.exchange import TO, PartState
from tamis.transforms.beam.ranking import ROWS, Rank, _address, aligned
from tests.transforms.beam.beam_run import dossiers_of, handle, run


def corpus(n: int, seed: int, constant: bool = False) -> pa.Table:
    draw = np.random.default_rng(seed)
    return pa.table(
        {
            "group": pa.array(draw.choice(["web", "books", "code"], n, p=[0.7, 0.2, 0.1])),
            "major": pa.array(np.zeros(n, np.uint64) if constant else draw.integers(0, 40, n).astype(np.uint64)),
            "tie_break": pa.array(draw.integers(0, 2**63, n).astype(np.uint64)),
            "id_hash": pa.array(draw.integers(0, 2**63, n).astype(np.uint64)),
            "tokens": pa.array(draw.integers(0, 500, n)),
        }
    )


def reference(table: pa.Table) -> dict[int, tuple[int, int]]:
    """{id hash: (rank, group tokens)} by sorting everything at once."""
    ranks: dict[int, tuple[int, int]] = {}
    rows = table.to_pylist()
    for group in {row["group"] for row in rows}:
        ordered = sorted(
            (row for row in rows if row["group"] == group), key=lambda r: (r["major"], r["tie_break"], r["id_hash"])
        )
        whole, before = sum(row["tokens"] for row in ordered), 0
        for row in ordered:
            before += row["tokens"]
            ranks[row["id_hash"]] = (before, whole)
    return ranks


def ranked(table: pa.Table, parts: list[list[int]], partitions: int, folder, via="storage") -> dict[int, tuple[int, int]]:
    out = run(dossiers_of(table, parts), lambda spill: Rank("r", handle, spill, partitions, via), folder)
    found = {}
    for part_state in out:
        rows = handle(part_state)
        results = part_state.result("r")
        rank = aligned(rows["doc_ref"], results, "rank", None).to_pylist()
        whole = aligned(rows["doc_ref"], results, "group_tokens", None).to_pylist()
        found |= dict(zip(rows["id_hash"].to_pylist(), zip(rank, whole, strict=True), strict=True))
    return found


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_ranks_are_those_of_one_global_sort(tmp_path, partitions, constant):
    table = corpus(900, 3, constant)
    parts = [list(range(500)), list(range(500, 520)), [], list(range(520, 900))]
    assert ranked(table, parts, partitions, tmp_path) == reference(table)


def test_ranks_do_not_depend_on_the_cut_nor_on_what_carries_the_rows(tmp_path):
    table = corpus(300, 5)
    shuffled = np.random.default_rng(1).permutation(300).tolist()
    one = ranked(table, [list(range(300))], 1, tmp_path)
    assert ranked(table, [shuffled[:50], shuffled[50:], []], 3, tmp_path, "runner") == one


def test_partitions_are_even_though_every_key_is_equal():
    """A constant score must not send everything to one worker: the tie cuts it."""
    from tamis.transforms.beam.ranking import _bottom, _Cuts, _keys

    table = corpus(20_000, 9, constant=True)
    fn = _Cuts(8)
    sample = fn.merge_accumulators(
        [fn.add_input(fn.create_accumulator(), _bottom(_keys(table.slice(i * 5000, 5000)), 512)) for i in range(4)]
    )
    cuts = fn.extract_output(sample)
    sizes = np.histogram(table["tie_break"].to_numpy(), [0, *cuts[:, 1], np.iinfo(np.uint64).max])[0]
    assert sizes.max() < 1.6 * sizes.mean()


def test_no_documents(tmp_path):
    table = corpus(0, 1)
    assert ranked(table, [[], []], 3, tmp_path) == {}
    assert ROWS.names[0] == "doc_ref"


@given(keys=arrays(np.uint64, (40, 2), elements=st.integers(0, 3)), count=st.integers(0, 12))
def test_a_row_goes_behind_every_cut_that_is_no_greater(keys, count):
    cuts, rows = np.array(sorted(map(tuple, keys[:count])), np.uint64).reshape(-1, 2), keys[count:]
    table = {
        "major": rows[:, 0],
        "tie_break": rows[:, 1],
        "id_hash": rows[:, 1],
        "doc_ref": np.arange(len(rows), dtype=np.uint64),
    }
    table |= {"group": pa.repeat("", len(rows)), "tokens": np.ones(len(rows), np.int64)}
    batch = pa.record_batch({name: table[name] for name in ROWS.names}, schema=ROWS)
    (sent,) = _address(PartState(0, None), cuts, lambda _: batch)
    assert sent[TO].to_pylist() == [sum(tuple(cut) <= tuple(row) for cut in cuts.tolist()) for row in rows.tolist()]
