"""Measures contamination as the n-gram overlap of a document with benchmark passages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.transforms.core.options import Options, PositiveCount, fingerprint
from tamis.transforms.core.rater import Rater, Signal, signal_batch
from tamis.transforms.decontaminate.benchmarks import Benchmarks
from tamis.transforms.text.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.decontaminate.index import Index
    from tamis.transforms.text.segment import SegmentedTexts

SAVED_INDEX = ".state/benchmarks.arrow"
"""Where a run directory has the index of the benchmarks, for its workers."""

_NGRAM_SOURCE = "13-gram overlap (Brown et al. 2020, arXiv 2005.14165, appendix C)"
_COVERAGE_SOURCE = "n-gram match of the best passage (Singh et al. 2024, arXiv 2411.03923, turned to the training side)"


class Decontaminate(Options):
    """The benchmarks to look for, and how much overlap is a match."""

    benchmarks: Benchmarks
    ngram: int = Field(
        13,
        ge=1,
        description="Words per n-gram. GPT-3 used 13 (Brown et al. 2020, arXiv 2005.14165, appendix C): long enough that prose "
        "shares none by chance, short enough to match edited copies.",
    )
    min_ngram: int = Field(
        8,
        ge=1,
        description="A passage shorter than `ngram` is matched as a whole if it has at least this many words. With 13-grams "
        "only, Marin recalled 54 % of verbatim copies, because short questions have none. GPT-3 also used 8; below that, "
        "everyday phrases match.",
    )
    max_items: PositiveCount = Field(
        10, description="An n-gram in more items of a benchmark than this is part of its template and is ignored."
    )
    action: Literal["drop", "cut"] = Field(
        "drop",
        description="What happens to documents that reach `drop`: they are dropped, or every passage of which they cover at "
        "least `review` is cut out of them with the text around it, and the rest stays.",
    )
    margin: int = Field(
        200,
        ge=0,
        description="Characters that are cut on either side of a match, and then on to the next white space, so that no word "
        "is cut in two. GPT-3 removed 200 (Brown et al. 2020, appendix C).",
    )
    drop: float = Field(
        0.8,
        gt=0,
        description="Documents that cover at least this share of a passage are dropped: copies with an edit or two. In 14 "
        "benchmarks, every verbatim copy of at least eight words reaches it, unless it is all template or repeats fewer than "
        "four words. Of 19,500 web pages, PEPs, mails, Wikipedia paragraphs and Python files one does, by a phrase of the "
        "First Amendment.",
    )
    review: float = Field(
        0.5,
        gt=0,
        description="Documents that cover at least this share, but less than `drop`, are set aside for review. Often the "
        "benchmark quotes a public page (two of those 19,500 documents, with true copies of BoolQ passages).",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.review > self.drop:
            raise ValueError(f"review {self.review} is above drop {self.drop}")
        if self.min_ngram > self.ngram:
            raise ValueError(f"min_ngram {self.min_ngram} is longer than ngram {self.ngram}")
        names = [benchmark.name for benchmark in self.benchmarks]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two benchmarks are named {repeated[0]!r}")
        return self


@lru_cache(maxsize=2)
def _index(options: str, words: Words, versions: tuple[str, ...]) -> Index:
    """The index for options in JSON, loaded once per process and version of the files."""
    from tamis.transforms.decontaminate.index import load_or_build

    return load_or_build(Decontaminate.model_validate_json(options), words)


def _file_versions(options: Decontaminate) -> tuple[str, ...]:
    entries = [entry for benchmark in options.benchmarks for entry in benchmark.files]
    return tuple(f"{entry.uri} {entry.version}" for entry in entries)


class Contamination(Rater[Decontaminate]):
    """Measures what a document shares with the benchmarks: 0 n-grams and no benchmark if nothing.

    `words` applies to documents and benchmarks. `index` is the URI of a saved index with the same
    options and words (see `index.build` and `Index.save`), which workers map into memory. Without
    it, each process reads the benchmarks, and `setup` raises ValueError if they changed after the
    driver took the fingerprint.
    """

    name = "contamination"
    VERSION = 1
    own_file = True
    compares = True
    example: ClassVar[Mapping[str, Any]] = {
        "benchmarks": [{"name": "benchmark", "path": "items.jsonl", "fields": ["question"]}]
    }
    signals = (
        Signal("contamination.ngrams", "int64", "distinct n-grams", "down", _NGRAM_SOURCE, least=0),
        Signal("contamination.coverage", "float64", "share of the passage's n-grams", "down", _COVERAGE_SOURCE, 0.0, 1.0),
        Signal("contamination.benchmark", "string", "name", "none", "benchmark of the best-matching passage"),
        Signal("contamination.item", "string", "item:field", "none", "best-matching passage"),
    )

    def __init__(self, options: Decontaminate, index: str | None = None, words: Words = DEFAULT_WORDS) -> None:
        super().__init__(options)
        self.uri = index
        self.words = words

    @cached_property
    def index(self) -> Index:
        from tamis.transforms.decontaminate.index import Index

        if self.uri is not None:
            return Index.load(self.uri)
        return _index(self.options.model_dump_json(), self.words, _file_versions(self.options))

    @cached_property
    def fingerprint(self) -> str:
        return self._identity()

    def _identity(self) -> str:
        return fingerprint([self.name, self.VERSION, self.words.identity, self.index.fingerprint])

    def __getstate__(self) -> dict[str, object]:
        return {"options": self.options, "uri": self.uri, "words": self.words, "fingerprint": self.fingerprint}

    def setup(self) -> None:
        import pyarrow as pa

        from tamis.transforms.text.segment import segment

        if self._identity() != self.fingerprint:
            raise ValueError("the benchmarks changed after the run was planned; start the run again")
        self.index.match(segment(pa.array([""], pa.large_string()), self.words))  # compiles

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa

        index = self.index
        matches = index.match(texts)
        ngrams = np.zeros(len(texts), np.int64)
        coverage = np.zeros(len(texts))
        best = np.full(len(texts), -1, np.int64)
        ngrams[matches.document] = matches.ngrams
        coverage[matches.document] = matches.coverage
        best[matches.document] = matches.passage
        passage = pa.array(best, mask=best < 0)
        columns = [
            pa.array(ngrams),
            pa.array(coverage),
            index.names.take(pa.array(index.benchmark).take(passage)).cast(pa.string()),
            index.labels.take(passage).cast(pa.string()),
        ]
        return signal_batch(self.signals, columns)
