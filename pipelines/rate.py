"""Rate: one split of the input becomes one part, in one pass and in constant memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.progress import Progress
from tamis.pipelines.run.work_plan import PartTask
from tamis.transforms import storage
from tamis.transforms.beam.exchange import MapDoFn, PartState
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import Part, PartReceipt, PartWriter
from tamis.transforms.core.rater import Rater
from tamis.transforms.decontaminate.ngrams import Contamination
from tamis.transforms.dedup.minhash import sketch
from tamis.transforms.read.input_options import Split
from tamis.transforms.read.inputs import read
from tamis.transforms.runtime.credentials import redact
from tamis.transforms.runtime.memory import give_back_freed_memory, keep_freed_memory
from tamis.transforms.runtime.prefetch import prefetch
from tamis.transforms.text.hashing import hash128, hash_texts, mix
from tamis.transforms.text.segment import segment

Advance = Callable[[int, int], None]  # records progress: documents, bytes of text
RatedPart = tuple[PartState, PartReceipt]

_REJECT_CHARACTERS = 400  # of a reject in an error message; rejects/ has all of them

_raters: dict[str, tuple[Rater, ...]] = {}
_lock = threading.Lock()


def rate_task(task: PartTask, recipe: Recipe, run: str, index: str) -> RatedPart:
    """Rates the split of a task, unless an earlier attempt has finished the part."""
    progress = Progress(run, "rate")
    receipt = task.part.receipt()
    if receipt is None or receipt.fingerprint != task.fingerprint:
        receipt = rate_part(task.part, task.split, task.fingerprint, recipe, index, progress.advance)
    progress.finish(task.split.size)
    return PartState(task.ordinal, task.part), receipt


def rate_part(part: Part, split: Split, fingerprint: str, recipe: Recipe, index: str, advance: Advance) -> PartReceipt:
    """Reads a split, measures all signals on one segmentation of each batch, commits the part."""
    raters = prepared_raters(recipe, index)
    # One thread reads, a second measures, this one writes: nearly all of it without Python's lock.
    measured = ((rejects, *measure(batch, recipe, raters)) for batch, rejects in prefetch(read(split, recipe.input)))
    with PartWriter(part) as writer:
        for rejects, rated, sketch in prefetch(measured):
            for reject in rejects:
                writer.reject(asdict(replace(reject, uri=redact(reject.uri), error=redact(reject.error))))
            if rated.num_rows:
                writer.write(rated, sketch)
            advance(rated.num_rows, int(rated["text"].nbytes))
        empty = (rated.schema for rated in measure(pa.RecordBatch.from_pylist([], schema=SCHEMA), recipe, raters))
        return writer.finish((next(empty), next(empty)), fingerprint, asdict(replace(split, uri=redact(split.uri))))


def prepared_raters(recipe: Recipe, index: str) -> tuple[Rater, ...]:
    """The recipe's raters, set up once in this process: threads share their models, and processes
    map `index`, where the driver saved the benchmarks' n-grams, instead of each building them."""
    with _lock:
        if recipe.rate_fingerprint not in _raters:
            keep_freed_memory()
            raters = tuple(
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


def measure(batch: pa.RecordBatch, recipe: Recipe, raters: Sequence[Rater]) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """(documents with their signals, sketch) of one batch, row by row the same documents."""
    texts = segment(batch["text"], recipe.words)
    fields, rated = list(batch.schema), list(batch.columns)
    for rater in raters:
        for signal, column in zip(rater.signals, rater.rate(texts).columns, strict=True):
            fields.append(signal.field())
            rated.append(column.cast(fields[-1].type))
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
    return pa.record_batch(rated, schema=pa.schema(fields)), pa.record_batch(columns)


def _record_hash(batch: pa.RecordBatch) -> np.ndarray:
    """Hash of all fields but id and text: distinguishes documents that share both."""
    total = np.zeros(batch.num_rows, np.uint64)
    for number, name in enumerate(("source", "url", "licence", "date", "metadata")):
        column = batch[name]
        total = mix(total, number) ^ hash_texts(column.fill_null(""), seed=1) ^ column.is_null().to_numpy(zero_copy_only=False)
    return total


class CheckRejects(beam.PTransform):
    """Waits for all parts, then passes on part states. Raises RunError if there are more rejects
    than `max_rejects` allows."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def expand(self, rated: beam.PCollection) -> beam.PCollection:
        counts = beam.pvalue.AsList(rated | "Count" >> beam.ParDo(MapDoFn(_count_records)))
        check = MapDoFn(partial(_check_rejects, recipe=self.recipe))
        return rated | "Check" >> beam.ParDo(check, counts).with_output_types(PartState)


def max_rejects(recipe: Recipe, records: int) -> float:
    """How many of the records may be unreadable."""
    return recipe.max_rejects if isinstance(recipe.max_rejects, int) else recipe.max_rejects * records


def _count_records(rated: RatedPart) -> tuple[int, int, str]:
    """Documents and rejects of a part, and the file that lists the rejects."""
    part_state, receipt = rated
    assert isinstance(part_state.handle, Part)
    return receipt.documents, receipt.rejected, part_state.handle.uri("rejects", "jsonl")


def _check_rejects(rated: RatedPart, counts: list[tuple[int, int, str]], recipe: Recipe) -> PartState:
    give_back_freed_memory()  # of Rate, which is done
    rejected = sum(rejects for _, rejects, _ in counts)
    records = rejected + sum(documents for documents, _, _ in counts)
    if rejected > max_rejects(recipe, records):
        first_file = min(uri for _, rejects, uri in counts if rejects)
        raise RunError(
            f"{rejected:,} of {records:,} records could not be read; max_rejects is {recipe.max_rejects}. "
            f"The first: {_first_reject(first_file)}. "
            "All are listed with file, offset and error in rejects/ of the run directory: "
            "correct the input, or allow more with --set max_rejects=…"
        )
    return rated[0]


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
