"""Decompresses gzip, zstd and bzip2 piece by piece, gives all that precedes a damage, and says what the damage is."""

from __future__ import annotations

import bz2
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

import zstandard
from isal import igzip_lib

from transforms import storage

_BLOCK = 1 << 20


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
    open: Callable[[], _Decoder]
    chunk: int  # bytes of the file fed at once
    errors: tuple[type[Exception], ...]


_CODECS = (
    _Codec(
        "gzip",
        (".gz",),
        (b"\x1f\x8b",),
        lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
        1 << 18,
        (cast(type[Exception], igzip_lib.IsalError),),
    ),
    _Codec(
        "zstd",
        (".zst", ".zstd"),
        (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))),  # a frame; skippable frames
        _Zstd,
        1 << 14,
        (zstandard.ZstdError,),
    ),
    _Codec("bzip2", (".bz2",), (b"BZh",), bz2.BZ2Decompressor, 1 << 18, (OSError, ValueError)),
)


class _Damaged(Exception):
    """The stream is truncated, corrupt, or followed by what is no stream."""


class Stream:
    """The decompressed bytes of `file`; after the last one `damage` says what cut them short, or is None."""

    def __init__(self, file: BinaryIO, uri: str) -> None:
        self.damage: str | None = None
        self._blocks = self._sound(_decoded(file, uri))
        self._held = b""
        self._offset = 0

    def _sound(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from blocks
        except _Damaged as damaged:
            self.damage = str(damaged)

    def __iter__(self) -> Iterator[bytes]:
        """Blocks of no fixed size, never empty."""
        return self._blocks

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, fewer only at the end; all when negative. Not to be mixed with iteration."""
        parts, length = [self._held], len(self._held)
        while size < 0 or length < size:
            block = next(self._blocks, None)
            if block is None:
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


def _decoded(file: BinaryIO, uri: str) -> Iterator[bytes]:
    head = file.read(4)
    named = next((codec for codec in _CODECS if {*storage.suffixes(uri)[-1:]} & {*codec.suffixes}), None)
    codec = next((codec for codec in _CODECS if head.startswith(codec.starts)), None)
    if codec is not None:
        yield from _members(file, head, codec)
    elif named is not None and head:
        raise _Damaged(f"not a {named.name} stream, although its name says so")
    else:
        while head:
            yield head
            head = file.read(_BLOCK)


def _members(file: BinaryIO, chunk: bytes, codec: _Codec) -> Iterator[bytes]:
    at = 0  # where `chunk` begins in the file
    while chunk:
        decoder, member, fed, given = codec.open(), at, at, 0
        while not decoder.eof:
            if chunk:
                fed = at
            try:
                block = decoder.decompress(chunk, _BLOCK)
            except codec.errors as error:
                yield from _salvaged(file, codec, member, fed, given)
                raise _Damaged(f"corrupt {codec.name} stream near byte {fed} of the file: {error}") from error
            at += len(chunk)
            chunk = b""
            if block:
                given += len(block)
                yield block
            if not decoder.eof and decoder.needs_input:
                chunk = file.read(codec.chunk)
                if not chunk:
                    raise _Damaged(f"truncated {codec.name} stream: the file ends after {at} bytes, inside the stream")
        chunk = decoder.unused_data
        at -= len(chunk)
        chunk += file.read(codec.chunk)
        while chunk and not chunk.strip(b"\0"):  # tapes and some archivers pad with zeros
            at += len(chunk)
            chunk = file.read(codec.chunk)
        padding = len(chunk) - len(chunk.lstrip(b"\0"))
        at, chunk = at + padding, chunk[padding:]
        if chunk and not chunk.startswith(codec.starts):
            raise _Damaged(f"garbage after the end of the {codec.name} stream, from byte {at} of the file on")


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
