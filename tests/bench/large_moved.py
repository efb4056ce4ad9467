"""What a moved threshold takes in a run of ten million documents, and the question about one: seconds and memory.

    python -m tests.bench.large_moved FOLDER [MILLIONS]

A real run of 10,000 generated documents leaves 20 parts, which are then grown to the millions: each document comes again and
again, with its text and its signals, but with an id and hashes of its own, so that duplicates stay as frequent.
The exchanges get as many partitions as an input of that size has. FOLDER needs 10 GB for ten million.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.rate import PART_DOCUMENTS
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run import work_plan
from tamis.pipelines.run.launch import launch
from tamis.pipelines.run.progress import Observer
from tamis.transforms.core.manifest import Counts
from tamis.transforms.core.parts import Part, PartWriter
from tamis.transforms.provenance import ledger
from tests.pipelines.corpus import corpus, save
from tests.pipelines.running import TAMIS, run, write_recipe

TASKS, SMALL = 20, 500
MOVED, ASKED = "thresholds.gopher.word_count.min=40", "thresholds.gopher.word_count.min=60"


def main(folder: str, millions: str = "10") -> None:
    documents = int(float(millions) * 1_000_000)
    text_bytes = _apart(_grow, Path(folder), documents // TASKS)
    _apart(_move, Path(folder), text_bytes)
    _apart(_ask, Path(folder))


def _apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Calls the function in a process of its own, so that memory is told apart."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def _grow(folder: Path, rows: int) -> int:
    """Makes a run whose tasks have `rows` documents each. Returns the bytes of their texts."""
    records = corpus(TASKS * SMALL, seed=5, sentences=(4, 12))
    source = save(folder / "in", [records[task::TASKS] for task in range(TASKS)])
    release = run(write_recipe(folder, output={}), source, folder / "run").release  # shards of the usual size
    return sum(_grow_task(release.part(ordinal), rows) for ordinal in ledger.decided_parts(release))


def _grow_task(part: Part, rows: int) -> int:
    """Replaces the part of a task by as many as a split of that size has."""
    receipt = part.receipt()
    assert receipt is not None
    (rated,) = pq.read_table(part.uri("rated", "parquet")).combine_chunks().to_batches()
    (sketch,) = pa.ipc.open_file(part.uri("sketches", "arrow")).read_all().combine_chunks().to_batches()
    parts, text_bytes = -(-rows // PART_DOCUMENTS), 0
    for number in range(parts):
        own = min(PART_DOCUMENTS, rows - number * PART_DOCUMENTS)
        counts = [receipt.inputs[0].model_copy(update={"documents": own})]
        with PartWriter(Part(part.run, f"{receipt.fingerprint}-{number}")) as writer:
            while writer.documents < own:
                repeat, size = writer.documents + number * PART_DOCUMENTS, min(rated.num_rows, own - writer.documents)
                ids = pc.binary_join_element_wise(rated["id"], str(repeat), "-")
                documents = _with(rated, {"id": ids}).slice(0, size)
                writer.write(documents, _with(sketch, {"id": ids, **_hashes(sketch, repeat)}).slice(0, size))
            grown = writer.finish((rated.schema, sketch.schema), receipt.fingerprint, counts, number, number == parts - 1)
        text_bytes += grown.text_bytes
    return text_bytes


def _hashes(sketch: pa.RecordBatch, repeat: int) -> dict[str, pa.Array]:
    """The hashes of a sketch, moved by so many steps: equal ones stay equal, and no others become so."""
    step = np.uint64((repeat * 0x9E3779B97F4A7C15) % (1 << 64))
    moved = {name: pa.array(sketch[name].to_numpy() + step) for name in ("text_hash_0", "text_hash_1", "record_hash")}
    bands = sketch["bands"]
    values = pc.fill_null(bands.values, 0).to_numpy() + step
    moved["bands"] = pa.FixedSizeListArray.from_arrays(pa.array(values), type=bands.type, mask=bands.is_null())
    return moved


def _with(batch: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    for name, values in columns.items():
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, batch.schema.field(place), values.cast(batch.schema.field(place).type))
    return batch


class _Times(Observer):
    """Prints when the counts are there."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def decided(self, counts: Counts) -> None:
        documents = counts["kept"] + counts["dropped"] + counts["review"]
        print(f"{documents:,} documents decided: {time.perf_counter() - self._start:.0f} s", flush=True)


def _move(folder: Path, text_bytes: int) -> None:
    partitions = work_plan.partitions(text_bytes)
    work_plan.WorkPlan.partitions = property(lambda _: partitions)  # type: ignore[assignment, method-assign]
    recipe = load_recipe(str(folder / "recipe.yaml"), [MOVED], [str(folder / "in")])
    start, workers = time.perf_counter(), len(os.sched_getaffinity(0))
    launch(recipe, str(folder / "run"), workers, observer=_Times())
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu, memory = sum(each.ru_utime + each.ru_stime for each in used), max(each.ru_maxrss for each in used) / 1e6
    told = f"{seconds:.0f} s, {cpu:.0f} CPU s, at most {memory:.2f} GB a process, {workers} workers"
    print(f"released: {told}, {text_bytes / 1e9:.1f} GB of text, {partitions} partitions", flush=True)


def _ask(folder: Path) -> None:
    start = time.perf_counter()
    subprocess.run([TAMIS, "what-if", str(folder / "run"), "--set", ASKED], check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = f"{time.perf_counter() - start:.1f} s, {used.ru_utime + used.ru_stime:.1f} CPU s"
    print(f"tamis what-if: {seconds}, {used.ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main(*sys.argv[1:])
