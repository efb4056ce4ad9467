"""A document falls under a tombstone by its id, its text or its record, and by nothing that is not on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.provenance.tombstones import SCHEMA, read_tombstones, under, write_tombstones

TYPES = {"id": pa.string(), **dict.fromkeys(("text_hash_0", "text_hash_1", "record_hash"), pa.uint64())}
TEXT = ("text_hash_0", "text_hash_1")

SMALL = st.integers(0, 3)
DOCUMENTS = st.builds(
    lambda name, text, record: {"id": name, "text_hash_0": text, "text_hash_1": text * 7 % 5, "record_hash": record},
    *(st.sampled_from("abcd"), SMALL, SMALL),
)
UNKNOWN = st.sets(st.sampled_from([("id",), TEXT, ("record_hash",)])).map(
    lambda names: {name for each in names for name in each}
)
LISTED = st.tuples(DOCUMENTS, UNKNOWN).map(
    lambda drawn: {name: None if name in drawn[1] else value for name, value in drawn[0].items()}
)


def stones(rows: list[dict[str, Any]], release: int = 2, reason: str = "") -> pa.Table:
    same = {"release": release, "day": "2026-11-30", "reason": reason, "cause": "named"}
    return pa.Table.from_pylist([{**same, "document": f"t{number}", **row} for number, row in enumerate(rows)], schema=SCHEMA)


def sketch(rows: list[dict[str, Any]]) -> dict[str, pa.Array]:
    return {name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()}


@given(st.lists(DOCUMENTS, max_size=8), st.lists(LISTED, max_size=5))
def test_it_is_what_a_comparison_of_all_pairs_finds(documents: list[dict[str, Any]], listed: list[dict[str, Any]]) -> None:
    expected = []
    for number, document in enumerate(documents):
        for name, words in (("id", "id"), ("text_hash_0", "text"), ("record_hash", "record")):
            found = [place for place, row in enumerate(listed) if row[name] == document[name]]
            if found:
                expected.append((number, f"release 2, 2026-11-30: the {words} of t{found[0]}"))
                break
    rows, details = under(stones(listed), sketch(documents))
    assert list(zip(rows.tolist(), details.to_pylist(), strict=True)) == expected


def test_half_of_a_text_hash_is_not_enough() -> None:
    document = {"id": "x", "text_hash_0": 1, "text_hash_1": 2, "record_hash": 9}
    listed = {**document, "id": None, "text_hash_1": 3, "record_hash": None}
    assert under(stones([listed]), sketch([document]))[0].tolist() == []


def test_the_reason_is_told(tmp_path: Path) -> None:
    document = {"id": "x", "text_hash_0": 1, "text_hash_1": 2, "record_hash": 9}
    _, details = under(stones([document], reason="request 17"), sketch([document]))
    assert details.to_pylist() == ["release 2, 2026-11-30: the id of t0 (request 17)"]


def test_an_attempt_at_a_release_is_replaced_and_others_stay(tmp_path: Path) -> None:
    run = str(tmp_path)
    assert len(read_tombstones(run)) == 0
    for release, ids in ((2, "ab"), (3, "c"), (3, "de")):
        write_tombstones(run, stones([{"id": each} for each in ids], release))
    assert read_tombstones(run).select(["release", "id"]).to_pydict() == {"release": [2, 2, 3, 3], "id": ["a", "b", "d", "e"]}
