"""Reads JSON Lines: one object per line, parsed strictly (RFC 8259); each bad line is a reject."""

from collections.abc import Iterator

import orjson
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.read.batch_builder import BatchBuilder, InvalidRecord
from tamis.transforms.read.decompress import streams
from tamis.transforms.read.input_options import Input, Reject, Split
from tamis.transforms.read.lines import Line, line_groups


def read(split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of a split. Blank lines are skipped; a byte order mark and CRLF are allowed."""
    builder = BatchBuilder(split.uri, options)
    with storage.open_binary(split.uri) as file:
        for stream in streams(file, split.uri, split.start, split.stop):
            for group in line_groups(stream, options.max_record_bytes):
                if isinstance(group, Line):
                    _add_line(builder, group, stream.start)
                    if builder.full:
                        yield builder.take()
                    continue
                for index, line in enumerate(group.data):
                    try:
                        builder.add_record(orjson.loads(line), len(line))
                    except ValueError:  # also a blank line
                        _add_line(builder, list(group)[index], stream.start)
                    if builder.full:
                        yield builder.take()
    yield from builder.flush()


def _add_line(builder: BatchBuilder, line: Line, start: int) -> None:
    """Adds the document or the reject of a line that may be bad, damaged or blank."""
    try:
        if line.error is None or line.ends_in_damage:
            _add_record(builder, line.data)
            if line.ends_in_damage:  # an object ends with its own bracket, so the damage begins after this record
                line = line._replace(offset=line.offset + len(line.data), data=b"")
    except InvalidRecord as invalid:
        if line.error is None:
            # The end of an object never parses: a parse error here means that its start is lost.
            if line.begins_in_damage and invalid.__cause__ is not None:
                return
            line = line._replace(error=str(invalid))
    if line.error is not None:
        builder.reject(line.offset, line.error, line.data, line.number, start)


def _add_record(builder: BatchBuilder, line: bytes) -> None:
    if line and not line.isspace():
        try:
            builder.add_record(orjson.loads(line), len(line))
        except orjson.JSONDecodeError as error:
            raise InvalidRecord(_reason(line, error)) from error


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as invalid:
        return f"invalid UTF-8 at byte {invalid.start} of the record"
    reason = "lone surrogate escape" if "surrogate" in error.msg else error.msg
    return f"broken JSON: {reason} at character {error.pos}"
