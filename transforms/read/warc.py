"""Reads WARC files: the main text of pages, and the plain text of WET records."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.read.batch_builder import BatchBuilder, InvalidRecord, canonical
from tamis.transforms.read.decompress import streams
from tamis.transforms.read.input_options import WARC_START, Input, Loss, Split
from tamis.transforms.read.web.http_body import BodyError, decode_body
from tamis.transforms.read.web.http_response import HTML_TYPES, content_type, parse_response, sniffed_type
from tamis.transforms.read.web.page_decoding import decode_page
from tamis.transforms.read.web.pages import extract_text
from tamis.transforms.read.web.warc_records import Damage, Record, read_records

_STATUSES = (200, 203)  # 203: a proxy changed the page
_RECORD_TYPES = ("warcinfo", "request", "metadata", "revisit", "continuation", "response", "resource", "conversion")
_COUNTED_TYPES = ("text/plain", "application/json", "application/pdf", "application/xml", "text/xml", "text/css")
_MEDIA = ("image/", "audio/", "video/", "font/")
_COUNTED_FAMILIES = ("image", "audio", "video", "font", "text", "application")


class _Skip(Exception):
    """A record that is no document on purpose; the message says why."""


def read(split: Split, options: Input, trust: bool = False) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]:
    """The documents of a split: pages of responses with status 200 or 203, and texts of conversion
    records; resource records if the input says so. The id is WARC-Record-ID, the date WARC-Date.
    Metadata holds the language of a WET record, and `page`: how a page was read. The text of a page
    may be empty. All other records are counted as skipped, by reason."""
    builder = BatchBuilder(split.uri, options)
    with storage.open_binary(split.uri) as file:
        for stream in streams(file, split.uri, split.start, split.stop, WARC_START, trust):
            records = stop = 0
            cut: Damage | None = None
            for item in read_records(stream, options.max_record_bytes):
                stop = item.stop
                if isinstance(item, Damage):
                    cut = item if item.cut else None
                    if cut is None:
                        builder.reject(item.offset, item.reason, item.uri, start=stream.start)
                else:
                    records += 1
                    _add(builder, item, options, stream.start)
                if builder.full:
                    yield builder.take()
            if stream.damage is not None:
                where = f"{cut.reason}, because of a " if cut is not None else ""
                reason = f"{where}{stream.damage}; nothing from here on can be read, up to the next sound part of the file"
                offset, uri = (cut.offset, cut.uri) if cut is not None else (stop, "")
                lost = stream.lost_records(records)
                builder.reject(offset, reason, uri, start=stream.start, records=lost, estimated=True)
            elif cut is not None:
                builder.reject(cut.offset, cut.reason, cut.uri, start=stream.start)
    yield from builder.flush()


def _add(builder: BatchBuilder, record: Record, options: Input, start: int) -> None:
    url = record.fields.get("warc-target-uri", "").strip("<>") or None
    try:
        text, metadata = _document(record, url, options)
    except _Skip as reason:
        builder.skip(str(reason))
    except InvalidRecord as invalid:
        builder.reject(record.offset, str(invalid), url or "", start=start)
    else:
        id = record.fields.get("warc-record-id", "").strip("<>") or None
        date = record.fields.get("warc-date")
        builder.add(text, len(text), id=id, url=url, date=date, metadata=canonical(metadata))


def _document(record: Record, url: str | None, options: Input) -> tuple[str, dict[str, Any]]:
    """The text of a record, and its metadata. Raises _Skip and InvalidRecord."""
    kind = record.fields.get("warc-type", "").lower()
    if kind not in options.warc_records:
        raise _Skip(f"record type {kind if kind in _RECORD_TYPES else 'other'}")
    if record.content is None:
        raise InvalidRecord(f"a record of {record.length} bytes; max_record_bytes is {options.max_record_bytes}")
    metadata: dict[str, Any] = {"language": record.fields.get("warc-identified-content-language")}
    if kind == "response":
        text, metadata["page"] = _page(record, url, options)
        return text, metadata
    name, charset = content_type([record.fields.get("content-type", "")])
    if name in HTML_TYPES:
        text, metadata["page"] = extract_text(record.content, charset, options.extractor, url)
    elif name.startswith("text/") or (kind == "conversion" and not name.startswith(_MEDIA)):
        text, metadata["page"] = _plain_text(record.content, charset)
    else:
        raise _Skip(_type_reason(name))
    return text, metadata


def _page(record: Record, url: str | None, options: Input) -> tuple[str, dict[str, Any]]:
    """The text of the page in a response, and how it was read."""
    assert record.content is not None
    response = parse_response(record.content)
    if response.status is not None and response.status not in _STATUSES:
        raise _Skip(f"status {response.status}")
    declared = response.content_type
    identified, _ = content_type([record.fields.get("warc-identified-payload-type", "")])
    if declared and declared not in HTML_TYPES and identified not in HTML_TYPES:
        raise _Skip(_type_reason(declared))
    try:
        body = decode_body(response, options.max_record_bytes)
    except BodyError as error:
        raise InvalidRecord(str(error)) from error
    proven = sniffed_type(body.data)
    if proven not in HTML_TYPES and (proven or declared not in HTML_TYPES):
        raise _Skip("no HTTP response" if response.status is None else _type_reason(proven or declared))
    text, page = extract_text(body.data, response.charset, options.extractor, url)
    segment = "segment" if "warc-segment-number" in record.fields else None  # the others are continuation records
    cut = body.cut or record.fields.get("warc-truncated") or segment
    return text, page | {"cut": cut[:40]} if cut else page


def _plain_text(content: bytes, charset: str | None) -> tuple[str, dict[str, Any] | None]:
    """Text that should be UTF-8, as that of WET records; if it is not, what the bytes say."""
    try:
        return content.decode(), None
    except UnicodeDecodeError:
        text, encoding, conflict = decode_page(content, charset or "utf-8")
    page = {"encoding": encoding, "encoding_conflict": conflict, "replaced": round(text.count("\ufffd") / len(text), 6) or None}
    return text, {name: value for name, value in page.items() if value is not None}


def _type_reason(name: str) -> str:
    """A content type as one of few reasons: a crawl has thousands of types."""
    family = name.partition("/")[0]
    known = name if name in _COUNTED_TYPES else f"{family}/*" if family in _COUNTED_FAMILIES else "other"
    return f"content type {known if name else 'none'}"
