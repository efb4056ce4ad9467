"""The files of an index of released documents: what they hold, and how they are looked up.

dedup-index/index.json              settings, counts, and the indices before it
dedup-index/documents-00000.arrow   text hash, id and place of the shingles of each document, by text hash
dedup-index/shingles-00000.u64      the shingles of these documents, sorted and unique in each, one document after the other
dedup-index/bands-00000.arrow       band hash, and text hash of a document that has it, by band hash
dedup-index/merged/                 an index of earlier releases, made of many small ones (`merge_indices.py`)

A hash says where it is: its first bits number the file, and the bits behind them the batch in it. So
whoever looks for hashes reads the batches that may have them and no others. An index is never
changed to add to it: the next one names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby, pairwise
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError, damage
from tamis.transforms.core.json_model import JsonModel
from tamis.transforms.dedup.minhash import MinHash
from tamis.transforms.text.words import Words

REASON = "dedup.released"
"""Of documents that an index has."""

FOLDER = "dedup-index"
MERGED = "merged"
FILE = "index.json"
VERSION = 2
"""Of the files; another version is refused."""

Hashes = npt.NDArray[np.uint64]

DOCUMENTS, BANDS, SHINGLES = "documents", "bands", "shingles"
SCHEMAS = {
    DOCUMENTS: pa.schema(
        [
            pa.field("text_hash_0", pa.uint64(), nullable=False),
            pa.field("text_hash_1", pa.uint64(), nullable=False),
            pa.field("id", pa.string(), nullable=False),
            pa.field("first", pa.int64(), nullable=False),  # shingles of the file before those of the document
            pa.field("count", pa.int64(), nullable=False),
            pa.field("release", pa.int32(), nullable=False),  # that kept it: a number in `IndexFile.releases`
        ]
    ),
    BANDS: pa.schema([pa.field("band", pa.uint64(), nullable=False), pa.field("text_hash_0", pa.uint64(), nullable=False)]),
}
"""The columns of the Arrow files. The first one is the hash that rows are sorted and found by."""

_FILE_DOCUMENTS = 1 << 17  # the shingles of as many web pages are half a gigabyte
_EVEN_BITS = 7  # up to 128 files each has `_FILE_DOCUMENTS`; beyond, number and size grow alike (`work_plan.partitions`)
_BATCH_ROWS = {DOCUMENTS: 1 << 14, BANDS: 1 << 16}  # about 1 MB; a batch takes 0.1 ms besides what is searched


class IndexFile(JsonModel):
    """`index.json`. `near`: what bands and shingles depend on; None if there are none. `bits`: first
    bits of a hash that number its file and its batch, by kind of file. `files`: those that are not
    empty. `releases`: the folders of the indices that its documents were in first, from its own; "."
    is itself. `before`: those of the indices that belong to it."""

    version: int = VERSION
    documents: int
    near: dict[str, Any] | None
    bits: dict[str, tuple[int, int]]
    files: list[str]
    releases: list[str] = Field(default_factory=lambda: ["."])
    before: list[str]


@dataclass(frozen=True)
class Segment:
    """One index, opened: its folder, its `index.json`, and what messages call each of its releases."""

    folder: str
    index: IndexFile
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.names[0] if len(self.names) == 1 else self.folder

    def uri(self, kind: str, number: int) -> str:
        return storage.join(self.folder, file_name(kind, number))


def file_name(kind: str, number: int) -> str:
    """The name of file `number` of a kind."""
    return f"{kind}-{number:05d}.{'u64' if kind == SHINGLES else 'arrow'}"


def near_settings(options: MinHash | None, words: Words) -> dict[str, Any] | None:
    """What the bands and shingles of an index depend on. None without near-duplicates."""
    if options is None:
        return None
    decides = {"threshold", "permutations", "containment", "preserve"}
    return {**options.model_dump(exclude=decides, exclude_none=True), "words": words.identity}


def bits_of(documents: int, bands: int) -> dict[str, tuple[int, int]]:
    """`IndexFile.bits` for so many documents with so many bands each."""
    by_size = _bits(documents, _FILE_DOCUMENTS)
    files = min(by_size, (by_size + _EVEN_BITS) // 2)
    rows = {DOCUMENTS: documents, BANDS: documents * bands}
    return {kind: (files, max(files, _bits(count, _BATCH_ROWS[kind]))) for kind, count in rows.items()}


def _bits(items: int, size: int) -> int:
    """Bits that number pieces of about `size` items."""
    return (max(1, -(-items // size)) - 1).bit_length()


def first_bits(hashes: Hashes, bits: int) -> npt.NDArray[np.int64]:
    """The number that the first bits of each hash make."""
    return (hashes >> np.uint64(1) >> np.uint64(63 - bits)).astype(np.int64)


def write_sorted(uri: str, kind: str, table: pa.Table, number: int, bits: tuple[int, int]) -> None:
    """Writes file `number` of a kind, with its rows, which are sorted, in their batches."""
    of_file, of_batch = bits
    first = number << of_batch - of_file
    hashes = table[SCHEMAS[kind].names[0]].to_numpy()
    limits = np.searchsorted(first_bits(hashes, of_batch), np.arange(first, first + (1 << of_batch - of_file) + 1))
    with storage.commit(uri) as sink, pa.ipc.new_file(sink, SCHEMAS[kind]) as writer:
        for start, stop in pairwise(limits.tolist()):
            rows = table.slice(start, stop - start).combine_chunks().to_batches()
            writer.write_batch(rows[0] if rows else pa.RecordBatch.from_pylist([], schema=SCHEMAS[kind]))


def find(segment: Segment, kind: str, hashes: Hashes) -> pa.Table:
    """The rows of an index whose hash is among `hashes`, sorted by it. Reads the batches that may
    have one. Raises RunError if a file is missing or damaged."""
    of_file, of_batch = segment.index.bits[kind]
    wanted = np.sort(hashes)
    # np.unique takes five times as long.
    wanted = wanted[np.append(True, wanted[1:] != wanted[:-1])[: len(wanted)]]
    batch_of = first_bits(wanted, of_batch)
    limits = [*np.flatnonzero(np.diff(batch_of, prepend=-1)).tolist(), len(wanted)]
    looked_up = [(int(batch_of[start]), wanted[start:stop]) for start, stop in pairwise(limits)]
    found: list[pa.RecordBatch] = []
    for number, group in groupby(looked_up, lambda item: item[0] >> of_batch - of_file):
        if file_name(kind, number) in segment.index.files:
            in_file = [(batch & (1 << of_batch - of_file) - 1, own) for batch, own in group]
            found += _matches(segment, segment.uri(kind, number), in_file)
    return pa.Table.from_batches(found, SCHEMAS[kind])


def _matches(segment: Segment, uri: str, looked_up: Sequence[tuple[int, Hashes]]) -> Iterator[pa.RecordBatch]:
    """The rows with looked-up hashes, from the numbered batches of a file."""
    batches = _batches(segment, uri, [batch for batch, _ in looked_up])
    for rows, (_, own) in zip(batches, looked_up, strict=True):
        hashes = rows.column(0).to_numpy()
        left = np.searchsorted(hashes, own)
        first = left[hashes[np.minimum(left, len(hashes) - 1)] == own] if len(hashes) else left[:0]
        if len(first):
            count = np.searchsorted(hashes, hashes[first], "right") - first
            place = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
            yield pa.record_batch([_taken(column, place) for column in rows.columns], schema=rows.schema)


def _taken(column: pa.Array, place: npt.NDArray[np.int64]) -> pa.Array:
    """Items of a column without nulls. Of numbers numpy takes few ten times as fast as Arrow."""
    return column.take(pa.array(place)) if pa.types.is_string(column.type) else pa.array(column.to_numpy()[place])


def rows_in(segment: Segment, kind: str, number: int, bits: int) -> pa.Table:
    """The rows of an index whose hash has `number` as its first bits, sorted by it. Reads the batches
    that may have one. Raises as `find`."""
    of_file, of_batch = segment.index.bits[kind]
    first, stop = number << of_batch >> bits, ((number + 1 << of_batch) - 1 >> bits) + 1
    found: list[pa.RecordBatch] = []
    for file, batches in groupby(range(first, stop), lambda batch: batch >> of_batch - of_file):
        if file_name(kind, file) in segment.index.files:
            in_file = [batch & (1 << of_batch - of_file) - 1 for batch in batches]
            found += _batches(segment, segment.uri(kind, file), in_file)
    table = pa.Table.from_batches(found, SCHEMAS[kind])
    return table.filter(pa.array(first_bits(table[SCHEMAS[kind].names[0]].to_numpy(), bits) == number))


def _batches(segment: Segment, uri: str, numbers: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """The numbered batches of a file."""
    try:
        with _opened(uri) as file, pa.ipc.open_file(file) as reader:
            for number in numbers:
                yield reader.get_batch(number)
    except (pa.ArrowException, OSError) as error:
        raise RunError(_lost(segment, uri, damage(error) if not isinstance(error, FileNotFoundError) else "missing")) from error


def _opened(uri: str) -> BinaryIO | pa.NativeFile:
    """A file of an index; one on a disk is mapped, so that only the pages that are looked at are read."""
    local = storage.local_path(uri)
    return storage.open_binary(uri) if local is None else pa.memory_map(str(local))


def read_shingles(segment: Segment, documents: pa.Table) -> Iterator[pa.Array]:
    """The shingles of documents of an index, which are rows of `find` in their order, as lists: a file
    at a time. Raises RunError if one is missing or too short."""
    file_of = first_bits(documents["text_hash_0"].to_numpy(), segment.index.bits[DOCUMENTS][0])
    limits = np.searchsorted(file_of, np.unique(file_of), "left").tolist()
    for start, stop in pairwise((*limits, len(file_of))):
        uri = segment.uri(SHINGLES, int(file_of[start]))
        first, count = (documents[name].to_numpy()[start:stop] for name in ("first", "count"))
        content = bytearray()
        if count.any() and not storage.exists(uri):
            raise RunError(_lost(segment, uri, "missing"))
        with storage.open_binary(uri) if count.any() else BytesIO() as file:
            for place, size in zip(first.tolist(), count.tolist(), strict=True):
                file.seek(8 * place)
                content += file.read(8 * size)
        if len(content) != 8 * count.sum():
            raise RunError(_lost(segment, uri, "too short"))
        offsets = np.append(0, np.cumsum(count))
        yield pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(np.frombuffer(content, "<u8")))


def _lost(segment: Segment, uri: str, problem: str) -> str:
    return (
        f"dedup.against: {uri} of the index of {segment.name} is {problem}: restore it from a copy, or take {segment.name} "
        "out of the list"
    )
