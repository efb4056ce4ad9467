"""The step that ends documents which contain benchmark items, or cuts these items out of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms import storage
from tamis.transforms.beam.exchange import FlatMapDoFn, JoinResults, PartState
from tamis.transforms.beam.step import CUTS, Documents, Kept, Step, rated_part, rounded
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.ngrams import SAVED_INDEX, Contamination, Decontaminate
from tamis.transforms.text.words import Words

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.index import Index

STEP = "contamination"


class JudgeContamination(Step):
    """Drops or reviews documents by the coverage of the benchmark item that they are closest to, or
    cuts the items out instead of dropping. Adds the column `benchmark`, its name."""

    name = STEP
    signals = ("contamination.benchmark", "contamination.coverage", "contamination.item")

    def __init__(self, options: Decontaminate, rater: Contamination) -> None:
        self.options, self.rater = options, rater
        self.cuts = options.action == "cut"

    @classmethod
    def of(cls, options: Decontaminate, recipe: Any) -> JudgeContamination:
        (rater,) = (rater for rater in recipe.raters if isinstance(rater, Contamination))
        return cls(options, rater)

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform | None:
        return CutCopies(self.rater, kept, spill) if self.cuts else None

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        benchmark, coverage, item = (documents.columns[name] for name in self.signals)
        coverage = coverage.fill_null(0.0)

        def detail(rows: pa.Array) -> pa.Array:
            return _detail(coverage.take(rows), benchmark.take(rows), item.take(rows))

        value = coverage.to_numpy()
        reached = value >= self.options.drop
        if not self.cuts:
            documents.end(reached, "drop", STEP, detail)
        documents.end((value >= self.options.review) & ~reached, "review", STEP, detail)
        documents.columns["benchmark"] = benchmark


class CutCopies(beam.PTransform):
    """Adds a result `contamination` (`CUTS`): the copies of passages in documents that reach `drop`.
    Their texts alone are read again."""

    def __init__(self, rater: Contamination, kept: Kept, spill: str) -> None:
        super().__init__()
        self.rater, self.kept, self.spill = rater, kept, spill

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        find = FlatMapDoFn(partial(_cuts, kept=self.kept, rater=self.rater))
        cuts = part_states | "Copies" >> beam.ParDo(find).with_output_types(pa.RecordBatch)
        return part_states | "Return" >> JoinResults({STEP: cuts}, self.spill)


def _cuts(part_state: PartState, kept: Kept, rater: Contamination) -> Iterator[pa.RecordBatch]:
    from tamis.transforms.decontaminate.copied_spans import copied_spans

    part, options = rated_part(part_state), rater.options
    doc_ref = kept(part_state)["doc_ref"].to_numpy()
    coverage = part.columns(["contamination.coverage"])["contamination.coverage"].fill_null(0.0).to_numpy()
    doc_ref = doc_ref[coverage[row_of(doc_ref)] >= options.drop]
    if not len(doc_ref):
        return
    uri = storage.join(part.run, SAVED_INDEX)
    index = _index(options.model_dump_json(), rater.words, rater.fingerprint, uri if storage.exists(uri) else None)
    labels, first = index.names.take(pa.array(index.benchmark)), 0
    for read, batch in part.read(row_of(doc_ref), ["text"]):
        spans = copied_spans(batch["text"], index, rater.words, options.review, options.margin)
        passage = pa.array(spans.passage)
        detail = _detail(pa.array(spans.coverage), labels.take(passage), index.labels.take(passage))
        reference = doc_ref[first : first + len(read)][spans.document]
        first += len(read)
        reason = pa.repeat(STEP, len(reference))
        yield pa.record_batch([reference, spans.start, spans.stop, reason, detail.cast(pa.string())], schema=CUTS)


@lru_cache(maxsize=2)
def _index(options: str, words: Words, fingerprint: str, saved: str | None) -> Index:
    """The index with which documents were rated: the one that the driver saved, else that of the
    files. Raises RunError if both are others."""
    for uri in dict.fromkeys([saved, None]):
        rater = Contamination(Decontaminate.model_validate_json(options), uri, words)
        if rater.fingerprint == fingerprint:
            return rater.index
    raise RunError("the benchmarks changed after the run was planned; start the run again")


def _detail(coverage: pa.Array, benchmark: pa.Array, item: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(
        rounded(coverage), "of", benchmark.cast(pa.string()), item.cast(pa.string()), " ", null_handling="skip"
    )
