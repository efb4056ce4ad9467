"""Decompresses gzip, zstd and bzip2 from any member on, gives all that damage leaves, and finds where a file can be split."""

from __future__ import annotations

import bz2
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO, Protocol, cast

import zstandard
from isal import igzip_lib

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.read.input_options import RATIO, pieces

_BLOCK = 1 << 20
_LONGEST_START = 16  # bytes that `_Codec.start` may match

_WINDOW = 16 << 20
"""How far behind a wished cut a member is looked for: planning reads near the cuts only."""

_VAIN = 64 << 20
"""A file in which no member is found in so many bytes is taken for a single one, so that planning reads little of it."""

_PROOF = 256 << 10
"""Bytes of the file that must decode from a supposed member on. What a codec cannot compress it stores as it is, and that may
be a compressed file, but in pieces of at most 64 KiB (gzip) or 128 KiB (zstd) with something between."""


class _Decoder(Protocol):
    """The interface of `bz2.BZ2Decompressor`: one gzip member, zstd frame or bzip2 stream."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Zstd:
    """One zstd frame. Its output has no bound, so it is fed little at a time."""

    needs_input = True

    def __init__(self) -> None:
        self._decoder: Any = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()  # --long=31 is in use

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._decoder.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return bytes(self._decoder.decompress(data))


@dataclass(frozen=True)
class _Codec:
    name: str
    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...]  # what a member may begin with
    start: re.Pattern[bytes]  # what a member looks like in the midst of a file
    open: Callable[[], _Decoder]
    chunk: int  # bytes of the file fed at once
    errors: tuple[type[Exception], ...]


_CODECS = (
    _Codec(
        "gzip",
        (".gz",),
        (b"\x1f\x8b",),
        re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"),
        lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
        1 << 18,
        (cast(type[Exception], igzip_lib.IsalError),),
    ),
    _Codec(
        "zstd",
        (".zst", ".zstd"),
        (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))),  # a frame; skippable frames
        re.compile(rb"\x28\xb5\x2f\xfd"),
        _Zstd,
        1 << 14,
        (zstandard.ZstdError,),
    ),
    _Codec(
        "bzip2",
        (".bz2",),
        (b"BZh",),
        re.compile(rb"BZh[1-9]1AY&SY"),
        bz2.BZ2Decompressor,
        1 << 18,
        (OSError, ValueError),
    ),
)


class _Damaged(Exception):
    """The stream is truncated, corrupt, or followed by what is no stream."""


class Stream:
    """The decompressed bytes of a file from byte `start` on, where a member begins or, if it is not compressed, anywhere.

    `stop` is the byte of the file where the next split begins (-1: none does): what comes behind it is given too, for the
    line that the cut goes through, and as soon as it is, `end` is the number of bytes that came before. After the last byte
    `damage` says what cut them short, or is None. `torn`: the first line may lack its beginning, since damage precedes it.

    Raises RunError when no member begins at `stop`.
    """

    def __init__(self, file: BinaryIO, uri: str, start: int = 0, stop: int = -1, torn: bool = False) -> None:
        self.start = start
        self.torn = torn
        self.end: int | None = None
        self.damage: str | None = None
        self._file, self._uri, self._stop = file, uri, stop
        self._member = self._at = start  # byte of the file: where the present member begins; how far it is read
        self._given = 0
        self._blocks = self._sound()
        self._held = b""
        self._offset = 0

    def __iter__(self) -> Iterator[bytes]:
        """Blocks of no fixed size, never empty."""
        return self._blocks

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, fewer only at the end, that of the split; all when negative. Not to be mixed with iteration."""
        parts, length = [self._held], len(self._held)
        while size < 0 or length < size:
            block = next(self._blocks, None)
            if block is None or self.end is not None:
                break
            parts.append(block)
            length += len(block)
        whole = b"".join(parts)
        cut = len(whole) if size < 0 else size
        self._held = whole[cut:]
        self._offset += len(whole) - len(self._held)
        return whole[:cut]

    def tell(self) -> int:
        """Bytes given by `read` so far."""
        return self._offset

    def after_damage(self, content: bytes = b"") -> Stream | None:
        """What the damage leaves: from the next member on whose bytes begin with `content`; None when the split has no more."""
        if self.damage is None or self.end is not None or not self._file.seekable():
            return None
        codec = _codec(self._file)
        size = self._file.seek(0, io.SEEK_END)
        stop = size if self._stop < 0 else self._stop
        found = _member(self._file, self._uri, codec, self._member + 1, stop, content) if codec is not None else None
        if found is None and self._stop >= 0 and self._member < self._stop:
            found = self._stop
        return None if found is None else Stream(self._file, self._uri, found, self._stop, torn=True)

    def proves(self, content: bytes) -> bool:
        """Whether what begins here is sound for `_PROOF` bytes of the file or up to its end, and begins with `content`."""
        begin = b""
        for block in self._blocks:
            if len(begin) < len(content):
                begin += block
            if self._at - self.start >= _PROOF:
                break
        return self.damage is None and begin.startswith(content)

    def _sound(self) -> Iterator[bytes]:
        try:
            for block in self._decoded():
                self._given += len(block)
                yield block
        except _Damaged as damaged:
            self.damage = str(damaged)

    def _decoded(self) -> Iterator[bytes]:
        if self.start:
            codec = _codec(self._file)
            self._file.seek(self.start)
            head = self._file.read(4)
        else:
            head = self._file.read(4)
            codec = _codec_of(head)
            named = _named(self._uri)
            if codec is None and named is not None and head:
                raise _Damaged(f"not a {named.name} stream, although its name says so")
        yield from self._plain(head) if codec is None else self._members(head, codec)

    def _plain(self, head: bytes) -> Iterator[bytes]:
        while head:
            left = self._stop - self._at
            self._at += len(head)
            if self.end is None and 0 <= self._stop <= self._at:
                if left:
                    yield head[:left]
                self.end = self._stop - self.start
                head = head[left:]
            if head:
                yield head
            head = self._file.read(_BLOCK)

    def _members(self, chunk: bytes, codec: _Codec) -> Iterator[bytes]:
        while chunk:
            if self.end is None and 0 <= self._stop <= self._at:
                if self._at != self._stop:
                    raise RunError(
                        f"{self._uri}: no {codec.name} member begins at byte {self._stop}, where the file was to be split: it "
                        "has changed, or holds compressed files as they are. Set input.split_bytes to more than its size"
                    )
                self.end = self._given
            self._member = self._at
            if not chunk.startswith(codec.starts):
                raise _Damaged(f"garbage after the end of the {codec.name} stream, from byte {self._at} of the file on")
            decoder, fed, before = codec.open(), self._at, self._given
            while not decoder.eof:
                if chunk:
                    fed = self._at
                try:
                    block = decoder.decompress(chunk, _BLOCK)
                except codec.errors as error:
                    yield from _salvaged(self._file, codec, self._member, fed, self._given - before)
                    raise _Damaged(f"corrupt {codec.name} stream near byte {fed} of the file: {error}") from error
                self._at += len(chunk)
                chunk = b""
                if block:
                    yield block
                if not decoder.eof and decoder.needs_input:
                    chunk = self._file.read(codec.chunk)
                    if not chunk:
                        size = f"the file ends after {self._at} bytes, inside the stream"
                        raise _Damaged(f"truncated {codec.name} stream: {size}")
            chunk = decoder.unused_data
            self._at -= len(chunk)
            chunk += self._file.read(codec.chunk)
            while chunk and not chunk.strip(b"\0"):  # tapes and some archivers pad with zeros
                self._at += len(chunk)
                chunk = self._file.read(codec.chunk)
            padding = len(chunk) - len(chunk.lstrip(b"\0"))
            self._at, chunk = self._at + padding, chunk[padding:]


