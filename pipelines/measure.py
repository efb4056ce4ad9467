"""Edits and measures a batch of documents; a document that an editor or a rater fails on is a reject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.column_files import Known
from tamis.pipelines.recipe.recipe_blocks import Groups, Reading
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.component import FIELDS, METADATA
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.editor import Editor
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import EDITS
from tamis.transforms.core.rater import Rater
from tamis.transforms.dedup.minhash import sketch
from tamis.transforms.edit.apply import RECORD, BrokenContract, Edited, apply, record
from tamis.transforms.rate.gopher import GopherRater
from tamis.transforms.select.rule_blocks import Rows
from tamis.transforms.text.hashing import hash128, hash_texts, mix
from tamis.transforms.text.metadata import column_of, field_texts, field_values
from tamis.transforms.text.segment import Texts, segment, unsegmented
from tamis.transforms.text.word_hashes import hashed_words


class Components(NamedTuple):
    """The editors of a recipe in their order, by the section that names them, and its raters in the
    order they run, all set up."""

    editors: Mapping[str, Sequence[Editor[Any]]]
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
        for editors in components.editors.values() or ((),):
            measure(word, recipe, Components(dict.fromkeys(components.editors, editors), components.raters))
    except ComponentFailure:
        return True
    return False


def measure(batch: pa.RecordBatch, recipe: Recipe, components: Components, known: Known = MappingProxyType({})) -> Measured:
    """Edits the texts, then measures all signals, and what Decide needs of each document. Of some of
    the recipe's components, only their signals are there. Documents whose blocks have other editors
    or words are edited, or cut into words, apart; each is one row in its place."""
    whole = _rated_unedited(_Documents(batch, batch["text"], {}, {}, known), recipe, components.raters)
    raters = [rater for rater in components.raters if rater.name not in recipe.rate_unedited]
    measured: list[Measured] = []
    order = [np.empty(0, np.int64)]
    for section, edited_rows in recipe.text_blocks.by_editors(batch["source"], partial(_languages, whole, recipe)):
        documents = whole if edited_rows is None else whole.take(edited_rows)
        documents = _edited(documents, components.editors.get(section, ()))
        documents = _rated_raw(documents, raters)
        for reading, rows in _by_reading(documents, recipe, raters):
            own = documents if rows is None else documents.take(rows)
            measured.append(_measured(own, reading, recipe, components.editors, raters))
            rows = np.arange(documents.batch.num_rows) if rows is None else rows
            order.append(rows if edited_rows is None else edited_rows[rows])
    if len(measured) == 1:
        return measured[0]
    place = pa.array(np.argsort(np.concatenate(order)))
    rated, sketches = zip(*measured, strict=True)
    return pa.concat_batches(rated).take(place), pa.concat_batches(sketches).take(place)


class _Documents(NamedTuple):
    """Documents on their way: as they are now, their texts as they were read, the signals so far, the
    values of signals from before an edit, and the values that a rater need not measure."""

    batch: pa.RecordBatch
    read: pa.Array
    values: Mapping[str, pa.Array]
    before: Mapping[str, pa.Array]
    known: Known
    edits: pa.Array | None = None

    def take(self, rows: Rows) -> _Documents:
        """These rows of all."""
        place = pa.array(rows)
        return _Documents(
            self.batch.take(place),
            self.read.take(place),
            {name: values.take(place) for name, values in self.values.items()},
            {name: values.take(place) for name, values in self.before.items()},
            {name: values.take(place) for name, values in self.known.items()},
            self.edits.take(place) if self.edits is not None else None,
        )


def _languages(documents: _Documents, recipe: Recipe) -> pa.Array:
    """The language of each document, by fields of its metadata, and by signals so far."""
    metadata = documents.batch["metadata"]
    columns = {}
    for name in recipe.rules.language_columns:
        if name in recipe.undeclared:
            columns[name] = column_of(metadata, recipe.undeclared[name])
        elif name.startswith(METADATA):
            (columns[name],), _ = field_values(metadata, [recipe.all_signals[name]])
        else:
            columns[name] = documents.values[name]
    return recipe.rules.languages(pa.table(columns))


def _by_reading(documents: _Documents, recipe: Recipe, raters: Sequence[Rater[Any]]) -> Groups[Reading]:
    """How these raters see the documents."""
    if all(rater.raw or rater.compares for rater in raters):
        return [(Reading(recipe.words), None)]
    return recipe.text_blocks.by_reading(documents.batch["source"], partial(_languages, documents, recipe))


def _edited(documents: _Documents, editors: Sequence[Editor[Any]]) -> _Documents:
    """The documents after the editors."""
    batch = documents.batch
    edited = list(_edit(batch, editors))
    if not edited:
        return documents
    batch = batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), edited[-1].texts)
    values = {name: each.signals[name] for each in edited for name in each.signals.schema.names}
    values = {**documents.values, **values}
    before = {name: values[own] for editor in reversed(editors) for name, own in editor.before.items()}
    return documents._replace(batch=batch, values=values, before=before, edits=record(edited, batch.num_rows))


def _rated(documents: _Documents, raters: Sequence[Rater[Any]], texts: Texts) -> _Documents:
    """The documents with the signals of these raters."""
    values = dict(documents.values)
    for rater in raters:
        if rater.name in documents.known:
            measured = {signal.name: documents.known[rater.name][signal.name] for signal in rater.signals}
        else:
            needs = {name: _needed_column(name, documents.batch, values) for name in rater.needs}
            measured = _rate(rater, texts.with_columns(needs))
        values |= measured | {name: documents.before[name] for name in measured.keys() & documents.before.keys()}
    return documents._replace(values=values)


def _rated_raw(documents: _Documents, raters: Sequence[Rater[Any]]) -> _Documents:
    """The documents with the signals of the raw raters among these."""
    raw = [rater for rater in raters if rater.raw]
    return _rated(documents, raw, unsegmented(documents.batch["text"])) if raw else documents


def _rated_unedited(documents: _Documents, recipe: Recipe, raters: Sequence[Rater[Any]]) -> _Documents:
    """Documents that no editor has seen, with the signals of the raters that see them so."""
    unedited = [rater for rater in raters if rater.name in recipe.rate_unedited]
    documents = _rated_raw(documents, unedited)
    if all(rater.raw for rater in unedited):
        return documents
    pieces, order = [], []
    for reading, rows in _by_reading(documents, recipe, unedited):
        piece = documents if rows is None else documents.take(rows)
        texts = segment(piece.batch["text"], reading.words)
        pieces.append(_rated(piece, _reading(unedited, reading), texts).values)
        order.append(np.arange(documents.batch.num_rows) if rows is None else rows)
    place = pa.array(np.argsort(np.concatenate(order)))
    return documents._replace(
        values={name: pa.concat_arrays([values[name] for values in pieces]).take(place) for name in pieces[0]}
    )


def _measured(
    documents: _Documents,
    reading: Reading,
    recipe: Recipe,
    by_section: Mapping[str, Sequence[Editor[Any]]],
    raters: Sequence[Rater[Any]],
) -> Measured:
    """Documents with all signals, and their sketch. `reading`: how raters see them, unless they compare."""
    batch = documents.batch
    bands = recipe.dedup.minhash if recipe.dedup is not None else None
    raters = _reading(raters, reading)
    seen = [recipe.words if rater.compares else reading.words for rater in raters]
    cut = {words: segment(batch["text"], words) for words in dict.fromkeys(seen)}
    for rater, words in zip(raters, seen, strict=True):
        documents = _rated(documents, [rater], cut[words])
    values = documents.values
    editors = [editor for each in by_section.values() for editor in each]
    edits = {signal.name for editor in editors for signal in editor.signals}
    signals = [signal for name, signal in recipe.rated_signals.items() if name in values or name in edits]
    fields = [*batch.schema, *(signal.field() for signal in signals)]
    nulls = {signal.name: pa.nulls(batch.num_rows, signal.type()) for signal in signals if signal.name not in values}
    arrays = [*batch.columns, *((nulls if signal.name in nulls else values)[signal.name] for signal in signals)]
    if editors:
        edits_of = documents.edits if documents.edits is not None else pa.nulls(batch.num_rows, RECORD)
        fields, arrays = [*fields, pa.field(EDITS, RECORD)], [*arrays, edits_of]
    rated = pa.record_batch(arrays, schema=pa.schema(fields))
    texts = next(iter(cut.values())) if cut else unsegmented(batch["text"])
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
        columns["chars_read"] = pc.utf8_length(documents.read).cast(pa.int64())
    if bands is not None:
        hashed = cut[recipe.words] if recipe.words in cut else hashed_words(batch["text"], recipe.words, fold=True)
        columns["bands"] = sketch(hashed, bands)
    return rated, pa.record_batch(columns)


def _reading(raters: Sequence[Rater[Any]], reading: Reading) -> list[Rater[Any]]:
    """The raters that see words, as this reading wants them."""
    return [_with_stop_words(rater, reading.stop_words) for rater in raters if not rater.raw]


def _with_stop_words(rater: Rater[Any], stop_words: tuple[str, ...] | None) -> Rater[Any]:
    """The rater; the one that counts stop words with these ones, unless they are None."""
    if stop_words is None or not isinstance(rater, GopherRater):
        return rater
    return GopherRater(rater.options.model_copy(update={"stop_words": stop_words}))


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
