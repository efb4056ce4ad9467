"""Rate: one split of the input becomes one finished part, in a single pass over its bytes and in constant memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import Part, PartReceipt, PartWriter
from tamis.transforms.core.rater import Rater
from tamis.transforms.decontaminate.ngrams import Contamination
from tamis.transforms.dedup.minhash import sketch
from tamis.transforms.read.input_options import Split
from tamis.transforms.read.inputs import read
from tamis.transforms.runtime.memory import keep_freed_memory
from tamis.transforms.runtime.prefetch import prefetch
from tamis.transforms.runtime.redaction import redact
from tamis.transforms.text.hashing import hash128, hash_texts, mix
from tamis.transforms.text.segment import segment

Advance = Callable[[int, int], None]
"""Told of progress: documents, bytes of text."""

_SAID = 400
"""Characters told of a reject: enough for where and what; all of it is in rejects/."""

_ready: dict[str, tuple[Rater, ...]] = {}
_lock = threading.Lock()


def ready(recipe: Recipe, index: str) -> tuple[Rater, ...]:
    """The recipe's raters, set up once in this process: threads share their models.

    `index` is where the driver saved the benchmarks' n-grams, so that processes map one file in place of building it each.
    """
    with _lock:
        if recipe.rate_fingerprint not in _ready:
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
            _ready[recipe.rate_fingerprint] = raters
        return _ready[recipe.rate_fingerprint]


def rate_part(part: Part, split: Split, fingerprint: str, recipe: Recipe, index: str, advance: Advance) -> PartReceipt:
    """Reads `split`, measures every signal on one segmentation of each batch, and commits the part."""
    raters = ready(recipe, index)
    measured = (  # a thread reads, a second measures, this one writes: nearly all they do is done without Python's lock
        (rejects, *measure(batch, recipe, raters)) for batch, rejects in prefetch(read(split, recipe.input))
    )
    with PartWriter(part) as writer:
        for rejects, rated, sketch in prefetch(measured):
            for reject in rejects:
                writer.reject(asdict(replace(reject, uri=redact(reject.uri), error=redact(reject.error))))
            if rated.num_rows:
                writer.write(rated, sketch)
            advance(rated.num_rows, int(rated["text"].nbytes))
        empty = (rated.schema for rated in measure(pa.RecordBatch.from_pylist([], schema=SCHEMA), recipe, raters))
        return writer.finish((next(empty), next(empty)), fingerprint, asdict(replace(split, uri=redact(split.uri))))


def first_reject(uri: str) -> str:
    """Where the first of a part's rejects is, and what is wrong with it, as a terminal may show it: names are a stranger's."""
    with storage.open_binary(uri) as file:
        found = json.loads(file.read(1 << 20).split(b"\n", 1)[0])
    offset = f"offset {found['offset']:,}" + (f" behind byte {found['start']:,}" if found["start"] else "")
    line = found["line"] if not found["start"] else None
    said = f"{found['uri']}, {offset if line is None else f'line {line:,}'}: {found['error']}"
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in said)[:_SAID].rstrip(".")


def measure(batch: pa.RecordBatch, recipe: Recipe, raters: Sequence[Rater]) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """(documents with their signals, sketch) of one batch of documents, row by row the same documents."""
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
    """Hash of everything but id and text: tells two documents of one id and one text apart."""
    total = np.zeros(batch.num_rows, np.uint64)
    for number, name in enumerate(("source", "url", "licence", "date", "metadata")):
        column = batch[name]
        total = mix(total, number) ^ hash_texts(column.fill_null(""), seed=1) ^ column.is_null().to_numpy(zero_copy_only=False)
    return total
