"""How long a question about another limit takes: the command, and the function over a million documents.

    python -m tests.bench.moved_limit RUN thresholds.gopher.word_count.min=80

The million are the documents of the release, drawn again and again. Three times each; processor seconds tell more than
the clock on a busy machine.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from tamis.pipelines.decisions.rated_decisions import part_signals, sketch_columns
from tamis.pipelines.estimate.what_if import flows, new_outcomes
from tamis.pipelines.recipe.load import finished_recipe, with_limits
from tamis.transforms.core.release import open_release
from tamis.transforms.provenance import ledger

DOCUMENTS = 1_000_000
TAMIS = str(Path(sys.executable).with_name("tamis"))


def main(run: str, setting: str) -> None:
    for _ in range(3):
        start, used = time.perf_counter(), _children()
        subprocess.run([TAMIS, "what-if", run, "--set", setting], check=True, stdout=subprocess.DEVNULL)
        print(f"tamis what-if {run}: {time.perf_counter() - start:.2f} s, {_children() - used:.2f} CPU s")
    release = open_release(run)
    before, after = finished_recipe(release.manifest), with_limits(release.manifest, [setting])
    tables: list[list[pa.Table]] = [[], [], []]
    for ordinal in ledger.decided_parts(release):
        part = release.part(ordinal)
        tables[0].append(part_signals(part, after.rules.columns, after))
        tables[1].append(part.sketch(sketch_columns(before)))
        tables[2].append(ledger.decisions(release, ordinal, ["source", "decision", "reason", "tokens", "bytes"]))
    rows = pa.array(np.random.default_rng(0).integers(0, sum(map(len, tables[0])), DOCUMENTS))
    signals, sketch, decided = (pa.concat_tables(each).take(rows).combine_chunks() for each in tables)
    for _ in range(3):
        start, used = time.perf_counter(), time.process_time()
        changed = [*flows(new_outcomes(signals, sketch, decided, after, before))]
        seconds = f"{time.perf_counter() - start:.2f} s, {time.process_time() - used:.2f} CPU s"
        print(f"{DOCUMENTS:,} documents, {len(after.rules.signals)} signals with limits, {len(changed)} flows: {seconds}")


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(*sys.argv[1:])
