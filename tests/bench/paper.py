"""`make scaling`: writes docs/scaling.md, from runs of ×1, ×4 and ×16 to a billion and a hundred billion documents.

    python -m tests.bench.paper [--mb 800] [--repeats 3] [--corpus FOLDER] [--again]

Measures a generated corpus (cost.py; a process per run, sizes alternate, the least CPU of the repeats counts), stores the
measurements in build/scaling.json, extrapolates, and draws the skew (skew.py). `--again` only writes the page. The exit code
is 1 if the cost of a document or the memory of a worker is not flat within `TOLERANCE`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.pipelines.emit import SCATTER_BYTES
from tamis.pipelines.run import work_plan
from tamis.pipelines.runners import worker
from tamis.transforms.beam.ranking import ranges
from tamis.transforms.core.shards import Output
from tamis.transforms.read.input_options import Input
from tests.bench import skew

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build"
PAGE = ROOT / "docs" / "scaling.md"

TIMES = (1, 4, 16)
TOLERANCE = 0.1
FINE = 64 << 10
"""Partition bytes of the runs that show what a partition and a piece take: hundreds of partitions for a small corpus."""

CORES = 16
"""Of the machine in machine-hours."""

TEXT, COMPONENTS = "text to its shard", "duplicates: components"
CANDIDATES, BANDS, EQUAL = "duplicates: shingles of candidates", "duplicates: bands", "duplicates: equal texts"
KEYS, RANKS, IDENTITY = "ranking: keys", "ranking: answers", "identity: text, id and record hashes"

Json = dict[str, Any]
Counts = npt.NDArray[np.int64]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mb", type=float, default=800, help="size of the ×16 corpus (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--corpus", type=Path, help="one that corpus.py made, of at least 16 files, in place of building it")
    parser.add_argument("--again", action="store_true", help="write the page from build/scaling.json")
    options = parser.parse_args()
    kept = BUILD / "scaling.json"
    if not options.again:
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(measure(options.corpus or _corpus(options.mb), options.repeats), indent=1) + "\n")
    found = json.loads(kept.read_text())
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(found))
    return 0 if max(growth(found)) <= 1 + TOLERANCE else 1


def measure(corpus: Path, repeats: int) -> Json:
    files = sorted((corpus / "jsonl").iterdir())
    unit = len(files) // TIMES[-1]
    runs: dict[str, list[Json]] = {}
    load = []
    for _ in range(repeats):
        for times in TIMES:
            runs.setdefault(f"x{times}", []).append(_cost(files[: unit * times]))
            load.append(os.getloadavg()[1])
        for times in TIMES[:2]:
            runs.setdefault(f"fine x{times}", []).append(_cost(files[: unit * times], f"--partition-bytes={FINE}"))
    best = {name: _least(found) for name, found in runs.items()}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {min(load):.0f} to {max(load):.0f}"
    return {**best, "kernels": _cost([], "--kernels"), "component": _cost([], "--component"), "machine": machine}


def _corpus(mb: float) -> Path:
    folder = BUILD / "bench" / f"corpus-generated-{mb:g}"
    command = [sys.executable, str(HERE / "corpus.py"), str(folder), "--mb", str(mb), "--text", "generated", "--no-truth"]
    subprocess.run(command, check=True, env=_environment())
    return folder


def _cost(files: Sequence[Path], *more: str) -> Json:
    command = [sys.executable, str(HERE / "cost.py"), *map(str, files), *more]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=_environment())
    found: Json = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment() -> dict[str, str]:
    return os.environ | worker.ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, (HERE / "peers", ROOT)))}


def _least(runs: list[Json]) -> Json:
    """One of the runs, which differ in time alone, with the least CPU of each movement and the least memory."""
    least = {
        name: {movement: min(run[name][movement] for run in runs) for movement in runs[0][name]}
        for name in ("cpu_s", "fixed_cpu_s")
    }
    return runs[0] | least | {"peak_rss": min(run["peak_rss"] for run in runs)}


def per_document(run: Json) -> dict[str, float]:
    """CPU seconds of each movement for one document, without what every run takes."""
    return {name: (run["cpu_s"][name] - run["fixed_cpu_s"][name]) / run["documents"] for name in run["cpu_s"]}


def growth(found: Json) -> tuple[float, float]:
    """How many times what ×1 takes the most demanding size does: CPU a document, memory of the worker."""
    cost = [sum(per_document(found[f"x{times}"]).values()) for times in TIMES]
    memory = [found[f"x{times}"]["peak_rss"] for times in TIMES]
    return max(cost) / cost[0], max(memory) / memory[0]


@dataclass(frozen=True)
class Units:
    """Measured unit costs; the names are those of the table."""

    cpu: dict[str, float]  # s a document, by movement
    rows: dict[str, float]  # of each exchange a document
    bytes: dict[str, float]  # a row of each exchange
    overhead: dict[str, float]  # bytes a piece of each exchange
    rooms: dict[str, float]  # bytes a document
    text: float  # bytes a document
    input: float  # stored bytes a document
    kept: float  # share of the documents
    bytes_off: float  # of a kept document from its share of the tokens
    piece_bytes: float  # of the claim doc_ref that the runner shuffles
    piece_s: float
    partition_s: float
    cut_s: float  # a part and a cut
    forest_s: float  # a candidate
    forest_bytes: float
    member_bytes: float  # of memory, a document of a cluster whose survivors are decided


def units(found: Json) -> Units:
    whole, kernels = found["x16"], found["kernels"]
    documents = whole["documents"]
    rows, each, overhead = {}, {}, {}
    for name, coarse in whole["exchanges"].items():
        small, fine = found["x4"]["exchanges"][name], found["fine x4"]["exchanges"][name]
        pieces = fine["pieces"] - small["pieces"]
        overhead[name] = (fine["bytes"] - small["bytes"]) / pieces if pieces else 0.0
        rows[name] = coarse["rows"] / documents
        each[name] = (coarse["bytes"] - coarse["pieces"] * overhead[name]) / coarse["rows"]
    piece_s, partition_s = _piece_and_partition(found)
    cuts = {int(count): seconds for count, seconds in kernels["cut_s"].items()}
    return Units(
        per_document(whole),
        rows,
        each,
        overhead,
        {room: size / documents for room, size in whole["rooms"].items()},
        whole["text_bytes"] / documents,
        whole["input_bytes"] / documents,
        whole["kept"] / documents,
        whole["bytes_off"],
        whole["piece_bytes"],
        piece_s,
        partition_s,
        (cuts[max(cuts)] - cuts[min(cuts)]) / (max(cuts) - min(cuts)),
        kernels["forest_cpu_s"],
        kernels["forest_bytes"],
        found["component"]["member_bytes"],
    )


def _piece_and_partition(found: Json) -> tuple[float, float]:
    """What Decide takes more, with more partitions, is so much a piece and so much a partition: two runs, two unknowns."""
    more = []
    for times in TIMES[:2]:
        fine, coarse = found[f"fine x{times}"], found[f"x{times}"]
        pieces = _pieces(fine) - _pieces(coarse)
        more.append((pieces, fine["partitions"] - coarse["partitions"], fine["cpu_s"]["decide"] - coarse["cpu_s"]["decide"]))
    table = np.array(more, float)
    piece, partition = np.linalg.solve(table[:, :2], table[:, 2])
    return max(float(piece), 0.0), max(float(partition), 0.0)


def _pieces(run: Json) -> int:
    return sum(exchange["pieces"] for exchange in run["exchanges"].values())


SPLIT_BYTES, COARSE_SPLIT = int(Input.model_fields["split_bytes"].default), 256 << 20
"""Text in a part: by default, and as the recipe of a large run may set it."""

PLANS = ((10**9, SPLIT_BYTES), (10**9, COARSE_SPLIT), (10**11, COARSE_SPLIT))
"""Documents, and text in a part, of the runs on paper."""


@dataclass(frozen=True)
class Run:
    """A run on paper."""

    documents: float
    parts: float
    partitions: int
    pieces: float
    spilled: float
    shuffled: float
    kept: float
    cpu_s: dict[str, float]
    forest_bytes: float

    @property
    def core_hours(self) -> float:
        return sum(self.cpu_s.values()) / 3600


def run(documents: float, split_bytes: int, unit: Units, shard_bytes: int) -> Run:
    """Every figure is a count times a unit cost."""
    parts = max(1.0, documents * unit.text / split_bytes)
    partitions = work_plan.partitions(round(documents * unit.input))
    text = documents * unit.rows[TEXT] * unit.bytes[TEXT]
    ranked = parts * ranges(partitions)
    places = {
        TEXT: max(parts, text / SCATTER_BYTES) * max(1.0, text / shard_bytes),
        COMPONENTS: parts,
        KEYS: ranked,
        RANKS: ranked,
    }
    pieces = {
        # Rows thrown at so many pairs of writer and reader: those that get none have no piece.
        name: -(places.get(name, parts * partitions)) * np.expm1(-documents * each / places.get(name, parts * partitions))
        for name, each in unit.rows.items()
    }
    candidates = documents * unit.rows[COMPONENTS]
    count = sum(pieces.values())
    return Run(
        documents,
        parts,
        partitions,
        count,
        sum(documents * unit.rows[name] * unit.bytes[name] + pieces[name] * unit.overhead[name] for name in pieces),
        count * unit.piece_bytes,
        documents * sum(unit.rooms.values()),
        {
            **{name: documents * seconds for name, seconds in unit.cpu.items()},
            "pieces": count * unit.piece_s,
            "partitions": partitions * unit.partition_s,
            "cuts": parts * partitions * unit.cut_s,
            "forest": candidates * unit.forest_s,
        },
        candidates * unit.forest_bytes,
    )


def page(found: Json) -> str:
    unit = units(found)
    shard = int(Output.model_fields["shard_bytes"].default)
    runs = [run(documents, split, unit, shard) for documents, split in PLANS]
    fixed = sum(found["x16"]["fixed_cpu_s"].values())
    sizes = skew.clusters(10**9)
    return f"""# Scaling, measured and on paper

