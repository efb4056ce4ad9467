"""Parses HTTP responses as browsers do, and undoes the codings of their bodies.

Crawls keep what servers sent: heads with bare line feeds, folded or broken lines, bodies that were
decoded already although their head says otherwise, and bodies that end early. Whatever a browser
shows is read here. (WHATWG Fetch and MIME Sniffing; RFC 9110 and 9112.)
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

import brotli
import zstandard

_STATUS_LINE = re.compile(
    rb"\s*(?:HTTP/|HTTP(?=[ \t]+\d{3})|ICY(?=[ \t]))[^ \t\r\n]*[ \t]*(\d{3})?[^\r\n]*(?:\r*\n|\Z)", re.IGNORECASE
)
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_TUNNEL = re.compile(rb"[^\r\n]*connection established", re.IGNORECASE)
_LINE_END = re.compile(r"\r*\n")
_MOST_HEADS = 20  # interim responses (100 Continue) before the one with the page

_MIME_TYPE = re.compile(r"\s*([!#$%&'*+\-.^_`|~\w]+/[!#$%&'*+\-.^_`|~\w]+)\s*(?:;.*)?", re.ASCII | re.DOTALL)
_CHARSET = re.compile(r"[;,\s]charset\s*=\s*(?:\"([^\"]*)\"?|'([^']*)'?|([^;,\s\"']+))", re.IGNORECASE)
_COMMA = re.compile(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")  # outside of quotes
_NO_TYPE = ("unknown/unknown", "application/unknown", "*/*")

HTML_TYPES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
"""The content types of pages."""

_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--|(?:<\?xml[^>]*>\s*(?:<!--.*?-->\s*)*)?"
    rb"<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|meta|link)[\s>/])",
    re.IGNORECASE | re.DOTALL,
)
_OTHER_STARTS = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n": "image/png",
    b"GIF8": "image/gif",
    b"\xff\xd8\xff": "image/jpeg",
    b"PK\x03\x04": "application/zip",
    b"RIFF": "image/webp",
    b"\xd0\xcf\x11\xe0": "application/msword",
}

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_CHUNK_END = re.compile(rb"\r?(?:\n|\Z)")

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_STEP = 256  # bytes, which become 8 MB at most: the output of a step is not limited
_NOT_TEXT = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")
_UTF_16_START = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")


_Decoder = Callable[[bytes, int], tuple[bytes, bool]]  # of data, at most so many bytes: the text, and whether it is whole


class BodyError(ValueError):
    """A body that cannot be decoded; the message says why."""


class Response(NamedTuple):
    """A response: its status (None if it has no head), content type in lower case ("" if none is
    declared), declared charset, and body as it was stored. Header names are in lower case."""

    status: int | None
    content_type: str
    charset: str | None
    headers: dict[str, list[str]]
    body: bytes


class Body(NamedTuple):
    """A decoded body; `cut` names the coding whose end is missing."""

    data: bytes
    cut: str | None


def parse_response(block: bytes) -> Response:
    """The final response in `block`. Interim ones (100 Continue) and a proxy's answer to CONNECT are
    skipped. A block without a status line is a body alone, as in HTTP/0.9."""
    start = 0
    for _ in range(_MOST_HEADS):
        status_line = _STATUS_LINE.match(block, start)
        if status_line is None:
            return Response(None, "", None, {}, block[start:])
        head, start = _head(block, status_line.end())
        status = int(status_line[1] or 200)  # browsers take no number for success
        tunnel = _TUNNEL.match(status_line[0].lstrip(b"\r\n")) and block.startswith(b"HTTP/", start)
        if not (100 <= status < 200 or tunnel) or start >= len(block):
            break
    headers = _headers(head.decode("latin-1"))
    name, charset = content_type(headers.get("content-type", []))
    return Response(status, name, charset, headers, block[start:])


def decode_body(response: Response, longest: int) -> Body:
    """Undoes the transfer and content codings, of at most `longest` bytes. Raises BodyError."""
    data, cut = response.body, None
    if any("chunked" in value.lower() for value in response.headers.get("transfer-encoding", [])):
        data, complete = _unchunk(data)
        cut = None if complete else "chunked"
    codings = [
        coding.strip(" \t\"'").lower() for value in response.headers.get("content-encoding", []) for coding in value.split(",")
    ]
    for coding in reversed(codings):
        decoder = _decoder(data, coding)
        if decoder is not None and data:  # browsers ignore codings that they do not know, such as 'none' or 'utf-8'
            data, complete = decoder(data, longest)
            cut = cut if complete else coding
    for _ in codings or (None,):  # compressed again, or without a word in the head
        decoder = _decoder(data, "")
        if decoder is not None:
            data, complete = decoder(data, longest)
            cut = cut if complete else "gzip or zstd"
    return Body(data, cut)


def sniffed_type(data: bytes) -> str | None:
    """The type that the first bytes of a body prove; None if they prove none."""
    for start, name in _OTHER_STARTS.items():
        if data.startswith(start):
            return name
    return "text/html" if _HTML_START.match(data[:4096].removeprefix(b"\xff\xfe").replace(b"\0", b"")) else None


def _head(block: bytes, start: int) -> tuple[bytes, int]:
    """The fields that begin at `start`, and where the body begins."""
    blank = re.compile(rb"\r?\n").match(block, start)
    if blank is not None:
        return b"", blank.end()
    end = _END_OF_HEAD.search(block, start)
    if end is not None:
        return block[start : end.start()], end.end()
    tag = re.compile(rb"^[ \t]*<", re.MULTILINE).search(block, start)  # the blank line is missing
    stop = tag.start() if tag is not None else len(block)
    return block[start:stop], stop


def _headers(head: str) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    values: list[str] | None = None
    for line in _LINE_END.split(head):
        if line[:1] in (" ", "\t"):
            if values:
                values[-1] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        values = headers.setdefault(name.strip().lower(), []) if colon else None
        if values is not None:
            values.append(value.strip(" \t\r\0"))
    return headers


def content_type(values: list[str]) -> tuple[str, str | None]:
    """Type and charset of the values of Content-Type: the last valid type, in lower case, "" if there
    is none. A charset counts even where the type beside it is broken."""
    name, charset = "", None
    for value in values:
        for item in _COMMA.split(value):
            match = _MIME_TYPE.fullmatch(item)
            if match is not None and (found := match[1].lower()) not in _NO_TYPE:
                if found != name:
                    charset = None
                name = found
            label = _CHARSET.search(" " + item)
            if label is not None:
                charset = label[1] or label[2] or label[3] or charset
    return name, charset


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


def _decoder(data: bytes, coding: str) -> _Decoder | None:
    """The decoder by the first bytes, else by the name of the coding."""
    if data.startswith(_GZIP):
        return _gunzip
    return _unzstd if data.startswith(_ZSTD) else _DECODERS.get(coding.removeprefix("x-"))


def _gunzip(data: bytes, longest: int) -> tuple[bytes, bool]:
    """All members; what follows the last one is padding."""
    if not data.startswith(_GZIP):
        return _as_it_is(data, "gzip: no gzip header")
    parts: list[bytes] = []
    while data.startswith(_GZIP):
        inflate = zlib.decompressobj(wbits=31)
        try:
            parts.append(inflate.decompress(data, longest + 1))
        except zlib.error as error:
            raise BodyError(f"corrupt gzip in the HTTP response: {error}") from error
        _check_length(parts, longest)
        if not inflate.eof:
            return b"".join(parts), False
        data = inflate.unused_data
    return b"".join(parts), True


def _inflate(data: bytes, longest: int) -> tuple[bytes, bool]:
    """Deflate, with zlib's head as the standard says, or without as many servers send it."""
    error: zlib.error | None = None
    for wbits in (15, -15):
        inflate = zlib.decompressobj(wbits=wbits)
        try:
            text = inflate.decompress(data, longest + 1)
        except zlib.error as reason:
            error = error or reason
            continue
        _check_length([text], longest)
        return (text, True) if inflate.eof else _cut_or_text(data, text)
    return _as_it_is(data, f"deflate: {error}")


