"""Parses the heads of HTTP responses as browsers do (WHATWG Fetch and MIME Sniffing; RFC 9112).

Crawls keep what servers sent: bare line feeds, folded or broken lines, types that are missing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_STATUS_LINE = re.compile(
    rb"\s*(?:HTTP/|HTTP(?=[ \t]+\d{3})|ICY(?=[ \t]))[^ \t\r\n]*[ \t]*(\d{3})?[^\r\n]*(?:\r*\n|\Z)", re.IGNORECASE
)
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_TUNNEL = re.compile(rb"[^\r\n]*connection established", re.IGNORECASE)
_LINE_END = re.compile(r"\r*\n")
_FOLD = re.compile(r"(?<=[^\r\n])\r*\n[ \t]+")
_LONGEST_HEAD = 1 << 18  # bytes; browsers give up there
_LONGEST_TYPE, _MOST_TYPES = 1000, 20
_MOST_HEADS = 20  # interim responses (100 Continue) before the one with the page

_MIME_TYPE = re.compile(r"\s*([!#$%&'*+\-.^_`|~\w]+/[!#$%&'*+\-.^_`|~\w]+)\s*(?:;.*)?", re.ASCII | re.DOTALL)
_CHARSET = re.compile(r"[;,\s]charset\s*=\s*(?:\"([^\"]*)\"?|'([^']*)'?|([^;,\s\"']+))", re.IGNORECASE)
_COMMA = re.compile(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")  # outside of quotes
_NO_TYPE = ("unknown/unknown", "application/unknown", "*/*")

HTML_TYPES = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
"""The content types of pages."""

_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--|(?:<\?xml[^>]*>\s*(?:<!--(?:(?!-->).)*-->\s*)*)?"
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


class Response(NamedTuple):
    """A response: its status (None if it has no head), content type in lower case ("" if none is
    declared), declared charset, and body as it was stored. Header names are in lower case."""

    status: int | None
    content_type: str
    charset: str | None
    headers: dict[str, list[str]]
    body: bytes


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
    for line in _LINE_END.split(_FOLD.sub(" ", head[:_LONGEST_HEAD])):
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), []).append(value.strip(" \t\r\0"))
    return headers


def content_type(values: list[str]) -> tuple[str, str | None]:
    """Type and charset of the values of Content-Type: the last valid type, in lower case, "" if there
    is none. A charset counts even where the type beside it is broken."""
    return _content_type(tuple(value[:_LONGEST_TYPE] for value in values[:_MOST_TYPES]))


@lru_cache(1024)
def _content_type(values: tuple[str, ...]) -> tuple[str, str | None]:
    name, charset = "", None
    for value in values:
        for item in _COMMA.split(value):
            match = _MIME_TYPE.fullmatch(item)
            if match is not None and (essence := match[1].lower()) not in _NO_TYPE:
                if essence != name:
                    charset = None
                name = essence
            label = _CHARSET.search(" " + item)
            if label is not None:
                charset = label[1] or label[2] or label[3] or charset
    return name, charset
