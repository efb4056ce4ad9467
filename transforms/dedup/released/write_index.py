"""Writes the index of the documents that a release keeps, so that later ones can be compared with it.

    kept documents → shingles → Exchange by text hash → documents-N, shingles-N
                   → bands → Exchange by band hash → bands-N → index.json

The number of files follows from the number of documents, so the bytes do not depend on parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.beam.exchange import Exchange, FlatMapDoFn, Gathered, MapDoFn, PartState, Rows, addressed
from tamis.transforms.core.documents import row_of
from tamis.transforms.dedup.deduplicate import LoadTexts, shingles_of, spill_shingles
from tamis.transforms.dedup.minhash import MinHash
from tamis.transforms.dedup.released.index_files import (
    BANDS,
    DOCUMENTS,
    FILE,
    SCHEMAS,
    SHINGLES,
    IndexFile,
    bits_of,
    file_name,
    first_bits,
    near_settings,
    write_sorted,
)
from tamis.transforms.text.words import Words

_GATHER = 1 << 10  # documents whose shingles are in memory while they are written in order


class WriteIndex(beam.PTransform):
    """Writes an index into `folder`, from part states. `rows` and `texts` are those of `Deduplicate`,
    of the documents that are kept, no two with one text. `before`: the folders of indices that
    belong to it, from its own."""

    def __init__(
        self,
        options: MinHash | None,
        words: Words,
        before: Sequence[str],
        rows: Rows,
        texts: LoadTexts,
        folder: str,
        spill: str,
    ) -> None:
        super().__init__()
        self.options, self.words, self.before = options, words, tuple(before)
        self.rows, self.texts, self.folder, self.spill = rows, texts, folder, spill

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        count = MapDoFn(partial(_count, rows=self.rows))
        counts = part_states | "Count" >> beam.ParDo(count) | "Sum" >> beam.CombineGlobally(sum)
        documents = beam.pvalue.AsSingleton(counts)
        shared: dict[str, Any] = {"rows": self.rows, "options": self.options}
        rows = FlatMapDoFn(partial(_documents, texts=self.texts, words=self.words, **shared))
        write = MapDoFn(partial(_write_documents, options=self.options, folder=self.folder, spill=self.spill))
        written = [
            part_states
            | "Shingles" >> beam.ParDo(rows, documents).with_output_types(pa.RecordBatch)
            | "By text" >> Exchange(self.spill)
            | "Write documents" >> beam.ParDo(write, documents)
        ]
        if self.options is not None:
            rows = FlatMapDoFn(partial(_bands, **shared))
            write = MapDoFn(partial(_write_bands, options=self.options, folder=self.folder))
            written.append(
                part_states
                | "Bands" >> beam.ParDo(rows, documents).with_output_types(pa.RecordBatch)
                | "By band" >> Exchange(self.spill)
                | "Write bands" >> beam.ParDo(write, documents)
            )
        files = beam.pvalue.AsList(written | "Files" >> beam.Flatten())
        finish = MapDoFn(partial(_finish, options=self.options, words=self.words, before=self.before, folder=self.folder))
        return counts | "Finish" >> beam.ParDo(finish, files)


def _count(part_state: PartState, rows: Rows) -> int:
    return rows(part_state).num_rows


def _bits(documents: int, options: MinHash | None) -> dict[str, tuple[int, int]]:
    return bits_of(documents, 0 if options is None else options.bands)


def _documents(
    part_state: PartState, documents: int, rows: Rows, options: MinHash | None, texts: LoadTexts, words: Words
) -> Iterator[pa.RecordBatch]:
    """The documents of a part with their shingles, addressed to their files."""
    batch = rows(part_state).select(["doc_ref", "id", "text_hash_0", "text_hash_1"])
    of_file, _ = _bits(documents, options)[DOCUMENTS]
    names = ["text_hash_0", "text_hash_1", "id"]
    if options is None:
        pieces: Iterable[tuple[npt.NDArray[np.int64], pa.Array]] = [
            (np.arange(len(batch)), pa.nulls(len(batch), pa.large_list(pa.uint64())))
        ]
    else:
        row = row_of(batch["doc_ref"].to_numpy())
        pieces = ((np.searchsorted(row, read), shingles_of(text, options, words)[0]) for read, text in texts(part_state, row))
    for place, shingles in pieces:
        own = batch.select(names).take(pa.array(place)).append_column("shingles", shingles)
        yield addressed(own, first_bits(own["text_hash_0"].to_numpy(), of_file))


def _write_documents(gathered: Gathered, documents: int, options: MinHash | None, folder: str, spill: str) -> str:
    """Writes a file of documents and one of their shingles; returns the name of the first."""
    table, (start, end, values) = spill_shingles(gathered, spill)
    order = np.lexsort([table[name].to_numpy() for name in ("text_hash_1", "text_hash_0")])
    start, count = start[order], (end - start)[order]
    first = np.cumsum(count) - count
    table = table.take(pa.array(order)).append_column("first", pa.array(first)).append_column("count", pa.array(count))
    table = table.append_column("release", pa.repeat(pa.scalar(0, pa.int32()), len(table)))
    if options is not None:
        with storage.commit(storage.join(folder, file_name(SHINGLES, gathered.destination))) as sink:
            for begin in range(0, len(order), _GATHER):
                own, size = start[begin : begin + _GATHER], count[begin : begin + _GATHER]
                offset = np.repeat(own - np.cumsum(size) + size, size)
                sink.write(np.ascontiguousarray(values[offset + np.arange(len(offset))]).astype("<u8", copy=False))
    name = file_name(DOCUMENTS, gathered.destination)
    table = table.select(SCHEMAS[DOCUMENTS].names).cast(SCHEMAS[DOCUMENTS])
    write_sorted(storage.join(folder, name), DOCUMENTS, table, gathered.destination, _bits(documents, options)[DOCUMENTS])
    return name


def _bands(part_state: PartState, documents: int, rows: Rows, options: MinHash) -> Iterator[pa.RecordBatch]:
    """The bands of the documents of a part, addressed to their files."""
    batch = rows(part_state)
    batch = batch.filter(batch["bands"].is_valid())
    band = batch["bands"].flatten()
    columns = {"band": band, "text_hash_0": np.repeat(batch["text_hash_0"].to_numpy(), options.bands)}
    of_file, _ = _bits(documents, options)[BANDS]
    yield addressed(pa.record_batch(columns), first_bits(band.to_numpy(), of_file))


def _write_bands(gathered: Gathered, documents: int, options: MinHash, folder: str) -> str:
    """Writes a file of bands; returns its name."""
    rows = gathered.table()
    order = np.lexsort((rows["text_hash_0"].to_numpy(), rows["band"].to_numpy()))
    name = file_name(BANDS, gathered.destination)
    table = rows.take(pa.array(order)).cast(SCHEMAS[BANDS])
    write_sorted(storage.join(folder, name), BANDS, table, gathered.destination, _bits(documents, options)[BANDS])
    return name


def _finish(
    documents: int, files: Sequence[str], options: MinHash | None, words: Words, before: Sequence[str], folder: str
) -> str:
    """Writes index.json when all other files are there."""
    index = IndexFile(
        documents=documents,
        near=near_settings(options, words),
        bits=_bits(documents, options),
        files=sorted(files),
        before=list(before),
    )
    index.write(storage.join(folder, FILE))
    return FILE
