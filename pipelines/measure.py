"""Edits and measures a batch of documents; a document that an editor or a rater fails on is a reject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.column_files import Known
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.component import FIELDS, METADATA
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.editor import Editor
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import EDITS
from tamis.transforms.core.rater import Rater
from tamis.transforms.dedup.minhash import sketch
from tamis.transforms.edit.apply import RECORD, BrokenContract, Edited, apply, record
from tamis.transforms.text.hashing import hash128, hash_texts, mix
from tamis.transforms.text.metadata import field_texts
from tamis.transforms.text.segment import segment, unsegmented


class Components(NamedTuple):
    """The editors of a recipe in their order, and its raters in the order they run, all set up."""

    editors: Sequence[Editor[Any]]
    raters: Sequence[Rater[Any]]


Measured = tuple[pa.RecordBatch, pa.RecordBatch]
"""(documents with their signals, sketch) of one batch, row by row the same documents."""

_NOT_DATA = (RunError, ImportError, OSError, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What a rater raises whatever the document."""


class ComponentFailure(Exception):
    """A rater or an editor failed on a batch, for a reason that may lie in a document; the cause is
    its error."""

    def __init__(self, component: Rater[Any] | Editor[Any], error: BaseException) -> None:
        kind = "editor" if isinstance(component, Editor) else "rater"
        super().__init__(f"{kind} '{component.name}' fails on this document: {type(error).__name__}: {error}")


def measure_each(
    batch: pa.RecordBatch, recipe: Recipe, components: Components, known: Known = MappingProxyType({})
) -> tuple[Measured, dict[int, str]]:
    """`measure` of the documents on which no rater or editor fails, and the error for each other
    row. Raises what one raises for any document, even one of a single word."""
    try:
        return measure(batch, recipe, components, known), {}
    except ComponentFailure as failure:
        if _fails_always(recipe, components):
            raise failure.__cause__ or failure from None
    errors: dict[int, str] = {}
    pieces = list(_pieces(batch, 0, recipe, components, known, errors))
    pieces = pieces or [measure(batch.slice(0, 0), recipe, components)]
    return (pa.concat_batches([rated for rated, _ in pieces]), pa.concat_batches([sketch for _, sketch in pieces])), errors


def _pieces(
    batch: pa.RecordBatch, first: int, recipe: Recipe, components: Components, known: Known, errors: dict[int, str]
) -> Iterator[Measured]:
    """Halves of the batch, around the documents that one fails on. Adds their `errors` by row."""
    try:
        yield measure(batch, recipe, components, known)
    except ComponentFailure as failure:
        if batch.num_rows == 1:
            errors[first] = str(failure)
            return
        middle = batch.num_rows // 2
        for start, part in ((0, batch.slice(0, middle)), (middle, batch.slice(middle))):
            own = {name: values.slice(start, part.num_rows) for name, values in known.items()}
            yield from _pieces(part, first + start, recipe, components, own, errors)


def _fails_always(recipe: Recipe, components: Components) -> bool:
    word = pa.RecordBatch.from_pylist([{"id": "0", "text": "word", "source": "default"}], schema=SCHEMA)
    try:
        measure(word, recipe, components)
    except ComponentFailure:
        return True
    return False


def measure(
    batch: pa.RecordBatch, recipe: Recipe, components: Components, known: Known = MappingProxyType({})
) -> Measured:
    """Edits the texts, then measures all signals, and what Decide needs of each document. Of some of
    the recipe's components, only their signals are there."""
    editors, raters = components
    edited = list(_edit(batch, editors))
    original = batch
    if edited:
        batch = batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), edited[-1].texts)
    values = {name: each.signals[name] for each in edited for name in each.signals.schema.names}
    before = {name: values[own] for editor in reversed(editors) for name, own in editor.before.items()}
    raw = unsegmented(batch["text"]) if any(rater.raw for rater in raters) else None
    texts = segment(batch["text"], recipe.words)
    for rater in raters:
        if rater.name in known:
            measured = {signal.name: known[rater.name][signal.name] for signal in rater.signals}
        else:
            needs = {name: _needed_column(name, batch, values) for name in rater.needs}
            measured = _rate(rater, (raw if rater.raw and raw is not None else texts).with_columns(needs))
        values |= measured | {name: before[name] for name in measured.keys() & before.keys()}
    signals = [signal for name, signal in recipe.rated_signals.items() if name in values]
    fields = [*batch.schema, *(signal.field() for signal in signals)]
    arrays = [*batch.columns, *(values[signal.name] for signal in signals)]
    if editors:
        fields, arrays = [*fields, pa.field(EDITS, RECORD)], [*arrays, record(edited, batch.num_rows)]
    rated = pa.record_batch(arrays, schema=pa.schema(fields))
    text_hash = hash128(batch["text"])
    columns: dict[str, pa.Array] = {
        "id": batch["id"],
        "source": batch["source"],
        "bytes": np.diff(texts.text_start),
        "chars": texts.text_chars,
        "text_hash_0": np.ascontiguousarray(text_hash[:, 0]),
        "text_hash_1": np.ascontiguousarray(text_hash[:, 1]),
        "record_hash": _record_hash(batch),
    }
    if editors:
        columns["chars_read"] = pc.utf8_length(original["text"]).cast(pa.int64())
    if recipe.dedup is not None and recipe.dedup.minhash is not None:
        columns["bands"] = sketch(texts, recipe.dedup.minhash)
    return rated, pa.record_batch(columns)


def _edit(batch: pa.RecordBatch, editors: Sequence[Editor[Any]]) -> Iterator[Edited]:
    """What each editor makes of the texts that the one before it has left."""
    texts = batch["text"]
    for editor in editors:
        needs = {name: _needed_column(name, batch, {}) for name in editor.needs}
        try:
            edited = apply(editor, unsegmented(texts).with_columns(needs), texts)
        except _NOT_DATA:
            raise
        except BrokenContract as error:
            raise RunError(f"editor '{editor.name}' {error}: correct the editor") from None
        except BaseException as error:
            raise ComponentFailure(editor, error) from error
        texts = edited.texts
        yield edited


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
        raise ComponentFailure(rater, error) from error
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
