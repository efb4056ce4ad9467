"""A rated part: files that hold the documents of one or more splits, committed by a receipt.

rated/4be1c07d52a9f3b8-0.parquet      documents with their text and signals
sketches/4be1c07d52a9f3b8-0.arrow     id, hashes, bands: what Decide needs and no text
rejects/4be1c07d52a9f3b8-0.jsonl      records that could not be read
rated/4be1c07d52a9f3b8-0.json         the receipt, written last: without it the part does not exist

A part is named by what went into it, so the releases of a run share parts, and making the next
release leaves those of the last one alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from tamis.transforms import storage
from tamis.transforms.core.documents import doc_refs
from tamis.transforms.core.errors import RunError, damage
from tamis.transforms.core.json_model import JsonModel
from tamis.transforms.core.manifest import File

ROW_GROUP_BYTES = 16 << 20
"""Values in one row group of a rated part, about. Reading a single row decompresses as much, and a
writer holds as much: of short documents, signals and ids are most of it."""


EDITS = "edits"
"""The column of a rated part with what editors replaced, if there were any."""

FOLDERS = (("rated", "json"), ("rated", "parquet"), ("sketches", "arrow"), ("rejects", "jsonl"))
"""Folder and suffix of a part's files, in the order of deletion: first the receipt."""


_REPEATED = ["source", *(f"{EDITS}.list.element.{name}" for name in ("editor", "reason"))]
"""Columns of few values."""


class SplitCounts(JsonModel):
    """A split of the input, and what a part holds of it. `fingerprint` covers the split's bytes and
    everything that rates them. `estimated`: of the rejected records, those of damaged ranges, whose
    number is an estimate."""

    fingerprint: str
    uri: str
    format: str
    start: int
    stop: int
    size: int
    stamp: str
    documents: int
    rejected: int
    estimated: int = 0
    skipped: int = 0


@dataclass
class EditCounts:
    """What an editor did: the documents that it changed, and the characters that it removed and
    inserted, in all and by reason."""

    documents: int = 0
    removed: int = 0
    inserted: int = 0
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, other: EditCounts) -> None:
        """Adds what it did elsewhere."""
        self.documents += other.documents
        self.removed += other.removed
        self.inserted += other.inserted
        for reason, counts in other.reasons.items():
            own = self.reasons.setdefault(reason, dict.fromkeys(counts, 0))
            for name, count in counts.items():
                own[name] += count


@dataclass
class Characters:
    """Characters of a part's documents: as they were read, by editor, and as they were written to
    `rated/`. Each number is counted by itself, from the text or the record that holds it."""

    read: int = 0
    edits: dict[str, EditCounts] = field(default_factory=dict)
    rated: int = 0

    def add(self, other: Characters) -> None:
        """Adds the characters of another part."""
        self.read += other.read
        self.rated += other.rated
        for editor, counts in other.edits.items():
            self.edits.setdefault(editor, EditCounts()).add(counts)


class PartReceipt(JsonModel):
    """A finished part: number `number` of those that its task gives, and whether it is the last.
    `inputs`: its splits in the order of their rows; a large split is in several parts. `skipped`:
    records that are no documents on purpose, by reason. `absent`: documents without a value of a
    part whose field the recipe names, by part."""

    fingerprint: str
    number: int = 0
    last: bool = True
    inputs: list[SplitCounts]
    documents: int
    rejected: int
    skipped: dict[str, int] = Field(default_factory=dict)
    absent: dict[str, int] = Field(default_factory=dict)
    text_bytes: int
    characters: Characters = Field(default_factory=Characters)
    files: list[File]

    @model_validator(mode="before")
    @classmethod
    def _one_input(cls, value: Any) -> Any:
        """Early versions gave each split a part of its own."""
        if isinstance(value, dict) and "input" in value:
            value = dict(value)
            counts = {name: value[name] for name in ("fingerprint", "documents", "rejected")}
            value["inputs"] = [{**value.pop("input"), **counts}]
        return value


