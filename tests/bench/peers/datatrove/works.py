"""datatrove: its filters, its MinHash and both together, with its English words (spaCy) or, on request, words at white space.

python works.py WORK CORPUS [whitespace]
"""

from __future__ import annotations

import re
import sys
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter
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
                _filter(step, text)

    _filter(steps[0], "loads the tokenizer")
    return Task(megabytes(corpus), run)


def _filter(step: BaseFilter, text: str) -> None:
    try:
        step.filter(Document(text=text, id=""))  # C4 rewrites the document: each filter gets one of its own
    except ZeroDivisionError:  # what datatrove makes of a text without words or lines
        return


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
    """Language, filters, the four stages of MinHash, as in examples/fineweb.py: one task, Parquet at the end."""
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
    stages: list[tuple[list[PipelineStep], int]] = [
        ([reader, LanguageFilter(["en"], 0.65), *filters(), JsonlWriter(passed)], 1),
        ([JsonlReader(passed), MinhashDedupSignature(signatures, CONFIG, language=WORDS)], 1),
        ([MinhashDedupBuckets(signatures, buckets, config=CONFIG)], CONFIG.num_buckets),
        ([MinhashDedupCluster(buckets, remove, config=CONFIG)], 1),
        ([JsonlReader(passed), MinhashDedupFilter(remove), ParquetWriter(str(folder / "kept"), compression="zstd")], 1),
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
