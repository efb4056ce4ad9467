"""Erases documents from an index: their ids, and the hashes of their texts."""

from collections.abc import Iterator, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms import storage
from tamis.transforms.dedup.released.index_files import (
    BANDS,
    DOCUMENTS,
    FILE,
    SHINGLES,
    IndexFile,
    Segment,
    file_name,
    write_sorted,
)


def indexed(folder: str, ids: Set[str]) -> set[str]:
    """Which of these ids documents in the index in `folder` have; none if there is no index."""
    index = IndexFile.read(storage.join(folder, FILE))
    if index is None:
        return set()
    tables = _tables(Segment(folder, index, (folder,)), DOCUMENTS)
    return {each for _, table in tables for each in _with_ids(table, ids)["id"].to_pylist()}


def erase(folder: str, ids: Set[str]) -> None:
    """Erases the documents with these ids from the index in `folder`, if there is one. All else stays
    as it is; where their shingles were are zeros. If it is interrupted, doing it again finishes it.
    Cost: reads all documents and, if one is erased, all bands."""
    index = IndexFile.read(storage.join(folder, FILE))
    if index is None:
        return
    segment = Segment(folder, index, (folder,))
    erased = {}
    for number, table in _tables(segment, DOCUMENTS):
        if len(documents := _with_ids(table, ids)):
            erased[number] = documents, _with_ids(table, ids, others=True)
    if not erased:
        return
    # The documents last: as long as they are there, it is known what else has to go.
    gone, left = (pa.chunked_array([each[place]["text_hash_0"] for each in erased.values()]) for place in (0, 1))
    hashes = pa.array(np.setdiff1d(gone.to_numpy(), left.to_numpy()))
    for number, table in _tables(segment, BANDS):
        mask = pc.is_in(table["text_hash_0"], value_set=hashes)
        if pc.any(mask, min_count=0).as_py():
            _write(segment, BANDS, number, table.filter(pc.invert(mask)))
    for number, (documents, others) in erased.items():
        if index.near is not None:
            _overwrite_shingles(segment.uri(SHINGLES, number), documents)
        _write(segment, DOCUMENTS, number, others)
    count = sum(len(table) for _, table in _tables(segment, DOCUMENTS))
    index.model_copy(update={"documents": count}).write(storage.join(folder, FILE))


def _with_ids(table: pa.Table, ids: Set[str], others: bool = False) -> pa.Table:
    """The documents with these ids, or all others."""
    mask = pc.is_in(table["id"], value_set=pa.array(sorted(ids), pa.string()))
    return table.filter(pc.invert(mask) if others else mask)


def _tables(segment: Segment, kind: str) -> Iterator[tuple[int, pa.Table]]:
    """The number and the rows of each file of a kind."""
    for number in range(1 << segment.index.bits[kind][0]):
        if file_name(kind, number) in segment.index.files:
            with storage.open_binary(segment.uri(kind, number)) as file, pa.ipc.open_file(file) as reader:
                yield number, reader.read_all().combine_chunks()


def _write(segment: Segment, kind: str, number: int, table: pa.Table) -> None:
    write_sorted(segment.uri(kind, number), kind, table.combine_chunks(), number, segment.index.bits[kind])


def _overwrite_shingles(uri: str, documents: pa.Table) -> None:
    content = bytearray(storage.read_bytes(uri))
    for first, count in zip(documents["first"].to_pylist(), documents["count"].to_pylist(), strict=True):
        content[8 * first : 8 * (first + count)] = bytes(8 * count)
    storage.write_bytes(uri, bytes(content))
