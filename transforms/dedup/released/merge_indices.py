"""Merges small indices into one, so that a year of nights is a few indices, and not 365.

A release with `index: extend` names the indices before it. When many of them are small, it also
leaves one with their documents, and names that in their place. Like the index of a release it is
written file by file, each of which has a range of hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.transforms.combiners import ToListCombineFn

from tamis.transforms import storage
from tamis.transforms.beam.exchange import MapDoFn
from tamis.transforms.dedup.released.index_files import (
    BANDS,
    DOCUMENTS,
    FILE,
    SCHEMAS,
    SHINGLES,
    IndexFile,
    Segment,
    bits_of,
    file_name,
    read_shingles,
    rows_in,
    write_sorted,
)
from tamis.transforms.dedup.released.open_indices import from_folder, to_folder

EACH_TIER = 7
"""Indices of similar size that are left alone; one more, and they become one."""

_TIER_BITS = 3  # those of a tier differ by less than 2³ times
_GATHER = 1 << 12  # documents whose shingles are in memory while they are written in order


def newest_to_merge(documents: Sequence[int]) -> int:
    """How many of the newest of these indices become one; 0 if they stay. `documents`: how many each has,
    the newest first.

    Of the newest, up to any tier of size, no more stay than `EACH_TIER` times the tiers among them.
    So their number grows with the logarithm of all documents, and a document is written again about
    once for each tier that it climbs.
    """
    tiers = [max(count, 1).bit_length() // _TIER_BITS for count in documents]
    highest = list(accumulate(tiers, max))
    crowded = (
        length
        for length in range(len(tiers), 0, -1)
        if (length == len(tiers) or highest[length] > highest[length - 1]) and length > EACH_TIER * len({*tiers[:length]})
    )
    return next(crowded, 0)


class MergeIndices(beam.PTransform):
    """Writes one index with the documents of several, made with the same settings, into `folder`. Of a
    text that several have, that of the first stays. `sealed`: the folder from which it names the
    releases, which is where it will be."""

    def __init__(self, segments: Sequence[Segment], folder: str, sealed: str) -> None:
        super().__init__()
        self.segments, self.folder, self.sealed = tuple(segments), folder, sealed

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        shared: dict[str, Any] = {"segments": self.segments, "folder": self.folder}
        files = 1 << _bits(self.segments)[DOCUMENTS][0]
        return (
            pipeline
            | "Ranges" >> beam.Create(range(files))
            | "Merge" >> beam.ParDo(MapDoFn(partial(_merge, **shared)))
            | "Gather" >> beam.CombineGlobally(ToListCombineFn())
            | "Finish" >> beam.ParDo(MapDoFn(partial(_finish, sealed=self.sealed, **shared)))
        )


def _bits(segments: Sequence[Segment]) -> dict[str, tuple[int, int]]:
    near = segments[0].index.near
    return bits_of(sum(segment.index.documents for segment in segments), 0 if near is None else near["bands"])


def _merge(number: int, segments: Sequence[Segment], folder: str) -> int:
    """Writes the files of a range of hashes; returns how many documents they have."""
    bits = _bits(segments)
    of_file, _ = bits[DOCUMENTS]
    rows = [rows_in(segment, DOCUMENTS, number, of_file) for segment in segments]
    owner = np.repeat(np.arange(len(segments)), [len(own) for own in rows])
    first_release = np.cumsum([0, *(len(segment.index.releases) for segment in segments)])
    table = pa.concat_tables(rows)
    order, kept = _once([table[name].to_numpy() for name in ("text_hash_0", "text_hash_1")], owner)
    table, owner = table.take(pa.array(order[kept])).combine_chunks(), owner[order[kept]]
    if segments[0].index.near is not None:
        _write_shingles(storage.join(folder, file_name(SHINGLES, number)), table, owner, segments)
        bands = pa.concat_tables([rows_in(segment, BANDS, number, of_file) for segment in segments])
        order, kept = _once([bands[name].to_numpy() for name in SCHEMAS[BANDS].names])
        bands = bands.take(pa.array(order[kept]))
        write_sorted(storage.join(folder, file_name(BANDS, number)), BANDS, bands, number, bits[BANDS])
    count = table["count"].to_numpy()
    release = (table["release"].to_numpy() + first_release[owner]).astype(np.int32)
    for name, values in {"first": np.cumsum(count) - count, "release": release}.items():
        table = table.set_column(table.column_names.index(name), SCHEMAS[DOCUMENTS].field(name), pa.array(values))
    write_sorted(storage.join(folder, file_name(DOCUMENTS, number)), DOCUMENTS, table, number, bits[DOCUMENTS])
    return len(table)


def _once(
    columns: Sequence[npt.NDArray[Any]], owner: npt.NDArray[np.int64] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The order of rows by these columns, then by owner, and in that order a mask of the first of equal rows."""
    order = np.lexsort([*([] if owner is None else [owner]), *reversed(columns)])
    ordered = [column[order] for column in columns]
    new = np.ones(len(order), np.bool_)
    new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in ordered])
    return order, new


def _write_shingles(uri: str, table: pa.Table, owner: npt.NDArray[np.int64], segments: Sequence[Segment]) -> None:
    """Writes the shingles of documents, which are rows of the indices `owner`, by text hash."""
    with storage.commit(uri) as sink:
        for start in range(0, len(table), _GATHER):
            own = owner[start : start + _GATHER]
            lists: list[pa.Array] = []
            place: list[npt.NDArray[np.int64]] = []
            for number, segment in enumerate(segments):
                rows = np.flatnonzero(own == number)
                lists += read_shingles(segment, table.slice(start, _GATHER).take(pa.array(rows)))
                place.append(rows)
            ordered = pa.concat_arrays(lists).take(pa.array(np.argsort(np.concatenate(place))))
            sink.write(ordered.flatten().to_numpy().astype("<u8", copy=False))


def _finish(documents: Sequence[int], segments: Sequence[Segment], folder: str, sealed: str) -> str:
    """Writes index.json when all other files are there."""
    kinds = [DOCUMENTS] if segments[0].index.near is None else [DOCUMENTS, BANDS]
    bits = _bits(segments)
    releases = [from_folder(sealed, to_folder(segment.folder, path)) for segment in segments for path in segment.index.releases]
    index = IndexFile(
        documents=sum(documents),
        near=segments[0].index.near,
        bits=bits,
        files=sorted(file_name(kind, number) for kind in kinds for number in range(1 << bits[kind][0])),
        releases=releases,
        before=[],
    )
    index.write(storage.join(folder, FILE))
    return FILE
