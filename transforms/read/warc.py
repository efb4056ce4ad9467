"""Reads WARC files: the main text of HTML responses, and the plain text of WET records."""

import io
import zlib
from collections.abc import Iterator
from http.client import HTTPException, parse_headers
from typing import BinaryIO, cast

import pyarrow as pa
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from tamis.transforms import storage
from tamis.transforms.core.errors import damage
from tamis.transforms.read.batch_builder import BatchBuilder, InvalidRecord, canonical
from tamis.transforms.read.decompress import streams
from tamis.transforms.read.input_options import WARC_START, Input, Reject, Split
from tamis.transforms.read.pages import extract_text

_HTML = ("text/html", "application/xhtml+xml")
_MOST_DIGITS = 19  # of a length that fits into 64 bits; Python refuses to parse numbers of thousands of digits


def read(split: Split, options: Input, trust: bool = False) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of a split: HTML responses with status 200, and conversion records. The id is
    WARC-Record-ID, the date WARC-Date; the language of a WET record becomes metadata. The text of
    HTML is the main content according to resiliparse; it may be empty."""
    builder = BatchBuilder(split.uri, options)
    with storage.open_binary(split.uri) as file:
        for stream in streams(file, split.uri, split.start, split.stop, WARC_START, trust):
            offset = records = 0
            try:
                # We parse HTTP ourselves: the iterator cannot continue after a bad response.
                for record in ArchiveIterator(
                    cast(BinaryIO, stream), WarcRecordType.any_type, parse_http=False, stream_detect=False
                ):
                    offset, records = record.stream_pos, records + 1
                    try:
                        _add(builder, record, options.max_record_bytes)
                    except InvalidRecord as invalid:
                        builder.reject(offset, str(invalid), record.headers.get("WARC-Target-URI") or "", start=stream.start)
                    if builder.full:
                        yield builder.take()
            except OSError as error:
                reason = f"{damage(error)}, after the record at this place; nothing from there on can be read"
                builder.reject(offset, reason, start=stream.start)
            if stream.damage is not None:
                reason = f"{stream.damage}; nothing from here on can be read, up to the next sound part of the file"
                lost = stream.lost_records(records)
                builder.reject(stream.tell(), reason, start=stream.start, records=lost, estimated=True)
    yield from builder.flush()


def _add(builder: BatchBuilder, record: WarcRecord, longest: int) -> None:
    length = record.headers.get("Content-Length")
    if length is None or not length.isdecimal() or len(length) > _MOST_DIGITS:
        raise InvalidRecord("a WARC record without Content-Length: its header is cut")
    if record.record_type not in (WarcRecordType.response, WarcRecordType.conversion):
        return
    if int(length) > longest:
        raise InvalidRecord(f"a record of {length} bytes; max_record_bytes is {longest}")
    block = record.reader.read()
    if len(block) < int(length):
        raise InvalidRecord(f"truncated record: {len(block)} of {length} bytes")
    if record.record_type == WarcRecordType.conversion:
        try:
            text = block.decode()
        except UnicodeDecodeError as invalid:
            raise InvalidRecord(f"invalid UTF-8 at byte {invalid.start} of the record's text") from invalid
        metadata = {"language": record.headers.get("WARC-Identified-Content-Language")}
    else:
        page = _html(block, longest)
        if page is None:
            return
        text = extract_text(*page)
        metadata = {}
    builder.add(
        text,
        len(text),
        id=_strip_brackets(record.headers.get("WARC-Record-ID")),
        url=_strip_brackets(record.headers.get("WARC-Target-URI")),
        date=record.headers.get("WARC-Date"),
        metadata=canonical(metadata),
    )


def _strip_brackets(value: str | None) -> str | None:
    return value.strip("<>") if value else None


def _html(response: bytes, longest: int) -> tuple[bytes, str | None] | None:
    """Page and charset of an HTTP response; None unless HTML with status 200."""
    head, _, body = response.partition(b"\r\n\r\n")
    status, _, fields = head.partition(b"\r\n")
    if status.split(b" ")[1:2] != [b"200"]:
        return None
    try:
        headers = parse_headers(io.BytesIO(fields + b"\r\n\r\n"))
    except HTTPException as error:
        raise InvalidRecord(f"unreadable HTTP header: {error!r}") from error
    if headers.get_content_type() not in _HTML:
        return None
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        body = _unchunked(body)
    coding = headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("gzip", "x-gzip") and body.startswith(b"\x1f\x8b"):  # many crawlers decode the body but keep the header
        try:
            inflate = zlib.decompressobj(wbits=31)
            body = inflate.decompress(body, longest + 1)
        except zlib.error as error:
            raise InvalidRecord(f"corrupt gzip in the HTTP response: {error}") from error
        if len(body) > longest:
            raise InvalidRecord(f"a page of more than {longest} bytes, unpacked; max_record_bytes is {longest}")
        if not inflate.eof:
            raise InvalidRecord("corrupt gzip in the HTTP response: incomplete or truncated stream")
    elif coding not in ("gzip", "x-gzip", "identity", ""):
        raise InvalidRecord(f"the HTTP response is encoded as '{coding[:40]}', which is not read")
    return body, headers.get_content_charset()


def _unchunked(body: bytes) -> bytes:
    """Joins the chunks of an HTTP/1.1 body (RFC 9112, 7.1), if it has chunks."""
    chunks: list[bytes] = []
    start = 0
    while True:
        end = body.find(b"\r\n", start)
        size = body[start:end].split(b";")[0].strip() if end >= 0 else b""
        if not size or size.strip(b"0123456789abcdefABCDEF"):
            return body
        length = int(size, 16)
        if not length:
            return b"".join(chunks)
        chunks.append(body[end + 2 : end + 2 + length])
        start = end + 2 + length + 2
