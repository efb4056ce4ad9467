"""The ledger: the decisions of a release, and its documents by id, by address or by text."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.parts import EDITS
from tamis.transforms.core.release import Release
from tamis.transforms.core.shards import read_shard

_COMPARED_IDS = 50_000
"""Ids that are compared letter by letter with an unknown one, to suggest similar ones."""

_SAMPLE_SALT = 0x5A  # without it the key is the tie_break, which decides between duplicates

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LedgerEntry:
    """One document: its decision, its signals, its fields, and what editors replaced in its text."""

    decision: dict[str, Any]
    signals: dict[str, Any]
    document: dict[str, Any]
    edits: list[dict[str, Any]]


def sample_keys(ids: pa.Array, seed: int) -> npt.NDArray[np.uint64]:
    """A hash of each id and the seed. The documents with the smallest are a sample of any documents,
    which does not depend on the parts that they are in."""
    from tamis.transforms.text.hashing import hash128, mix  # imports numba, which a reader of counts has no use for

    return mix(mix(np.ascontiguousarray(hash128(ids)[:, 0]), seed), _SAMPLE_SALT)


def decided_parts(release: Release) -> list[int]:
    """The ordinals of the parts of a release that have decisions, in their order."""
    names = storage.names(release.uri("decisions"))
    return [int(name.split("-")[1].split(".")[0]) for name in names]


def decisions(release: Release, ordinal: int, names: Sequence[str] | None = None) -> pa.Table:
    """Columns of decisions/ about a part, all if there are no `names`. Those that an early version did
    not write are null."""
    with storage.open_binary(release.uri("decisions", f"part-{ordinal:05d}.parquet")) as file:
        ledger = pq.ParquetFile(file)
        written = set(ledger.schema_arrow.names)
        table = ledger.read(columns=names and [name for name in names if name in written], use_threads=False)
        rows = ledger.metadata.num_rows
    for name in names or ():
        if name not in written:
            table = table.append_column(name, pa.nulls(rows, pa.string()))
    return table


def signal_fields(release: Release) -> dict[str, pa.Field]:
    """The signals that the parts of a release hold, whether or not what measured them is installed."""
    schema = release.part(decided_parts(release)[0]).schema()
    return {field.name: field for field in schema if field.name not in (*SCHEMA.names, EDITS)}


def entries(release: Release, ordinal: int, rows: Rows) -> Iterator[LedgerEntry]:
    """The entries of the given ascending rows of a part. Reads the row groups that hold them."""
    decided = decisions(release, ordinal).take(pa.array(rows)).to_pylist()
    part = release.part(ordinal)
    documents = (values for _, batch in part.read(rows, part.schema().names) for values in batch.to_pylist())
    for decision, values in zip(decided, documents, strict=True):
        edits = values.pop(EDITS, None) or []
        signals = {name: value for name, value in values.items() if name not in SCHEMA.names}
        yield LedgerEntry(decision, signals, {name: values[name] for name in SCHEMA.names}, edits)


def rows_with(release: Release, column: str, value: str) -> Iterator[tuple[int, Rows]]:
    """(part, rows) of the documents whose `column` of decisions/ is `value`. Reads that column alone."""
    for ordinal in decided_parts(release):
        rows = np.flatnonzero(pc.equal(decisions(release, ordinal, [column])[column], value).fill_null(False).to_numpy())
        if len(rows):
            yield ordinal, rows


def find_passage(release: Release, passage: str) -> tuple[int, Rows] | None:
    """(part, rows) of the documents with this passage in their text, in the first row group that has
    any. Reads the texts up to there."""
    for ordinal in decided_parts(release):
        part = release.part(ordinal)
        every = np.arange(decisions(release, ordinal, ["id"]).num_rows)
        for rows, batch in part.read(every, ["text"]):
            found = rows[pc.match_substring(batch["text"], passage).to_numpy(zero_copy_only=False)]
            if len(found):
                return ordinal, found
    return None


def similar_ids(release: Release, identifier: str) -> list[str]:
    """Up to five ids that contain `identifier` or are like it, the most similar first."""
    similar: set[str] = set()
    budget = _COMPARED_IDS
    for ordinal in decided_parts(release):
        ids = decisions(release, ordinal, ["id"])["id"].combine_chunks()
        similar.update(ids.filter(pc.match_substring(ids, identifier)).slice(0, 5).to_pylist())
        similar.update(difflib.get_close_matches(identifier, ids.slice(0, budget).to_pylist(), n=3))
        budget -= min(budget, len(ids))
    return difflib.get_close_matches(identifier, sorted(similar), n=5, cutoff=0.0)


def similar_urls(release: Release, host: str) -> list[str]:
    """Up to five addresses that contain `host`, sorted."""
    found: set[str] = set()
    for ordinal in decided_parts(release):
        urls = decisions(release, ordinal, ["url"])["url"].combine_chunks()
        found.update(urls.filter(pc.match_substring(urls, host)).slice(0, 5).to_pylist())
    return sorted(found)[:5]


def row_in_shard(release: Release, entry: LedgerEntry) -> int | None:
    """The row of a kept document in its shard, which is read; None if it was not kept."""
    shard = entry.decision["shard"]
    return None if shard is None else pc.index(read_shard(release.uri(shard))["id"], entry.decision["id"]).as_py()
