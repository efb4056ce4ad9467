"""data-juicer: seven of its filters, which need no model, and its MinHash 14 × 8 over five words at white space.

The filters are those of its recipes for web pages but for language, perplexity and flagged words, with its own limits. They
count other things than the rules of Gopher, C4 and FineWeb do. Operators are called as its own executor calls them, without
the cache files of `datasets` in between.
"""

from __future__ import annotations

from pathlib import Path

import datasets
from data_juicer.ops.deduplicator import DocumentMinhashDeduplicator
from data_juicer.ops.filter import (
    AlphanumericFilter,
    AverageLineLengthFilter,
    CharacterRepetitionFilter,
    MaximumLineLengthFilter,
    SpecialCharactersFilter,
    WordRepetitionFilter,
    WordsNumFilter,
)
from data_juicer.utils.constant import Fields, HashKeys
from loguru import logger
from measure import Task, main, megabytes, texts

BANDS, ROWS, WORDS = 14, 8, 5
BATCH = 1000  # documents, as by default
FILTERS = (
    AlphanumericFilter,
    AverageLineLengthFilter,
    CharacterRepetitionFilter,
    MaximumLineLengthFilter,
    SpecialCharactersFilter,
    WordRepetitionFilter,
    WordsNumFilter,
)


def rules(corpus: Path) -> Task:
    """Every filter on every document, as Tamis measures every signal."""
    documents, filters = texts(corpus), [kind() for kind in FILTERS]

    def run() -> None:
        for first in range(0, len(documents), BATCH):
            batch = documents[first : first + BATCH]
            samples = {"text": batch, Fields.stats: [{} for _ in batch]}
            for each in filters:
                samples = each.compute_stats_batched(samples)
                list(each.process_batched(samples))

    return Task(megabytes(corpus), run)


def deduplicator() -> DocumentMinhashDeduplicator:
    permutations = BANDS * ROWS
    return DocumentMinhashDeduplicator(
        window_size=WORDS, num_permutations=permutations, num_bands=BANDS, num_rows_per_band=ROWS
    )


def minhash(corpus: Path) -> Task:
    documents, step = texts(corpus), deduplicator()
    return Task(megabytes(corpus), lambda: [step.compute_hash({"text": text}) for text in documents].clear())


def duplicates(corpus: Path) -> Task:
    """All of a cluster but its first document, as shared bands connect them."""
    documents, step = texts(corpus), deduplicator()

    def run() -> dict[str, object]:
        hashes = [step.compute_hash({"text": text})[HashKeys.minhash] for text in documents]
        table = datasets.Dataset.from_dict({"row": range(len(documents)), HashKeys.minhash: hashes})
        kept, _ = step.process(table)
        return {"removed": sorted(set(range(len(documents))) - set(kept["row"]))}

    return Task(megabytes(corpus), run)


logger.remove()
datasets.disable_progress_bars()
main("py-data-juicer", {"rules": rules, "minhash": minhash, "duplicates": duplicates})
