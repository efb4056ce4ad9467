"""Decompresses gzip, zstd and bzip2, recovers data around damage, and finds where to split a file.

A compressed file is a sequence of members: gzip members, zstd frames or bzip2 streams.
"""

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
from tamis.transforms.read.input_options import COMPRESSION_RATIO, split_count

_BLOCK = 1 << 20
_LONGEST_SIGNATURE = 16  # bytes that `_Codec.signature` may match

SEARCH_WINDOW = 16 << 20
"""Bytes to search for a member from each ideal split point, so that planning reads little."""

SEARCH_LIMIT = 64 << 20
"""The search ends, and the file is one split, if no member begins in this many searched bytes."""

_PROOF = 256 << 10
"""Bytes that must decode before a signature counts as a member. Codecs store incompressible data
(such as a compressed file) unchanged, but at most 64 KiB (gzip) or 128 KiB (zstd) in a row."""


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
    """One zstd frame. Its output cannot be limited, so its input comes in small chunks."""

    needs_input = True

    def __init__(self) -> None:
        self._decoder: Any = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()  # some files use --long=31

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
    starts: tuple[bytes, ...]  # the first bytes of a member
    signature: re.Pattern[bytes]  # a stricter pattern, to search for a member inside a file
    open: Callable[[], _Decoder]
    chunk: int  # bytes of the file that are decoded at once
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
        (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))),  # a frame, a skippable frame
        re.compile(rb"\x28\xb5\x2f\xfd"),
        _Zstd,
        1 << 14,
        (zstandard.ZstdError,),
    ),
    _Codec("bzip2", (".bz2",), (b"BZh",), re.compile(rb"BZh[1-9]1AY&SY"), bz2.BZ2Decompressor, 1 << 18, (OSError, ValueError)),
)


class _DamageError(Exception):
    """A member is truncated, corrupt, or followed by bytes that are no member."""


class ByteStream:
    """The decompressed bytes of a file from byte `start` on.

    A member begins there, or the file is not compressed. `stop` is the byte of the file where
    the next split begins; -1 if there is none. The stream continues after it, to complete the line
    that crosses the split point. From then on, `end` is the number of bytes before that point. At
    the end of the stream, `damage` says what cut it short, or is None. `after_damage` is true if
    damage precedes the stream: its first line may lack its beginning. Raises RunError if no member
    begins at `stop`.
    """

    def __init__(self, file: BinaryIO, uri: str, start: int = 0, stop: int = -1, after_damage: bool = False) -> None:
        self.start, self.after_damage = start, after_damage
        self.end: int | None = None
        self.damage: str | None = None
        self._file, self._uri, self._stop = file, uri, stop
        self._member = self._position = start  # bytes of the file: where the current member begins; how far it is read
        self._produced = self._offset = 0
        self._buffer, self._blocks = b"", self._blocks_until_damage()

    def __iter__(self) -> Iterator[bytes]:
        """Blocks of any size, never empty."""
        return self._blocks

    def read(self, size: int = -1) -> bytes:
        """`size` bytes (all if negative), fewer only at the end. Not to be mixed with iteration."""
        parts, length = [self._buffer], len(self._buffer)
        while size < 0 or length < size:
            block = next(self._blocks, None)
            if block is None or self.end is not None:
                break
            parts.append(block)
            length += len(block)
        data = b"".join(parts)
        cut = len(data) if size < 0 else size
        self._buffer = data[cut:]
        self._offset += len(data) - len(self._buffer)
        return data[:cut]

    def tell(self) -> int:
        """Number of bytes that `read` has returned so far."""
        return self._offset

    def resume(self, content: bytes = b"") -> ByteStream | None:
        """The stream from the next member that begins with `content`; None if there is none."""
        if self.damage is None or self.end is not None or not self._file.seekable():
            return None
        codec = _codec(self._file)
        size = self._file.seek(0, io.SEEK_END)
        stop = size if self._stop < 0 else self._stop
        start = _find_member(self._file, self._uri, codec, self._member + 1, stop, content) if codec is not None else None
        if start is None and self._stop >= 0 and self._member < self._stop:
            start = self._stop
        return None if start is None else ByteStream(self._file, self._uri, start, self._stop, after_damage=True)

    def is_sound(self, content: bytes) -> bool:
        """Whether it begins with `content` and decodes for `_PROOF` bytes, or up to the end."""
        beginning = b""
        for block in self._blocks:
            if len(beginning) < len(content):
                beginning += block
            if self._position - self.start >= _PROOF:
                break
        return self.damage is None and beginning.startswith(content)

    def _blocks_until_damage(self) -> Iterator[bytes]:
        try:
            for block in self._decode():
                self._produced += len(block)
                yield block
        except _DamageError as error:
            self.damage = str(error)

    def _decode(self) -> Iterator[bytes]:
        if self.start:
            codec = _codec(self._file)
            self._file.seek(self.start)
            head = self._file.read(4)
        else:
            head = self._file.read(4)
            codec = _codec_of(head)
            expected = _codec_by_suffix(self._uri)
            if codec is None and expected is not None and head:
                raise _DamageError(f"not a {expected.name} stream, although its name says so")
        yield from self._plain(head) if codec is None else self._members(head, codec)

    def _plain(self, head: bytes) -> Iterator[bytes]:
        while head:
            remaining = self._stop - self._position
            self._position += len(head)
            if self.end is None and 0 <= self._stop <= self._position:
                if remaining:
                    yield head[:remaining]
                self.end = self._stop - self.start
                head = head[remaining:]
            if head:
                yield head
            head = self._file.read(_BLOCK)

    def _members(self, chunk: bytes, codec: _Codec) -> Iterator[bytes]:
        while chunk:
            if self.end is None and 0 <= self._stop <= self._position:
                if self._position != self._stop:
                    raise RunError(
                        f"{self._uri}: no {codec.name} member begins at byte {self._stop}, where the file was to be split: it "
                        "changed during the run, or compressed files lie uncompressed inside it. Set input.split_bytes to more "
                        "than its size, so that it is not split"
                    )
                self.end = self._produced
            self._member = self._position
            if not chunk.startswith(codec.starts):
                raise _DamageError(
                    f"garbage after the end of the {codec.name} stream, from byte {self._position} of the file on"
                )
            decoder, chunk_start, produced = codec.open(), self._position, self._produced
            while not decoder.eof:
                if chunk:
                    chunk_start = self._position
                try:
                    block = decoder.decompress(chunk, _BLOCK)
                except codec.errors as error:
                    yield from _salvage(self._file, codec, self._member, chunk_start, self._produced - produced)
                    raise _DamageError(f"corrupt {codec.name} stream near byte {chunk_start} of the file: {error}") from error
                self._position += len(chunk)
                chunk = b""
                if block:
                    yield block
                if not decoder.eof and decoder.needs_input:
                    chunk = self._file.read(codec.chunk)
                    if not chunk:
                        raise _DamageError(
                            f"truncated {codec.name} stream: the file ends after {self._position} bytes, inside the stream"
                        )
            chunk = decoder.unused_data
            self._position -= len(chunk)
            chunk += self._file.read(codec.chunk)
            while chunk and not chunk.strip(b"\0"):  # tapes and some archivers pad with zeros
                self._position += len(chunk)
                chunk = self._file.read(codec.chunk)
            padding = len(chunk) - len(chunk.lstrip(b"\0"))
            self._position, chunk = self._position + padding, chunk[padding:]


