"""datatrove: its filters, its MinHash and both together, with its English words (spaCy) or, on request, words at white space.

python works.py WORK CORPUS [whitespace] [every]

The rules are those of Tamis's recipe `fineweb` with the same limits. What the same rules do not say:
- End to end as shipped, a document that one filter drops is seen by no later one and gets no signature. `every` does what Tamis
  does: each filter measures the whole of each document, and each document gets a signature.
- Inside a filter, datatrove stops at the first rule that fails, in every mode; Tamis measures all.
- As shipped, language is told from the whole text, and with `every`, as Tamis does it, from the first 2,000 characters.
"""

from __future__ import annotations

import re
import sys
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path

from datatrove.data import Document, DocumentsPipeline
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LambdaFilter,
    LanguageFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter, get_filter_result
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
from datatrove.utils import lid
from datatrove.utils.hashing import HashConfig
from datatrove.utils.word_tokenizers import WordTokenizer
from loguru import logger
from measure import Task, main, megabytes, texts

CONFIG = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=64))


class WhiteSpace(WordTokenizer):
    """The cheapest words; sentences end at a mark before white space."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return re.split(r"(?<=[.!?])\s+", text)

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        ends = [found.end() for found in re.finditer(r"[.!?]\s+", text)]
        return list(pairwise([0, *ends, len(text)]))


WORDS = WhiteSpace() if "whitespace" in sys.argv else "en"
EVERY = "every" in sys.argv
PREFIX = 2000  # characters


class Every(PipelineStep):
    """Asks every filter about every document, and passes all on, marked with whether all of them keep it."""

    name = "every filter"

    def __init__(self, language: BaseFilter, others: list[BaseFilter]) -> None:
        super().__init__()
        self.language = language
        self.others = others

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        for document in data:
            told = [keeps(self.language, document.text[:PREFIX]), *(keeps(step, document.text) for step in self.others)]
            document.metadata["kept"] = all(told)
            yield document


def filters() -> list[BaseFilter]:
    """FineWeb's, with its exceptions (examples/fineweb.py)."""
    return [
        GopherRepetitionFilter(language=WORDS),
        GopherQualityFilter(language=WORDS),
        C4QualityFilter(filter_no_terminal_punct=False, language=WORDS),
        FineWebQualityFilter(language=WORDS),
    ]


def rules(corpus: Path) -> Task:
    """Every filter on every document, as Tamis measures every signal."""
    steps, documents = filters(), texts(corpus)

    def run() -> None:
        for text in documents:
            for step in steps:
                keeps(step, text)

    keeps(steps[0], "loads the tokenizer")
    return Task(megabytes(corpus), run)


def keeps(step: BaseFilter, text: str) -> bool:
    try:
        return get_filter_result(step.filter(Document(text=text, id="")))[0]  # C4 rewrites a document: each has its own
    except ZeroDivisionError:  # what datatrove makes of a text without words or lines
        return False


def minhash(corpus: Path) -> Task:
    """Shingles and signatures, without the files."""
    documents, folder = texts(corpus), tempfile.mkdtemp(prefix="tamis-bench-")
    step = MinhashDedupSignature(folder, CONFIG, language=WORDS)

    def run() -> None:
        for text in documents:
            shingles = step.get_shingles(text)
            if shingles.size:
                step.get_signature(shingles)

    step.get_shingles("loads the tokenizer and the hash function")
    return Task(megabytes(corpus), run)


def end_to_end(corpus: Path, kind: str) -> Task:
    """Language, filters, the four stages of MinHash, in the order of examples/fineweb.py: one task, Parquet at the end."""
    scratch = Path(tempfile.mkdtemp(prefix="tamis-bench-"))
    reader = partial(JsonlReader, str(corpus / "jsonl")) if kind == "jsonl" else partial(ParquetReader, str(corpus / "parquet"))
    _run(reader(limit=1), scratch / "warm", corpus)

    def run() -> dict[str, object]:
        _run(reader(), scratch / "run", corpus)
        return {"kept": _rows(scratch / "run" / "kept")}

    return Task(megabytes(corpus), run, once=True)


def _run(reader: PipelineStep, folder: Path, corpus: Path) -> None:
    lid.cached_asset_path_or_download = lambda *_, **__: str(corpus / "lid.176.ftz")  # it would fetch lid.176.bin
    signatures, buckets, remove, passed = (str(folder / name) for name in ("signatures", "buckets", "remove", "passed"))
    language, kept = LanguageFilter(["en"], 0.65), LambdaFilter(lambda document: document.metadata["kept"])
    measured: list[PipelineStep] = [Every(language, filters())] if EVERY else [language, *filters()]
    writer = ParquetWriter(str(folder / "kept"), compression="zstd")
    written: list[PipelineStep] = [kept, writer] if EVERY else [writer]
    stages: list[tuple[list[PipelineStep], int]] = [
        ([reader, *measured, JsonlWriter(passed)], 1),
        ([JsonlReader(passed), MinhashDedupSignature(signatures, CONFIG, language=WORDS)], 1),
        ([MinhashDedupBuckets(signatures, buckets, config=CONFIG)], CONFIG.num_buckets),
        ([MinhashDedupCluster(buckets, remove, config=CONFIG)], 1),
        ([JsonlReader(passed), MinhashDedupFilter(remove), *written], 1),
    ]
    for number, (steps, tasks) in enumerate(stages):
        LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=str(folder / f"logs-{number}")).run()


def _rows(folder: Path) -> int:
    import pyarrow.parquet as pq

    return sum(pq.ParquetFile(path).metadata.num_rows for path in folder.iterdir())


logger.remove()
main(
    "datatrove",
    {
        "rules": rules,
        "minhash": minhash,
        "run jsonl": partial(end_to_end, kind="jsonl"),
        "run parquet": partial(end_to_end, kind="parquet"),
    },
)
