"""Writes and reads shards of Parquet, with zstd, page checksums and row groups of even size."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core.shards import Output

_DISTINCT = {"id", "text", "url"}  # no dictionary, because values do not repeat


def write(table: pa.Table, sink: storage.Sink, options: Output) -> None:
    """Writes all rows. The bytes do not depend on the layout of the table in memory."""
    table = table.combine_chunks()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=options.compression_level,
        use_dictionary=[name for name in table.schema.names if name not in _DISTINCT],
        write_statistics=[name for name in table.schema.names if name != "text"],  # bounds of texts are useless
        write_page_checksum=True,
        store_schema=True,
    ) as writer:
        for group in _groups(table, options.row_group_bytes):
            writer.write_table(group, row_group_size=max(1, len(group)))


def read(data: bytes, _uri: str) -> pa.Table:
    """All rows; checks every page. Raises an Arrow error or OSError if the shard is damaged."""
    # Without threads: one that still holds a buffer of `data` when Python exits would abort the process.
    return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read(use_threads=False)


def _groups(table: pa.Table, size: int) -> Iterator[pa.Table]:
    """Splits the table into groups of consecutive rows with about `size` bytes of values."""
    lengths = np.zeros(len(table), np.int64)
    for column in table.columns:
        if pa.types.is_primitive(column.type) or pa.types.is_nested(column.type):
            lengths += 8
        elif len(table):
            lengths += pc.fill_null(pc.binary_length(column), 0).to_numpy()
    group = np.cumsum(lengths) // size
    bounds = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(table)]
    for start, stop in pairwise(bounds):
        yield table.slice(start, stop - start)
