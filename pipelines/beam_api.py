"""Rating and curating inside other people's Beam pipelines, on record batches of documents.

A batch has a column `text` and any of `id`, `source`, `url`, `licence`, `date` and `metadata` (a
JSON object as text). `Batches` makes such batches of dicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import apache_beam as beam
import orjson
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from tamis.pipelines.curate import Decide
from tamis.pipelines.decisions.document_states import explained_documents
from tamis.pipelines.decisions.epoch_copies import emitted_copies
from tamis.pipelines.measure import measure
from tamis.pipelines.rate import PART_BYTES, PART_DOCUMENTS, CheckRejects, RatedPart, prepared_components
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.beam.cuts import read_texts
from tamis.transforms.beam.exchange import FlatMapDoFn, PartState
from tamis.transforms.core.documents import SCHEMA, row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.parts import Part, PartWriter, SplitCounts
from tamis.transforms.dedup.minhash import Dedup, MinHash
from tamis.transforms.read.batch_builder import fill_ids
from tamis.transforms.text.hashing import hash128

_FIELDS = ("text", "url", "licence", "date", "metadata")
_DECIDED = ("id", "source", "decision", "reason", "detail", "quality", "tokens", "representative", "jaccard", "copies")


class Batches(beam.PTransform):
    """Record batches of dicts: `text` and the other fields of a document; all other keys become
    metadata."""

    def __init__(self, batch_size: int = 1000) -> None:
        super().__init__()
        self.batch_size = batch_size

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return (
            rows
            | beam.BatchElements(min_batch_size=self.batch_size, max_batch_size=self.batch_size)
            | "Arrow" >> beam.Map(batch_of).with_output_types(pa.RecordBatch)
        )


def batch_of(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """One batch of documents. Raises RunError if one has no text."""
    names = [name for name in SCHEMA.names if name != "metadata"]
    for row in rows:
        if not isinstance(row.get("text"), str):
            raise RunError(f"a document needs a string `text`; this one has {sorted(row)}")
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in names}
    columns["metadata"] = [_metadata(row) for row in rows]
    return documents(pa.table(columns).to_batches()[0])


def _metadata(row: Mapping[str, Any]) -> str | None:
    rest = {name: value for name, value in row.items() if name not in SCHEMA.names}
    return orjson.dumps(rest, option=orjson.OPT_SORT_KEYS).decode() if rest else row.get("metadata")


def documents(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with all columns of a document. The default id is a hash of source and text."""
    size = batch.num_rows
    columns = {}
    for field in SCHEMA:
        has = field.name in batch.schema.names
        columns[field.name] = batch[field.name].cast(field.type) if has else pa.nulls(size, field.type)
    columns["source"] = columns["source"].fill_null("default")
    columns["id"] = fill_ids(columns["id"], columns["source"], columns["text"])
    return pa.record_batch(list(columns.values()), schema=SCHEMA)


