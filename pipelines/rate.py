"""Rate: the splits of a task become parts, in one pass and in constant memory."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.transforms.combiners import ToListCombineFn

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.progress import Progress
from tamis.pipelines.run.work_plan import PartTask, input_order, rated_parts
from tamis.transforms import storage
from tamis.transforms.beam.exchange import MapDoFn, PartState
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import Part, PartReceipt, PartWriter, SplitCounts
from tamis.transforms.core.rater import FIELDS, METADATA, Rater, running_order
from tamis.transforms.decontaminate.ngrams import Contamination
from tamis.transforms.dedup.minhash import sketch
from tamis.transforms.read.inputs import read
from tamis.transforms.runtime.credentials import redact
from tamis.transforms.runtime.memory import give_back_freed_memory, keep_freed_memory
from tamis.transforms.runtime.prefetch import prefetch
from tamis.transforms.text.hashing import hash128, hash_texts, mix
from tamis.transforms.text.metadata import field_texts
from tamis.transforms.text.segment import Texts, segment, unsegmented

Advance = Callable[[int, int], None]  # records progress: documents, bytes of text
RatedPart = tuple[Part, PartReceipt]

PART_DOCUMENTS, PART_BYTES = 250_000, 1 << 30
"""A part ends after so many documents or bytes of text: Decide loads some columns of a whole part."""

_REJECT_CHARACTERS = 400  # of a reject in an error message; rejects/ has all of them

_raters: dict[str, list[Rater[Any]]] = {}
_lock = threading.Lock()


def rate_task(task: PartTask, recipe: Recipe, index: str) -> Iterator[RatedPart]:
    """The parts of a task, which are rated unless an earlier attempt has finished them."""
    progress = Progress(task.run, "rate")
    yield from rated_parts(task) or rate_parts(task, recipe, index, progress.advance)
    progress.finish(task.size)


def rate_parts(task: PartTask, recipe: Recipe, index: str, advance: Advance) -> list[RatedPart]:
    """Reads the splits of a task, measures all signals on one segmentation of each batch, and
    commits parts of bounded size: one for most tasks, several for a large split."""
    raters = prepared_raters(recipe, index)
    batches = (
        (number, batch, rejects) for number, split in enumerate(task.splits) for batch, rejects in read(split, recipe.input)
    )
    # One thread reads, a second measures, this one writes: nearly all of it without Python's lock.
    measured = ((number, rejects, *measure(batch, recipe, raters)) for number, batch, rejects in prefetch(batches))
    empty = [rated.schema for rated in measure(pa.RecordBatch.from_pylist([], schema=SCHEMA), recipe, raters)]
    parts: list[RatedPart] = []
    rows = iter(prefetch(measured))
    item = next(rows, None)
    first = 0  # the first split of the part
    while not parts or item is not None:
        part, counts = task.part(len(parts)), Counter[tuple[int, str]]()
        last = first
        with PartWriter(part) as writer:
            while item is not None and writer.documents < PART_DOCUMENTS and writer.text_bytes < PART_BYTES:
                last, rejects, rated, sketch = item
                rejected = writer.rejected
                for reject in rejects:
                    writer.reject(asdict(replace(reject, uri=redact(reject.uri), error=redact(reject.error))))
                if rated.num_rows:
                    writer.write(rated, sketch)
                counts[last, "documents"] += rated.num_rows
                counts[last, "rejected"] += writer.rejected - rejected
                advance(rated.num_rows, int(rated["text"].nbytes))
                item = next(rows, None)
            stop = last + 1 if item is not None else len(task.splits)
            inputs = [_split_counts(task, number, counts) for number in range(first, stop)]
            receipt = writer.finish((empty[0], empty[1]), task.fingerprint, inputs, len(parts), item is None)
        parts.append((part, receipt))
        first = last if item is not None and item[0] == last else stop
    return parts


def _split_counts(task: PartTask, number: int, counts: Mapping[tuple[int, str], int]) -> SplitCounts:
    split = task.splits[number]
    return SplitCounts(
        fingerprint=task.digests[number],
        **asdict(replace(split, uri=redact(split.uri))),
        documents=counts[number, "documents"],
        rejected=counts[number, "rejected"],
    )


def prepared_raters(recipe: Recipe, index: str) -> list[Rater[Any]]:
    """The recipe's raters in the order they run, set up once in this process: threads share their
    models, and processes map `index`, where the driver saved the benchmarks' n-grams, instead of
    each building them."""
    with _lock:
        if recipe.rate_fingerprint not in _raters:
            keep_freed_memory()
            raters = running_order(
                Contamination(rater.options, index, rater.words) if isinstance(rater, Contamination) else rater
                for rater in recipe.raters
            )
            for rater in raters:
                try:
                    rater.setup()
                except (ImportError, OSError, ValueError) as error:
                    raise RunError(f"rater '{rater.name}': {error}") from error
            _raters[recipe.rate_fingerprint] = raters
        return _raters[recipe.rate_fingerprint]


def measure(batch: pa.RecordBatch, recipe: Recipe, raters: Sequence[Rater[Any]]) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """(documents with their signals, sketch) of one batch, row by row the same documents."""
    raw, texts = unsegmented(batch["text"]), segment(batch["text"], recipe.words)
    values: dict[str, pa.Array] = {}
    for rater in raters:
        needs = {name: _needed_column(name, batch, values) for name in rater.needs}
        values |= _rate(rater, (raw if rater.raw else texts).with_columns(needs))
    signals = recipe.all_signals.values()
    rated = pa.record_batch(
        [*batch.columns, *(values[signal.name] for signal in signals)],
        schema=pa.schema([*batch.schema, *(signal.field() for signal in signals)]),
    )
    text_hash = hash128(batch["text"])
    columns: dict[str, pa.Array] = {
        "id": batch["id"],
        "source": batch["source"],
        "bytes": np.diff(texts.text_start),
        "text_hash_0": np.ascontiguousarray(text_hash[:, 0]),
        "text_hash_1": np.ascontiguousarray(text_hash[:, 1]),
        "record_hash": _record_hash(batch),
    }
    if recipe.dedup is not None and recipe.dedup.minhash is not None:
        columns["bands"] = sketch(texts, recipe.dedup.minhash)
    return rated, pa.record_batch(columns)


def _needed_column(name: str, batch: pa.RecordBatch, values: Mapping[str, pa.Array]) -> pa.Array:
    """A field of the documents, a field of their metadata as text, or a signal measured before."""
    if name in FIELDS:
        return batch[name]
    return field_texts(batch["metadata"], name.removeprefix(METADATA)) if name.startswith(METADATA) else values[name]


def _rate(rater: Rater[Any], texts: Texts) -> dict[str, pa.Array]:
    """A rater's signals by name. Raises RunError if it does not return what it declares."""
    rated = rater.rate(texts)
    names = [signal.name for signal in rater.signals]
    try:
        if rated.num_rows != len(texts) or rated.schema.names != names:
            raise ValueError(f"{rated.num_rows} rows of {', '.join(rated.schema.names)}")
        return {signal.name: rated[signal.name].cast(signal.type()) for signal in rater.signals}
    except ValueError as error:
        raise RunError(
            f"rater '{rater.name}' did not return {', '.join(names)} for {len(texts)} documents, but {error}: correct the rater"
        ) from None


