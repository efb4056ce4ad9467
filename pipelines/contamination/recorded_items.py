"""Reads the record of contamination of a release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.run.receipts import BenchmarkItems, ContaminationReceipt, contamination_uri
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.release import Release
from tamis.transforms.decontaminate.record import FILE, RECORD


@dataclass(frozen=True)
class RecordedItems:
    """The rows of the record (`RECORD`), and the benchmarks that they are about."""

    rows: pa.Table
    benchmarks: list[BenchmarkItems]

    def of(self, benchmark: str) -> pa.Table:
        """The rows about one benchmark."""
        return self.rows.filter(pc.equal(self.rows["benchmark"], benchmark))


def find_record(release: Release) -> RecordedItems | None:
    """The record of a release, which need not be finished yet; None if it has none."""
    receipt, uri = ContaminationReceipt.read(contamination_uri(release.folder)), release.uri(FILE)
    if receipt is None or not storage.exists(uri):
        return None
    with storage.open_binary(uri) as file:
        rows = pq.ParquetFile(file).read(use_threads=False).cast(RECORD)
    return RecordedItems(rows, receipt.benchmarks)


def recorded_items(release: Release, benchmarks: Sequence[str] = ()) -> RecordedItems:
    """The record of a release about all benchmarks, or those named. Raises RunError if its recipe names no
    benchmarks, or not these, and if an earlier version made the release."""
    name = f"{release.run}@{release.number}"
    if not (release.manifest["recipe"].get("decontaminate") or {}).get("benchmarks"):
        raise RunError(f"the recipe of {name} names no benchmarks: add the section decontaminate, and run it again")
    recorded = find_record(release)
    if recorded is None:
        listed = any(file["path"] == release.path(FILE) for file in release.manifest["files"])
        cause = "is missing or damaged" if listed else "was not written: an earlier version made the release"
        raise RunError(f"{release.uri(FILE)} {cause}; run its recipe again")
    if not benchmarks:
        return recorded
    names = [benchmark.name for benchmark in recorded.benchmarks]
    for one in benchmarks:
        if one not in names:
            hint = nearest(one, names)
            raise RunError(
                f"{name} has no benchmark {one!r}" + (f"; did you mean {hint!r}?" if hint else f": {', '.join(names)}")
            )
    rows = recorded.rows.filter(pc.is_in(recorded.rows["benchmark"], value_set=pa.array(benchmarks, pa.string())))
    return RecordedItems(rows, [each for each in recorded.benchmarks if each.name in benchmarks])


def matches_of_document(release: Release, identifier: str) -> list[dict[str, Any]]:
    """The rows of the record about a document; none if the release has no record."""
    uri = release.uri(FILE)
    if not storage.exists(uri):
        return []
    with storage.open_binary(uri) as file:
        found = pq.read_table(file, filters=[("id", "=", identifier)])
    rows: list[dict[str, Any]] = found.sort_by([("score", "descending"), ("number", "ascending")]).to_pylist()
    return rows
