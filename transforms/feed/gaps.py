"""The gaps of a patch release: the places in its shards of documents that were taken down.

A patch keeps the places of the release that it patches, so that a training run can go on with it.
`gaps.parquet` has a row for each place without a document: its shard, its row in the shard as it was
first written, and the tokens that were there.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core.arrays import Ints

FILE = "gaps.parquet"
SCHEMA = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),  # its path in the folder of the release
        pa.field("row", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),  # by the count of the run
    ]
)


def read_gaps(uri: str) -> pa.Table:
    """The gaps of a release, sorted by shard and row; none if there is no file."""
    if not storage.exists(uri):
        return SCHEMA.empty_table()
    with storage.open_binary(uri) as file:
        return pq.ParquetFile(file).read(use_threads=False)


def write_gaps(gaps: pa.Table, uri: str) -> None:
    """Writes gaps, in any order, as a file."""
    gaps = gaps.sort_by([("shard", "ascending"), ("row", "ascending")]).cast(SCHEMA)
    with storage.commit(uri) as sink:
        pq.write_table(gaps, sink, compression="zstd", write_page_checksum=True)


def gaps_in(gaps: pa.Table, shard: str) -> tuple[Ints, Ints]:
    """The rows and the tokens of the gaps of one shard."""
    own = gaps.filter(pc.equal(gaps["shard"], shard))
    return own["row"].to_numpy(), own["tokens"].to_numpy()


def places(gap_rows: Ints, documents: int) -> Ints:
    """The place of each document that is left in a shard: i64[documents], ascending."""
    return np.setdiff1d(np.arange(documents + len(gap_rows)), gap_rows, assume_unique=True)
