"""Cuts a stream into lines with their offsets, whatever the lines' length, and turns what is no line into an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tamis.transforms.read.decompress import Stream

_BOM = b"\xef\xbb\xbf"
_EXCERPT = 1024


class Line(NamedTuple):
    """A line without its newline; where `error` is set, `data` is only its beginning, or what damage left.

    Offset and number (from 1) count from where the stream starts.
    """

    offset: int
    number: int
    data: bytes
    error: str | None = None
    cut: bool = False  # by damage to the stream, so that it may be whole or not
    torn: bool = False  # likewise, at its beginning


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines that follow each other, without their newlines."""

    offset: int
    number: int
    data: list[bytes]

    def __iter__(self) -> Iterator[Line]:
        """Each with its place."""
        offset = self.offset
        for number, line in enumerate(self.data, self.number):
            yield Line(offset, number, line)
            offset += len(line) + 1


def lines(stream: Stream, longest: int) -> Iterator[Line]:
    """The lines of a stream that begin in its split; a last one without newline counts.

    One that begins where the split ends is its last, and belongs to no other: whether a cut goes through a line cannot be
    told from behind the cut. A line of more than `longest` bytes is an error, and never held in memory. So is damage to the
    stream, at the line that it cuts, which is the last.
    """
    for group in grouped(stream, longest):
        if isinstance(group, Line):
            yield group
        else:
            yield from group


def grouped(stream: Stream, longest: int) -> Iterator[Lines | Line]:
    """`lines`, in groups where there is nothing to say of any."""
    offset, number = 0, 1
    held: list[bytes] = []
    length = 0  # of the line that `held` begins
    foreign = stream.start > 0 and not stream.torn  # the first line belongs to the split before
    for block in stream:
        last = stream.end is not None
        if last:
            if foreign:
                return
            block = block[: block.find(b"\n") + 1] or block
        *ends, rest = block.split(b"\n")
        if ends:
            length += len(ends[0])
            if number == 1 or length > longest:  # a byte order mark, a first line that is none, a line too long
                if not foreign:
                    yield _line(stream, offset, number, b"".join([*held, ends[0]]), length, longest)
                foreign = False
                offset, number = offset + length + 1, number + 1
                del ends[0]
            else:
                ends[0] = b"".join([*held, ends[0]])
            held, length = [], 0
            if len(block) > longest:
                for end in ends:
                    yield _line(stream, offset, number, end, len(end), longest)
                    offset, number = offset + len(end) + 1, number + 1
            elif ends:
                yield Lines(offset, number, ends)
                offset, number = offset + sum(map(len, ends)) + len(ends), number + len(ends)
            if last:
                return
        length += len(rest)
        if rest and not foreign and (length <= longest or not held):
            held.append(rest[:_EXCERPT] if length > longest else rest)
        elif length > longest:
            held = [b"".join(held)[:_EXCERPT]]
    if foreign:
        return
    if stream.damage is not None:
        error = f"{stream.damage}; nothing from here on can be read, up to the next sound part of the file"
        yield Line(offset, number, b"".join(held), error, cut=True, torn=stream.torn and number == 1)
    elif length:
        yield _line(stream, offset, number, b"".join(held), length, longest)


def _line(stream: Stream, offset: int, number: int, data: bytes, length: int, longest: int) -> Line:
    error = f"a record of {length} bytes; max_record_bytes is {longest}" if length > longest else None
    if offset == stream.start == 0:
        data = data.removeprefix(_BOM)
    return Line(offset, number, data[:_EXCERPT] if error else data, error, torn=stream.torn and number == 1)
