"""The ledger: what became of a document, found by its id among one row for every document ever
read."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.parts import Part

_COMPARED = 50_000
"""Ids compared letter by letter with one that is not there, to name the nearest."""


@dataclass(frozen=True)
class Account:
    """One document: its decision, its signals, where it came from and where it lies now."""

    decision: dict[str, Any]
    signals: dict[str, Any]
    document: dict[str, Any]
    shard: str | None
    row: int | None


def parts(run: str) -> list[Part]:
    """The parts of a run that have decisions."""
    names = storage.names(storage.join(run, "decisions"))
    return [Part(run, int(name.split("-")[1].split(".")[0])) for name in names]


def account(run: str, identifier: str) -> Account:
    """What became of the document `identifier`. Raises KeyError naming the nearest ids when the
    run never read it.

    Cost: reads the id column of decisions/ until found, then one row group.
    """
    near: set[str] = set()
    left = _COMPARED
    for part in parts(run):
        with storage.open_binary(part.uri("decisions", "parquet")) as file:
            ledger = pq.ParquetFile(file)
            ids = ledger.read(columns=["id"])["id"].combine_chunks()
            found = pc.index(ids, identifier).as_py()
            if found >= 0:
                decision = ledger.read().slice(found, 1).to_pylist()[0]
                return _account(run, part, found, decision)
        near.update(ids.filter(pc.match_substring(ids, identifier)).slice(0, 5).to_pylist())
        near.update(difflib.get_close_matches(identifier, ids.slice(0, left).to_pylist(), n=3))
        left -= min(left, len(ids))
    nearest = difflib.get_close_matches(identifier, sorted(near), n=5, cutoff=0.0)
    hint = f"; near it: {', '.join(nearest)}" if nearest else ""
    raise KeyError(f"no document '{identifier}' in {run}{hint}")


def _account(run: str, part: Part, row: int, decision: dict[str, Any]) -> Account:
    with storage.open_binary(part.uri("rated", "parquet")) as file:
        names = pq.ParquetFile(file).schema_arrow.names
    _, batch = next(part.read(np.array([row]), names))
    values = batch.to_pylist()[0]
    document = {name: values[name] for name in SCHEMA.names}
    signals = {name: value for name, value in values.items() if name not in SCHEMA.names}
    shard, place = _place(run, decision)
    return Account(decision, signals, document, shard, place)


def _place(run: str, decision: dict[str, Any]) -> tuple[str | None, int | None]:
    """Shard and row of a kept document."""
    if decision["shard"] is None:
        return None, None
    from tamis.transforms.core.shards import read_shard

    ids = read_shard(storage.join(run, decision["shard"]))["id"]
    return decision["shard"], pc.index(ids, decision["id"]).as_py()
