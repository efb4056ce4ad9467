"""Measures a batch of documents on one segmentation; a document that a rater fails on is a reject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipelines.column_files import Known
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.component import FIELDS, METADATA
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.rater import Rater
from tamis.transforms.dedup.minhash import sketch
from tamis.transforms.text.hashing import hash128, hash_texts, mix
from tamis.transforms.text.metadata import field_texts
from tamis.transforms.text.segment import segment, unsegmented

Measured = tuple[pa.RecordBatch, pa.RecordBatch]
"""(documents with their signals, sketch) of one batch, row by row the same documents."""

_NOT_DATA = (RunError, ImportError, OSError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What a rater raises whatever the document."""


class RaterFailure(Exception):
    """A rater failed on a batch, for a reason that may lie in a document; the cause is its error."""

    def __init__(self, rater: str, error: BaseException) -> None:
        super().__init__(f"rater '{rater}' fails on this document: {type(error).__name__}: {error}")


def measure_each(
    batch: pa.RecordBatch, recipe: Recipe, raters: Sequence[Rater[Any]], known: Known = MappingProxyType({})
) -> tuple[Measured, dict[int, str]]:
    """`measure` of the documents on which no rater fails, and the error for each other row. Raises
    what a rater raises for any document, even one of a single word."""
    try:
        return measure(batch, recipe, raters, known), {}
    except RaterFailure as failure:
        if _fails_always(recipe, raters):
            raise failure.__cause__ or failure from None
    errors: dict[int, str] = {}
    pieces = list(_pieces(batch, 0, recipe, raters, known, errors))
    pieces = pieces or [measure(batch.slice(0, 0), recipe, raters)]
    return (pa.concat_batches([rated for rated, _ in pieces]), pa.concat_batches([sketch for _, sketch in pieces])), errors


def _pieces(
    batch: pa.RecordBatch, first: int, recipe: Recipe, raters: Sequence[Rater[Any]], known: Known, errors: dict[int, str]
) -> Iterator[Measured]:
    """Halves of the batch, around the documents that a rater fails on. Adds their `errors` by row."""
    try:
        yield measure(batch, recipe, raters, known)
    except RaterFailure as failure:
        if batch.num_rows == 1:
            errors[first] = str(failure)
            return
        middle = batch.num_rows // 2
        for start, part in ((0, batch.slice(0, middle)), (middle, batch.slice(middle))):
            own = {name: values.slice(start, part.num_rows) for name, values in known.items()}
            yield from _pieces(part, first + start, recipe, raters, own, errors)


def _fails_always(recipe: Recipe, raters: Sequence[Rater[Any]]) -> bool:
    word = pa.RecordBatch.from_pylist([{"id": "0", "text": "word", "source": "default"}], schema=SCHEMA)
    try:
        measure(word, recipe, raters)
    except RaterFailure:
        return True
    return False


def measure(
    batch: pa.RecordBatch, recipe: Recipe, raters: Sequence[Rater[Any]], known: Known = MappingProxyType({})
) -> Measured:
    """All signals, and what Decide needs of each document."""
    raw = unsegmented(batch["text"]) if any(rater.raw for rater in raters) else None
    texts = segment(batch["text"], recipe.words)
    values: dict[str, pa.Array] = {}
    for rater in raters:
        if rater.name in known:
            values |= {signal.name: known[rater.name][signal.name] for signal in rater.signals}
            continue
        needs = {name: _needed_column(name, batch, values) for name in rater.needs}
        values |= _rate(rater, (raw if rater.raw and raw is not None else texts).with_columns(needs))
    signals = recipe.rated_signals.values()
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


def _rate(rater: Rater[Any], texts: Any) -> dict[str, pa.Array]:
    """A rater's signals by name. `texts` are `SegmentedTexts`, or `Texts` if it is raw. Raises
    RunError if it does not return what it declares."""
    try:
        rated = rater.rate(texts)
    except _NOT_DATA:
        raise
    except BaseException as error:  # the panic of a tokenizer written in Rust is no Exception
        raise RaterFailure(rater.name, error) from error
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
