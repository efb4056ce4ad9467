"""Proposes for each document which items of benchmarks it may contain. The step `judge` decides."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Rater, Signal, signal_batch
from tamis.transforms.decontaminate.benchmarks import Benchmarks
from tamis.transforms.text.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.decontaminate.matching.index import Index
    from tamis.transforms.text.segment import SegmentedTexts

SAVED_INDEX = ".state/benchmarks.arrow"
"""Where a run directory has the index of the benchmarks, for its workers: `Contamination.index_file`."""

_SOURCE = "seeds of rare words, aligned with each text of an item; the scores are made in Decide"

_GONE = {
    "min_ngram": "items of all lengths are matched; leave it out",
    "max_items": "what many items share counts for little by itself; leave it out",
}

Action = Literal["drop", "review", "report"]


class Classes(Options):
    """What happens to documents by what they have of an item. `drop` and `review` are as severe as the
    score allows: one below `drop` is reviewed. `report` keeps the document and counts it."""

    copied: Action = Field("drop", description="A copy of the question, also an edited one.")
    changed: Action = Field("review", description="A copy with other numbers, names or letters: a template, or a mutated item.")
    part: Action = Field(
        "review", description="A part of the question, another one about the same passage, or the question with other choices."
    )
    answer: Action = Field("review", description="The answer or solution without its question.")
    passage: Action = Field("report", description="The passage that the question is about, which is often a public page.")

    def action(self, kind: str) -> Action:
        """What happens to documents with a match of this class."""
        found: Action = getattr(self, kind)
        return found


class Thresholds(Options):
    """The limits of one benchmark."""

    drop: float | None = Field(None, gt=0, description="Instead of `drop` of the section.")
    review: float | None = Field(None, gt=0, description="Instead of `review` of the section; by default as `drop`.")


class Decontaminate(Options):
    """The benchmarks to look for, and how much of an item is a match."""

    benchmarks: Benchmarks
    score: Literal["weighted", "ngram", "token", "extend", "longest"] = Field(
        "weighted",
        description="How a match is scored from 0 to 1. `weighted`: by what each word tells, with choices and answers near "
        "it. The others are those of Singh et al. 2024 (arXiv 2411.03923): the share of n-grams; of words in n-grams; of words "
        "in spans that may skip words (Llama 2); the longest such span.",
    )
    ngram: int = Field(8, ge=1, description="Words per n-gram, for the scores that count n-grams.")
    mincount: int = Field(
        1,
        ge=1,
        description="Documents of the run that must have an n-gram for it to count, for the scores that count n-grams. More "
        "than 1 leaves out what only one document copies.",
    )
    skip: int = Field(0, ge=0, description="Words in a row that a span may skip, for `extend` and `longest`.")
    action: Literal["drop", "cut"] = Field(
        "drop",
        description="What happens to documents that would be dropped: they are, or the text of the item is cut out of them "
        "with the text around it, and the rest stays.",
    )
    margin: int = Field(
        200,
        ge=0,
        description="Characters that are cut on either side of a match, and then on to the next white space, so that no word "
        "is cut in two. GPT-3 removed 200 (Brown et al. 2020, appendix C).",
    )
    drop: float = Field(
        0.62, gt=0, description="Documents with a match of at least this score are dropped, if its class allows it."
    )
    review: float | None = Field(
        None,
        gt=0,
        description="Documents with a match of at least this score, but less than `drop`, are set aside for review; by "
        "default as `drop`, so that only the class decides.",
    )
    thresholds: dict[str, Thresholds] = Field({}, description="Limits that differ for a benchmark, by its name.")
    classes: Classes = Classes()

    @model_validator(mode="before")
    @classmethod
    def _without_old_options(cls, section: Any) -> Any:
        for name, cure in _GONE.items():
            if isinstance(section, dict) and name in section:
                raise ValueError(f"{name} is no option any more: {cure}")
        return section

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [benchmark.name for benchmark in self.benchmarks]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two benchmarks are named {repeated[0]!r}")
        if unknown := sorted(self.thresholds.keys() - set(names)):
            raise ValueError(f"thresholds of {unknown[0]!r}, which is none of the benchmarks: {', '.join(names)}")
        for name in names:
            drop, review = self.limits(name)
            if review > drop:
                where = f" for {name}" if name in self.thresholds else ""
                raise ValueError(f"review {review} is above drop {drop}{where}")
        return self

    def limits(self, benchmark: str) -> tuple[float, float]:
        """`drop` and `review` of a benchmark."""
        own = self.thresholds.get(benchmark, Thresholds())
        drop = self.drop if own.drop is None else own.drop
        review = own.review if own.review is not None else self.review if own.drop is None else None
        return drop, drop if review is None else review


@lru_cache(maxsize=2)
def _index(options: str, words: Words, versions: tuple[str, ...]) -> Index:
    """The index for options in JSON, loaded once per process and version of the files."""
    from tamis.transforms.decontaminate.matching.index import load_or_build

    return load_or_build(Decontaminate.model_validate_json(options), words)


def _file_versions(options: Decontaminate) -> tuple[str, ...]:
    entries = [entry for benchmark in options.benchmarks for entry in benchmark.files]
    return tuple(f"{entry.uri} {entry.version}" for entry in entries)


class Contamination(Rater[Decontaminate]):
    """Lists the items that a document may contain, and which of their words (`candidate_records.TYPE`).

    `words` applies to documents and benchmarks. `index` is the URI of a saved index with the same
    options and words (see `index.build` and `Index.save`), which workers map into memory. Without
    it, each process reads the benchmarks, and `setup` raises ValueError if they changed after the
    driver took the fingerprint.
    """

    name = "contamination"
    VERSION = 5
    own_file = True
    compares = True
    index_file = "benchmarks.arrow"
    example: ClassVar[Mapping[str, Any]] = {
        "benchmarks": [{"name": "benchmark", "path": "items.jsonl", "fields": ["question"]}]
    }
    signals = (Signal("contamination.candidates", "list<binary>", "texts of items, by word", "none", _SOURCE),)

    def __init__(self, options: Decontaminate, index: str | None = None, words: Words = DEFAULT_WORDS) -> None:
        super().__init__(options)
        self.uri = index
        self.words = words

    @cached_property
    def index(self) -> Index:
        from tamis.transforms.decontaminate.matching.index import Index

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

    def save_index(self, uri: str) -> None:
        self.index.save(uri)

    def with_index(self, uri: str) -> Self:
        return type(self)(self.options, uri, self.words)

    def setup(self) -> None:
        import pyarrow as pa

        from tamis.transforms.decontaminate.matching.candidates import propose
        from tamis.transforms.text.segment import segment

        if self._identity() != self.fingerprint:
            raise ValueError("the benchmarks changed after the run was planned; start the run again")
        propose(segment(pa.array([""], pa.large_string()), self.words), self.index)  # compiles

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        from tamis.transforms.decontaminate.matching.candidates import propose

        return signal_batch(self.signals, [propose(texts, self.index)])
