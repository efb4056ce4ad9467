"""Shards as Parquet: zstd, page checksums, row groups of even size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core.shards import Output

_DISTINCT = {"id", "text", "url"}  # a dictionary of what is never repeated is work for nothing; so are bounds of texts


def write(table: pa.Table, sink: storage.Sink, options: Output) -> None:
    """All rows. The layout of the table in memory does not show in the bytes."""
    table = table.combine_chunks()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=options.compression_level,
        use_dictionary=[name for name in table.schema.names if name not in _DISTINCT],
        write_statistics=[name for name in table.schema.names if name != "text"],
        write_page_checksum=True,
        store_schema=True,
    ) as writer:
        for group in _groups(table, options.row_group_bytes):
            writer.write_table(group, row_group_size=max(1, len(group)))


def read(data: bytes, _uri: str) -> pa.Table:
    """All rows, every page checked."""
    return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()


def _groups(table: pa.Table, size: int) -> Iterator[pa.Table]:
    """Consecutive rows whose values have about `size` bytes."""
    lengths = np.zeros(len(table), np.int64)
    for column in table.columns:
        if pa.types.is_primitive(column.type) or pa.types.is_nested(column.type):
            lengths += 8
        elif len(table):
            lengths += pc.fill_null(pc.binary_length(column), 0).to_numpy()
    group = np.cumsum(lengths) // size
    cuts = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(table)]
    for start, stop in pairwise(cuts):
        yield table.slice(start, stop - start)
