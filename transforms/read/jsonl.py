"""Reads JSON Lines: one object a line, parsed strictly (RFC 8259, valid UTF-8), with an error for each bad line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from transforms import storage
from transforms.read.compression import Stream
from transforms.read.lines import lines
from transforms.read.options import Input, Reject, Split
from transforms.read.records import Rows, Unfit


def read(split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of a file. Blank lines are no records; a byte order mark and CRLF are fine."""
    rows = Rows(split.uri, options)
    with storage.open_binary(split.uri) as file:
        stream = Stream(file, split.uri)
        for line in lines(stream, options.max_record_bytes):
            try:
                if line.error is None or line.cut:
                    _add(rows, line.data)
                    if line.cut:  # the damage begins behind a record that is whole: an object ends with its own bracket
                        line = line._replace(offset=line.offset + len(line.data), data=b"")
            except Unfit as unfit:
                if line.error is None:
                    line = line._replace(error=str(unfit))
            if line.error is not None:
                rows.reject(line.offset, line.error, line.data, line.number)
            if rows.full:
                yield rows.take()
    yield from rows.rest()


def _add(rows: Rows, line: bytes) -> None:
    if line and not line.isspace():
        rows.add_record(_object(line), len(line))


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Unfit(_reason(line, error)) from error
    if not isinstance(value, dict):
        array = " (a file that is one JSON array must be turned into lines first: jq -c '.[]')"
        raise Unfit(f"not a JSON object but {type(value).__name__}{array if isinstance(value, list) else ''}")
    return value


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as invalid:
        return f"invalid UTF-8 at byte {invalid.start} of the record"
    reason = "lone surrogate escape" if "surrogate" in error.msg else error.msg
    return f"broken JSON: {reason} at character {error.pos}"