def _unbrotli(data: bytes, longest: int) -> tuple[bytes, bool]:
    decoder = brotli.Decompressor()
    parts: list[bytes] = []
    try:
        chunk = data
        while not decoder.is_finished():
            part = decoder.process(chunk, output_buffer_limit=1 << 20)
            chunk = b""
            parts.append(part)
            _check_length(parts, longest)
            if not part and decoder.can_accept_more_data():
                break
    except brotli.error as error:
        return _as_it_is(data, f"br: {error}")
    text = b"".join(parts)
    return (text, True) if decoder.is_finished() else _cut_or_text(data, text)


def _unzstd(data: bytes, longest: int) -> tuple[bytes, bool]:
    if not data.startswith(_ZSTD):
        return _as_it_is(data, "zstd: no zstd header")
    parts: list[bytes] = []
    while data.startswith(_ZSTD):
        decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        try:
            for start in range(0, len(data), _ZSTD_STEP):
                parts.append(decoder.decompress(data[start : start + _ZSTD_STEP]))
                _check_length(parts, longest)
                if decoder.eof:
                    data = decoder.unused_data + data[start + _ZSTD_STEP :]
                    break
            else:
                return b"".join(parts), False
        except zstandard.ZstdError as error:
            raise BodyError(f"corrupt zstd in the HTTP response: {error}") from error
    return b"".join(parts), True


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


def _check_length(parts: list[bytes], longest: int) -> None:
    if sum(map(len, parts)) > longest:
        raise BodyError(f"a page of more than {longest} bytes, unpacked; max_record_bytes is {longest}")


_DECODERS: dict[str, _Decoder] = {"gzip": _gunzip, "deflate": _inflate, "br": _unbrotli, "zstd": _unzstd}
