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
from tamis.transforms.beam.step import CUTS, Documents, Kept, Step, rated_part
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.benchmarks import PARTS
from tamis.transforms.decontaminate.contamination_rater import SAVED_INDEX, Contamination, Decontaminate
from tamis.transforms.text.words import Words

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.matching.index import Index
    from tamis.transforms.decontaminate.matching.run_evidence import Evidence, RunCounts
    from tamis.transforms.decontaminate.matching.scores import Matches

Ints = npt.NDArray[np.int64]

DROP = 2
"""The severity of matches of which a document is dropped, or cut."""

STEP = "contamination"
CANDIDATES = "contamination.candidates"

MATCHES = pa.schema(
    [
        *CUTS,
        pa.field("action", pa.string(), nullable=False),  # drop, cut, review, report or none
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),  # of the item in its benchmark, from 0
        pa.field("part", pa.string(), nullable=False),  # of the item: question, passage, choices or answer
        pa.field("class", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("match_start", pa.int64(), nullable=False),  # byte in the rated text
        pa.field("match_stop", pa.int64(), nullable=False),
        pa.field("decides", pa.bool_(), nullable=False),
    ]
)
"""Results of the step: one row for each match that is recorded, whose start and stop are equal, of all
documents; one of each document that was kept until now `decides`. With `action: cut`, also one for each
span to cut."""


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
            results = results.filter(results["decides"])
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
    """Adds up `RunCounts`: the memory is that of the words of items that occur."""

    def create_accumulator(self) -> list[RunCounts]:
        return []

    def add_input(self, accumulator: list[RunCounts], counts: RunCounts) -> list[RunCounts]:
        return [self.extract_output([*accumulator, counts])]

    def merge_accumulators(self, accumulators: Iterable[list[RunCounts]]) -> list[RunCounts]:
        return [self.extract_output([counts for accumulator in accumulators for counts in accumulator])]

    def extract_output(self, accumulator: list[RunCounts]) -> RunCounts:
        from tamis.transforms.decontaminate.matching.run_evidence import RunCounts

        return RunCounts.total(accumulator)


def _candidates(part_state: PartState) -> pa.ListArray:
    return rated_part(part_state).columns([CANDIDATES])[CANDIDATES].combine_chunks()


def _count(part_state: PartState, rater: Contamination) -> RunCounts:
    """All documents of a part count, also those that are dropped: a release counts what it has read."""
    from tamis.transforms.decontaminate.matching.candidate_records import unpack
    from tamis.transforms.decontaminate.matching.run_evidence import RunCounts

    index = _index_of(part_state, rater)
    return RunCounts.of(unpack(_candidates(part_state), index), index, rater.options)


def _matches(part_state: PartState, seen: RunCounts, kept: Kept, rater: Contamination) -> Iterator[pa.RecordBatch]:
    from tamis.transforms.decontaminate.matching.candidate_records import unpack
    from tamis.transforms.decontaminate.matching.run_evidence import evidence
    from tamis.transforms.decontaminate.matching.verdicts import deciding, find, recorded, severities

    options = rater.options
    doc_ref = rated_part(part_state).sketch([])["doc_ref"].to_numpy()
    doc_ref, listed = _with_candidates(doc_ref, _candidates(part_state))
    if not len(doc_ref):
        return
    index = _index_of(part_state, rater)
    of_run = evidence(index, seen, options)
    matches = find(unpack(listed, index), index, of_run, options)
    severity = severities(matches, index, options)
    undecided = np.isin(doc_ref, kept(part_state)["doc_ref"].to_numpy())[matches.document]
    decides = np.zeros(len(severity), np.bool_)
    decides[deciding(matches, np.where(undecided, severity, -1))] = True
    rows = recorded(matches, severity, index, options)
    none = np.zeros(len(rows), np.int64)
    shown, actions = matches.take(rows), severity[rows]
    yield _result(doc_ref[shown.document], none, none, actions, decides[rows], shown, index, options)
    copies = matches.document[decides & (severity == DROP)]
    if options.action == "cut" and len(copies):
        yield from _cuts(part_state, doc_ref[copies], index, of_run, rater)


def _with_candidates(doc_ref: npt.NDArray[np.uint64], listed: pa.ListArray) -> tuple[npt.NDArray[np.uint64], pa.ListArray]:
    some = pc.fill_null(pc.greater(pc.list_value_length(listed), 0), False)
    return doc_ref[some.to_numpy(zero_copy_only=False)], listed.filter(some)


def _result(
    doc_ref: npt.NDArray[np.uint64],
    start: Ints,
    stop: Ints,
    severity: Ints,
    decides: npt.NDArray[np.bool_],
    matches: Matches,
    index: Index,
    options: Decontaminate,
) -> pa.RecordBatch:
    """Rows of `MATCHES`."""
    from tamis.transforms.decontaminate.matching.verdicts import details
    from tamis.transforms.decontaminate.record import CLASSES

    words = pa.array(["none", "report", "review", options.action])
    first = np.searchsorted(index.benchmark, np.arange(len(index.names)))
    benchmark = index.benchmark[matches.item]
    columns = {
        "doc_ref": doc_ref,
        "start": start,
        "stop": stop,
        "reason": pa.repeat(pa.scalar(STEP), len(doc_ref)),
        "detail": details(matches, index, options.score),
        "action": words.take(pa.array(severity + 1)),
        "benchmark": index.names.take(pa.array(benchmark)).cast(pa.string()),
        "item": index.labels.take(pa.array(matches.item)).cast(pa.string()),
        "number": (matches.item - first[benchmark]).astype(np.int32),
        "part": pa.array(PARTS).take(pa.array(index.part[matches.text])),
        "class": pa.array(CLASSES).take(pa.array(matches.kind)),
        "score": matches.score,
        "match_start": matches.start,
        "match_stop": matches.stop,
        "decides": decides,
    }
    return pa.record_batch([pa.array(columns[name]) for name in MATCHES.names], schema=MATCHES)


def _cuts(
    part_state: PartState, doc_ref: npt.NDArray[np.uint64], index: Index, of_run: Evidence, rater: Contamination
) -> Iterator[pa.RecordBatch]:
    from tamis.transforms.decontaminate.matching.copied_spans import copied_spans

    first, options = 0, rater.options
    for read, batch in rated_part(part_state).read(row_of(doc_ref), ["text"]):
        spans = copied_spans(batch["text"], index, of_run, options, rater.words)
        reference = doc_ref[first : first + len(read)][spans.matches.document]
        first += len(read)
        severity, none = np.full(len(reference), DROP), np.zeros(len(reference), np.bool_)
        yield _result(reference, spans.start, spans.stop, severity, none, spans.matches, index, options)


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