def streams(file: BinaryIO, uri: str, start: int, stop: int, content: bytes = b"") -> Iterator[Stream]:
    """The bytes of a split; after each damage what it leaves: members that begin with `content`. Each is to be exhausted."""
    stream: Stream | None = Stream(file, uri, start, stop)
    while stream is not None:
        yield stream
        stream = stream.after_damage(content)


def cuts(uri: str, size: int, piece: int, content: bytes = b"", anywhere: bool = True) -> list[int]:
    """Where the splits of a file of `size` bytes begin, all about as large and of `piece` bytes at most; the first is 0.

    A compressed file is cut where members begin whose bytes begin with `content`, into pieces smaller by `RATIO`; where none
    begins, a piece is larger. Another file is cut `anywhere`, or not at all.
    """
    with storage.open_binary(uri) as file:
        codec = _codec(file) if file.seekable() else None
        if codec is None:
            return [0] if _named(uri) or not anywhere or not file.seekable() else _even(size, piece)
        points = [*_even(size, max(1, piece // RATIO)), size]
        found, sought = [0], 0
        for point, end in pairwise(points[1:]):
            end = min(point + _WINDOW, end)
            place = _member(file, uri, codec, point, end, content)
            sought += end - point
            if place is not None:
                found.append(place)
            elif sought >= _VAIN and len(found) == 1:
                break
        return found


def _even(size: int, piece: int) -> list[int]:
    count = min(size, pieces(size, piece))
    return [size * number // count for number in range(count)]


def _member(file: BinaryIO, uri: str, codec: _Codec, at: int, stop: int, content: bytes) -> int | None:
    """The first byte from `at` to `stop` at which a member surely begins, one whose bytes begin with `content`."""
    held = b""  # `at` is where it begins
    while at < stop:
        file.seek(at + len(held))
        data = held + file.read(_BLOCK)
        for match in codec.start.finditer(data):
            place = at + match.start()
            if place < stop and Stream(file, uri, place).proves(content):
                return place
        if len(data) == len(held):
            return None
        held = data[1 - _LONGEST_START :]
        at += len(data) - len(held)
    return None


def _codec_of(head: bytes) -> _Codec | None:
    return next((codec for codec in _CODECS if head.startswith(codec.starts)), None)


def _codec(file: BinaryIO) -> _Codec | None:
    file.seek(0)
    return _codec_of(file.read(4))


def _named(uri: str) -> _Codec | None:
    return next((codec for codec in _CODECS if {*storage.suffixes(uri)[-1:]} & {*codec.suffixes}), None)


def _salvaged(file: BinaryIO, codec: _Codec, member: int, failed: int, given: int) -> Iterator[bytes]:
    """What a member holds beyond the `given` bytes and before its damage, at byte `failed` of the file or later.

    A decoder that fails keeps what the same call had decoded so far; fed again, byte by byte, it gives it.
    """
    if not file.seekable():
        return
    file.seek(member)
    decoder, made = codec.open(), 0
    while True:
        piece = file.read(min(codec.chunk, failed - member)) if member < failed else file.read(1)
        member += len(piece)
        try:
            block = decoder.decompress(piece)
        except codec.errors:
            return
        made += len(block)
        if made > given:
            yield block[len(block) - (made - given) :]
            given = made
        if not piece:
            return
