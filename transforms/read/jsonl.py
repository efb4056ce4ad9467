"""Reads JSON Lines: one object a line, parsed strictly (RFC 8259, valid UTF-8), with an error for each bad line."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.read.batch_builder import Rows, Unfit
from tamis.transforms.read.decompress import streams
from tamis.transforms.read.input_options import Input, Reject, Split
from tamis.transforms.read.lines import Line, grouped


def read(split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of a split. Blank lines are no records; a byte order mark and CRLF are fine."""
    rows = Rows(split.uri, options)
    with storage.open_binary(split.uri) as file:
        for stream in streams(file, split.uri, split.start, split.stop):
            for group in grouped(stream, options.max_record_bytes):
                if isinstance(group, Line):
                    _line(rows, group, stream.start)
                    if rows.full:
                        yield rows.take()
                    continue
                for index, line in enumerate(group.data):
                    try:
                        rows.add_record(orjson.loads(line), len(line))
                    except ValueError:  # a blank line too
                        _line(rows, list(group)[index], stream.start)
                    if rows.full:
                        yield rows.take()
    yield from rows.rest()


def _line(rows: Rows, line: Line, start: int) -> None:
    """What a line gives that may be bad, cut or no record."""
    try:
        if line.error is None or line.cut:
            _add(rows, line.data)
            if line.cut:  # the damage begins behind a record that is whole: an object ends with its own bracket
                line = line._replace(offset=line.offset + len(line.data), data=b"")
    except Unfit as unfit:
        if line.error is None:
            if line.torn and unfit.__cause__ is not None:  # no end of an object is an object
                return
            line = line._replace(error=str(unfit))
    if line.error is not None:
        rows.reject(line.offset, line.error, line.data, line.number, start)


def _add(rows: Rows, line: bytes) -> None:
    if line and not line.isspace():
        try:
            rows.add_record(orjson.loads(line), len(line))
        except orjson.JSONDecodeError as error:
            raise Unfit(_reason(line, error)) from error


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as invalid:
        return f"invalid UTF-8 at byte {invalid.start} of the record"
    reason = "lone surrogate escape" if "surrogate" in error.msg else error.msg
    return f"broken JSON: {reason} at character {error.pos}"