def _record_hash(batch: pa.RecordBatch) -> np.ndarray:
    """Hash of all fields but id and text: distinguishes documents that share both."""
    total = np.zeros(batch.num_rows, np.uint64)
    for number, name in enumerate(("source", "url", "licence", "date", "metadata")):
        column = batch[name]
        total = mix(total, number) ^ hash_texts(column.fill_null(""), seed=1) ^ column.is_null().to_numpy(zero_copy_only=False)
    return total


class CheckRejects(beam.PTransform):
    """Waits for all parts, then numbers them. Raises RunError if there are more rejects than
    `max_rejects` allows."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def expand(self, rated: beam.PCollection) -> beam.PCollection:
        counts = rated | "Count" >> beam.ParDo(MapDoFn(_count_records))
        all_counts = counts | beam.CombineGlobally(ToListCombineFn()).without_defaults()
        ordinals = beam.pvalue.AsSingleton(all_counts | "Check" >> beam.ParDo(MapDoFn(partial(_ordinals, recipe=self.recipe))))
        return rated | "Number" >> beam.ParDo(MapDoFn(_part_state), ordinals).with_output_types(PartState)


def max_rejects(recipe: Recipe, records: int) -> float:
    """How many of the records may be unreadable."""
    return recipe.max_rejects if isinstance(recipe.max_rejects, int) else recipe.max_rejects * records


class _PartCount(NamedTuple):
    """Documents and rejects of a part, and the file that lists the rejects."""

    order: tuple[str, int, int, str]  # the first item of these tuples, so that they sort
    name: str
    documents: int
    rejected: int
    rejects_uri: str


def _count_records(rated: RatedPart) -> _PartCount:
    part, receipt = rated
    counts = receipt.documents, receipt.rejected
    return _PartCount(input_order(part, receipt), part.name, *counts, part.uri("rejects", "jsonl"))


def _ordinals(counts: list[_PartCount], recipe: Recipe) -> dict[str, int]:
    """The ordinal of each part by its name."""
    rejected = sum(count.rejected for count in counts)
    records = rejected + sum(count.documents for count in counts)
    if rejected > max_rejects(recipe, records):
        first_file = min(count for count in counts if count.rejected).rejects_uri
        raise RunError(
            f"{rejected:,} of {records:,} records could not be read; max_rejects is {recipe.max_rejects}. "
            f"The first: {_first_reject(first_file)}. "
            "All are listed with file, offset and error in rejects/ of the run directory: "
            "correct the input, or allow more with --set max_rejects=…"
        )
    return {count.name: ordinal for ordinal, count in enumerate(sorted(counts))}


def _part_state(rated: RatedPart, ordinals: Mapping[str, int]) -> PartState:
    give_back_freed_memory()  # of Rate, which is done
    part, _ = rated
    ordinal = ordinals[part.name]
    return PartState(ordinal, replace(part, ordinal=ordinal))


def _first_reject(uri: str) -> str:
    """The first reject in a list, without control characters: the input may be hostile."""
    with storage.open_binary(uri) as file:
        reject = json.loads(file.read(1 << 20).split(b"\n", 1)[0])
    if reject["line"] is not None and not reject["start"]:
        position = f"line {reject['line']:,}"
    else:
        position = f"offset {reject['offset']:,}" + (f" behind byte {reject['start']:,}" if reject["start"] else "")
    message = f"{reject['uri']}, {position}: {reject['error']}"
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in message)[:_REJECT_CHARACTERS].rstrip(".")