Written by `make scaling` (`tests/bench/paper.py`) on {found["machine"]}; a load of more than one a core makes CPU dearer, and
that of long runs most. Recipe `fineweb` without its language rule, generated text of {unit.text / 1e3:.1f} kB a document in
gzipped JSON lines, one worker; of CPU and memory the least of the repeats.

## Measured: the cost of a document

{_measured(found)}

CPU, spilled and kept are a document's; what every run takes, however small ({fixed:.1f} CPU s), is taken off.
{_verdict(found)}

## Unit costs

{_units(unit)}

## On paper: a billion documents, and a hundred billion

A part is {SPLIT_BYTES >> 20} MiB of text, the default of `input.split_bytes`, or {COARSE_SPLIT >> 20} MiB. A partition
is {work_plan.PARTITION_BYTES >> 20} MiB of stored input up to {work_plan.EVEN_PARTITIONS:,} of them; beyond, they grow in
number and in size alike, each with the square root of the input.

{_paper(runs, unit)}

Rate and Emit are linear. Pieces are not quite: a part sends one to every partition that it has a row for, so they grow with the
input to the power of 1.5 until a piece is a row. Larger parts are fewer, and so are their pieces; a worker holds the small
columns of one at a time. A hundred billion documents are a hundred runs, one a crawl: in one, the forest of duplicates does
not fit into a worker.

