"""Reads JSON Lines: one object per line, parsed strictly (RFC 8259); each bad line is a reject."""

from collections.abc import Iterator

import orjson
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.read.batch_builder import BatchBuilder, InexactNumber, InvalidRecord, exact_record
from tamis.transforms.read.decompress import streams
from tamis.transforms.read.input_options import Input, Loss, Split
from tamis.transforms.read.lines import BOM, Line, encoding_error, line_groups


def read(split: Split, options: Input, trust: bool = False) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]:
    """The documents of a split. Blank lines are skipped; byte order marks and CRLF are allowed."""
    builder = BatchBuilder(split.uri, options)
    with storage.open_binary(split.uri) as file:
        for stream in streams(file, split.uri, split.start, split.stop, trust=trust):
            for group in line_groups(stream, options.max_record_bytes):
                if isinstance(group, Line):
                    _add_line(builder, group, stream.start)
                    if builder.full:
                        yield builder.take()
                    continue
                offsets = None
                for index, line in enumerate(group.data):
                    try:
                        builder.add_record(orjson.loads(line), len(line))
                    except ValueError as error:
                        if line and not line.isspace():
                            offsets = offsets or group.offsets()
                            _add_bad(builder, Line(offsets[index], group.number + index, line), error, stream.start)
                    if builder.full:
                        yield builder.take()
    yield from builder.flush()


def add_value(builder: BatchBuilder, data: bytes) -> None:
    """Adds the document of one JSON value. Raises InvalidRecord."""
    try:
        builder.add_record(orjson.loads(data), len(data))
    except ValueError as error:
        reason = _recover(builder, data, error)
        if reason is not None:
            raise InvalidRecord(reason) from (None if isinstance(error, InvalidRecord) else error)


def _add_bad(builder: BatchBuilder, line: Line, error: ValueError, start: int) -> None:
    """Adds the document of a line that a fast attempt failed to read, or its reject."""
    try:
        reason = _recover(builder, line.data, error)
    except InvalidRecord as invalid:
        reason = str(invalid)
    if reason is not None:
        builder.reject(line.offset, reason, line.data, line.number, start)


def _recover(builder: BatchBuilder, data: bytes, error: ValueError) -> str | None:
    """Adds a document that `error` stopped, if no more is wrong with it than a byte order mark or
    a number that orjson does not represent; else returns what is wrong. Raises InvalidRecord."""
    if isinstance(error, orjson.JSONDecodeError):
        if data.startswith(BOM):
            add_value(builder, data[len(BOM) :])
            return None
        if "infinity" not in error.msg:
            return _reason(data, error)
    elif not isinstance(error, InexactNumber):
        return str(error)
    builder.add_record(exact_record(data), len(data))
    return None


def _add_line(builder: BatchBuilder, line: Line, start: int) -> None:
    """Adds the document or the reject of a line that may be damaged, too long or blank."""
    try:
        if (line.error is None or line.ends_in_damage) and line.data and not line.data.isspace():
            add_value(builder, line.data)
            if line.ends_in_damage:  # an object ends with its own bracket, so the damage begins after this record
                line = line._replace(offset=line.offset + len(line.data), data=b"")
    except InvalidRecord as invalid:
        if line.error is None:
            # The end of an object never parses: a parse error here means that its start is lost.
            if line.begins_in_damage and invalid.__cause__ is not None:
                return
            line = line._replace(error=str(invalid))
    if line.error is not None:
        builder.reject(line.offset, line.error, line.data, line.number, start, line.records, line.ends_in_damage)


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    reason = encoding_error(line)
    if reason is not None:
        return reason
    reason = "lone surrogate escape" if "surrogate" in error.msg else error.msg
    return f"broken JSON: {reason} at character {error.pos}"
