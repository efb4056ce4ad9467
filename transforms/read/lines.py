"""Cuts a byte stream into lines with their offsets; damage and overlong lines become errors."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from tamis.transforms.read.decompress import ByteStream

BOM = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8. Files that are joined have one at the start of a later line."""

_EXCERPT = 1024
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_PROBE = 256  # bytes that show whether text is UTF-16


class Line(NamedTuple):
    """A line without its newline; only its beginning, or the part before damage, if `error` is set.
    Offset and number (from 1) count from the start of the stream."""

    offset: int
    number: int
    data: bytes
    error: str | None = None
    ends_in_damage: bool = False  # so the line may be complete or not
    begins_in_damage: bool = False  # likewise, at its beginning
    records: int = 1  # that the error costs: an estimate if the line ends in damage


@dataclass(frozen=True, slots=True)
class LineGroup:
    """Consecutive lines without errors and without their newlines."""

    offset: int
    number: int
    data: list[bytes]

    def __iter__(self) -> Iterator[Line]:
        for number, (offset, line) in enumerate(zip(self.offsets(), self.data, strict=False), self.number):
            yield Line(offset, number, line)

    def offsets(self) -> list[int]:
        """Where each line begins, and where the next group does."""
        return list(accumulate((len(line) + 1 for line in self.data), initial=self.offset))


def lines(stream: ByteStream, longest: int) -> Iterator[Line]:
    """The lines of a stream that belong to its split; the last one needs no newline.

    The line that begins exactly at the end of a split is its last, because a reader of the next
    split cannot tell whether the split point cuts a line. A line of more than `longest` bytes is an
    error and is never held in memory. Damage is an error in the line that it cuts, the last one.
    """
    for group in line_groups(stream, longest):
        if isinstance(group, Line):
            yield group
        else:
            yield from group


def line_groups(stream: ByteStream, longest: int) -> Iterator[LineGroup | Line]:
    """The same as `lines`, with consecutive ordinary lines in groups."""
    offset, number = 0, 1
    pending: list[bytes] = []  # the beginning of the current line
    length = 0  # of the current line so far
    foreign = stream.start > 0 and not stream.after_damage  # the first line belongs to the split before
    for block in stream:
        last = stream.end is not None
        if last:
            if foreign:
                return
            block = block[: block.find(b"\n") + 1] or block
        *ends, rest = block.split(b"\n")
        if ends:
            length += len(ends[0])
            if number == 1 or length > longest:  # may have a byte order mark, be foreign or too long
                if not foreign:
                    yield _line(stream, offset, number, b"".join([*pending, ends[0]]), length, longest)
                foreign = False
                offset, number = offset + length + 1, number + 1
                del ends[0]
            else:
                ends[0] = b"".join([*pending, ends[0]])
            pending, length = [], 0
            if len(block) > longest:
                for end in ends:
                    yield _line(stream, offset, number, end, len(end), longest)
                    offset, number = offset + len(end) + 1, number + 1
            elif ends:
                yield LineGroup(offset, number, ends)
                offset, number = offset + sum(map(len, ends)) + len(ends), number + len(ends)
            if last:
                return
        length += len(rest)
        if rest and not foreign and (length <= longest or not pending):
            pending.append(rest[:_EXCERPT] if length > longest else rest)
        elif length > longest:
            pending = [b"".join(pending)[:_EXCERPT]]
    if foreign:
        return
    if stream.damage is not None:
        error = f"{stream.damage}; nothing from here on can be read, up to the next sound part of the file"
        begins_in_damage = stream.after_damage and number == 1
        yield Line(offset, number, b"".join(pending), error, True, begins_in_damage, stream.lost_records(number - 1))
    elif length:
        yield _line(stream, offset, number, b"".join(pending), length, longest)


def _line(stream: ByteStream, offset: int, number: int, data: bytes, length: int, longest: int) -> Line:
    error = f"a record of {length} bytes; max_record_bytes is {longest}" if length > longest else None
    if offset == stream.start == 0:
        data = data.removeprefix(BOM)
    begins_in_damage = stream.after_damage and number == 1
    return Line(offset, number, data[:_EXCERPT] if error else data, error, begins_in_damage=begins_in_damage)


def encoding_error(data: bytes) -> str | None:
    """Why bytes are not UTF-8 text; None if they are."""
    if (b"\0" in data or data.startswith(_UTF16_BOMS)) and _is_utf16(data):
        return "UTF-16, not UTF-8: convert the file (iconv -f UTF-16 -t UTF-8)"
    try:
        data.decode()
    except UnicodeDecodeError as invalid:
        return f"invalid UTF-8 at byte {invalid.start} of the record"
    return None


def _is_utf16(data: bytes) -> bool:
    """Whether there is a byte order mark of UTF-16, or nearly every other byte is zero, as in
    UTF-16 of a text that is mostly ASCII. A line that is cut after its newline's first byte
    begins with the second one."""
    if data.startswith(_UTF16_BOMS):
        return True
    head = data[:_PROBE]
    zeros = max(head[0::2].count(0), head[1::2].count(0))
    return len(head) >= 4 and 5 * zeros >= 2 * len(head) and head.count(0) < 0.6 * len(head)
