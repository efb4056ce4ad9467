"""How long the parts of a report take that read decisions/, over a generated ledger of ten million documents.

    python -m tests.bench.large_report FOLDER [MILLIONS]

The rest of the report is made of receipts, whose size does not depend on the number of documents.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipelines.recipe.load import recipe_of
from tamis.pipelines.report.quality_diversity import measured_steps
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger

PART = 500_000
REASONS = ["gopher.word_count", "dedup.exact", "dedup.near", *[None] * 7]
RECIPE = {
    "rate": {"gopher": {}},
    "thresholds": {"gopher.word_count": {"min": 50}},
    "dedup": {"minhash": {}},
    "quality": [{"signal": "gopher.word_count", "range": [0, 1000]}],
}


def main(folder: str, millions: str = "10") -> None:
    parts = int(millions) * 1_000_000 // PART
    Path(folder, "decisions").mkdir(parents=True, exist_ok=True)
    for part in range(parts):
        pq.write_table(_decisions(part), f"{folder}/decisions/part-{part:05d}.parquet", compression="zstd")
    counts = {"kept": 7 * PART * parts // 10, "dropped": 3 * PART * parts // 10, "review": 0}
    release = Release(folder, 1, folder, {"counts": counts})  # type: ignore[typeddict-item]
    for name, make in {
        "quality, diversity, complexity": lambda: measured_steps(release, recipe_of(RECIPE)),
        "the ids, for near-duplicates": lambda: [ledger.decisions(release, n, ["id"]) for n in ledger.decided_parts(release)],
    }.items():
        start, used = time.perf_counter(), time.process_time()
        make()
        print(f"{name}: {time.perf_counter() - start:.1f} s, {time.process_time() - used:.1f} CPU s")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def _decisions(part: int) -> pa.Table:
    draw = np.random.default_rng(part)
    hosts = (draw.pareto(1.1, PART) * 50).astype(np.int64) % 1_000_000
    reason = draw.integers(0, len(REASONS), PART)
    return pa.table(
        {
            "id": [f"doc-{part * PART + row:09d}" for row in range(PART)],
            "decision": pa.array(["drop" if each else "keep" for each in REASONS]).take(pa.array(reason)),
            "reason": pa.array(REASONS).take(pa.array(reason)),
            "source": pa.array(["web", "books"]).take(pa.array(draw.integers(0, 2, PART))),
            "url": [f"https://host-{host}.example/{row}/page.html" for row, host in enumerate(hosts.tolist())],
            "quality": draw.random(PART, np.float32),
            "tokens": draw.integers(20, 4000, PART),
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
