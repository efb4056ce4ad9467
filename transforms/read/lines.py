"""Cuts a stream into lines with their offsets, whatever the lines' length, and turns what is no line into an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from transforms.read.compression import Stream

_BOM = b"\xef\xbb\xbf"
_EXCERPT = 1024


class Line(NamedTuple):
    """A line without its newline; where `error` is set, `data` is only its beginning, or what damage left."""

    offset: int
    number: int
    data: bytes
    error: str | None = None
    cut: bool = False  # by damage to the stream, so that it may be whole or not


def lines(stream: Stream, longest: int) -> Iterator[Line]:
    """The lines of a stream; a last one without newline counts.

    A line of more than `longest` bytes is an error, and never held in memory. So is damage to the stream, at the line
    that it cuts, which is the last.
    """
    offset, number = 0, 1
    held: list[bytes] = []
    length = 0  # of the line that `held` begins
    for block in stream:
        *ends, rest = block.split(b"\n")
        for end in ends:
            length += len(end)
            if length > longest:
                yield _long(offset, number, b"".join([*held, end]), length, longest)
            else:
                data = b"".join([*held, end]) if held else end
                yield Line(offset, number, data.removeprefix(_BOM) if offset == 0 else data)
            offset += length + 1
            number += 1
            length = 0
            if held:
                held = []
        length += len(rest)
        if rest and (length <= longest or not held):
            held.append(rest[:_EXCERPT] if length > longest else rest)
        elif length > longest:
            held = [b"".join(held)[:_EXCERPT]]
    data = b"".join(held)
    if stream.damage is not None:
        yield Line(offset, number, data, f"{stream.damage}; nothing from here on can be read", cut=True)
    elif length > longest:
        yield _long(offset, number, data, length, longest)
    elif length:
        yield Line(offset, number, data.removeprefix(_BOM) if offset == 0 else data)


def _long(offset: int, number: int, data: bytes, length: int, longest: int) -> Line:
    return Line(offset, number, data[:_EXCERPT], f"a record of {length} bytes; max_record_bytes is {longest}")
