"""The ledger: finds the decision of a document, and where it is now, by its id."""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.parts import EDITS, Part
from tamis.transforms.core.release import Release

_COMPARED_IDS = 50_000
"""Ids that are compared letter by letter with an unknown one, to suggest similar ones."""


@dataclass(frozen=True)
class LedgerEntry:
    """One document: its decision, signals and fields, what editors replaced in its text, and its
    shard and row if it was kept."""

    decision: dict[str, Any]
    signals: dict[str, Any]
    document: dict[str, Any]
    edits: list[dict[str, Any]]
    shard: str | None
    row: int | None


def find_document(release: Release, identifier: str) -> LedgerEntry:
    """The entry of the document `identifier`. Raises KeyError, with similar ids, if there is none.
    Cost: reads the id column of decisions/ up to the document, then one row group."""
    similar: set[str] = set()
    budget = _COMPARED_IDS
    for name in storage.names(release.uri("decisions")):
        part = release.part(int(name.split("-")[1].split(".")[0]))
        with storage.open_binary(release.uri("decisions", name)) as file:
            ledger = pq.ParquetFile(file)
            ids = ledger.read(columns=["id"])["id"].combine_chunks()
            row = pc.index(ids, identifier).as_py()
            if row >= 0:
                return _entry(release, part, row, ledger.read().slice(row, 1).to_pylist()[0])
        similar.update(ids.filter(pc.match_substring(ids, identifier)).slice(0, 5).to_pylist())
        similar.update(difflib.get_close_matches(identifier, ids.slice(0, budget).to_pylist(), n=3))
        budget -= min(budget, len(ids))
    nearest = difflib.get_close_matches(identifier, sorted(similar), n=5, cutoff=0.0)
    hint = f"; similar ids: {', '.join(nearest)}" if nearest else ""
    raise KeyError(f"no document '{identifier}' in release {release.number} of {release.run}{hint}")


def _entry(release: Release, part: Part, row: int, decision: dict[str, Any]) -> LedgerEntry:
    with storage.open_binary(part.uri("rated", "parquet")) as file:
        names = pq.ParquetFile(file).schema_arrow.names
    _, batch = next(part.read(np.array([row]), names))
    values = batch.to_pylist()[0]
    document = {name: values[name] for name in SCHEMA.names}
    edits = values.pop(EDITS, None) or []
    signals = {name: value for name, value in values.items() if name not in SCHEMA.names}
    return LedgerEntry(decision, signals, document, edits, decision["shard"], _row_in_shard(release, decision))


def _row_in_shard(release: Release, decision: dict[str, Any]) -> int | None:
    if decision["shard"] is None:
        return None
    from tamis.transforms.core.shards import read_shard

    return pc.index(read_shard(release.uri(decision["shard"]))["id"], decision["id"]).as_py()
