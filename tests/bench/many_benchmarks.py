"""Measures the matcher with many benchmarks: what their index takes, and what it adds to the Rate pass and to a worker.

    python -m tests.bench.many_benchmarks [--benchmarks 200] [--items 1000000] [--mb 15] [--repeats 3]

The items are generated: words of the web pages in ../shared/data by Zipf's law, as many in each part as real items have.
The Rate pass of the recipe `fineweb` over these pages is measured without benchmarks, with the real ones, and with the
generated ones, in turns, each time in a new process that maps the saved index.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipelines.measure import measure
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.decontaminate.contamination_rater import SAVED_INDEX, Contamination, Decontaminate
from tamis.transforms.decontaminate.matching.index import Index, build
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read
from tamis.transforms.runtime.memory import keep_freed_memory

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"

REAL = {
    "arc_challenge": "arc_challenge.jsonl",
    "arc_easy": "arc_easy.jsonl",
    "bbh": "bbh.jsonl.zst",
    "boolq": "boolq.jsonl",
    "commonsenseqa": "commonsense_qa.jsonl",
    "gsm8k": "gsm8k_test.jsonl",
    "hellaswag": "hellaswag_val_full.txt.bz2",
    "humaneval": "humaneval.jsonl",
    "lambada": "lambada_openai.jsonl",
    "mmlu": "mmlu_test.jsonl.zst",
    "openbookqa": "openbook_qa.jsonl",
    "piqa": "piqa.jsonl",
    "socialiqa": "siqa.jsonl",
    "truthfulqa": "truthfulqa.csv",
    "winogrande": "winogrande.jsonl",
}
"""Files of real benchmarks in ../shared/data, by their name in the registry."""

ZIPF = 1.05
"""Exponent of the probability of a word by its rank."""


@dataclass(frozen=True)
class Lengths:
    """Words of a text: a log-normal distribution by its median and the deviation of the logarithm."""

    median: float
    deviation: float

    def draw(self, count: int, chance: np.random.Generator) -> npt.NDArray[np.int64]:
        """At least one word each."""
        drawn = self.median * np.exp(self.deviation * chance.standard_normal(count))
        return np.maximum(1, np.round(drawn)).astype(np.int64)


@dataclass(frozen=True)
class Shape:
    """The lengths of the texts of the items of a kind of benchmark."""

    question: Lengths
    choice: Lengths | None = None
    choices: int = 0
    answer: Lengths | None = None
    passage: Lengths | None = None


SHAPES = (
    Shape(Lengths(42, 0.4), answer=Lengths(48, 0.5)),  # GSM8K
    Shape(Lengths(18, 0.9), Lengths(5, 0.9), 4),  # MMLU
    Shape(Lengths(20, 0.5), Lengths(4, 0.7), 4),  # ARC
    Shape(Lengths(36, 0.5), Lengths(21, 0.5), 4),  # HellaSwag
    Shape(Lengths(7, 0.4), Lengths(18, 0.6), 2),  # PIQA
    Shape(Lengths(9, 0.2), answer=Lengths(1, 0.0), passage=Lengths(90, 0.5)),  # BoolQ
    Shape(Lengths(14, 0.5), Lengths(2, 0.4), 5),  # CommonsenseQA
)
"""By the items of these benchmarks."""

WORD = re.compile(r"\w+")


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """Prints what is measured as the rows of tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarks", type=int, default=200)
    parser.add_argument("--items", type=int, default=1_000_000, help="of all benchmarks together (%(default)s)")
    parser.add_argument("--mb", type=float, default=15, help="of web pages, at most (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--once", nargs=2, metavar=("WORK", "FOLDER"), help="`build` or `rate`, as this program calls itself")
    options = parser.parse_args(arguments)
    if options.once is not None:
        work, folder = options.once
        print(json.dumps(built(Path(folder)) if work == "build" else rated(Path(folder), options.mb)))
        return
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: it has the web pages and benchmarks")
    with tempfile.TemporaryDirectory(prefix="tamis-bench-") as name:
        folders = {kind: Path(name) / kind for kind in ("none", "real", "generated")}
        for folder in folders.values():
            folder.mkdir()
        named = [{"name": each, "path": str(DATA / "benchmarks" / file)} for each, file in REAL.items()]
        (folders["real"] / "benchmarks.json").write_text(json.dumps(named))
        words = by_frequency(text for batch in pages(options.mb) for text in batch["text"].to_pylist())
        write_benchmarks(folders["generated"], options.benchmarks, options.items, words)
        print("| benchmarks | items | build, CPU s | build, peak MB | index, MB | index, bytes an item | unmatchable |")
        print("|---|---|---|---|---|---|---|")
        for kind in ("real", "generated"):
            print(build_row(child("build", folders[kind])), flush=True)
        print("\nunmatchable: " + "; ".join(unmatchable_of(folders["real"])), flush=True)
        found: dict[str, list[dict[str, float]]] = {kind: [] for kind in folders}
        for _ in range(options.repeats):
            for kind, folder in folders.items():
                found[kind].append(child("rate", folder, "--mb", str(options.mb)))
    print("\n| benchmarks | Rate pass, CPU s | slower | set-up, CPU s | candidates | mapped, shared MB | own MB of a worker |")
    print("|---|---|---|---|---|---|---|")
    for kind, several in found.items():
        print(rate_row(kind, several, found["none"]))


