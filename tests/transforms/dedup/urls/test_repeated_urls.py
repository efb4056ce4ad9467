"""Of the documents with one address, the best, newest, oldest or longest stays, whatever the cut of the input."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.beam.exchange import PartState
from tamis.transforms.dedup.urls.repeated_urls import STEP, FindRepeatedUrls
from tests.transforms.beam.beam_run import part_states_of, rows_of, run

ROWS = pa.schema(
    [
        *(pa.field("id", pa.string()), pa.field("quality", pa.float32()), pa.field("tie_break", pa.uint64())),
        *(pa.field("key_0", pa.uint64()), pa.field("key_1", pa.uint64()), pa.field("preference", pa.int64())),
    ]
)


def documents_of(part_state: PartState) -> pa.Table:
    return pa.Table.from_batches([rows_of(part_state)])


def dropped(rows: list[dict[str, Any]], parts: list[list[int]], folder: Path, partitions: int = 3) -> dict[str, str]:
    """The id of each document that is dropped, and of the one that stays."""
    states = part_states_of(pa.Table.from_pylist(rows, schema=ROWS), parts)
    found = {}
    for state in run(states, lambda spill: FindRepeatedUrls(documents_of, spill, partitions), folder):
        results = state.result(STEP)
        if results is not None:
            ids = dict(zip(rows_of(state)["doc_ref"].to_pylist(), rows_of(state)["id"].to_pylist(), strict=True))
            found |= {ids[row["doc_ref"]]: row["duplicate_of"] for row in results.to_pylist()}
    return found


def reference(rows: list[dict[str, Any]]) -> dict[str, str]:
    by_key = defaultdict(list)
    for row in rows:
        by_key[row["key_0"], row["key_1"]].append(row)
    found = {}
    for group in by_key.values():
        missing = [math.isnan(row["quality"]) for row in group]
        quality = [-math.inf if none else row["quality"] for row, none in zip(group, missing, strict=True)]
        order = sorted(
            range(len(group)),
            key=lambda k: (-group[k]["preference"], missing[k], -quality[k], group[k]["tie_break"], group[k]["id"]),
        )
        found |= {group[k]["id"]: group[order[0]]["id"] for k in order[1:]}
    return found


ROW = st.tuples(
    st.sampled_from([0.0, 0.5, 1.0, math.nan]),
    st.integers(0, 3),
    st.sampled_from([0, 1, 2**63, 2**64 - 1]),
    st.integers(0, 1),
    st.sampled_from([-(2**63), -1, 0, 2**63 - 1]),
)


@pytest.mark.slow
@settings(max_examples=40)
@given(values=st.lists(ROW, min_size=1, max_size=20), seed=st.integers(0, 99), partitions=st.integers(1, 5))
def test_equals_a_sort_for_any_cut_of_the_input(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], seed: int, partitions: int
) -> None:
    names = [name for name in ROWS.names if name != "id"]
    rows = [{"id": f"d{number}", **dict(zip(names, row, strict=True))} for number, row in enumerate(values)]
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(rows)).tolist()
    edge = int(draw.integers(0, len(order) + 1))
    assert dropped(rows, [order[:edge], order[edge:]], tmp_path_factory.mktemp("spill"), partitions) == reference(rows)
