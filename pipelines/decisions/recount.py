"""The step that counts again what cuts have left of documents, and judges them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.measure import Components, measure, measure_each
from tamis.pipelines.rate import prepared_raters
from tamis.transforms.beam.cuts import BANDS, MERGED, RECOUNT, SPANS, merge, recounted
from tamis.transforms.beam.exchange import MapDoFn, PartState, Piece, addressed, spill_rows
from tamis.transforms.beam.step import CUTS, Documents, Kept, Step, one_batch, rated_part
from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.documents import BATCH_BYTES, SCHEMA, row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.runtime.memory import give_back_freed_memory
from tamis.transforms.select.thresholds import Threshold, evaluate
from tamis.transforms.text.hashing import text_buffer
from tamis.transforms.text.splice import lengths, splice

if TYPE_CHECKING:
    import apache_beam as beam

    from tamis.pipelines.recipe.schema import Recipe

_TOKENS = "tokens.count"  # the signal that is always measured


class Recount(Step):
    """Merges the cuts of the steps before it, in their order, and counts again what is left of each
    document that was cut: tokens, bytes, hashes, bands. Drops it if that is nothing, and judges it
    again by the thresholds `after_cuts`. The recipe puts one behind each row of steps that cut, so
    that the steps after it read the numbers of the text that is left. `cutting`: the steps that have
    cut; `counted`: those whose cuts an earlier one has counted.

    Signals stay those of the text as it was rated; only the ones in `after_cuts` are measured again,
    for their thresholds. Editors do not run again.
    """

    lasting = True  # tokens and bytes are columns that every step reads

    def __init__(self, recipe: Recipe, cutting: Sequence[str], counted: Sequence[str]) -> None:
        self.recipe, self.cutting, self.counted = recipe, tuple(cutting), tuple(counted)
        self.name = " ".join((RECOUNT, *self.counted))

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform:
        import apache_beam as beam

        count = partial(recount, recipe=self.recipe, kept=kept, name=self.name, cutting=self.cutting, spill=spill)
        return beam.ParDo(MapDoFn(partial(count, counted=self.counted))).with_output_types(PartState)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        if results is None:
            return
        columns, doc_ref = documents.columns, documents.columns["doc_ref"]
        for name in ("tokens", "bytes"):
            columns[name] = recounted(columns[name], doc_ref, results, name)
        place = pc.index_in(doc_ref, value_set=results["doc_ref"])

        def end(failed: pa.Array, decision: str, reason: pa.Array, detail: pa.Array) -> None:
            mask, reason, detail = (values.take(place) for values in (failed, reason, detail))
            documents.end(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), decision, reason, detail.take)

        size = len(results)
        blank, cause, error = (results[name].combine_chunks() for name in ("blank", "cause", "error"))
        end(blank, "drop", cause, pa.repeat(pa.scalar("nothing is left"), size))
        end(error.is_valid(), "drop", pa.repeat(pa.scalar(RECOUNT), size), error)
        for decision, failed, reason, detail in _judged(results, self.recipe.after_cuts, documents.explain):
            end(failed, decision, reason, detail)


def _judged(
    results: pa.Table, rules: Mapping[str, Threshold], explain: bool
) -> Iterator[tuple[str, pa.Array, pa.Array, pa.Array]]:
    """(decision, documents that fail, reasons, details), first of those to drop."""
    judged = evaluate(results.select(list(rules)), rules, explain) if rules else None
    if judged is None:
        return
    decisions, reasons, detail = (judged[name].cast(pa.string()).combine_chunks() for name in ("decision", "reason", "detail"))
    for decision in ("drop", "review"):
        yield decision, pc.equal(decisions, decision), pc.binary_join_element_wise("after_cuts", reasons, "."), detail


def recount(
    part_state: PartState, *, recipe: Recipe, kept: Kept, name: str, cutting: Sequence[str], counted: Sequence[str], spill: str
) -> PartState:
    """Adds the results `RECOUNT`, `SPANS` and `BANDS`, if any kept document of the part was cut by a step
    whose cuts are not counted yet; what an earlier step counted of others stays in them. The step
    `name` decides by `RECOUNT`. Reads the texts of these documents alone, a row group at a time."""
    spans = _spans(part_state, kept(part_state)["doc_ref"], cutting)
    new = spans.filter(pc.greater_equal(spans["step"], len(counted)))["doc_ref"]
    if not len(new):
        return part_state
    spans = spans.filter(pc.is_in(spans["doc_ref"], value_set=new)).combine_chunks()
    blocks = recipe.per_language.values()
    languages = recipe.rules.language_columns if any(block.reads_otherwise for block in blocks) else ()
    components = Components({}, prepared_raters(recipe, "", {_TOKENS, *recipe.after_cuts, *languages}))
    span_row = row_of(spans["doc_ref"].to_numpy())
    tables: dict[str, list[pa.Table]] = {}
    for rows, batch in rated_part(part_state).read(np.unique(span_row), SCHEMA.names):
        for start, stop in pairwise(_slices(batch["text"])):
            first, last = np.searchsorted(span_row, rows[start]), np.searchsorted(span_row, rows[stop - 1], "right")
            document = np.searchsorted(rows[start:stop], span_row[first:last])
            documents = batch.slice(start, stop - start)
            merged, left = _cut(documents, spans.slice(first, last - first), document, cutting)
            for result, table in {SPANS: merged, **_count(documents, left, merged, recipe, components)}.items():
                tables.setdefault(result, []).append(table)
    for result, each in tables.items():
        if (earlier := part_state.result(result)) is not None:
            each.append(earlier.filter(pc.invert(pc.is_in(earlier["doc_ref"], value_set=new))))
    results = {result: _stored(pa.concat_tables(each), spill) for result, each in tables.items()}
    give_back_freed_memory()
    return replace(part_state, results={**part_state.results, **results, name: results[RECOUNT]})


def _spans(part_state: PartState, kept: pa.ChunkedArray, cutting: Sequence[str]) -> pa.Table:
    """The spans of kept documents, by document and then in order of priority: of steps, then of
    place. Adds `step`, its number, and `label`, a number for each step, reason and detail."""
    tables = []
    for number, name in enumerate(cutting):
        found = part_state.result(name)
        if found is not None:
            found = found.select(CUTS.names).cast(CUTS)
            found = found.filter(pc.is_in(found["doc_ref"], value_set=kept))
            found = found.filter(pc.not_equal(found["start"], found["stop"]))
            tables.append(found.append_column("step", pa.repeat(pa.scalar(number, pa.int64()), len(found))))
    if not tables:
        return CUTS.append(pa.field("step", pa.int64())).empty_table()
    spans = pa.concat_tables(tables).combine_chunks()
    order = ("doc_ref", "step", "start", "stop", "reason", "detail")  # so that only equal rows tie
    spans = spans.sort_by([(name, "ascending") for name in order]).combine_chunks()
    label = spans["step"].to_numpy()
    for name in ("reason", "detail"):
        codes = pc.fill_null(spans[name].combine_chunks().dictionary_encode().indices, -1).to_numpy().astype(np.int64) + 1
        label = label * (int(codes.max(initial=0)) + 1) + codes
    return spans.append_column("label", pa.array(label))


def _slices(texts: pa.Array) -> list[int]:
    """Where slices of about the bytes of a batch of Rate begin and end."""
    _, start = text_buffer(texts)
    bounds = np.flatnonzero(np.diff((start[:-1] - start[0]) // BATCH_BYTES)) + 1
    return [0, *bounds.tolist(), len(texts)]


def _cut(
    documents: pa.RecordBatch, spans: pa.Table, document: Ints, cutting: Sequence[str]
) -> tuple[pa.Table, pa.LargeStringArray]:
    """What was cut, as `MERGED`, and the texts that are left. `document`: the row of each span."""
    data, text_start = text_buffer(documents["text"])
    start, stop = (text_start[document] + spans[name].to_numpy() for name in ("start", "stop"))
    _check(documents, spans, document, start, stop, cutting)
    span, start, stop = merge(document, start, stop, spans["label"].to_numpy())
    document, spans = document[span], spans.take(pa.array(span))
    begin = text_start[document]
    columns = {"doc_ref": spans["doc_ref"], "start": start - begin, "stop": stop - begin}
    columns |= {"reason": spans["reason"], "detail": spans["detail"], "chars": lengths(data, start, stop)}
    return pa.table(columns, schema=MERGED), splice(data, text_start, document, start, stop, None)


def _check(documents: pa.RecordBatch, spans: pa.Table, document: Ints, start: Ints, stop: Ints, cutting: Sequence[str]) -> None:
    """Raises RunError unless the spans are within their documents, and between characters."""
    data, text_start = text_buffer(documents["text"])
    end = text_start[document + 1]
    wrong, where = (start < text_start[document]) | (start > stop) | (stop > end), "outside its text"
    if not wrong.any():
        where = "inside a character"
        for place in (start, stop):
            wrong |= (place < end) & (data[np.minimum(place, end - 1)] & 0xC0 == 0x80)
    if wrong.any():
        number = int(np.flatnonzero(wrong)[0])
        span, row = spans.slice(number, 1).to_pylist()[0], int(document[number])
        raise RunError(
            f"the step '{cutting[span['step']]}' cuts bytes {span['start']:,} to {span['stop']:,} of document "
            f"'{documents['id'][row].as_py()}', which has {text_start[row + 1] - text_start[row]:,}: one of them is {where}. "
            "This is an error of the step"
        )


def _count(
    documents: pa.RecordBatch, texts: pa.LargeStringArray, merged: pa.Table, recipe: Recipe, components: Components
) -> dict[str, pa.Table]:
    """The results `RECOUNT` and `BANDS` of documents, whose `texts` are what is left of them."""
    documents = documents.set_column(documents.schema.get_field_index("text"), SCHEMA.field("text"), texts)
    signals, sketch, error = _measure(documents, recipe, components)
    doc_ref = merged["doc_ref"].to_numpy()
    first = np.flatnonzero(np.diff(doc_ref, prepend=~doc_ref[:1]))
    identity = {"doc_ref": pa.array(doc_ref[first])}
    columns = {name: sketch[name] for name in ("chars", "bytes", "text_hash_0", "text_hash_1")}
    columns |= {
        "cut_chars": pa.array(np.add.reduceat(merged["chars"].to_numpy(), first)),
        "tokens": pc.fill_null(signals[_TOKENS], 0),
        "blank": pc.equal(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0),
        "cause": merged["reason"].take(pa.array(first)),
        "error": error,
        **{name: signals[name] for name in recipe.after_cuts},
    }
    results = {RECOUNT: pa.table(identity | columns)}
    if "bands" in sketch.column_names:
        results[BANDS] = pa.table(identity | {"bands": sketch["bands"]})
    return results


def _measure(documents: pa.RecordBatch, recipe: Recipe, components: Components) -> tuple[pa.Table, pa.Table, pa.Array]:
    """(signals, sketch, error) of each document. If a rater fails on one, its signals are null."""
    measured, errors = measure_each(documents, recipe, components)
    signals, sketch = (pa.Table.from_batches([batch]) for batch in measured)
    error = pa.array([errors.get(row) for row in range(documents.num_rows)], pa.string())
    if errors:
        failed = np.array(sorted(errors))
        order = np.argsort(np.append(np.setdiff1d(np.arange(documents.num_rows), failed), failed))
        unrated = (pa.Table.from_batches([batch]) for batch in measure(documents.take(failed), recipe, Components({}, ())))
        signals, sketch = (
            pa.concat_tables([table, others], promote_options="default").take(order)
            for table, others in zip((signals, sketch), unrated, strict=True)
        )
    return signals, sketch, error


def _stored(table: pa.Table, spill: str) -> tuple[Piece, ...]:
    batch = one_batch(table)
    return tuple(piece for _, piece in spill_rows(addressed(batch, np.zeros(batch.num_rows, np.uint32)), spill))
