"""Decompresses files, recovers data around damage, and finds where to split a file.

A compressed file is a sequence of members: gzip members, zstd or LZ4 frames, bzip2 or xz streams.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, BinaryIO, Protocol, cast

import lz4.frame
import zstandard
from isal import igzip_lib

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.read.input_options import COMPRESSION_RATIO, TYPICAL_RECORD, split_count

_BLOCK = 1 << 20
_HEAD = 4  # bytes that tell the codec
_LONGEST_SIGNATURE = 16  # bytes that `_Codec.signature` may match
_PLAIN_STARTS = (b"{", b"[", b"WARC", b"\xef\xbb\xbf", b'"')  # a file that was decompressed and kept its name

SEARCH_WINDOW = 16 << 20
"""Bytes to search for a member from each ideal split point, so that planning reads little."""

SEARCH_LIMIT = 64 << 20
"""The search ends, and the file is one split, if no member begins in this many searched bytes."""

_PROOF = 256 << 10
"""Bytes that must decode before a signature counts as a member. Codecs store incompressible data
(such as a compressed file) unchanged, but at most 64 KiB (gzip) or 128 KiB (zstd) in a row."""


_DICTIONARY = b"\x5d\x2a\x4d\x18"
"""The first bytes of a zstd file whose first frame holds the dictionary of the others, as the IIPC
specifies for `.warc.zst`."""

_TRAILER = 1024  # bytes of an xz stream that may follow the checksum that is wrong

_LARGEST_DICTIONARY = 64 << 20


class _Decoder(Protocol):
    """The interface of `bz2.BZ2Decompressor`: one member."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Zstd:
    """One zstd frame. Its output cannot be limited, so its input comes in small chunks."""

    needs_input = True

    def __init__(self, dictionary: bytes) -> None:
        self._decoder: Any = zstandard.ZstdDecompressor(
            zstandard.ZstdCompressionDict(dictionary) if dictionary else None,
            max_window_size=1 << 31,  # some files use --long=31
        ).decompressobj()

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
    starts: tuple[bytes, ...]  # the first bytes of a member, at most `_HEAD`
    signature: re.Pattern[bytes]  # a stricter pattern, to search for a member inside a file
    open: Callable[[bytes], _Decoder]  # takes the dictionary of the file, or b""
    chunk: int  # bytes of the file that are decoded at once
    errors: tuple[type[Exception], ...]
    checksum: str | None = None
    """What the message of an error contains if a member is complete but its checksum is wrong. None
    if checksums cover blocks."""
    held: int = 512 << 10
    """So many bytes, a few blocks at least, wait for those that follow: before a decoder finds damage,
    it gives wrong text."""


_SKIPPABLE = tuple(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))  # frames of zstd and LZ4 without data

_CODECS = (
    _Codec(
        "gzip",
        (".gz", ".gzip"),
        (b"\x1f\x8b",),
        re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"),
        lambda dictionary: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
        1 << 16,
        (cast(type[Exception], igzip_lib.IsalError),),
        "checksum",
    ),
    _Codec(
        "zstd",
        (".zst", ".zstd"),
        (b"\x28\xb5\x2f\xfd", *_SKIPPABLE),
        re.compile(rb"\x28\xb5\x2f\xfd"),
        _Zstd,
        1 << 14,
        (zstandard.ZstdError,),
        "checksum",
    ),
    _Codec(
        "LZ4",
        (".lz4",),
        (b"\x04\x22\x4d\x18", *_SKIPPABLE),
        re.compile(rb"\x04\x22\x4d\x18[\x40-\x7f]"),
        lambda dictionary: lz4.frame.LZ4FrameDecompressor(),
        1 << 18,
        (RuntimeError,),
        "contentChecksum",
        held=4 << 20,
    ),
    _Codec(
        "xz",
        (".xz",),
        (b"\xfd7zX",),
        re.compile(rb"\xfd7zXZ\0\0[\0\1\4\n]"),
        lambda dictionary: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 30),
        1 << 18,
        (lzma.LZMAError,),
        "Corrupt",  # a changed byte makes nonsense of all that follow, up to the checksum
    ),
    _Codec(
        "bzip2",
        (".bz2",),
        (b"BZh",),
        re.compile(rb"BZh[1-9]1AY&SY"),
        lambda dictionary: bz2.BZ2Decompressor(),
        1 << 14,
        (OSError, ValueError),
        held=1 << 20,
    ),
)