@dataclass(frozen=True)
class Part:
    """One rated part of a run. `ordinal` numbers it within a release, once it is in one."""

    run: str
    name: str
    ordinal: int = 0

    def path(self, folder: str, suffix: str) -> str:
        """Path below the run directory."""
        return f"{folder}/{self.name}.{suffix}"

    def uri(self, folder: str, suffix: str) -> str:
        return storage.join(self.run, self.path(folder, suffix))

    def receipt(self) -> PartReceipt | None:
        """The receipt, or None while the part is unfinished."""
        return PartReceipt.read(self.uri("rated", "json"))

    def remove(self) -> None:
        """Deletes the part, receipt first: a part with a receipt always has all of its files."""
        for folder, suffix in FOLDERS:
            storage.remove(self.uri(folder, suffix))

    def schema(self) -> pa.Schema:
        """The columns of the rated documents."""
        with self._open("rated", "parquet") as file:
            return pq.ParquetFile(file).schema_arrow

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Columns of all rated documents."""
        with self._open("rated", "parquet") as file:
            return pq.ParquetFile(file).read(columns=list(names), use_threads=False)

    def sketch(self, names: Sequence[str]) -> pa.Table:
        """The doc_refs of all documents, and columns of the sketch."""
        with self._open("sketches", "arrow") as file:
            with pa.ipc.open_file(file) as reader:
                fields = [reader.schema.get_field_index(name) for name in names]
            # Opened again for these columns alone: bands, which few readers need, are half of it.
            with pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=fields)) as reader:
                table = reader.read_all().select(list(names))
        return table.add_column(0, "doc_ref", pa.array(doc_refs(self.ordinal, table.num_rows)))

    def read(self, rows: npt.NDArray[np.int64], names: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
        """Columns of the given ascending rows: (rows, batch) for each row group that has any."""
        if not len(rows):
            return
        with self._open("rated", "parquet") as file:
            parquet = pq.ParquetFile(file)
            first = 0
            for group in range(parquet.num_row_groups):
                size = parquet.metadata.row_group(group).num_rows
                in_group = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + size)]
                if len(in_group):
                    table = parquet.read_row_group(group, columns=list(names), use_threads=False)
                    yield in_group, table.take(pa.array(in_group - first)).combine_chunks().to_batches()[0]
                first += size

    @contextmanager
    def _open(self, folder: str, suffix: str) -> Iterator[BinaryIO]:
        uri = self.uri(folder, suffix)
        with storage.open_binary(uri) as file:
            try:
                yield file
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                raise RunError(
                    f"{uri} is damaged ({damage(error)}): remove {self.uri('rated', 'json')} "
                    "and run the same command again to rate that part again"
                ) from error


class PartWriter:
    """Writes one part in constant memory. Without `finish`, which commits it, no file remains."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.documents = self.rejected = self.text_bytes = 0
        self.skipped: Counter[str] = Counter()
        self.absent: Counter[str] = Counter()
        self.characters = Characters()
        self._stack = ExitStack()
        self._sinks: dict[str, storage.Sink] = {}
        self._rated: pq.ParquetWriter | None = None
        self._sketch: pa.ipc.RecordBatchFileWriter | None = None
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0

    def __enter__(self) -> PartWriter:
        for folder, suffix in FOLDERS[1:]:
            uri = self.part.uri(folder, suffix)
            self._sinks[self.part.path(folder, suffix)] = self._stack.enter_context(storage.commit(uri))
        return self

    def write(self, rated: pa.RecordBatch, sketch: pa.RecordBatch) -> None:
        """Appends documents, which are the same rows of both batches."""
        rated_sink, sketch_sink, _ = self._sinks.values()
        if self._rated is None or self._sketch is None:
            self._rated = pq.ParquetWriter(
                rated_sink, rated.schema, compression="zstd", compression_level=1, use_dictionary=_REPEATED
            )
            self._sketch = pa.ipc.new_file(sketch_sink, sketch.schema)
        self._sketch.write_batch(sketch)
        text_bytes = int(rated["text"].nbytes)
        self._pending.append(rated)
        self._pending_bytes += rated.nbytes
        self.documents += rated.num_rows
        self.text_bytes += text_bytes
        self.characters.add(_characters(rated, sketch))
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def reject(self, line: dict[str, Any]) -> None:
        """Appends what could not be read to rejects/: one record, or as many as it says."""
        self.rejected += line.get("records", 1)
        self._sinks[self.part.path("rejects", "jsonl")].write(
            json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        )

    def skip(self, reason: str, count: int) -> None:
        """Counts records that are no documents on purpose."""
        self.skipped[reason] += count

    def finish(
        self,
        empty: tuple[pa.Schema, pa.Schema],
        fingerprint: str,
        inputs: list[SplitCounts],
        number: int = 0,
        last: bool = True,
    ) -> PartReceipt:
        """Commits the files, then the receipt. `empty`: the schemas of a part without documents."""
        if self._rated is None:
            rated, sketch = (pa.RecordBatch.from_pylist([], schema=schema) for schema in empty)
            self.write(rated, sketch)
        self._flush()
        assert self._rated is not None
        assert self._sketch is not None
        self._rated.close()
        self._sketch.close()
        self._rated = self._sketch = None
        self._stack.close()
        files = [File(path, sink.size, sink.sha256) for path, sink in self._sinks.items()]
        receipt = PartReceipt(
            fingerprint=fingerprint,
            number=number,
            last=last,
            inputs=inputs,
            documents=self.documents,
            rejected=self.rejected,
            skipped=dict(sorted(self.skipped.items())),
            absent=dict(sorted(self.absent.items())),
            text_bytes=self.text_bytes,
            characters=self.characters,
            files=files,
        )
        receipt.write(self.part.uri("rated", "json"))
        return receipt

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for writer in (self._rated, self._sketch):
            if writer is not None:
                self._stack.callback(writer.close)  # first: closing a writer still writes
        self._stack.__exit__(kind, error, trace)

    def _flush(self) -> None:
        if self._pending and self._rated is not None:
            self._rated.write_table(pa.Table.from_batches(self._pending), row_group_size=1 << 30)
            self._pending, self._pending_bytes = [], 0


