"""Applies editors to the texts of a batch, one after the other, and records what each replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.editor import Editor, Edits
from tamis.transforms.core.rater import share, signal_batch
from tamis.transforms.text.segment import Texts
from tamis.transforms.text.splice import lengths, spans, splice


class BrokenContract(ValueError):
    """An editor does not keep its contract, whatever the text."""


RECORD = pa.list_(
    pa.struct(
        [
            pa.field("editor", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("start", pa.int64()),  # byte in the text that the editor saw
            pa.field("removed", pa.string()),
            pa.field("inserted", pa.string()),
        ]
    )
)
"""What was replaced in a document, by editor in their order, then by place. Undone from the last to
the first, the edits of the last editor first, they give the text as it was read."""


@dataclass(frozen=True)
class Edited:
    """Texts after an editor, the values of its signals, and what it replaced."""

    texts: pa.LargeStringArray
    signals: pa.RecordBatch
    edits: Edits
    rows: pa.StructArray
    """[k]: the items of `RECORD`."""


def apply(editor: Editor[Any], texts: Texts, original: pa.Array) -> Edited:
    """Lets an editor edit; `original` are the same texts as an array. Raises BrokenContract if
    its spans are not what that asks for."""
    edits = editor.edit(texts)
    _check(editor, edits, texts)
    removed = lengths(texts.data, edits.start, edits.stop)
    inserted = _chars(edits.inserted) if edits.inserted is not None else np.zeros(len(removed), np.int64)
    kinds = (removed, inserted) if editor.inserts else (removed,)
    cell = edits.document * len(editor.reasons) + edits.reason
    by_reason = [_sums(cell, kind, len(texts) * len(editor.reasons)).reshape(-1, len(editor.reasons)) for kind in kinds]
    values = [
        *(counts.sum(axis=1) for counts in by_reason),
        share(by_reason[0].sum(axis=1), texts.text_chars),
        *(counts[:, number] for number in range(len(editor.reasons)) for counts in by_reason),
        *edits.values,
    ]
    new = original
    if len(edits.document):
        new = splice(texts.data, texts.text_start, edits.document, edits.start, edits.stop, edits.inserted)
    return Edited(new, signal_batch(editor.signals, values), edits, _rows(editor, texts, edits))


def record(edited: Sequence[Edited], documents: int) -> pa.ListArray:
    """What all editors replaced in each document: `RECORD`[n], null where nothing was."""
    owner = np.concatenate([np.empty(0, np.int64), *(each.edits.document for each in edited)])
    rows = pa.concat_arrays([each.rows for each in edited]) if edited else pa.array([], RECORD.value_type)
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(documents + 1)).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(first), rows.take(pa.array(order)), type=RECORD)
    return pc.if_else(pa.array(np.diff(first) > 0), lists, pa.scalar(None, RECORD))


def _rows(editor: Editor[Any], texts: Texts, edits: Edits) -> pa.StructArray:
    size = len(edits.document)
    inserted = edits.inserted if edits.inserted is not None else pa.repeat(pa.scalar(""), size)
    columns = [
        pa.repeat(pa.scalar(editor.name), size),
        pa.array(editor.reasons, pa.string()).take(pa.array(edits.reason)),
        pa.array(edits.start - texts.text_start[edits.document]),
        spans(texts.data, edits.start, edits.stop).cast(pa.string()),
        inserted.cast(pa.string()),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(RECORD.value_type))


def _check(editor: Editor[Any], edits: Edits, texts: Texts) -> None:
    document, start, stop = edits.document, edits.start, edits.stop
    size = len(document)
    if not len(start) == len(stop) == len(edits.reason) == size or len(edits.values) != len(editor.measures):
        raise BrokenContract("returned columns of different lengths")
    if not size:
        return
    inside = (start >= texts.text_start[document]) & (start <= stop) & (stop <= texts.text_start[document + 1])
    ordered = (np.diff(document) > 0) | ((np.diff(document) == 0) & (start[1:] >= stop[:-1]))
    if not (inside.all() and ordered.all()):
        raise BrokenContract("returned spans outside their text, or out of order, or overlapping")
    if ((edits.reason < 0) | (edits.reason >= len(editor.reasons))).any():
        raise BrokenContract("returned a reason that it does not declare")
    if edits.inserted is not None and (len(edits.inserted) != size or not editor.inserts):
        raise BrokenContract("inserts text: declare `inserts = True`, and give one text a span")
    cut = np.concatenate([start, stop])
    if (texts.data[cut[cut < texts.text_start[-1]]] & 0xC0 == 0x80).any():
        raise BrokenContract("returned a span that begins or ends inside a character")


def _chars(array: pa.Array) -> Ints:
    return np.asarray(pc.utf8_length(array).to_numpy(zero_copy_only=False), np.int64)


def _sums(cell: Ints, values: Ints, size: int) -> npt.NDArray[np.int64]:
    sums = np.zeros(size, np.int64)
    np.add.at(sums, cell, values)
    return sums
