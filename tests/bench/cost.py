"""Measures the cost of one run by movement and exchange, as one JSON line: CPU, memory, bytes, pieces.

    python cost.py FILE... [--partition-bytes N]

One worker in this process reads the files, so that its memory is a worker's and all CPU time is counted. A run on a few
documents comes first: it compiles kernels, imports Beam, and gives the cost that every run has, however small. `--kernels`
measures the steps that need size instead: the cut of a ranking, and the forest of duplicates; `--component` the memory of a
large cluster of duplicates.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ours import few_documents

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import work_plan
from tamis.pipelines.run.finalize import finalize_run
from tamis.pipelines.run.prepare import prepare
from tamis.pipelines.run.progress import MOVEMENTS, MovementProgress, read_progress
from tamis.pipelines.runners import local
from tamis.transforms.beam.exchange import Gathered, Piece, addressed, spill_rows
from tamis.transforms.beam.ranking import range_of
from tamis.transforms.dedup.components import forest
from tamis.transforms.dedup.deduplicate import find_survivors
from tamis.transforms.dedup.minhash import MinHash
from tamis.transforms.text.hashing import mix

SHARD_BYTES = 16 << 20
"""So small that the smallest corpus fills one: memory is compared where everything that bounds it is full."""

EXCHANGES = {
    # a column that only its batches have
    "record_hash": "identity: text, id and record hashes",
    "ordinal": "identity: answers",
    "bucket": "duplicates: bands",
    "shingles": "duplicates: shingles of candidates",
    "duplicate_of": "duplicates: answers",
    "component": "duplicates: components",
    "text_hash_0": "duplicates: equal texts",
    "major": "ranking: keys",
    "rank": "ranking: answers",
    "text": "text to its shard",
    "doc_ref": "duplicates: lesser copies",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--partition-bytes", type=int, default=work_plan.PARTITION_BYTES)
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("--component", action="store_true")
    options = parser.parse_args()
    if options.kernels or options.component:
        print(json.dumps(kernels() if options.kernels else component()))
    else:
        print(json.dumps(measured(options.files, options.partition_bytes)))


def recipe(files: Sequence[str]) -> Recipe:
    """The shipped recipe `fineweb` but for its language: generated words have none, and who drops nearly all shows little."""
    fineweb = load_recipe("fineweb", [], files).model_dump(exclude_unset=True)
    thresholds = {name: limit for name, limit in fineweb["thresholds"].items() if not name.startswith("language.")}
    return Recipe.model_validate(fineweb | {"thresholds": thresholds, "output": {"shard_bytes": SHARD_BYTES}})


def measured(files: Sequence[str], partition_bytes: int) -> dict[str, object]:
    work_plan.PARTITION_BYTES = partition_bytes
    corpus = Path(files[0]).parents[1]
    few = [str(path) for path in (few_documents(corpus, 20) / "jsonl").iterdir()]
    took(few)
    fixed, _ = took(few)
    return took(files)[1] | {"fixed_cpu_s": fixed}


def took(files: Sequence[str]) -> tuple[dict[str, float], dict[str, object]]:
    """(CPU seconds by movement, everything) of one run."""
    wanted = recipe(files)
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as run:
        with _Clock(run) as clock:
            plan = work_plan.plan_work(wanted, run, fresh=False)
            prepare(wanted, plan)
            local.run(wanted, plan, workers=1)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            spilled = spills(Path(plan.spill))
            release = finalize_run(wanted, plan, {}, allow_shrink=True)
        manifest = release.manifest
        rooms = {room: _size(Path(run) / room) for room in ("rated", "sketches")}
        rooms |= {room: _size(Path(release.uri(room))) for room in ("decisions", "data")}
        decisions = pq.read_table(release.uri("decisions"), columns=["bytes", "tokens", "copies", "decision"])
    size, tokens = (decisions[name].to_numpy().astype(float) for name in ("bytes", "tokens"))
    return clock.cpu_s, {
        "documents": manifest["counts"]["records"],
        "kept": manifest["counts"]["kept"],
        "text_bytes": int(size.sum()),
        "input_bytes": plan.bytes,
        "parts": len(plan.tasks),
        "partitions": plan.partitions,
        "cpu_s": clock.cpu_s,
        "peak_rss": peak,
        "rooms": rooms,
        "exchanges": spilled,
        "piece_bytes": len(pickle.dumps((1 << 20, Piece("s3://bucket/run/.spill/" + "0" * 32 + ".arrows", 1 << 20, 1 << 20)))),
        # Shards are even in tokens: by how many bytes a document differs from its share.
        "bytes_off": float((size - tokens * (size.sum() / tokens.sum())).std()),
    }


class _Clock:
    """CPU seconds of this process until a movement last did something; the next begins there. The last takes the rest."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.cpu_s: dict[str, float] = {}
        self._ended = dict.fromkeys(MOVEMENTS, 0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Clock:
        self._begun = time.process_time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._ended[MOVEMENTS[-1]] = time.process_time()
        begun = self._begun
        for movement in MOVEMENTS:
            ended = max(begun, self._ended[movement])
            self.cpu_s[movement], begun = ended - begun, ended

    def _look(self) -> None:
        last: dict[str, MovementProgress] = {}
        while not self._stop.wait(0.02):
            now = read_progress(self.run)
            for movement, done in now.items():
                if done != last.get(movement):
                    self._ended[movement] = time.process_time()
            last = now


def spills(folder: Path) -> dict[str, dict[str, int]]:
    """Rows, pieces and bytes of every exchange, read from its files: each piece is one stream."""
    found: dict[str, Counter[str]] = {}
    for path in sorted(folder.glob("*.arrows")):
        with pa.OSFile(str(path)) as file:
            while file.tell() < file.size():
                begun = file.tell()
                with pa.ipc.open_stream(file) as reader:
                    rows, names = sum(batch.num_rows for batch in reader), reader.schema.names
                exchange = next(label for column, label in EXCHANGES.items() if column in names)
                found.setdefault(exchange, Counter()).update(rows=rows, pieces=1, bytes=file.tell() - begun)
    return {label: dict(found[label]) for label in sorted(found)}


def kernels() -> dict[str, float]:
    """Seconds to find the ranges of a part's rows among a number of cuts; bytes and seconds a document in the forest."""
    rows, chance = 20_000, np.random.Generator(np.random.PCG64(0))
    keys = chance.integers(0, 1 << 64, (rows, 2), dtype=np.uint64)
    seconds = {}
    for cuts in (1_000, 101_000):
        cut = np.sort(chance.integers(0, 1 << 64, (cuts, 2), dtype=np.uint64), axis=0)
        begun = time.process_time()
        range_of(keys, cut)
        seconds[cuts] = time.process_time() - begun
    nodes = 4_000_000
    edges = np.sort(chance.integers(0, nodes, (nodes, 2), dtype=np.uint64), axis=1)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    held = len(forest(edges))
    return {
        "cut_s": {str(cuts): taken for cuts, taken in seconds.items()},
        "forest_cpu_s": (time.process_time() - begun) / held,
        "forest_bytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / held,
    }


def component(members: int = 500_000, part: int = 20_000) -> dict[str, float]:
    """Bytes of memory that each document of one cluster takes of the worker that decides which of them stay: every second one
    repeats the text before it, and all share every band. Their shingles, which lie in a file, are one each."""
    options = MinHash()
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as spill:

        def gathered(count: int) -> Gathered:
            pieces = []
            for first in range(0, count, part):
                batch = _alike(np.arange(first, min(first + part, count), dtype=np.uint64), options.bands)
                pieces += [piece for _, piece in spill_rows(batch, spill)]
            return Gathered(0, tuple(pieces))

        list(find_survivors(gathered(100), options, spill))  # compiled before
        all_of_them = gathered(members)
        before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        kept = sum(batch["duplicate_of"].null_count for batch in find_survivors(all_of_them, options, spill))
    assert kept == 1
    return {"member_bytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / members}


def _alike(doc_ref: np.ndarray, bands: int) -> pa.RecordBatch:
    head = doc_ref % np.uint64(2) == 0
    text = mix(doc_ref // np.uint64(2), 0)
    batch = {"component": np.zeros(len(doc_ref), np.uint64), "doc_ref": doc_ref, "text_hash_0": text, "text_hash_1": text}
    batch |= {
        "id": pa.array([f"{number:032x}" for number in doc_ref.tolist()]),
        "quality": pa.nulls(len(doc_ref), pa.float32()),
    }
    batch["tie_break"] = pa.array(text >> np.uint64(1) << np.uint64(1) | ~head)  # the copy comes after what it repeats
    shared = pa.array(np.tile(np.arange(bands, dtype=np.uint64), len(doc_ref)))
    batch["bands"] = pa.FixedSizeListArray.from_arrays(shared, bands)
    first = pa.array(np.concatenate([[0], np.cumsum(head)]))
    batch["shingles"] = pa.LargeListArray.from_arrays(first, pa.array(np.full(head.sum(), 7, np.uint64)), mask=pa.array(~head))
    return addressed(pa.record_batch(batch), np.zeros(len(doc_ref), np.uint32))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
