"""Keeps the values of dear raters in files of their own, so that no other change measures them again.

A part holds the values of all raters and is rated again when any of them changes. `columns/RATER/`
has those of a dear rater (`own_file`) once more, one file for each split, named by all that can change them: the
split, how it is read, the rater, and the raters whose signals it needs. While a split is rated, pieces of its file are
written every half minute, so a killed run loses no more of a slow rater than that.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipelines.recipe.fingerprints import RATE_VERSION, editors_identity, words_identity
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.beam.step import one_batch
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.rater import Rater
from tamis.transforms.read.input_options import Split
from tamis.transforms.text.hashing import hash_texts

FOLDER = "columns"

Known = Mapping[str, pa.RecordBatch]
"""Values of documents by rater, row by row."""

_ID_HASH = "id_hash"

PIECE_SECONDS = 30.0
"""Time after which the values so far are written. No value depends on it, only how many are lost."""


class ColumnFiles:
    """The files of one split. Batches must come in the order in which they are read."""

    def __init__(self, run: str, split: Split, recipe: Recipe, raters: Sequence[Rater[Any]]) -> None:
        self._row = 0
        self._raters = {rater.name: rater for rater in raters if rater.own_file}
        self._uris = {name: _uri(run, split, recipe, raters, rater) for name, rater in self._raters.items()}
        self._saved = {name: table for name, uri in self._uris.items() if (table := _read(uri)) is not None}
        self._new: dict[str, list[pa.RecordBatch]] = {name: [] for name in self._raters.keys() - self._saved.keys()}
        pieces = {name: list(_pieces(self._uris[name])) for name in self._new}
        self._saved |= {name: pa.concat_tables(tables) for name, tables in pieces.items() if tables}
        self._pieces = {name: [0, *np.cumsum([len(table) for table in tables]).tolist()] for name, tables in pieces.items()}
        self._written = time.monotonic()

    def known(self, batch: pa.RecordBatch) -> Known:
        """The saved values of the documents of the next batch."""
        known = {}
        for name, table in list(self._saved.items()):
            rows = table.slice(self._row, batch.num_rows)
            if len(rows) == batch.num_rows and np.array_equal(rows[_ID_HASH].to_numpy(), hash_texts(batch["id"])):
                known[name] = one_batch(rows.drop_columns([_ID_HASH]))
            else:  # another reader, a document that failed then, or the end of the pieces
                del self._saved[name]
        self._row += batch.num_rows
        return known

    def add(self, batch: pa.RecordBatch, rated: pa.RecordBatch) -> None:
        """Adds the values of a batch. If documents were rejected, nothing of the split is saved."""
        for name in list(self._new):
            if rated.num_rows != batch.num_rows:
                del self._new[name]
                continue
            signals = [signal.name for signal in self._raters[name].signals]
            columns = {_ID_HASH: pa.array(hash_texts(batch["id"])), **{signal: rated[signal] for signal in signals}}
            self._new[name].append(pa.record_batch(columns))
        if time.monotonic() - self._written > PIECE_SECONDS:
            for name, batches in self._new.items():
                self._write_piece(name, pa.Table.from_batches(batches))
            self._written = time.monotonic()

    def _write_piece(self, name: str, values: pa.Table) -> None:
        """Writes the values that no piece has yet."""
        first = self._pieces[name][-1]
        if len(values) > first:
            _write(_piece(self._uris[name], first), values.slice(first))
            self._pieces[name].append(len(values))

    def save(self) -> None:
        """Writes the files of the raters that were not known, once all of the split is read, in place of
        their pieces."""
        for name, batches in self._new.items():
            if batches:
                _write(self._uris[name], pa.Table.from_batches(batches))
                for first in self._pieces[name][:-1]:
                    storage.remove(_piece(self._uris[name], first))


def _uri(run: str, split: Split, recipe: Recipe, raters: Sequence[Rater[Any]], rater: Rater[Any]) -> str:
    needed = {signal: other for other in raters for signal in (signal.name for signal in other.signals)}
    covered = {
        "split": asdict(split),
        "code": RATE_VERSION,
        "input": recipe.input.identity,
        "words": recipe.words.identity if rater.compares else None,
        **(words_identity(recipe) if not (rater.raw or rater.compares) else {}),
        **({"unedited": True} if rater.name in recipe.rate_unedited else editors_identity(recipe)),
        "raters": _fingerprints(rater, needed),
    }
    return storage.join(run, FOLDER, rater.name, f"{fingerprint(covered)}.arrow")


def _piece(uri: str, first: int) -> str:
    """The file of the values from this row on."""
    return f"{uri.removesuffix('.arrow')}.{first}.arrow"


def _pieces(uri: str) -> Iterator[pa.Table]:
    """The values in the pieces of a file, as far as they follow each other."""
    row = 0
    while (table := _read(_piece(uri, row))) is not None and len(table):
        yield table
        row += len(table)


def _fingerprints(rater: Rater[Any], needed: Mapping[str, Rater[Any]]) -> list[object]:
    """The fingerprints of a rater, and of all whose signals it needs, however far."""
    return [rater.fingerprint, *(_fingerprints(needed[need], needed) for need in sorted(rater.needs) if need in needed)]


def _read(uri: str) -> pa.Table | None:
    """The values in a file; None if it is missing or damaged."""
    if not storage.exists(uri):
        return None
    try:
        with storage.open_binary(uri) as file, pa.ipc.open_file(file) as reader:
            table = reader.read_all()
    except (pa.ArrowException, OSError):
        return None
    digest = (table.schema.metadata or {}).get(b"sha256")
    return table.replace_schema_metadata() if digest == _digest(table).encode() else None


def _write(uri: str, table: pa.Table) -> None:
    table = table.combine_chunks().replace_schema_metadata({"sha256": _digest(table)})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with storage.commit(uri) as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)


def _digest(table: pa.Table) -> str:
    """SHA-256 of the values, however they are cut into chunks."""
    digest = hashlib.sha256()
    for name in table.column_names:
        digest.update(name.encode() + b"\0" + repr(table[name].to_pylist()).encode())
    return digest.hexdigest()
