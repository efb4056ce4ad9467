"""Finds rephrased and translated benchmark items in a release: per item the nearest passages, then a verdict on each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from tamis.pipelines.recipe.load import finished_recipe
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.release import open_release
from tamis.transforms.decontaminate.benchmark_registry import complete
from tamis.transforms.decontaminate.benchmarks import Benchmark, Item, items
from tamis.transforms.decontaminate.rephrased.judges import Judge
from tamis.transforms.decontaminate.rephrased.nearest import Embedded, Encode, Nearest, Scorer
from tamis.transforms.decontaminate.rephrased.tfidf import TfIdf
from tamis.transforms.feed.loader import read_in_order

SMALLEST_WINDOW, LARGEST_WINDOW = 32, 512
LEAST_COSINE = 0.5
"""The score that passages must exceed if embeddings are compared."""

_BATCH_BYTES = 4 << 20

TABLE = pa.schema(
    [
        pa.field("benchmark", pa.string()),
        pa.field("item", pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("verdict", pa.string()),
        pa.field("suspicious", pa.bool_()),
        pa.field("detail", pa.string()),
        pa.field("start", pa.int64()),
        pa.field("stop", pa.int64()),
        pa.field("question", pa.string()),
        pa.field("passage", pa.string()),
    ]
)
"""A row for each passage near an item: `rank` from 1, the bytes of the passage in the text of the document `id`."""


@dataclass(frozen=True)
class Search:
    """What is looked for, and how."""

    top: int = 5
    """Passages of each item."""
    least: float = 0.08
    """The score that they must exceed."""
    window: int = 0
    """Words in a passage; 0: twice those of the median item."""
    encode: Encode | None = None
    """Embeds texts; without it, TF-IDF compares them."""


@dataclass(frozen=True)
class Found:
    """The table, and what was looked at."""

    table: pa.Table
    documents: int
    passages: int
    items: dict[str, int]
    """Of each benchmark."""


def benchmarks_of(run: str, names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks `names` of the recipe of a release or of the registry, or all of the recipe. A name may have a
    path: gsm8k=gsm8k_test.jsonl. Raises RunError for others."""
    options = finished_recipe(open_release(run).manifest).decontaminate
    of_recipe = {benchmark.name: benchmark for benchmark in (options.benchmarks if options else ())}
    if not names and not of_recipe:
        raise RunError(f"the recipe of {run} names no benchmarks; name some, as --benchmark gsm8k=gsm8k_test.jsonl")
    found: list[Benchmark] = []
    for text in names or of_recipe:
        name, _, path = text.partition("=")
        if name in of_recipe and not path:
            found.append(of_recipe[name])
            continue
        try:
            found += map(Benchmark.model_validate, complete([{"name": name, **({"path": path} if path else {})}]))
        except ValueError as error:
            close = nearest(name, of_recipe)
            hint = f"; the recipe of {run} has {close}" if close else ""
            raise RunError(f"--benchmark {text}: {error}{hint}") from None
    return found


def load_encoder(name: str) -> Encode:
    """The function `module:function`, of a module that is installed or in the working directory. Raises RunError if there
    is none."""
    module, _, function = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        encode: Any = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise RunError(f"--embed {name}: {error}; name a function that embeds a list of texts, as module:function") from None
    finally:
        sys.path.pop(0)
    if not callable(encode):
        raise RunError(f"--embed {name}: it is no function")
    return encode