class WrongChecksum(Exception):
    """The checksum of a member is wrong, of which a `trust`ed stream has handed on data."""


class _DamageError(Exception):
    """A member is truncated, corrupt, or followed by bytes that are no member. `start` is the byte
    of the file from which nothing could be read. `records`: how many the lost data hold."""

    def __init__(self, message: str, start: int, records: int | None = None) -> None:
        super().__init__(message)
        self.start, self.records = start, records


class ByteStream:
    """The decompressed bytes of a file from byte `start` on.

    A member begins there, or the file is not compressed. `stop` is the byte of the file where
    the next split begins; -1 if there is none. The stream continues after it, to complete the line
    that crosses the split point. From then on, `end` is the number of bytes before that point. At
    the end of the stream, `damage` says what cut it short, or is None. `after_damage` is true if
    damage precedes the stream: its first line may lack its beginning. Raises RunError if no member
    begins at `stop`.

    With `trust`, a wrong checksum raises WrongChecksum if data of its member were handed on. Without,
    a member of more than one block is decoded twice, so that nothing comes from one whose checksum
    is wrong. `content` is what each record begins with; records are lines if it is empty.
    """

    def __init__(
        self,
        file: BinaryIO,
        uri: str,
        start: int = 0,
        stop: int = -1,
        after_damage: bool = False,
        trust: bool = True,
        content: bytes = b"",
    ) -> None:
        self.start, self.after_damage = start, after_damage
        self.end: int | None = None
        self.damage: str | None = None
        self._trust, self._content, self._dictionary = trust, content, b""
        self._error: _DamageError | None = None
        self._file, self._uri, self._stop = file, uri, stop
        self._member = self._position = start  # bytes of the file: where the current member begins; how far it is read
        self._produced = self._offset = 0
        self._hold = True
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

    def resume(self) -> ByteStream | None:
        """The stream from the next sound member that begins with `content`; None if there is none."""
        start = self._next_member
        if start is None:
            return None
        return ByteStream(self._file, self._uri, start, self._stop, True, self._trust, self._content)

    def lost_records(self, records: int) -> int:
        """An estimate of how many records the damage cost, at least 1, by the `records` that were
        read of the stream before. Nobody knows how much is missing from a file that was cut: as
        much as is left, in the median of all places where it may have been cut."""
        assert self._error is not None
        if self._error.records is not None:
            return max(1, self._error.records)
        begin, end = self._error.start, self._next_member
        if end is None:
            end = self._end_of_split() if self._file.seekable() else begin
        if begin >= end:
            return max(1, records)
        if records and begin > self.start:
            read = max(begin - self.start, self._produced // (4 * COMPRESSION_RATIO))  # `begin` may be a chunk too early
            return max(1, round(records * (end - begin) / read))
        return max(1, (end - begin) * COMPRESSION_RATIO // TYPICAL_RECORD)

    @cached_property
    def _next_member(self) -> int | None:
        """Where to read on after the damage."""
        if self._error is None or self.end is not None or not self._file.seekable():
            return None
        expected = _codec_by_suffix(self._uri)
        codec = _codec(self._file, expected) or expected
        if codec is None:
            return None
        stop = self._end_of_split()
        start = _find_member(self._file, self._uri, codec, self._member + 1, stop, self._content)
        if self._error.records is not None:
            # The member behind a wrong checksum may have a wrong one, too: then its records count by themselves.
            self._file.seek(self._error.start)
            near = codec.signature.search(self._file.read(_TRAILER))
            if near is not None and self._error.start + near.start() < (stop if start is None else start):
                start = self._error.start + near.start()
        if start is None and self._stop >= 0 and self._member < self._stop:
            start = self._stop
        return start

    def _end_of_split(self) -> int:
        return self._file.seek(0, io.SEEK_END) if self._stop < 0 else self._stop

    def is_sound(self) -> bool:
        """Whether it begins with `content` and decodes for `_PROOF` bytes, or up to the end."""
        beginning, self._hold = b"", False
        try:
            for block in self._blocks:
                if len(beginning) < len(self._content):
                    beginning += block
                if self._position - self.start >= _PROOF:
                    break
        except WrongChecksum:
            return False
        return self.damage is None and beginning.startswith(self._content)

    def _blocks_until_damage(self) -> Iterator[bytes]:
        try:
            for block in self._decode():
                self._produced += len(block)
                yield block
        except _DamageError as error:
            self._error, self.damage = error, str(error)

    def _decode(self) -> Iterator[bytes]:
        expected = _codec_by_suffix(self._uri)
        if self.start:
            codec = _codec(self._file, expected) or (expected if self.after_damage else None)
            self._file.seek(0)
            self._dictionary = _dictionary(self._file, self._file.read(_HEAD))[0]
            self._file.seek(self.start)
            head = self._file.read(_HEAD)
        else:
            head = self._file.read(_HEAD)
            codec = _codec_of(head, expected)
            self._dictionary, head = _dictionary(self._file, head)
            if codec is None and expected is not None and head and not head.startswith(_PLAIN_STARTS):
                raise _DamageError(f"not a {expected.name} stream, although its name says so", 0)
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
                    f"garbage after the end of the {codec.name} stream, from byte {self._position} of the file on",
                    self._position,
                )
            decoder, chunk_start, produced = codec.open(self._dictionary), self._position, self._produced
            held: deque[tuple[bytes, int]] = deque()  # with the place in the file
            verified = self._trust or codec.checksum is None or not self._file.seekable()
            while not decoder.eof:
                if chunk:
                    chunk_start = self._position
                try:
                    block = decoder.decompress(chunk, _BLOCK)
                except codec.errors as error:
                    if codec.checksum is not None and codec.checksum in str(error):
                        self._reject_member(codec, chunk_start, self._produced - produced)
                    message = f"corrupt {codec.name} stream near byte {chunk_start} of the file: {error}"
                    raise _DamageError(message, held[0][1] if held else chunk_start) from error
                self._position += len(chunk)
                chunk = b""
                if block:
                    if not verified and not decoder.eof:
                        self._verify(codec)
                    verified = True
                    held.append((block, chunk_start))
                    while held and sum(len(later) for later, _ in held) - len(held[0][0]) >= self._hold * codec.held:
                        yield held.popleft()[0]
                if not decoder.eof and decoder.needs_input:
                    chunk = self._file.read(codec.chunk)
                    if not chunk:
                        yield from (block for block, _ in held)
                        raise _DamageError(
                            f"truncated {codec.name} stream: the file ends after {self._position} bytes, inside the stream",
                            self._position,
                        )
            yield from (block for block, _ in held)
            chunk = decoder.unused_data or b""
            self._position -= len(chunk)
            chunk = self._skip_padding(chunk, codec)

    def _skip_padding(self, chunk: bytes, codec: _Codec) -> bytes:
        """What follows a member, at least the signature of the next one, without the zeros that tapes
        and some archivers pad with. Reads no more than that needs: small members would copy it."""
        while True:
            stripped = chunk.lstrip(b"\0")
            self._position += len(chunk) - len(stripped)
            more = self._file.read(codec.chunk) if len(stripped) < _LONGEST_SIGNATURE else b""
            if not more:
                return stripped
            chunk = stripped + more

    def _verify(self, codec: _Codec) -> None:
        """Decodes the current member to its end. Raises _DamageError if its checksum is wrong; other
        damage is left for later."""
        place = self._file.tell()
        self._file.seek(self._member)
        decoder, chunk_start, chunk = codec.open(self._dictionary), self._member, self._file.read(codec.chunk)
        try:
            while not decoder.eof and (chunk or not decoder.needs_input):
                decoder.decompress(chunk, _BLOCK)
                chunk = b""
                if decoder.needs_input and not decoder.eof:
                    chunk_start, chunk = self._file.tell(), self._file.read(codec.chunk)
        except codec.errors as error:
            if codec.checksum is not None and codec.checksum in str(error):
                self._reject_member(codec, chunk_start, 0)
        self._file.seek(place)

    def _reject_member(self, codec: _Codec, chunk_start: int, handed_on: int) -> None:
        """Raises what a wrong checksum means, after `handed_on` bytes of the member."""
        message = (
            f"wrong checksum of the {codec.name} stream from byte {self._member} of the file on: nothing in it can be trusted"
        )
        if not self._file.seekable():
            raise _DamageError(f"{message}, although its beginning was read", chunk_start)
        if handed_on and self._trust:
            raise WrongChecksum(f"{self._uri}: {message}")
        separator = self._content or b"\n"
        records = sum(block.count(separator) for block in self._salvage(codec, chunk_start))
        raise _DamageError(message, self._file.tell(), records)

    def _salvage(self, codec: _Codec, chunk_start: int) -> Iterator[bytes]:
        """The bytes of a damaged member before the damage. A decoder that fails discards what it
        decoded in the same call. So the member is decoded byte by byte from `chunk_start` on, the
        place in the file of the chunk that failed. Then the file is at the byte after the one that
        failed."""
        self._file.seek(self._member)
        decoder, member = codec.open(self._dictionary), self._member
        while True:
            chunk = self._file.read(min(codec.chunk, chunk_start - member)) if member < chunk_start else self._file.read(1)
            member += len(chunk)
            try:
                yield decoder.decompress(chunk)
            except codec.errors:
                return
            if not chunk:
                return


def streams(file: BinaryIO, uri: str, start: int, stop: int, content: bytes = b"", trust: bool = False) -> Iterator[ByteStream]:
    """The bytes of a split: one stream, and one after each damage, beginning with `content`.
    Exhaust each stream before taking the next. `trust` is as in ByteStream."""
    stream: ByteStream | None = ByteStream(file, uri, start, stop, trust=trust, content=content)
    while stream is not None:
        yield stream
        stream = stream.resume()


def split_starts(uri: str, size: int, split_bytes: int, content: bytes = b"", anywhere: bool = True) -> list[int]:
    """The bytes of a file of `size` bytes where its splits begin; the first is 0.

    Splits have about the same size, at most `split_bytes`. A compressed file is split at members
    whose content begins with `content`, into splits that are smaller by `COMPRESSION_RATIO`, or
    larger where no member begins. An uncompressed file is split `anywhere`, or not at all.
    """
    with storage.open_binary(uri) as file:
        codec = _codec(file, _codec_by_suffix(uri)) if file.seekable() else None
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
            if place < stop and ByteStream(file, uri, place, after_damage=True, content=content).is_sound():
                return place
        if len(data) == len(overlap):
            return None
        overlap = data[1 - _LONGEST_SIGNATURE :]
        start += len(data) - len(overlap)
    return None


def is_plain(file: BinaryIO, uri: str) -> bool:
    """Whether a file can be read from any byte on: it is not compressed."""
    return file.seekable() and _codec(file, _codec_by_suffix(uri)) is None


def _codec_of(head: bytes, expected: _Codec | None) -> _Codec | None:
    """The codec by the first bytes of a file; the `expected` one if two share them."""
    if expected is not None and head.startswith(expected.starts):
        return expected
    return next((codec for codec in _CODECS if head.startswith(codec.starts)), None)


def _codec(file: BinaryIO, expected: _Codec | None) -> _Codec | None:
    file.seek(0)
    return _codec_of(file.read(_HEAD), expected)


def _dictionary(file: BinaryIO, head: bytes) -> tuple[bytes, bytes]:
    """The dictionary that the first frame of a zstd file holds, which may be compressed itself, or
    b""; and all that was read, which begins with `head`."""
    if head != _DICTIONARY:
        return b"", head
    size = file.read(4)
    head += size
    length = int.from_bytes(size, "little")
    data = file.read(length) if length <= _LARGEST_DICTIONARY else b""
    head += data
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        except zstandard.ZstdError:
            return b"", head  # every frame will say that its dictionary is missing
    return data, head


def _codec_by_suffix(uri: str) -> _Codec | None:
    return next((codec for codec in _CODECS if {*storage.suffixes(uri)[-1:]} & {*codec.suffixes}), None)
