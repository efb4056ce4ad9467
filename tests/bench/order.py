"""Measures the cost of ordering a growing corpus: CPU seconds and peak memory of ranking, placing and dealing rows.

    python -m tests.bench.order [--documents 100000] [--times 1 4 16] [--repeats 3] [--order lr_weighted]

Each size runs in a process of its own, with one worker in it. Documents are rows drawn from a seed, in parts of `PART`. They
pass through the rankings of `curate.py` with the rows of `decide.py`, and to their shards, which are sorted. No text moves.
The cost of an empty run is measured in the same process first, and subtracted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment

from tamis.pipelines import decide
from tamis.pipelines.decisions import epoch_copies
from tamis.pipelines.decisions.ranks import ORDER, QUANTILES, ranks_of
from tamis.pipelines.decisions.shard_layout import Layout
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import partitions
from tamis.pipelines.runners import worker
from tamis.transforms.beam.exchange import Exchange, Gathered, PartState, addressed
from tamis.transforms.beam.ranking import Rank, ranges
from tamis.transforms.core.documents import doc_refs
from tamis.transforms.curriculum.order import place
from tamis.transforms.text.hashing import mix

PART = 25_000
"""Documents of a part and of a shard."""

STORED = 1_000
"""Bytes that a document takes in the input: partitions are as many as those of a run of so much."""

SOURCES = ("web", "books", "code", "papers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--order", default="lr_weighted", help="lr_weighted, bucketed and blended rank twice, the others once")
    parser.add_argument("--once", action="store_true", help="measure one size here: how each size calls this program")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once(options.documents, options.order)))
        return
    least: dict[int, dict[str, float]] = {}
    for _ in range(options.repeats):
        for times in options.times:
            documents = str(options.documents * times)
            argv = [sys.executable, "-m", "tests.bench.order", "--once", "--documents", documents, "--order", options.order]
            environment = {**os.environ, **worker.ENVIRONMENT}
            done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            took = json.loads(done.stdout.splitlines()[-1])
            least[times] = {name: min(value, least.get(times, took)[name]) for name, value in took.items()}
    print("|  | documents | CPU s | CPU µs a document | to ×1 | seconds | peak, MiB |\n|---|---|---|---|---|---|---|")
    each = {times: took["cpu"] / (options.documents * times) for times, took in least.items()}
    for times, took in least.items():
        print(
            f"| ×{times} | {options.documents * times:,} | {took['cpu']:.2f} | {each[times] * 1e6:.1f} "
            f"| {each[times] / each[options.times[0]]:.2f} | {took['seconds']:.1f} | {took['peak'] / (1 << 20):,.0f} |"
        )
    print(f"\nThe least of {options.repeats} repeats, in turns; load at the end {os.getloadavg()[0]:.1f}.")


def once(documents: int, order: str) -> dict[str, float]:
    """CPU and wall seconds of one size, and the peak of memory in bytes."""
    epoch_copies.kept_documents = narrow
    recipe = Recipe.model_validate({"curriculum": {"order": order}})
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as folder:
        _timed(recipe, Path(folder, "warm"), 1000)
        fixed = min(_timed(recipe, Path(folder, f"small-{time}"), 1000)[1] for time in range(2))
        seconds, cpu = _timed(recipe, Path(folder, "whole"), documents)
    return {"cpu": cpu - fixed, "seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}


def _timed(recipe: Recipe, folder: Path, documents: int) -> tuple[float, float]:
    part_states = list(_part_states(folder, documents))
    began, spent = time.perf_counter(), time.process_time()
    with beam.Pipeline(FnApiRunner(EmbeddedPythonEnvironment.default())) as pipeline:
        pipeline | Order(recipe, part_states, str(folder / "spill"), documents)
    return time.perf_counter() - began, time.process_time() - spent


class Order(beam.PTransform):
    """As in `curate.py`, from the documents kept to shards in their order."""

    def __init__(self, recipe: Recipe, part_states: list[PartState], spill: str, documents: int) -> None:
        super().__init__()
        self.recipe, self.part_states, self.spill, self.documents = recipe, part_states, spill, documents

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        size = ranges(partitions(self.documents * STORED))
        layout = Layout((-(-self.documents // PART),), (0,), ("phase-1",), "parquet")
        found = pipeline | beam.Create(self.part_states)
        if self.recipe.curriculum.by_quantile:
            found |= "Quantiles" >> Rank(QUANTILES, partial(decide.quantile_rows, recipe=self.recipe), self.spill, size)
        found |= "Order" >> Rank(ORDER, partial(decide.order_rows, recipe=self.recipe), self.spill, size)
        return (
            found
            | "Place" >> beam.Map(_placed, layout).with_output_types(pa.RecordBatch)
            | Exchange(self.spill)
            | "Sort" >> beam.Map(_sorted)
            | beam.combiners.ToList()
            | beam.Map(_checked, self.documents)
        )


def narrow(part_state: PartState, recipe: Recipe) -> pa.Table:
    """The documents kept of a part, as `kept_documents` gives them."""
    return pa.ipc.open_file(pa.memory_map(str(part_state.handle))).read_all()


def _part_states(folder: Path, documents: int) -> Iterator[PartState]:
    folder.mkdir()
    for ordinal, start in enumerate(range(0, documents, PART)):
        number = np.arange(start, min(start + PART, documents), dtype=np.uint64)
        chance = np.random.default_rng(ordinal)
        table = pa.table(
            {
                "doc_ref": doc_refs(ordinal, len(number)),
                "source": pa.array(SOURCES).take(pa.array(chance.integers(0, len(SOURCES), len(number)))),
                "tokens": chance.integers(20, 2_000, len(number)),
                "quality": chance.random(len(number), np.float32),
                "tie_break": mix(number, 0),
                "id_hash": mix(number, 1),
                "phase": np.zeros(len(number), np.int64),
                "epochs": np.ones(len(number), np.int64),
            }
        )
        path = folder / f"{ordinal}.arrow"
        with pa.ipc.new_file(str(path), table.schema) as sink:
            sink.write_table(table)
        yield PartState(ordinal, str(path))


def _placed(part_state: PartState, layout: Layout) -> pa.RecordBatch:
    rows = narrow(part_state, Recipe())
    where = place(*ranks_of(rows["doc_ref"].combine_chunks(), part_state.result(ORDER)))
    batch = rows.select(["tie_break", "tokens"]).append_column("place", pa.array(where)).combine_chunks().to_batches()[0]
    return addressed(batch, layout.destination(rows["phase"].to_numpy(), where))


def _sorted(gathered: Gathered) -> tuple[int, float, float, int]:
    """(shard, first place, last place, documents)."""
    rows = gathered.table().sort_by([("place", "ascending"), ("tie_break", "ascending")])
    return gathered.destination, rows["place"][0].as_py(), rows["place"][-1].as_py(), len(rows)


def _checked(shards: Iterable[tuple[int, float, float, int]], documents: int) -> None:
    ordered = sorted(shards)
    assert sum(count for *_, count in ordered) == documents
    assert all(end <= start for (*_, end, _), (_, start, *_) in pairwise(ordered))


if __name__ == "__main__":
    main()
