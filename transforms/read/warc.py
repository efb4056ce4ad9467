"""Reads WARC: the text of HTML responses (boilerplate removed), and the records of WET, which are text already."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from http.client import HTTPException, parse_headers
from typing import BinaryIO, cast

import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from tamis.transforms import storage
from tamis.transforms.core.errors import damage
from tamis.transforms.read.batch_builder import Rows, Unfit, canonical
from tamis.transforms.read.decompress import streams
from tamis.transforms.read.input_options import WARC, Input, Reject, Split
from tamis.transforms.read.pages import text_of

_HTML = ("text/html", "application/xhtml+xml")
_DIGITS = 19  # of a length that 64 bits hold; Python reads no number of thousands


def read(split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of a file: HTML responses of status 200 and conversion records; no other record is a document.

    The id is the record's, the date WARC-Date; the language that a WET record names is metadata. Text of HTML is what
    resiliparse takes for the main content; it may be empty.
    """
    rows = Rows(split.uri, options)
    with storage.open_binary(split.uri) as file:
        for stream in streams(file, split.uri, split.start, split.stop, WARC):
            last = 0
            try:
                # The HTTP layer is parsed here: the iterator's own decoding cannot go on after a bad response.
                for record in ArchiveIterator(
                    cast(BinaryIO, stream), WarcRecordType.any_type, parse_http=False, stream_detect=False
                ):
                    last = record.stream_pos
                    try:
                        _add(rows, record, options.max_record_bytes)
                    except Unfit as unfit:
                        rows.reject(last, str(unfit), record.headers.get("WARC-Target-URI") or "", start=stream.start)
                    if rows.full:
                        yield rows.take()
            except OSError as error:
                reason = f"{damage(error)}, behind the record at this place; nothing from there on can be read"
                rows.reject(last, reason, start=stream.start)
            if stream.damage is not None:
                reason = f"{stream.damage}; nothing from here on can be read, up to the next sound part of the file"
                rows.reject(stream.tell(), reason, start=stream.start)
    yield from rows.rest()


def _add(rows: Rows, record: WarcRecord, longest: int) -> None:
    length = record.headers.get("Content-Length")
    if length is None or not length.isdecimal() or len(length) > _DIGITS:
        raise Unfit("a WARC record without Content-Length: its header is cut")
    if record.record_type not in (WarcRecordType.response, WarcRecordType.conversion):
        return
    if int(length) > longest:
        raise Unfit(f"a record of {length} bytes; max_record_bytes is {longest}")
    block = record.reader.read()
    if len(block) < int(length):
        raise Unfit(f"truncated record: {len(block)} of {length} bytes")
    if record.record_type == WarcRecordType.conversion:
        try:
            text = block.decode()
        except UnicodeDecodeError as invalid:
            raise Unfit(f"invalid UTF-8 at byte {invalid.start} of the record's text") from invalid
        metadata = {"language": record.headers.get("WARC-Identified-Content-Language")}
    else:
        page = _html(block, longest)
        if page is None:
            return
        text = text_of(*page)
        metadata = {}
    rows.add(
        text,
        len(text),
        id=_bare(record.headers.get("WARC-Record-ID")),
        url=_bare(record.headers.get("WARC-Target-URI")),
        date=record.headers.get("WARC-Date"),
        metadata=canonical(metadata),
    )


def _bare(value: str | None) -> str | None:
    return value.strip("<>") if value else None


def _html(response: bytes, longest: int) -> tuple[bytes, str | None] | None:
    """The page of an HTTP response, and the charset it declares; None where it is no HTML or no success. Raises Unfit."""
    head, _, body = response.partition(b"\r\n\r\n")
    status, _, fields = head.partition(b"\r\n")
    if status.split(b" ")[1:2] != [b"200"]:
        return None
    try:
        headers = parse_headers(io.BytesIO(fields + b"\r\n\r\n"))
    except HTTPException as error:
        raise Unfit(f"unreadable HTTP header: {error!r}") from error
    if headers.get_content_type() not in _HTML:
        return None
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        body = _unchunked(body)
    coding = headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("gzip", "x-gzip") and body.startswith(b"\x1f\x8b"):  # many crawlers decode and leave the header
        try:
            inflate = zlib.decompressobj(wbits=31)
            body = inflate.decompress(body, longest + 1)
        except zlib.error as error:
            raise Unfit(f"corrupt gzip in the HTTP response: {error}") from error
        if len(body) > longest:
            raise Unfit(f"a page of more than {longest} bytes, unpacked; max_record_bytes is {longest}")
        if not inflate.eof:
            raise Unfit("corrupt gzip in the HTTP response: incomplete or truncated stream")
    elif coding not in ("gzip", "x-gzip", "identity", ""):
        raise Unfit(f"the HTTP response is encoded as '{coding[:40]}', which is not read")
    return body, headers.get_content_charset()


def _unchunked(body: bytes) -> bytes:
    """The chunks of an HTTP/1.1 body (RFC 9112, 7.1) put together; a body that is not chunked, as it is."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\r\n", at)
        size = body[at:end].split(b";")[0].strip() if end >= 0 else b""
        if not size or size.strip(b"0123456789abcdefABCDEF"):
            return body
        length = int(size, 16)
        if not length:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