## Skew at a billion documents

{_skew(unit, runs[0], shard, sizes)}

Assumed: {skew.COPIES:.0%} of the documents are in clusters whose sizes follow Zipf's law, the k-th largest having C/k
documents, down to pairs (C = {sizes[0]:,}; {sizes.size:,} clusters).
{skew.EXACT:.0%} of a cluster are exact copies, which carry no shingles, and every band of a cluster is one bucket.

Hashes alone are even. Clusters are not: the largest is in one place however many partitions there are. The worker that gets it
holds the small columns of its documents, {unit.member_bytes:.0f} B of memory each: {_size(unit.member_bytes * sizes[0])} for
the largest here; 8 GiB hold {(8 << 30) / unit.member_bytes:,.0f} documents of one cluster. Their shingles lie in a file
that is mapped, on the disk of `.spill/` or of temporary files, and memory holds those of the documents that are kept.
"""


def _verdict(found: Json) -> str:
    cost, memory = growth(found)
    flat, held = ("is" if times <= 1 + TOLERANCE else "is not" for times in (cost, memory))
    return (
        f"**CPU {flat} flat** within {TOLERANCE:.0%}: a document of the dearest size costs {cost:.2f} times one of ×1.\n"
        f"**A worker's memory {held}**: {memory:.2f} times. (×1 keeps too little text to fill a shard, which is held while it\n"
        "is written; the rest is Decide's.)"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _measured(found: Json) -> str:
    sizes = [found[f"x{times}"] for times in TIMES]
    first = sum(per_document(sizes[0]).values())
    rows = []
    for times, one in zip(TIMES, sizes, strict=True):
        cpu = per_document(one)
        spilled = sum(exchange["bytes"] for exchange in one["exchanges"].values())
        rows.append(
            [
                f"×{times}",
                f"{one['text_bytes'] / 1e6:.0f}",
                f"{one['documents']:,}",
                *(f"{1e6 * seconds:.1f}" for seconds in cpu.values()),
                f"{1e6 * sum(cpu.values()):.1f}",
                f"{sum(cpu.values()) / first:.2f}",
                f"{one['peak_rss'] / 2**20:.0f}",
                f"{spilled / one['documents']:,.0f}",
                f"{sum(one['rooms'].values()) / one['documents']:,.0f}",
            ]
        )
    cpu_names = (f"{name}, CPU µs" for name in sizes[0]["cpu_s"])
    last = ("all, CPU µs", "to ×1", "worker's peak, MiB", "spilled, B", "kept in the run, B")
    return table(["", "MB of text", "documents", *cpu_names, *last], rows)


def _units(unit: Units) -> str:
    cpu = [(f"{name}", f"{1e6 * seconds:.1f} CPU µs a document", "×16") for name, seconds in unit.cpu.items()]
    stored = [(f"`{room}/`", f"{size:,.0f} B a document", "×16") for room, size in unit.rooms.items()]
    exchanges = [
        (
            name,
            f"{unit.rows[name]:.2f} rows a document, {unit.bytes[name]:,.0f} B a row, {unit.overhead[name]:,.0f} B a piece",
            "×16",
        )
        for name in sorted(unit.rows)
    ]
    others = [
        ("piece", f"{1e6 * unit.piece_s:.0f} CPU µs; {unit.piece_bytes:.0f} B through the runner", "×1 and ×4, finely cut"),
        ("partition", f"{1e3 * unit.partition_s:.1f} CPU ms, of all its exchanges", "×1 and ×4, finely cut"),
        ("cut", f"{1e9 * unit.cut_s:.0f} CPU ns for each part and cut of a ranking", "101,000 cuts less 1,000"),
        ("forest", f"{1e6 * unit.forest_s:.2f} CPU µs and {unit.forest_bytes:.0f} B of memory a candidate", "a random graph"),
    ]
    others.append(("member", f"{unit.member_bytes:.0f} B of memory a document of a cluster", "a cluster of 500,000"))
    return table(["unit", "cost", "measured on"], [*cpu, *stored, *exchanges, *others])


def _paper(runs: Sequence[Run], unit: Units) -> str:
    def line(name: str, of: str, values: Iterable[str]) -> list[str]:
        return [name, *values, of]

    steps = list(runs[0].cpu_s)
    rows = [
        line("documents", "", (f"{one.documents:.0e}" for one in runs)),
        line("text", "text of a document", (_size(one.documents * unit.text) for one in runs)),
        line("parts", "text in a part", (f"{one.parts:,.0f}" for one in runs)),
        line("partitions", "input in a partition", (f"{one.partitions:,.0f}" for one in runs)),
        line("pieces", "rows of the exchanges, parts × partitions", (f"{one.pieces:.1e}" for one in runs)),
        line("shuffled by the runner", "piece", (_size(one.shuffled) for one in runs)),
        line("temporary space (`.spill/`)", "exchanges", (_size(one.spilled) for one in runs)),
        line("kept in the run", "rated, sketches, decisions, data", (_size(one.kept) for one in runs)),
        *(line(f"core-hours: {name}", name, (f"{one.cpu_s[name] / 3600:,.1f}" for one in runs)) for name in steps),
        line("core-hours", "their sum", (f"{one.core_hours:,.0f}" for one in runs)),
        line(f"machine-hours of {CORES} cores", "", (f"{one.core_hours / CORES:,.0f}" for one in runs)),
        line("a document's cost, to ×16", "", (f"{_growth(one, unit):.2f}" for one in runs)),
        line("memory of one worker for the forest", "forest", (_size(one.forest_bytes) for one in runs)),
    ]
    head = [f"{documents // 10**9} B, parts of {split >> 20} MiB" for documents, split in PLANS]
    return table(["", *head, "from the unit cost of"], rows)


def _growth(one: Run, unit: Units) -> float:
    return sum(one.cpu_s.values()) / one.documents / sum(unit.cpu.values())


def _skew(unit: Units, one: Run, shard_bytes: int, sizes: Counts) -> str:
    chance = np.random.Generator(np.random.PCG64(20261121))
    documents, count = int(one.documents), one.partitions
    kept = int(documents * unit.kept)
    own = documents - int(sizes.sum())
    bands = round(unit.rows[BANDS] / unit.rows[EQUAL])
    # A cluster meets with its shingles; exact copies bring none.
    shingled = unit.bytes[CANDIDATES] * (1 - skew.EXACT)
    per_shard = shard_bytes / unit.text
    members = skew.hashed(0, sizes, count, chance)
    drawn = {
        IDENTITY: (skew.hashed(documents, np.empty(0, np.int64), count, chance), unit.bytes[IDENTITY]),
        EQUAL: (skew.hashed(own, sizes, count, chance), unit.bytes[EQUAL]),
        BANDS: (skew.hashed(own, sizes, count, chance, bands), unit.bytes[BANDS]),
        CANDIDATES: (members, shingled),
        f"{CANDIDATES}, memory": (members, unit.member_bytes),
        KEYS: (skew.ranges(kept, ranges(count), chance), unit.bytes[KEYS]),
    }
    rows = []
    for exchange, (load, size) in drawn.items():
        places = ranges(count) if exchange == KEYS else count
        rows.append([exchange, f"{places:,}", f"{load.mean:,.0f}", f"{load.ratio:.2f}", _size(load.largest * size)])
    shards = max(1, round(kept * unit.text / shard_bytes))
    load = skew.shards(shard_bytes, per_shard, unit.bytes_off, shards, chance)
    rows.append(["shards, of bytes", f"{shards:,}", _size(load.mean), f"{load.ratio:.3f}", _size(load.largest)])
    return table(["exchange", "partitions", "rows, mean", "largest to mean", "largest, bytes"], rows)


def _size(size: float) -> str:
    for name in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {name}"
        size /= 1000
    return f"{size:,.3g} PB"


if __name__ == "__main__":
    sys.exit(main())