def find_rephrased(
    run: str,
    benchmarks: Sequence[Benchmark],
    search: Search,
    judge: Judge,
    workers: int = 1,
    observe: Callable[[str], None] = lambda line: None,
) -> Found:
    """The passages near each item of the benchmarks in a release, `RUN` or `RUN@41`, with the verdicts of `judge`.

    The texts are read once, in training order. Memory: a shard, and `top` passages an item. The table does not depend on
    how the release is cut into shards. `workers`: threads that ask the judge.

    Raises RunError if a benchmark cannot be read, or has no question.
    """
    listed = [item for benchmark in benchmarks for item in _items(benchmark)]
    questions = list(map(question, listed))
    words = finished_recipe(open_release(run).manifest).words
    scorer: Scorer = TfIdf(questions, words) if search.encode is None else Embedded(questions, search.encode)
    near = Nearest(scorer, len(listed), search.top, search.least, search.window or window_words(questions), words)
    for shard in read_in_order(run):
        observe(f"{shard.path}: {near.documents:,} documents before it")
        for batch in _batches(shard.documents.select(["id", "text"])):
            near.add(batch["text"], batch["id"])
    pairs = [(item, text, rank, each) for item, text, found in zip(listed, questions, near.found, strict=True)
             for rank, each in enumerate(found, 1)]  # fmt: skip
    observe(f"{near.passages:,} passages; {len(pairs):,} of them to judge")
    with ThreadPoolExecutor(workers) as pool:
        verdicts = list(pool.map(lambda pair: judge.judge(pair[1], pair[3]), pairs))
    rows = [
        (item.benchmark, item.id, rank, each.id, each.score, verdict.verdict, verdict.suspicious, verdict.detail,
         each.start, each.stop, text, each.text)
        for (item, text, rank, each), verdict in zip(pairs, verdicts, strict=True)
    ]  # fmt: skip
    table = pa.table([pa.array(column, field.type) for column, field in zip(_columns(rows), TABLE, strict=True)], TABLE)
    names = [benchmark.name for benchmark in benchmarks]
    return Found(table, near.documents, near.passages, {name: sum(item.benchmark == name for item in listed) for name in names})


def question(item: Item) -> str:
    """What is looked for of an item: its question and its choices. A passage is public text, and an answer alone is short."""
    return "\n".join([*item.question, *item.choices])


def write_table(table: pa.Table, uri: str) -> None:
    """Writes a table as .parquet, .jsonl or .csv. Raises RunError for another name."""
    kind = writable(uri)
    with storage.commit(uri) as sink:
        if kind == ".parquet":
            pq.write_table(table, sink)
        elif kind == ".csv":
            pyarrow.csv.write_csv(table, sink)
        else:
            import orjson

            for row in table.to_pylist():
                sink.write(orjson.dumps(row) + b"\n")


def writable(uri: str) -> str:
    """The suffix of a table that `write_table` writes. Raises RunError for another."""
    kind = (storage.suffixes(uri) or [""])[-1]
    if kind not in (".parquet", ".jsonl", ".csv"):
        raise RunError(f"{uri}: a table ends in .parquet, .jsonl or .csv")
    return kind


def lines(found: Found, output: str) -> Iterator[str]:
    """What a person reads."""
    for name, number in found.items.items():
        of_benchmark = found.table.filter(pc.equal(found.table["benchmark"], name))
        suspicious = of_benchmark.filter(of_benchmark["suspicious"])
        failed = pc.sum(pc.equal(of_benchmark["verdict"], "failed")).as_py() or 0
        touched, documents = (pc.count_distinct(suspicious[column]).as_py() for column in ("item", "id"))
        line = f"{name}: {touched:,} of {number:,} items have a suspicious passage, in {documents:,} documents"
        yield line + (f"; {failed:,} passages could not be judged, and count as suspicious" if failed else "")
    yield f"{found.documents:,} documents, {found.passages:,} passages compared; {len(found.table):,} rows in {output}"


def _items(benchmark: Benchmark) -> list[Item]:
    try:
        listed = items(benchmark)
    except ValueError as error:
        raise RunError(str(error)) from None
    if not any(question(item).strip() for item in listed):
        raise RunError(f"benchmark {benchmark.name}: no item has a question")
    return listed


def window_words(questions: Sequence[str]) -> int:
    """Twice the words of the median question, so that a passage with it is about half of a window."""
    words = [len(text.split()) for text in questions]
    return int(np.clip(2 * np.median(words), SMALLEST_WINDOW, LARGEST_WINDOW))


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Its rows in batches of about 4 MB of text."""
    for batch in table.combine_chunks().to_batches():
        size = max(1, batch.num_rows * _BATCH_BYTES // max(1, batch.nbytes))
        for first in range(0, batch.num_rows, size):
            yield batch.slice(first, size)


def _columns(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return list(zip(*rows, strict=True)) if rows else [()] * len(TABLE)