class Rate(beam.PTransform):
    """Adds the signals of a recipe to record batches of documents. Nothing is shuffled or stored."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        rate = FlatMapDoFn(partial(_rate, recipe=self.recipe))
        return batches | "Rate" >> beam.ParDo(rate).with_output_types(pa.RecordBatch)


def _rate(batch: pa.RecordBatch, recipe: Recipe) -> Iterator[pa.RecordBatch]:
    yield measure(documents(batch), recipe, prepared_components(recipe, ""))[0]


class Curate(beam.PTransform):
    """Rates documents and decides about them: (kept, decisions), both as record batches.

    `kept` has the documents with `quality`, `tokens`, `copies`, `place` (where in its source a
    document comes in training order) and `phase`, in no order; `decisions` has a row for every
    document. `storage` is a folder or prefix that all workers see: it holds the rated parts and
    spill files, several times the text, and is yours to remove afterwards. `partitions` bounds
    memory: one for every 50 MB of text.
    """

    def __init__(self, recipe: Recipe, storage: str, partitions: int = 16) -> None:
        super().__init__()
        self.recipe, self.storage, self.partitions = recipe, storage, partitions

    def expand(self, batches: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        spill = storage.join(self.storage, ".spill")
        parts = batches | "Store" >> beam.ParDo(_StoreParts(self.recipe, self.storage)) | CheckRejects(self.recipe)
        parts |= Decide(self.recipe, self.storage, spill, self.partitions)
        kept, decisions = (FlatMapDoFn(partial(function, recipe=self.recipe)) for function in (_kept, _decisions))
        return (
            parts | "Kept" >> beam.ParDo(kept).with_output_types(pa.RecordBatch),
            parts | "Decisions" >> beam.ParDo(decisions).with_output_types(pa.RecordBatch),
        )


class Deduplicate(beam.PTransform):
    """Removes exact duplicates and, unless `minhash` is None, near-duplicates: (kept, decisions), as
    of `Curate`. The first by a seeded hash of the id is kept."""

    def __init__(self, storage: str, minhash: MinHash | None = MinHash(), partitions: int = 16) -> None:  # noqa: B008 - frozen
        super().__init__()
        self.storage, self.minhash, self.partitions = storage, minhash, partitions

    def expand(self, batches: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        recipe = Recipe(dedup=Dedup(exact=True, minhash=self.minhash))
        kept, decisions = batches | Curate(recipe, self.storage, self.partitions)
        return kept, decisions


class _StoreParts(beam.DoFn):
    """Writes the batches of a bundle as rated parts, each named by its first batch. So a bundle that
    is tried again writes the same files."""

    def __init__(self, recipe: Recipe, folder: str) -> None:
        self.recipe, self.folder = recipe, folder
        self._writer: PartWriter | None = None

    def start_bundle(self) -> None:
        self._writer = None

    def process(self, batch: pa.RecordBatch) -> Iterable[RatedPart]:
        batch = documents(batch)
        if not batch.num_rows:
            return
        rated, sketch = measure(batch, self.recipe, prepared_components(self.recipe, ""))
        if self._writer is None:
            digest = [*hash128(batch["id"]).ravel().tolist(), *hash128(batch["text"]).ravel().tolist()]
            self._schemas = (rated.schema, sketch.schema)
            self._writer = PartWriter(Part(self.folder, f"{fingerprint(digest)}-0")).__enter__()
        self._writer.write(rated, sketch)
        if self._writer.documents >= PART_DOCUMENTS or self._writer.text_bytes >= PART_BYTES:
            yield self._finish()

    def finish_bundle(self) -> Iterable[WindowedValue]:
        if self._writer is not None:
            yield WindowedValue(self._finish(), GlobalWindow().max_timestamp(), [GlobalWindow()])

    def _finish(self) -> RatedPart:
        assert self._writer is not None
        writer, self._writer = self._writer, None
        name = writer.part.name
        split = {"uri": name, "format": "", "start": 0, "stop": -1, "size": writer.text_bytes, "stamp": ""}
        counts = SplitCounts(fingerprint=name, documents=writer.documents, rejected=0, **split)
        with writer:
            receipt = writer.finish(self._schemas, name, [counts])
        return writer.part, receipt


def _kept(part_state: PartState, recipe: Recipe) -> Iterator[pa.RecordBatch]:
    table, first = emitted_copies(part_state, recipe), 0
    rows = row_of(table["doc_ref"].to_numpy())
    for read, batch in read_texts(part_state, rows, _FIELDS):
        decided = table.slice(first, len(read)).combine_chunks()
        first += len(read)
        columns = {"id": decided["id"], "source": decided["source"]}
        columns |= dict(zip(batch.schema.names, batch.columns, strict=True))
        names = ("quality", "tokens", "copies", "phase", "place", *(["epoch"] if "epoch" in table.column_names else []))
        columns |= {name: decided[name] for name in names}
        yield pa.table(columns).combine_chunks().to_batches()[0]


def _decisions(part_state: PartState, recipe: Recipe) -> Iterator[pa.RecordBatch]:
    table = explained_documents(part_state, recipe).select(list(_DECIDED)).combine_chunks()
    yield from table.to_batches()
