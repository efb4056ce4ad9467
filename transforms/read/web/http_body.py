"""Undoes the codings of HTTP bodies: chunks, gzip, deflate, br and zstd, and what servers take for them.

Crawlers may have decoded a body whose head still says otherwise, and bodies may end early. Whatever
a browser shows is read here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

import brotli
import zstandard

from tamis.transforms.read.web.http_response import Response

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_CHUNK_END = re.compile(rb"\r?(?:\n|\Z)")
_NOT_TEXT = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")
_UTF_16_START = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")

_MOST_CODINGS = 10
_GZIP_STEP = 1 << 12  # bytes that are decoded at once; a member copies at most so many of those behind it
_ZSTD_STEP = 256  # bytes, which become 8 MB at most: the output of a step is not limited
_BROTLI_STEP = 1 << 20  # bytes of output


class BodyError(ValueError):
    """A body that cannot be decoded; the message says why."""


class Body(NamedTuple):
    """A decoded body; `cut` names the coding whose end is missing."""

    data: bytes
    cut: str | None


def decode_body(response: Response, longest: int) -> Body:
    """Undoes the transfer and content codings, of at most `longest` bytes. Raises BodyError."""
    data, cut = response.body, None
    transfer = _codings(response, "transfer-encoding")
    if "chunked" in transfer:
        data, whole = _unchunk(data)
        cut = None if whole else "chunked"
    codings = [*_codings(response, "content-encoding"), *transfer][-_MOST_CODINGS:]
    for coding in reversed(codings):
        decoder = _decoder(data, coding)
        if decoder is not None and data:  # browsers ignore codings that they do not know, such as 'none' or 'utf-8'
            data, whole = decoder(data, longest)
            cut = cut if whole else coding
    for _ in codings or (None,):  # compressed again, or without a word in the head
        decoder = _decoder(data, "")
        if decoder is not None:
            data, whole = decoder(data, longest)
            cut = cut if whole else "gzip or zstd"
    return Body(data, cut)


def _codings(response: Response, name: str) -> list[str]:
    values = response.headers.get(name, [])
    return [coding.split(";")[0].strip(" \t\"'").lower() for value in values for coding in value.split(",")]


def _unchunk(body: bytes) -> tuple[bytes, bool]:
    """Joins the chunks of a body (RFC 9112, 7.1), and says whether the last one is there. A body
    without chunks was decoded by the crawler."""
    chunks: list[bytes] = []
    start = 0
    while size := _CHUNK_SIZE.match(body, start):
        length = int(size[1], 16)
        if not length:
            return b"".join(chunks), True
        chunks.append(body[size.end() : size.end() + length])
        start = size.end() + length
        if start >= len(body):
            break
        end = _CHUNK_END.match(body, start)
        if end is None:
            if len(chunks) == 1:
                return body, True  # a text whose first line looks like a number
            break
        start = end.end()
    return (b"".join(chunks), False) if chunks else (body, True)


class _Output:
    """The pieces of a decoded body. Raises BodyError if they are too long."""

    def __init__(self, longest: int) -> None:
        self._longest, self._length = longest, 0
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self._longest:
            raise BodyError(f"a page of more than {self._longest} bytes, unpacked; max_record_bytes is {self._longest}")
        self._pieces.append(piece)

    def join(self) -> bytes:
        return b"".join(self._pieces)


def _gunzip(data: bytes, longest: int) -> tuple[bytes, bool]:
    """All members; what follows the last one is padding."""
    if not data.startswith(_GZIP):
        return _as_it_is(data, "gzip: no gzip header")
    output, position = _Output(longest), 0
    while data.startswith(_GZIP, position):
        inflate = zlib.decompressobj(wbits=31)
        try:
            while not inflate.eof and position < len(data):
                step = data[position : position + _GZIP_STEP]
                position += len(step)
                output.add(inflate.decompress(step, longest + 1))
        except zlib.error as error:
            raise BodyError(f"corrupt gzip in the HTTP response: {error}") from error
        if not inflate.eof:
            return output.join(), False
        position -= len(inflate.unused_data)
    return output.join(), True


def _inflate(data: bytes, longest: int) -> tuple[bytes, bool]:
    """Deflate, with zlib's head as the standard says, or without as many servers send it."""
    first_error: zlib.error | None = None
    for wbits in (15, -15):
        inflate, output = zlib.decompressobj(wbits=wbits), _Output(longest)
        try:
            output.add(inflate.decompress(data, longest + 1))
        except zlib.error as error:
            first_error = first_error or error
            continue
        return (output.join(), True) if inflate.eof else _cut_or_text(data, output.join())
    return _as_it_is(data, f"deflate: {first_error}")


def _unbrotli(data: bytes, longest: int) -> tuple[bytes, bool]:
    decoder, output, step = brotli.Decompressor(), _Output(longest), data
    try:
        while not decoder.is_finished():
            piece = decoder.process(step, output_buffer_limit=_BROTLI_STEP)
            output.add(piece)
            step = b""
            if not piece and decoder.can_accept_more_data():
                return _cut_or_text(data, output.join())
    except brotli.error as error:
        return _as_it_is(data, f"br: {error}")
    return output.join(), True


def _unzstd(data: bytes, longest: int) -> tuple[bytes, bool]:
    """All frames; what follows the last one is padding."""
    if not data.startswith(_ZSTD):
        return _as_it_is(data, "zstd: no zstd header")
    output, position = _Output(longest), 0
    while data.startswith(_ZSTD, position):
        decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        try:
            while not decoder.eof and position < len(data):
                step = data[position : position + _ZSTD_STEP]
                position += len(step)
                output.add(decoder.decompress(step))
        except zstandard.ZstdError as error:
            raise BodyError(f"corrupt zstd in the HTTP response: {error}") from error
        if not decoder.eof:
            return output.join(), False
        position -= len(decoder.unused_data)
    return output.join(), True


def _as_it_is(data: bytes, reason: str) -> tuple[bytes, bool]:
    """A body that was decoded already. Raises BodyError if it is not text."""
    if _NOT_TEXT.search(data, 0, 1024) and not data.startswith(_UTF_16_START):
        raise BodyError(f"corrupt {reason}")
    return data, True


def _cut_or_text(data: bytes, text: bytes) -> tuple[bytes, bool]:
    """What a coding without a signature gives of a body that does not end: the beginning of the page,
    unless the body is text itself."""
    try:
        is_text = not _NOT_TEXT.search(data, 0, 1024) and bool(data.decode())
    except UnicodeDecodeError:
        is_text = False
    return (data, True) if is_text else (text, False)


_Decoder = Callable[[bytes, int], tuple[bytes, bool]]
"""Of data, and the most bytes that they may become: the text, and whether it is whole."""

_DECODERS: dict[str, _Decoder] = {"gzip": _gunzip, "deflate": _inflate, "br": _unbrotli, "zstd": _unzstd}


def _decoder(data: bytes, coding: str) -> _Decoder | None:
    """The decoder by the first bytes, else by the name of the coding."""
    if data.startswith(_GZIP):
        return _gunzip
    return _unzstd if data.startswith(_ZSTD) else _DECODERS.get(coding.removeprefix("x-"))
