"""Splits a stream into WARC records, and finds the next record where one is damaged.

Real archives have wrong lengths, missing blank lines, bare line feeds and garbage between records.
FastWARC and warcio stop or skip in silence there; here every byte belongs to a record or to a range
that is named. A length counts as right if a record, a blank line or the end follows the content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

_USUAL_HEAD = 1 << 12
_LONGEST_HEAD = 1 << 20
_WINDOW = 1 << 20  # bytes that are searched at once for the next record
_LONGEST_START = 256  # bytes that `_START` may match

_START = re.compile(rb"WARC/\d{1,2}\.\d{1,4}[ \t]*\r?\n(?=(?:WARC|Content)-[A-Za-z-]+[ \t]*:)", re.IGNORECASE)
_VERSION = re.compile(rb"WARC/\d{1,2}\.\d{1,4}[ \t]*\r?\n", re.IGNORECASE)
_SPACE = re.compile(rb"[\r\n\t \0]*")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_END_OF_HEAD = re.compile(rb"\n\r?\n|(?=" + _START.pattern + rb")", re.IGNORECASE)
_FOLD = re.compile(r"\r?\n[ \t]+")
_LENGTH = re.compile(r"\d{1,18}")


class Stream(Protocol):
    """The part of `decompress.ByteStream` that is needed here."""

    end: int | None

    def __iter__(self) -> Iterator[bytes]: ...


class Record(NamedTuple):
    """A record that lies whole at `offset`. Field names are in lower case; the first value counts.
    The content is None if it is longer than the caller allows."""

    offset: int
    stop: int
    fields: dict[str, str]
    length: int
    content: bytes | None


class Damage(NamedTuple):
    """The bytes `offset:stop`, which are no readable record; `uri` is what the record was about."""

    offset: int
    stop: int
    reason: str
    uri: str
    cut: bool  # whether the stream ends there


def read_records(stream: Stream, longest: int) -> Iterator[Record | Damage]:
    """The records of a stream, and what lies between them. The content of records of more than
    `longest` bytes is passed over without holding it in memory."""
    window = _Window(stream)
    while not window.skip_space():
        offset = window.offset
        head = window.head()
        if head is None:
            size = window.skip_to_start()
            yield Damage(offset, window.offset, f"{size} bytes that are no WARC record", "", window.at_end)
            continue
        fields = _fields(head)
        names = dict(reversed(fields))
        uri = names.get("warc-target-uri", "")
        lengths = [value for name, value in fields if name == "content-length"]
        valid = [int(value) for value in dict.fromkeys(lengths) if _LENGTH.fullmatch(value)]
        if not valid:
            said = f"with the Content-Length '{lengths[0][:40]}'" if lengths else "without Content-Length"
            window.skip_to_start()
            yield Damage(offset, window.offset, f"a WARC record {said}: its header is broken", uri, window.at_end)
            continue
        if min(valid) > longest:
            size = window.skip_long(min(valid))
            if size == min(valid):
                yield Record(offset, window.offset, names, size, None)
            else:
                yield Damage(offset, window.offset, _wrong_length(min(valid), size, window.at_end), uri, window.at_end)
            continue
        content = next((content for length in valid if (content := window.content(length)) is not None), None)
        if content is not None:
            yield Record(offset, window.offset, names, len(content), content)
            continue
        size = window.skip_to_start()
        yield Damage(offset, window.offset, _wrong_length(valid[0], size, window.at_end), uri, window.at_end)


def _wrong_length(length: int, size: int, at_end: bool) -> str:
    if at_end and size < length:
        return f"truncated record: {size} of {length} bytes"
    return f"wrong Content-Length: {length}, but {'the file ends' if at_end else 'the next record begins'} after {size} bytes"


class _Window:
    """The bytes of a stream from the current position on, as far as they are needed."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._blocks = stream, iter(stream)
        self._data, self._position, self._base = b"", 0, 0
        self._exhausted = False

    @property
    def offset(self) -> int:
        return self._base + self._position

    @property
    def at_end(self) -> bool:
        return not self.has(1)

    def has(self, size: int) -> bool:
        """Whether the stream has `size` more bytes, which are read."""
        missing = self._position + size - len(self._data)
        if missing <= 0 or self._exhausted:
            return missing <= 0
        parts = [self._data[self._position :]]
        wanted = missing + len(parts[0]) // 4  # so that many small steps do not copy much many times
        while wanted > 0 and not self._exhausted:
            block = next(self._blocks, None)
            if block is None or self._stream.end is not None:
                self._exhausted = True
            else:
                parts.append(block)
                wanted -= len(block)
        self._base += self._position
        self._data, self._position = b"".join(parts), 0
        return len(self._data) >= size

    def skip_space(self) -> bool:
        """Skips blank lines and padding. Returns whether the stream ends."""
        while self.has(1):
            match = _SPACE.match(self._data, self._position)
            assert match is not None
            self._position = match.end()
            if self._position < len(self._data):
                return False
        return True

    def head(self) -> str | None:
        """The fields of the record that begins here, and moves behind them; None if there is none."""
        self.has(_LONGEST_START)
        version = _VERSION.match(self._data, self._position)
        if version is None:
            return None
        start = version.end() - self._position
        size = _USUAL_HEAD
        while True:
            more = self.has(size)
            end = self._end_of_head(self._position + start)
            if end is not None:
                if not end[0]:
                    return None  # this one is cut
                head = self._data[self._position + start : end.start()]
                self._position = end.end()
                return head.decode("utf-8", "replace")
            if not more or size >= _LONGEST_HEAD:
                return None
            size *= 4

    def _end_of_head(self, start: int) -> re.Match[bytes] | None:
        """The blank line behind a head, or an empty match where another head begins before it."""
        blank = _BLANK_LINE.search(self._data, start - 1, start + _USUAL_HEAD)
        if blank is not None and self._data.find(b"WARC/", start, blank.start()) < 0:
            return blank
        return _END_OF_HEAD.search(self._data, start - 1, start + _LONGEST_HEAD)

    def content(self, length: int) -> bytes | None:
        """The next `length` bytes, if they can be a record's content; moves behind them."""
        self.has(length + _LONGEST_START)
        end = self._position + length
        if end > len(self._data) or not self._can_end(end):
            return None
        content = self._data[self._position : end]
        self._position = end
        return content

    def _can_end(self, end: int) -> bool:
        space = _SPACE.match(self._data, end)
        assert space is not None
        return (
            space.end() == len(self._data)
            or _VERSION.match(self._data, space.end()) is not None
            or self._data.count(b"\n", end, space.end()) > 1
        )

    def skip_to_start(self) -> int:
        """Moves to the next byte where a record begins, or to the end. Returns the bytes skipped."""
        return self._skip(None)

    def skip_long(self, length: int) -> int:
        """Moves behind `length` bytes, or to a record that begins among them: then their number is
        wrong. Returns the bytes skipped."""
        return self._skip(length)

    def _skip(self, limit: int | None) -> int:
        skipped = 0
        first = 1 if _START.match(self._data, self._position) else 0  # not the record that is here
        while self.has(first + 1):
            self.has(_WINDOW)
            stop = len(self._data) if limit is None else min(len(self._data), self._position + limit - skipped + _LONGEST_START)
            match = _START.search(self._data, self._position + first, stop)
            if match is not None and (limit is None or skipped + match.start() - self._position < limit):
                skipped += match.start() - self._position
                self._position = match.start()
                return skipped
            step = len(self._data) - self._position - (0 if self._exhausted else _LONGEST_START)
            if limit is not None:
                step = min(step, limit - skipped)
            self._position += step
            skipped += step
            first = 0
            if skipped == limit:
                break
        return skipped


def _fields(head: str) -> list[tuple[str, str]]:
    """Names in lower case, and values; those that are folded over lines are joined."""
    lines = (line.partition(":") for line in _FOLD.sub(" ", head).split("\n"))
    return [(name.strip().lower(), value.strip()) for name, colon, value in lines if colon]