def child(work: str, folder: Path, *options: str) -> dict[str, float]:
    """What this program prints for one kind of work, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.many_benchmarks", *options, "--once", work, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{work} {folder}: {done.stderr}")
    line: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return line


def build_row(line: dict[str, float]) -> str:
    """A row of the first table."""
    an_item = line["index_mb"] * 1e6 / line["items"]
    return (
        f"| {line['benchmarks']} | {line['items']:,} | {line['cpu_s']:.1f} | {line['peak_mb']:,.0f} | "
        f"{line['index_mb']:,.1f} | {an_item:,.0f} | {line['unmatchable'] / line['items']:.2%} |"
    )


def rate_row(kind: str, several: Sequence[dict[str, float]], without: Sequence[dict[str, float]]) -> str:
    """A row of the second table: medians, and of the CPU seconds also the least and the most."""
    seconds = [line["cpu_s"] for line in several]
    middle = {name: median(line[name] for line in several) for name in several[0]}
    slower = middle["cpu_s"] / median(line["cpu_s"] for line in without) - 1
    own = middle["own_mb"] - median(line["own_mb"] for line in without)
    return (
        f"| {kind} | {middle['cpu_s']:.3f} ({min(seconds):.3f}–{max(seconds):.3f}) | {slower:+.1%} | "
        f"{middle['set_up_s']:.2f} | {middle['candidates']:,.0f} | "
        f"{middle['mapped_mb']:,.1f} | {middle['own_mb']:,.0f} ({own:+,.0f}) |"
    )


def pages(mb: float) -> Iterator[pa.RecordBatch]:
    """Web pages in batches as a run reads them, until they are so many MB."""
    options, size = Input(paths=(str(DATA / "web" / "*.jsonl.zst"),)), 0
    for split in plan(options)[0]:
        for batch, _ in read(split, options):
            if batch.num_rows and size < mb * 1e6:
                size += batch["text"].nbytes
                yield batch


def by_frequency(texts: Iterator[str]) -> list[str]:
    """Every word of the texts, the commonest first; words that are as common in alphabetical order."""
    counts = Counter(word for text in texts for word in WORD.findall(text))
    return sorted(counts, key=lambda word: (-counts[word], word))


def write_benchmarks(folder: Path, benchmarks: int, items: int, words: Sequence[str], seed: int = 0) -> None:
    """Writes a file of generated items for each benchmark, and benchmarks.json, which names their fields.

    Benchmark k has the kth of `SHAPES` in turns, and is about as large as the others: the first ones have one item more.
    The same arguments give the same bytes.
    """
    chance = np.random.Generator(np.random.PCG64(seed))
    cumulative = np.cumsum(np.arange(1, len(words) + 1) ** -ZIPF)
    cumulative /= cumulative[-1]
    vocabulary = np.array(words, object)
    named = []
    for number in range(benchmarks):
        path, count = folder / f"generated-{number:03}.jsonl", items // benchmarks + (number < items % benchmarks)
        rows = drawn_items(SHAPES[number % len(SHAPES)], count, vocabulary, cumulative, chance)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        shape = SHAPES[number % len(SHAPES)]
        fields = [part for part in ("question", "passage", "choices", "answer") if getattr(shape, part)]
        named.append({"name": path.stem, "path": str(path), "fields": fields})
    (folder / "benchmarks.json").write_text(json.dumps(named))


def drawn_items(
    shape: Shape, count: int, vocabulary: npt.NDArray[Any], cumulative: npt.NDArray[np.float64], chance: np.random.Generator
) -> list[dict[str, Any]]:
    """Rows of a benchmark; a question ends with a question mark."""

    def texts(lengths: Lengths, number: int) -> list[str]:
        first = np.concatenate([[0], np.cumsum(lengths.draw(number, chance))])
        drawn = vocabulary[np.searchsorted(cumulative, chance.random(first[-1]))].tolist()
        return [" ".join(drawn[begin:end]) for begin, end in pairwise(first)]

    rows: list[dict[str, Any]] = [{"question": f"{question}?"} for question in texts(shape.question, count)]
    for name, lengths in (("passage", shape.passage), ("answer", shape.answer)):
        if lengths is not None:
            for row, text in zip(rows, texts(lengths, count), strict=True):
                row[name] = text
    if shape.choice is not None:
        every = texts(shape.choice, count * shape.choices)
        for number, row in enumerate(rows):
            row["choices"] = every[number * shape.choices : (number + 1) * shape.choices]
    return rows


def built(folder: Path) -> dict[str, float]:
    """Reads the benchmarks of a folder, and builds and saves their index."""
    options, before = Decontaminate(benchmarks=_benchmarks(folder)), _cpu()
    index = build(options)
    index.save(str(_saved(folder)))
    return {
        "benchmarks": len(index.names),
        "items": len(index.benchmark),
        "cpu_s": _cpu() - before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "index_mb": _saved(folder).stat().st_size / 1e6,
        "unmatchable": len(index.unmatchable),
    }


def unmatchable_of(folder: Path) -> Iterator[str]:
    """The unmatchable items of each benchmark that has some, by its saved index."""
    index = Index.load(str(_saved(folder)))
    items, without = Counter(index.benchmark.tolist()), Counter(index.benchmark[index.unmatchable].tolist())
    for number, count in sorted(without.items()):
        yield f"{index.names[number]} {count} of {items[number]:,} ({count / items[number]:.2%})"


def rated(folder: Path, mb: float) -> dict[str, float]:
    """Measures the pages as a worker does that maps the saved index: once to compile and fill its memory, then again."""
    keep_freed_memory()
    documents, recipe = list(pages(mb)), _recipe(folder)
    before = _cpu()
    components = prepared_components(recipe, str(folder))
    set_up = _cpu() - before
    found = 0
    for batch in documents:
        signals = measure(batch, recipe, components)[0]
        if Contamination.signals[0].name in signals.schema.names:
            found += len(signals[Contamination.signals[0].name].flatten())
    before = _cpu()
    for batch in documents:
        measure(batch, recipe, components)
    return {"cpu_s": _cpu() - before, "set_up_s": set_up, "candidates": found} | _memory(_saved(folder))


def _benchmarks(folder: Path) -> list[Any]:
    path = folder / "benchmarks.json"
    named: list[Any] = json.loads(path.read_text()) if path.is_file() else []
    return named


def _saved(folder: Path) -> Path:
    return folder / Path(SAVED_INDEX).name


def _recipe(folder: Path) -> Recipe:
    fineweb = load_recipe("fineweb", [], [str(DATA / "web" / "*.jsonl.zst")])
    if not (named := _benchmarks(folder)):
        return fineweb
    return Recipe.model_validate({**fineweb.model_dump(exclude_unset=True), "decontaminate": {"benchmarks": named}})


def _memory(index: Path) -> dict[str, float]:
    """MB of the index that are mapped and in memory, which all processes share, and MB that are this process's own."""
    mapped, own, of_index = 0, 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            of_index = line.endswith(f"/{index.name}")
        elif name == "Rss:" and of_index:
            mapped += int(values[0])
        elif name == "Anonymous:":
            own += int(values[0])
    return {"mapped_mb": mapped * 1024 / 1e6, "own_mb": own * 1024 / 1e6}


def _cpu() -> float:
    """CPU seconds of this process, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
