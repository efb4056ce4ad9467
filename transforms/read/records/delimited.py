"""Reads CSV and TSV files with a header; a row with the wrong number of fields is a reject."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.read.batch_builder import BatchBuilder, InvalidRecord
from tamis.transforms.read.decompress import streams
from tamis.transforms.read.input_options import TYPICAL_RECORD, Input, Loss, Split
from tamis.transforms.read.lines import BOM, Line, encoding_error, lines

_DELIMITERS = ",\t;|"
_LONGEST_FIELD = 1 << 30  # the default is 128 kB
_MOST_RUNAWAYS = 3  # rows that run to the end of the file, because a quote is not closed

Row = tuple[Line, list[str], str | None]
"""The first line, the fields, and what is wrong."""


def read(split: Split, options: Input, trust: bool = False) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]:
    """The documents of a file: one of each row (RFC 4180; a quoted field may have several lines).
    Empty fields count as missing, except the text. The rows are parsed by Python's csv module,
    because pyarrow's reader gives up a file at the first row that it cannot parse."""
    builder = BatchBuilder(split.uri, options)
    texts = frozenset(options.fields.text)
    header: Header | None = None
    with storage.open_binary(split.uri) as file:
        for stream in streams(file, split.uri, split.start, split.stop, trust=trust):
            source = lines(stream, options.max_record_bytes)
            if header is None:
                first = next(source, None)
                if first is None:
                    continue
                try:
                    header = parse_header(first)
                except InvalidRecord as invalid:
                    lost = max(first.records, split.size // TYPICAL_RECORD)
                    builder.reject(0, str(invalid), first.data, 1, stream.start, lost, estimated=True)
                    break
            for line, fields, error in rows(source, header, options.max_record_bytes):
                if error is None:
                    values = zip(header.names, fields, strict=True)
                    record = {name: value for name, value in values if value or name in texts}
                    try:
                        builder.add_record(record, sum(map(len, fields)))
                    except InvalidRecord as invalid:
                        error = str(invalid)
                if error is not None:
                    builder.reject(line.offset, error, line.data, line.number, stream.start, line.records, line.ends_in_damage)
                if builder.full:
                    yield builder.take()
    yield from builder.flush()


class Header(NamedTuple):
    """The names of the columns, and what is between them."""

    names: list[str]
    delimiter: str


def parse_header(line: Line) -> Header:
    """The header, from the first line of a file. Raises InvalidRecord."""
    error = line.error or encoding_error(line.data)
    if error is None:
        text = line.data.removeprefix(BOM).decode().rstrip("\r")
        delimiter = max(_DELIMITERS, key=text.count)
        try:
            return Header(next(csv.reader([text], delimiter=delimiter, strict=True), []), delimiter)
        except csv.Error as broken:
            error = f"broken CSV: {broken}"
    raise InvalidRecord(f"{error}; nothing is read, because the first line must name the columns")


class _Lines:
    """Gives the csv module one line after the other. `row`: those of the current row."""

    def __init__(self, source: Iterator[Line], longest: int) -> None:
        self.row: list[Line] = []
        self.at_end = False
        self.single = False  # rows have one line each
        self._source, self._longest = source, longest
        self._again: deque[Line] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.row and (self.single or self.row[-1].error is not None or self._size() > self._longest):
            raise StopIteration
        line = self._again.popleft() if self._again else next(self._source, None)
        self.at_end = line is None
        if line is None:
            raise StopIteration
        self.row.append(line)
        if line.error is not None:
            raise StopIteration
        return line.data.decode("utf-8", "surrogateescape").removeprefix("\ufeff") + "\n"

    def again(self) -> None:
        """Puts all lines of the row but the first back."""
        self._again.extendleft(reversed(self.row[1:]))

    def _size(self) -> int:
        return self.row[-1].offset - self.row[0].offset


def rows(lines: Iterator[Line], header: Header, longest: int) -> Iterator[Row]:
    """The rows that are not blank. A quote that is not closed makes one row of all lines that
    follow, so the second line of a row that cannot be right begins the next row."""
    csv.field_size_limit(_LONGEST_FIELD)
    source, delimiter, width = _Lines(lines, longest), header.delimiter, len(header.names)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    runaways = 0
    while True:
        source.row = []
        try:
            fields = next(reader, [])
            error = f"{len(fields)} fields; the header has {width}" if len(fields) != width else None
        except csv.Error as broken:
            fields, error = [], f"broken CSV: {broken}"
        if not source.row:
            return
        first, last = source.row[0], source.row[-1]
        if last.error is not None and (last.ends_in_damage or last is first):
            yield last, [], last.error
        elif not fields and all(not line.data or line.data.isspace() for line in source.row):
            continue
        elif any(field.isascii() is False and not _is_utf8(field) for field in fields):
            yield first, [], "invalid UTF-8"
        elif error is None:
            yield first, fields, None
        elif len(source.row) == 1:
            yield first, [], encoding_error(first.data) or error
        else:
            runaways += source.at_end
            source.single = runaways >= _MOST_RUNAWAYS
            if fields and not _is_row(source.row[1], delimiter, width):
                yield first, [], error
            else:
                yield first, [], "broken CSV: a quote is not closed"
                source.again()


def _is_row(line: Line, delimiter: str, width: int) -> bool:
    """Whether a line by itself is a row."""
    try:
        text = line.data.decode("utf-8", "replace")
        return width > 1 and [len(row) for row in csv.reader([text], delimiter=delimiter, strict=True)] == [width]
    except csv.Error:
        return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
