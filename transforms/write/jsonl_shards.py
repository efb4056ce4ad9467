"""Writes and reads shards of JSON Lines, in one zstd frame with a checksum."""

from typing import BinaryIO, cast

import orjson
import pyarrow as pa
import zstandard

from tamis.transforms import storage
from tamis.transforms.core import documents
from tamis.transforms.core.shards import Output

_ROWS = 1000


def write(table: pa.Table, sink: storage.Sink, options: Output) -> None:
    """Writes one object per row with all columns in order; missing values and NaN become null."""
    compressor = zstandard.ZstdCompressor(level=options.compression_level, write_checksum=True)
    with compressor.stream_writer(cast(BinaryIO, sink), closefd=False) as stream:
        for start in range(0, table.num_rows, _ROWS):
            for row in table.slice(start, _ROWS).to_pylist():
                stream.write(orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE))


def read(data: bytes, uri: str) -> pa.Table:
    """All rows; the types of columns that are not part of a document are inferred.

    Raises ValueError if the shard is damaged or incomplete.
    """
    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        lines = frame.decompress(data).split(b"\n")
    except zstandard.ZstdError as error:
        raise ValueError(f"{uri}: damaged shard: {error}") from error
    if not frame.eof or frame.unused_data:
        raise ValueError(f"{uri}: damaged shard: {'bytes after its end' if frame.eof else 'its end is missing'}")
    rows = [orjson.loads(line) for line in lines if line]
    names = list(rows[0]) if rows else documents.SCHEMA.names
    arrays = [_array(name, [row[name] for row in rows]) for name in names]
    document_fields = {field.name: field for field in documents.SCHEMA}
    fields = [document_fields.get(name) or pa.field(name, array.type) for name, array in zip(names, arrays, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _array(name: str, values: list[object]) -> pa.Array:
    if name in documents.SCHEMA.names:
        return pa.array(values, documents.SCHEMA.field(name).type)
    try:
        return pa.array(values)
    except OverflowError:  # hashes and doc_refs use all 64 bits
        return pa.array(values, pa.uint64())
