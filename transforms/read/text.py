"""Reads plain UTF-8 text: each file is one document, or each of its lines is."""

from collections.abc import Iterator

import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.read.batch_builder import BatchBuilder
from tamis.transforms.read.decompress import ByteStream, streams
from tamis.transforms.read.input_options import Input, Loss, Split
from tamis.transforms.read.lines import BOM, encoding_error, lines


def read(split: Split, options: Input, trust: bool = False) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]:
    """The documents of a split, without byte order mark and CR. Blank lines are skipped."""
    builder = BatchBuilder(split.uri, options)
    with storage.open_binary(split.uri) as file:
        if options.text_unit == "file":
            _add_file(builder, ByteStream(file, split.uri, trust=trust), options.max_record_bytes)
        else:
            for stream in streams(file, split.uri, split.start, split.stop, trust=trust):
                for line in lines(stream, options.max_record_bytes):
                    if line.error is not None:
                        builder.reject(
                            line.offset, line.error, line.data, line.number, stream.start, line.records, line.ends_in_damage
                        )
                    elif line.data and not line.data.isspace() and not line.begins_in_damage:
                        _add(builder, line.data.removesuffix(b"\r"), line.offset, line.number, stream.start)
                    if builder.full:
                        yield builder.take()
    yield from builder.flush()


def _add_file(builder: BatchBuilder, stream: ByteStream, longest: int) -> None:
    data = stream.read(longest + 1)
    if len(data) > longest:
        builder.reject(0, f"a file of more than {longest} bytes; that is max_record_bytes", data)
    elif stream.damage is not None:
        builder.reject(len(data), f"{stream.damage}; the text is not whole", data)
    elif data:
        _add(builder, data, 0, None, 0)


def _add(builder: BatchBuilder, data: bytes, offset: int, number: int | None, start: int) -> None:
    error = encoding_error(data)
    if error is None:
        builder.add(data.removeprefix(BOM).decode(), len(data))
    else:
        builder.reject(offset, error, data, number, start)
