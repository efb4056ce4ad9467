"""Reads plain UTF-8 text: a file is a document, or each of its lines is."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.read.batch_builder import Rows
from tamis.transforms.read.decompress import Stream, streams
from tamis.transforms.read.input_options import Input, Reject, Split
from tamis.transforms.read.lines import lines


def read(split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of a split; an empty file and a blank line are none. A byte order mark and the CR of CRLF go."""
    rows = Rows(split.uri, options)
    with storage.open_binary(split.uri) as file:
        if options.text_unit == "file":
            _file(rows, Stream(file, split.uri), options.max_record_bytes)
        else:
            for stream in streams(file, split.uri, split.start, split.stop):
                for line in lines(stream, options.max_record_bytes):
                    if line.error is not None:
                        rows.reject(line.offset, line.error, line.data, line.number, stream.start)
                    elif line.data and not line.data.isspace() and not line.torn:
                        _add(rows, line.data.removesuffix(b"\r"), line.offset, line.number, stream.start)
                    if rows.full:
                        yield rows.take()
    yield from rows.rest()


def _file(rows: Rows, stream: Stream, longest: int) -> None:
    data = stream.read(longest + 1)
    if len(data) > longest:
        rows.reject(0, f"a file of more than {longest} bytes; that is max_record_bytes", data)
    elif stream.damage is not None:
        rows.reject(len(data), f"{stream.damage}; the text is not whole", data)
    elif data:
        _add(rows, data.removeprefix(b"\xef\xbb\xbf"), 0, None, 0)


def _add(rows: Rows, data: bytes, offset: int, number: int | None, start: int) -> None:
    try:
        rows.add(data.decode(), len(data))
    except UnicodeDecodeError as invalid:
        rows.reject(offset, f"invalid UTF-8 at byte {invalid.start} of the record", data, number, start)