def streams(file: BinaryIO, uri: str, start: int, stop: int, content: bytes = b"") -> Iterator[ByteStream]:
    """The bytes of a split: one stream, and one after each damage, beginning with `content`.
    Exhaust each stream before taking the next."""
    stream: ByteStream | None = ByteStream(file, uri, start, stop)
    while stream is not None:
        yield stream
        stream = stream.resume(content)


def split_starts(uri: str, size: int, split_bytes: int, content: bytes = b"", anywhere: bool = True) -> list[int]:
    """The bytes of a file of `size` bytes where its splits begin; the first is 0.

    Splits have about the same size, at most `split_bytes`. A compressed file is split at members
    whose content begins with `content`, into splits that are smaller by `COMPRESSION_RATIO`, or
    larger where no member begins. An uncompressed file is split `anywhere`, or not at all.
    """
    with storage.open_binary(uri) as file:
        codec = _codec(file) if file.seekable() else None
        if codec is None:
            splittable = anywhere and file.seekable() and not _codec_by_suffix(uri)
            return _even_starts(size, split_bytes) if splittable else [0]
        ideal = [*_even_starts(size, max(1, split_bytes // COMPRESSION_RATIO)), size]
        starts, searched = [0], 0
        for point, end in pairwise(ideal[1:]):
            end = min(point + SEARCH_WINDOW, end)
            member = _find_member(file, uri, codec, point, end, content)
            searched += end - point
            if member is not None:
                starts.append(member)
            elif searched >= SEARCH_LIMIT and len(starts) == 1:
                break
        return starts


def _even_starts(size: int, split_bytes: int) -> list[int]:
    count = min(size, split_count(size, split_bytes))
    return [size * number // count for number in range(count)]


def _find_member(file: BinaryIO, uri: str, codec: _Codec, start: int, stop: int, content: bytes) -> int | None:
    """The first byte in `start:stop` of a sound member whose data begins with `content`."""
    overlap = b""  # the last bytes of the block before; they begin at `start`
    while start < stop:
        file.seek(start + len(overlap))
        data = overlap + file.read(_BLOCK)
        for match in codec.signature.finditer(data):
            place = start + match.start()
            if place < stop and ByteStream(file, uri, place).is_sound(content):
                return place
        if len(data) == len(overlap):
            return None
        overlap = data[1 - _LONGEST_SIGNATURE :]
        start += len(data) - len(overlap)
    return None


def _codec_of(head: bytes) -> _Codec | None:
    return next((codec for codec in _CODECS if head.startswith(codec.starts)), None)


def _codec(file: BinaryIO) -> _Codec | None:
    file.seek(0)
    return _codec_of(file.read(4))


def _codec_by_suffix(uri: str) -> _Codec | None:
    return next((codec for codec in _CODECS if {*storage.suffixes(uri)[-1:]} & {*codec.suffixes}), None)


def _salvage(file: BinaryIO, codec: _Codec, member: int, chunk_start: int, produced: int) -> Iterator[bytes]:
    """The bytes of a damaged member after its first `produced` bytes and before the damage. A
    decoder that fails discards what it decoded in the same call. So the member is decoded again,
    byte by byte from `chunk_start` on, the place in the file of the chunk that failed."""
    if not file.seekable():
        return
    file.seek(member)
    decoder, decoded = codec.open(), 0
    while True:
        chunk = file.read(min(codec.chunk, chunk_start - member)) if member < chunk_start else file.read(1)
        member += len(chunk)
        try:
            block = decoder.decompress(chunk)
        except codec.errors:
            return
        decoded += len(block)
        if decoded > produced:
            yield block[len(block) - (decoded - produced) :]
            produced = decoded
        if not chunk:
            return
