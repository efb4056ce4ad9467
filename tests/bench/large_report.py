"""What the whole report of ten million documents takes: seconds, memory and the bytes of report.html.

    python -m tests.bench.large_report FOLDER [MILLIONS]

A real run of 10,000 generated documents in 20 parts leaves the receipts, with samples, histograms, clusters and hosts, which
are no larger for more documents in a part. Its decisions/ are then grown to the millions: each part keeps its own rows first,
to which the receipts point, and more of the same follow, with ids, addresses, qualities and tokens of their own.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipelines.report.page import write_report
from tamis.transforms.core.manifest import Manifest
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger
from tests.pipelines.corpus import corpus, save
from tests.pipelines.running import run, write_recipe

PARTS, SMALL = 20, 500
HOSTS = 1_000_000


def main(folder: str, millions: str = "10") -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:  # so that its memory does not count
        release = apart.submit(_release, Path(folder), int(millions) * 1_000_000 // PARTS).result()
    page = Path(folder, "report.html")
    start, used = time.perf_counter(), time.process_time()
    write_report(release, str(page))
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    documents = sum(ledger.decisions(release, part, ["id"]).num_rows for part in ledger.decided_parts(release))
    print(f"{documents:,} documents: {seconds:.1f} s, {cpu:.1f} CPU s, {memory:.2f} GB, {page.stat().st_size:,} bytes")


def _release(folder: Path, rows: int) -> Release:
    """A release whose parts have `rows` decisions each."""
    records = corpus(PARTS * SMALL, seed=5, sentences=(4, 12))
    for record, host in zip(records, _hosts(np.random.default_rng(0), len(records)), strict=True):
        record["url"] = f"https://host-{host}.example/{record['id']}"
    pieces = [records[part::PARTS] for part in range(PARTS)]
    small = run(write_recipe(folder), save(folder / "in", pieces), folder / "run").release
    for part in ledger.decided_parts(small):
        pq.write_table(_grown(ledger.decisions(small, part), part, rows), small.uri("decisions", f"part-{part:05d}.parquet"))
    factor = rows // SMALL
    counts: dict[str, Any] = dict(small.manifest["counts"])
    counts |= {name: counts[name] * factor for name in ("records", "kept", "review", "dropped", "rejected")}
    counts["reasons"] = [row | {"documents": row["documents"] * factor} for row in counts["reasons"]]
    return replace(small, manifest=cast(Manifest, {**small.manifest, "counts": counts}))


def _grown(decided: pa.Table, part: int, rows: int) -> pa.Table:
    """The decisions of a part, and as many after them that there are `rows`."""
    draw = np.random.default_rng(part + 1)
    more = rows - decided.num_rows
    drawn = decided.take(pa.array(draw.integers(0, decided.num_rows, more)))
    own = {
        "id": [f"grown-{part}-{row}" for row in range(more)],
        "url": [f"https://host-{host}.example/{part}/{row}" for row, host in enumerate(_hosts(draw, more))],
        "quality": draw.random(more),
        "tokens": draw.integers(20, 4000, more),
    }
    for name, values in own.items():
        column = pa.array(values).cast(decided.schema.field(name).type)
        drawn = drawn.set_column(drawn.column_names.index(name), decided.schema.field(name), column)
    return pa.concat_tables([decided, drawn])


def _hosts(draw: np.random.Generator, count: int) -> list[int]:
    """Numbers of hosts, few of which are frequent."""
    hosts: list[int] = ((draw.pareto(1.1, count) * 50).astype(np.int64) % HOSTS).tolist()
    return hosts


if __name__ == "__main__":
    main(*sys.argv[1:])
