"""Ranks are exact, counted in tokens within groups, and the same however documents are split into
parts and ranges."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tamis.transforms.beam.exchange import result_column
from tamis.transforms.beam.ranking import Rank, SampledCuts, range_of
from tests.transforms.beam.beam_run import part_states_of, rows_of, run


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


def ranked(table: pa.Table, parts: list[list[int]], partitions: int, folder) -> dict[int, tuple[int, int]]:
    out = run(part_states_of(table, parts), lambda spill: Rank("r", rows_of, spill, partitions), folder)
    ranks = {}
    for part_state in out:
        rows = rows_of(part_state)
        results = part_state.result("r")
        rank = result_column(rows["doc_ref"], results, "rank", None).to_pylist()
        group_tokens = result_column(rows["doc_ref"], results, "group_tokens", None).to_pylist()
        ranks |= dict(zip(rows["id_hash"].to_pylist(), zip(rank, group_tokens, strict=True), strict=True))
    return ranks


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_ranks_are_those_of_one_global_sort(tmp_path, partitions, constant):
    table = corpus(900, 3, constant)
    parts = [list(range(500)), list(range(500, 520)), [], list(range(520, 900))]
    assert ranked(table, parts, partitions, tmp_path) == reference(table)


def test_ranks_do_not_depend_on_the_split(tmp_path):
    table = corpus(300, 5)
    shuffled = np.random.default_rng(1).permutation(300).tolist()
    one = ranked(table, [list(range(300))], 1, tmp_path)
    assert ranked(table, [shuffled[:50], shuffled[50:], []], 3, tmp_path) == one


def test_ranges_are_even_though_every_major_is_equal():
    """A constant score must not send everything to one worker: the tie_break cuts it."""
    table = corpus(20_000, 9, constant=True)
    keys = np.stack([table["major"].to_numpy(), table["tie_break"].to_numpy()], axis=1)
    combine = SampledCuts(8)
    samples = [combine.add_input(combine.create_accumulator(), part) for part in np.split(keys, 4)]
    cuts = combine.extract_output(combine.merge_accumulators(samples))
    sizes = np.bincount(range_of(keys, cuts), minlength=8)
    assert sizes.max() < 1.6 * sizes.mean()


def test_no_documents(tmp_path):
    assert ranked(corpus(0, 1), [[], []], 3, tmp_path) == {}


@given(keys=arrays(np.uint64, (40, 2), elements=st.integers(0, 3)), count=st.integers(0, 12))
def test_a_key_is_in_the_range_after_every_cut_that_is_no_greater(keys, count):
    cuts, keys = np.array(sorted(map(tuple, keys[:count])), np.uint64).reshape(-1, 2), keys[count:]
    assert range_of(keys, cuts).tolist() == [sum(tuple(cut) <= tuple(key) for cut in cuts.tolist()) for key in keys.tolist()]
