"""The step that ends documents which contain benchmark items, or cuts these items out of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms import storage
from tamis.transforms.beam.exchange import FlatMapDoFn, JoinResults, MapDoFn, PartState, result_column
from tamis.transforms.beam.step import CUTS, Documents, Kept, Step, rated_part, rounded
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.contamination_rater import SAVED_INDEX, Contamination, Decontaminate
from tamis.transforms.text.words import Words

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.matching.index import Index
    from tamis.transforms.decontaminate.matching.scores import Matches

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Counts = tuple[Ints, Ints, Ints]

STEP = "contamination"
CANDIDATES = "contamination.candidates"

MATCHES = pa.schema(
    [
        *CUTS,
        pa.field("action", pa.string(), nullable=False),  # drop, review, report or cut
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("class", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)
"""Results of the step: one row for each document with a match, whose start and stop are equal, and
with `action: cut` one for each span to cut."""


class JudgeContamination(Step):
    """Drops, reviews or reports documents by the benchmark item that they match best, or cuts the
    items out instead of dropping. Adds the column `benchmark`, its name."""

    name = STEP

    def __init__(self, options: Decontaminate, rater: Contamination) -> None:
        self.options, self.rater = options, rater
        self.cuts = options.action == "cut"

    @classmethod
    def of(cls, options: Decontaminate, recipe: Any) -> JudgeContamination:
        (rater,) = (rater for rater in recipe.raters if isinstance(rater, Contamination))
        return cls(options, rater)

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform:
        return FindMatches(self.rater, kept, spill)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        doc_ref = documents.columns["doc_ref"]
        if results is not None:
            results = results.filter(pc.equal(results["start"], results["stop"]))
        action, benchmark, details = (
            result_column(doc_ref, results, name, None) if results is not None else pa.nulls(len(doc_ref), pa.string())
            for name in ("action", "benchmark", "detail")
        )
        for decision in ("drop", "review"):
            ended = pc.fill_null(pc.equal(action, decision), False).to_numpy(zero_copy_only=False)
            documents.end(ended, decision, STEP, details.take)
        documents.columns["benchmark"] = benchmark


class FindMatches(beam.PTransform):
    """Adds a result `contamination` (`MATCHES`). With `action: cut`, the texts of documents that are
    copies are read again, and no others."""

    def __init__(self, rater: Contamination, kept: Kept, spill: str) -> None:
        super().__init__()
        self.rater, self.kept, self.spill = rater, kept, spill

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        seen = beam.pvalue.AsSingleton(
            part_states
            | "Count" >> beam.ParDo(MapDoFn(partial(_count, rater=self.rater)))
            | "Sum" >> beam.CombineGlobally(SumCounts()).without_defaults()
        )
        find = FlatMapDoFn(partial(_matches, kept=self.kept, rater=self.rater))
        matches = part_states | "Match" >> beam.ParDo(find, seen).with_output_types(pa.RecordBatch)
        return part_states | "Return" >> JoinResults({STEP: matches}, self.spill)


class SumCounts(beam.CombineFn):
    """Adds up `partial_counts`: the memory is that of the words of items that occur."""

    def create_accumulator(self) -> list[Counts]:
        return []

    def add_input(self, accumulator: list[Counts], counts: Counts) -> list[Counts]:
        return [summed([*accumulator, counts])]

    def merge_accumulators(self, accumulators: Iterable[list[Counts]]) -> list[Counts]:
        return [summed([counts for accumulator in accumulators for counts in accumulator])]

    def extract_output(self, accumulator: list[Counts]) -> Counts:
        return summed(accumulator)


def summed(counts: Iterable[Counts]) -> Counts:
    """The sum of `partial_counts` of several parts."""
    columns = [np.concatenate([np.empty(0, np.int64), *column]) for column in zip(*counts, strict=True)] or [
        np.empty(0, np.int64)
    ] * 3
    words, which = np.unique(columns[0], return_inverse=True)
    matched, joined = (np.bincount(which, column, minlength=len(words)).astype(np.int64) for column in columns[1:])
    return words, matched, joined


def _candidates(part_state: PartState) -> pa.ListArray:
    return rated_part(part_state).columns([CANDIDATES])[CANDIDATES].combine_chunks()


def _count(part_state: PartState, rater: Contamination) -> Counts:
    """All documents of a part count, also those that are dropped: a release counts what it has read."""
    from tamis.transforms.decontaminate.matching.candidates import unpack
    from tamis.transforms.decontaminate.matching.scores import partial_counts

    index = _index_of(part_state, rater)
    return partial_counts(unpack(_candidates(part_state), index), index)


def _matches(part_state: PartState, seen: Counts, kept: Kept, rater: Contamination) -> Iterator[pa.RecordBatch]:
    from tamis.transforms.decontaminate.matching.candidates import unpack
    from tamis.transforms.decontaminate.matching.scores import word_bits
    from tamis.transforms.decontaminate.matching.verdicts import decisive, find

    options = rater.options
    doc_ref = kept(part_state)["doc_ref"].to_numpy()
    listed = _candidates(part_state).take(pa.array(row_of(doc_ref)))
    doc_ref, listed = _with_candidates(doc_ref, listed)
    if not len(doc_ref):
        return
    index = _index_of(part_state, rater)
    bits = word_bits(index, seen)
    matches, severity = decisive(find(unpack(listed, index), index, bits, options), index, options)
    words = pa.array(["report", "review", "cut" if options.action == "cut" else "drop"])
    none = np.zeros(len(severity), np.int64)
    yield _result(doc_ref[matches.document], none, none, words.take(pa.array(severity)), matches, index, options.score)
    copies = matches.document[severity == len(words) - 1]
    if options.action == "cut" and len(copies):
        yield from _cuts(part_state, doc_ref[copies], index, bits, rater)


def _with_candidates(doc_ref: npt.NDArray[np.uint64], listed: pa.ListArray) -> tuple[npt.NDArray[np.uint64], pa.ListArray]:
    some = pc.fill_null(pc.greater(pc.list_value_length(listed), 0), False)
    return doc_ref[some.to_numpy(zero_copy_only=False)], listed.filter(some)


def _result(
    doc_ref: npt.NDArray[np.uint64], start: Ints, stop: Ints, action: pa.Array, matches: Matches, index: Index, metric: str
) -> pa.RecordBatch:
    """Rows of `MATCHES`. A detail is `copied: gsm8k 17 (weighted 0.9812, bytes 120-430)`."""
    from tamis.transforms.decontaminate.matching.scores import CLASSES

    benchmark = index.names.take(pa.array(index.benchmark[matches.item])).cast(pa.string())
    item = index.labels.take(pa.array(matches.item)).cast(pa.string())
    kind, score = pa.array(CLASSES).take(pa.array(matches.kind)), pa.array(matches.score)
    places = (pa.array(place).cast(pa.string()) for place in (matches.start, matches.stop))
    pieces = [kind, ": ", benchmark, " ", item, f" ({metric} ", rounded(score), ", bytes "]
    detail = pc.binary_join_element_wise(*pieces, pc.binary_join_element_wise(*places, "-"), ")", "")
    columns = [pa.array(doc_ref), pa.array(start), pa.array(stop), pa.repeat(STEP, len(doc_ref)), detail]
    return pa.record_batch([*columns, action, benchmark, item, kind, score], schema=MATCHES)


def _cuts(
    part_state: PartState, doc_ref: npt.NDArray[np.uint64], index: Index, bits: Floats, rater: Contamination
) -> Iterator[pa.RecordBatch]:
    from tamis.transforms.decontaminate.matching.copied_spans import copied_spans

    first, options = 0, rater.options
    for read, batch in rated_part(part_state).read(row_of(doc_ref), ["text"]):
        spans = copied_spans(batch["text"], index, bits, options, rater.words)
        reference = doc_ref[first : first + len(read)][spans.matches.document]
        first += len(read)
        action = pa.repeat("cut", len(reference))
        yield _result(reference, spans.start, spans.stop, action, spans.matches, index, options.score)


def _index_of(part_state: PartState, rater: Contamination) -> Index:
    uri = storage.join(rated_part(part_state).run, SAVED_INDEX)
    return _index(rater.options.model_dump_json(), rater.words, rater.fingerprint, uri if storage.exists(uri) else None)


@lru_cache(maxsize=2)
def _index(options: str, words: Words, fingerprint: str, saved: str | None) -> Index:
    """The index with which documents were rated: the one that the driver saved, else that of the
    files. Raises RunError if both are others."""
    for uri in dict.fromkeys([saved, None]):
        rater = Contamination(Decontaminate.model_validate_json(options), uri, words)
        if rater.fingerprint == fingerprint:
            return rater.index
    raise RunError("the benchmarks changed after the run was planned; start the run again")