def _characters(rated: pa.RecordBatch, sketch: pa.RecordBatch) -> Characters:
    """The characters of a batch of a part, counted in the columns that are written."""
    names = sketch.schema.names
    read = sketch["chars_read" if "chars_read" in names else "chars"] if "chars" in names else pa.array([], pa.int64())
    characters = Characters(read=_sum(read), rated=_sum(pc.utf8_length(rated["text"])))
    if EDITS not in rated.schema.names:
        return characters
    edits = pc.list_flatten(rated[EDITS])
    document = pc.list_parent_indices(rated[EDITS])
    columns = {"document": document, **{name: pc.struct_field(edits, name) for name in ("editor", "reason")}}
    table = pa.table(columns | {name: pc.utf8_length(pc.struct_field(edits, name)) for name in ("removed", "inserted")})
    sums = [("removed", "sum"), ("inserted", "sum")]
    for row in table.group_by("editor").aggregate([*sums, ("document", "count_distinct")]).sort_by("editor").to_pylist():
        characters.edits[row["editor"]] = EditCounts(
            documents=row["document_count_distinct"], removed=row["removed_sum"], inserted=row["inserted_sum"]
        )
    keys = ["editor", "reason"]
    for row in table.group_by(keys).aggregate(sums).sort_by([(key, "ascending") for key in keys]).to_pylist():
        counts = {"removed": row["removed_sum"], "inserted": row["inserted_sum"]}
        characters.edits[row["editor"]].reasons[row["reason"]] = counts
    return characters


def _sum(values: pa.Array) -> int:
    return int(pc.sum(values, min_count=0).as_py())
