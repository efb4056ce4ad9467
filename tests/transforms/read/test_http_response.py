"""HTTP responses are parsed as browsers do, and their bodies are decoded, cut or not."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib

import brotli
import pytest
import zstandard

from tamis.transforms.read.web.http_body import BodyError, decode_body
from tamis.transforms.read.web.http_response import content_type, parse_response, sniffed_type

PAGE = b"<html><head><title>t</title></head><body><p>A page with a sentence of some words.</p></body></html>"
HTML = b"Content-Type: text/html; charset=utf-8\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\n" + HTML.replace(b"\r", b"") + b"\n", 200),
        (b"HTTP/1.1 200 OK\r\n" + HTML + b"\n", 200),
        (b"HTTP/1.1 200 OK\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 \r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1  200  OK\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1\t200 OK\r\n" + HTML + b"\r\n", 200),
        (b"http/1.1 200 ok\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/2 200\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/3 200 \r\n" + HTML + b"\r\n", 200),
        (b"HTTP/0.9 200 OK\r\n" + HTML + b"\r\n", 200),
        (b"HTTP 200 OK\r\n" + HTML + b"\r\n", 200),
        (b"ICY 200 OK\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 OK\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1\r\n" + HTML + b"\r\n", 200),
        (b"\r\n\r\nHTTP/1.1 200 OK\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 404 Not Found\r\n" + HTML + b"\r\n", 404),
        (b"HTTP/1.1 503 Backend fetch failed: \xe9\x00\r\n" + HTML + b"\r\n", 503),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + HTML + b"\r\n", 200),
        (
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n" + HTML + b"\r\n",
            200,
        ),
        (b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\nHTTP/1.1 200 OK\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\nbroken line\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nbroken line\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\r\n folded: into nothing\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nX: one\r\n\ttwo\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Type:\r\n text/html;\r\n charset=utf-8\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Type : text/html; charset=utf-8\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nX Powered By: y\r\n: no name\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nX: a\x00b\x0b\x0c\x1c\x85\xe9\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(500)) + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n" + HTML + b"\r\n", 200),
        (b"HTTP/1.1 200 OK\r\n" + HTML, 200),  # the blank line is missing
    ],
)
def test_heads(head: bytes, status: int) -> None:
    response = parse_response(head + PAGE)
    assert (response.status, response.body) == (status, PAGE)
    assert (response.content_type, response.charset) == ("text/html", "utf-8")


@pytest.mark.parametrize("block", [b"", b"\r\n", b"GET / HTTP/1.1\r\n\r\n", PAGE, b"HTTPS is a protocol", b"\x16\x03\x01\x02"])
def test_blocks_without_a_head(block: bytes) -> None:
    response = parse_response(block)
    assert response.status is None
    assert response.body == block


def test_a_head_without_a_body() -> None:
    assert parse_response(b"HTTP/1.1 200 OK\r\nServer: x").body == b""
    assert parse_response(b"HTTP/1.1 200 OK").body == b""
    assert parse_response(b"HTTP/1.1 200 OK\r\n\r\n").body == b""
    assert parse_response(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000).status == 100


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["text/html"], ("text/html", None)),
        (["TEXT/HTML; CHARSET=UTF-8"], ("text/html", "UTF-8")),
        (["text/html;charset='x'"], ("text/html", "x")),
        (['text/html;charset="x"'], ("text/html", "x")),
        (['text/html;charset="x'], ("text/html", "x")),
        (["text/html; charset = x ; y=z"], ("text/html", "x")),
        (["text/html;;charset=x"], ("text/html", "x")),
        (["text/html; a=b; charset=x"], ("text/html", "x")),
        (["text/html, charset=x"], ("text/html", "x")),
        (["text/html,text/html; charset=x"], ("text/html", "x")),
        (["text/html; charset=x", "text/html"], ("text/html", "x")),
        (["text/plain; charset=x", "text/html"], ("text/html", None)),
        (["text/html", "*/*"], ("text/html", None)),
        (['text/html; a="b,text/plain"'], ("text/html", None)),
        (["text/html; charset="], ("text/html", None)),
        (["text/html;notcharset=x"], ("text/html", None)),
        (["application/xhtml+xml;charset=x"], ("application/xhtml+xml", "x")),
        (['"text/html"'], ("", None)),
        (["charset=x"], ("", "x")),
        (["html"], ("", None)),
        ([""], ("", None)),
        ([], ("", None)),
        (["unknown/unknown"], ("", None)),
        (["te xt/html"], ("", None)),
    ],
)
def test_content_types(values: list[str], expected: tuple[str, str | None]) -> None:
    assert content_type(values) == expected


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (PAGE, "text/html"),
        (b"\xef\xbb\xbf \n<!DOCTYPE HTML>", "text/html"),
        (b"<!-- a comment", "text/html"),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<html>', "text/html"),
        (b"\xff\xfe" + "<html>".encode("utf-16-le"), "text/html"),
        (b"<p>words", "text/html"),
        (b"<article>", None),
        (b"<path d=''>", None),
        (b'<?xml version="1.0"?><rss>', None),
        (b"words <p>", None),
        (b"", None),
        (b"%PDF-1.4", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"PK\x03\x04", "application/zip"),
    ],
)
def test_types_by_the_first_bytes(data: bytes, name: str | None) -> None:
    assert sniffed_type(data) == name


def decoded(body: bytes, *headers: str, longest: int = 1 << 20) -> tuple[bytes, str | None]:
    head = "".join(f"{header}\r\n" for header in headers)
    return decode_body(parse_response(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body), longest)


def chunked(body: bytes, size: int = 30, end: bytes = b"\r\n", last: bytes = b"0\r\n\r\n") -> bytes:
    pieces = [body[k : k + size] for k in range(0, len(body), size)]
    return b"".join(b"%x%s%s%s" % (len(piece), end, piece, end) for piece in pieces) + last


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS = {
    "gzip": gzip.compress(PAGE),
    "x-gzip": gzip.compress(PAGE),
    "GZIP": gzip.compress(PAGE[:40]) + gzip.compress(PAGE[40:]),
    " gzip ": gzip.compress(PAGE) + b"\r\npadding",
    "deflate": zlib.compress(PAGE),
    "Deflate": deflate(PAGE),
    "br": brotli.compress(PAGE),
    "zstd": zstandard.compress(PAGE),
    "Zstd": zstandard.compress(PAGE[:40]) + zstandard.compress(PAGE[40:]),
    "gzip, gzip": gzip.compress(gzip.compress(PAGE)),
    "gzip,br": brotli.compress(gzip.compress(PAGE)),
    "br, identity": brotli.compress(PAGE),
    "identity": PAGE,
    "none": PAGE,
    "utf-8": PAGE,
    "": PAGE,
    "text/html": PAGE,
    "sdch": PAGE,
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("transfer", [False, True])
def test_codings(coding: str, transfer: bool) -> None:
    body = chunked(CODINGS[coding]) if transfer else CODINGS[coding]
    headers = [f"Content-Encoding: {coding}"] + ["Transfer-Encoding: Chunked"] * transfer
    assert decoded(body, *headers) == (PAGE, None)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, br"])
@pytest.mark.parametrize(
    "page", [PAGE, "Grüße".encode(), "<p>я</p>".encode("utf-16-le"), b"\xff\xfe" + "я".encode("utf-16-le"), b""]
)
def test_bodies_that_were_decoded_already(coding: str, page: bytes) -> None:
    assert decoded(page, f"Content-Encoding: {coding}") == (page, None)
    assert decoded(page, f"Content-Encoding: {coding}", "Transfer-Encoding: chunked") == (page, None)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compressed_body_whose_head_does_not_say_so(pack) -> None:
    assert decoded(pack(PAGE)) == (PAGE, None)
    assert decoded(pack(pack(PAGE)), "Content-Encoding: br, zstd")[0] == PAGE


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_a_compressed_body_that_is_cut_gives_what_arrived(name: str) -> None:
    page = b"".join(b"<p>%d words in a paragraph</p>" % (n * n) for n in range(5000))
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}[name]
    packed = pack(page)
    for size in range(len(packed) // 2, len(packed) - 1, 997):
        text, cut = decoded(packed[:size], f"Content-Encoding: {name}")
        assert cut == name
        assert page.startswith(text)
    assert text


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_chunks(end: bytes) -> None:
    header = "Transfer-Encoding: chunked"
    assert decoded(chunked(PAGE, end=end), header) == (PAGE, None)
    assert decoded(chunked(PAGE, end=end, last=b"0" + end + b"Trailer: x" + end + end), header) == (PAGE, None)
    assert decoded(chunked(PAGE, end=end, last=b"000 ; x=y" + end), header) == (PAGE, None)
    assert decoded(chunked(PAGE, end=end, last=b""), header) == (PAGE, "chunked")
    assert decoded(chunked(PAGE, end=b" ;name=value" + end).replace(b" ;name=value" + end + b"1", end + b"1"), header)[0]
    for size in range(5, len(chunked(PAGE, end=end, last=b""))):
        text, _ = decoded(chunked(PAGE, end=end)[:size], header)
        assert PAGE.startswith(text)


@pytest.mark.parametrize("body", [b"10\nreasons to read on and on and on", b"0 words", b"7", PAGE, b"\r\n", b""])
def test_bodies_without_chunks(body: bytes) -> None:
    assert decoded(body, "Transfer-Encoding: chunked") == (body, None)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(PAGE, mtime=0)[:-5] + b"\0" * 5),
        ("gzip", gzip.compress(PAGE, mtime=0)[:20] + b"\xff" * 40),
        ("deflate", b"\x01\x02\x03" * 30),
        ("br", b"\x01\x02\x03" * 30),
        ("zstd", zstandard.ZstdCompressor(write_checksum=True).compress(PAGE)[:-1] + b"\0"),
        ("gzip", b"\x89PNG\r\n\x1a\n\0\0"),
    ],
)
def test_corrupt_bodies(coding: str, body: bytes) -> None:
    with pytest.raises(BodyError, match="corrupt"):
        decoded(body, f"Content-Encoding: {coding}")


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_an_error_in_little_memory(name: str) -> None:
    zeros = b" " * (64 << 20)
    pack = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": lambda data: brotli.compress(data, quality=4),
        "zstd": zstandard.compress,
    }[name]
    body = pack(zeros)
    tracemalloc.start()
    with pytest.raises(BodyError, match="max_record_bytes"):
        decoded(body, f"Content-Encoding: {name}", longest=1 << 20)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "block",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" + b" z\r\n" * 1_000_000,
        b"HTTP/1.1 200 OK\r\n" + b"\r " * 1_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Type: " + b"text/html," * 300_000 + b"\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Type: "' + b"," * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: " + b"br," * 300_000 + b"\r\n\r\n" + b"<p>words</p>" * 10_000,
        b"HTTP/1.1 200 OK\r\n" + b"Content-Encoding: gzip\r\n" * 100_000 + b"\r\n<p>",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"") * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n\r\n" + zstandard.compress(b"") * 20_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 500_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 1_000_000,
        b"HTTP/1.1 200 OK\r\n\r\n<?xml ?>" + b"<!---->" * 500_000 + b"x",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"<?xml " * 500_000,
        b"\r\n" * 1_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    ],
    ids=range(14),
)
def test_time_is_linear(block: bytes) -> None:
    begin = time.process_time()
    body = decode_body(parse_response(block), 1 << 28)
    sniffed_type(body.data)
    assert time.process_time() - begin < 20
