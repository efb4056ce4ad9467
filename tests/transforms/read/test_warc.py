"""WARC: HTML becomes its text, WET stays unchanged, and a bad response loses only itself."""

from __future__ import annotations

import gzip

import pytest
from test_inputs import documents_of

PAGE = "<html><body><main><p>Über alles, {}: a page of text that says something.</p></main></body></html>"


def record(block, kind="response", number=0, **headers):
    fields = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{number}>",
        "WARC-Date": "2024-05-18T01:58:10Z",
        "WARC-Target-URI": f"http://example.org/{number}",
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block)),
    } | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def response(body, status="200 OK", content_type="text/html", **headers):
    fields = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def page(number, encoding="utf-8"):
    return PAGE.format(number).encode(encoding)


def chunked(body, size):
    pieces = [body[k : k + size] for k in range(0, len(body), size)]
    return b"".join(b"%x;x=y\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def read(tmp_path, data, name="a.warc", **options):
    (tmp_path / name).write_bytes(data)
    return documents_of([tmp_path / name], **options)


@pytest.mark.parametrize(
    "http",
    [
        response(page(1)),
        response(page(1), content_type="TEXT/HTML; charset=nonsense"),
        response(page(1), content_type="application/xhtml+xml;charset=utf-8"),
        response(page(1, "iso-8859-1"), content_type="text/html; charset=iso-8859-1"),
        response(page(1, "cp1252").replace(b"<body>", b'<meta charset="windows-1252"><body>')),
        response(chunked(page(1), 7), Transfer_Encoding="chunked"),
        response(page(1), Transfer_Encoding="chunked"),
        response(gzip.compress(page(1)), Content_Encoding="gzip"),
        response(page(1), Content_Encoding="gzip"),
        response(chunked(gzip.compress(page(1)), 50), Content_Encoding="gzip", Transfer_Encoding="chunked"),
    ],
)
def test_html_becomes_its_text_however_it_is_sent(tmp_path, http):
    rows, rejects = read(tmp_path, record(http, number=1))
    assert not rejects
    (row,) = rows
    assert row["text"] == "Über alles, 1: a page of text that says something."
    assert (row["id"], row["url"], row["date"]) == ("urn:uuid:1", "http://example.org/1", "2024-05-18T01:58:10Z")


@pytest.mark.parametrize(
    "block",
    [
        record(b"software: x\r\n", "warcinfo"),
        record(b"GET / HTTP/1.1\r\n\r\n", "request"),
        record(response(page(1), status="404 Not Found")),
        record(response(b"\x89PNG", content_type="image/png")),
        record(b"", "response"),
    ],
)
def test_other_records_are_no_documents(tmp_path, block):
    rows, rejects = read(tmp_path, block + record(response(page(2)), number=2))
    assert [row["id"] for row in rows] == ["urn:uuid:2"]
    assert not rejects


def test_wet_is_unchanged(tmp_path):
    text = "first line\nzweite Zeile ä\n"
    language = {"WARC-Identified-Content-Language": "eng,deu"}
    data = record(text.encode(), "conversion", 3, **language)
    rows, rejects = read(tmp_path, gzip.compress(data), "a.warc.wet.gz")
    assert not rejects
    assert (rows[0]["text"], rows[0]["metadata"]) == (text, '{"language":"eng,deu"}')


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (record(response(gzip.compress(page(1))[:-5] + bytes(5), Content_Encoding="gzip")), "corrupt gzip in the HTTP"),
        (record(response(b"\x00\x01xxx", Content_Encoding="br")), "corrupt br"),
        (record(response(page(1) + b" " * 5000)), "max_record_bytes is 3000"),
    ],
)
def test_a_bad_record_is_rejected_and_the_next_passes(tmp_path, bad, error):
    first, last = record(response(page(1)), number=1), record(response(page(2)), number=2)
    rows, rejects = read(tmp_path, first + bad + last, max_record_bytes=3000)
    assert [row["id"] for row in rows] == ["urn:uuid:1", "urn:uuid:2"]
    (reject,) = rejects
    assert error in reject.error
    assert (reject.offset, reject.excerpt) == (len(first), "http://example.org/0")


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_cut_anywhere_keeps_the_records_before_the_cut(tmp_path, compress):
    records = [record(response(page(k)), number=k) for k in range(6)]
    pack = gzip.compress if compress else bytes
    packed = [pack(block) for block in records]
    data = b"".join(packed)
    ends = [sum(map(len, packed[: k + 1])) for k in range(6)]
    for cut in range(10, len(data) - 5, 37):
        rows, rejects = read(tmp_path, data[:cut], "a.warc.gz" if compress else "a.warc")
        complete = sum(end <= cut for end in ends)
        assert [row["id"] for row in rows][:complete] == [f"urn:uuid:{k}" for k in range(complete)]
        assert len(rows) <= complete + 1
        assert rejects or len(rows) == complete + 1 or cut in ends


def test_garbage_between_records_is_a_reject(tmp_path):
    first = record(response(page(1)), number=1)
    rows, rejects = read(tmp_path, first + b"garbage\r\n\r\n" + first)
    assert len(rows) == 2
    (reject,) = rejects
    assert (reject.offset, reject.error) == (len(first), "11 bytes that are no WARC record")


def test_real_crawls(shared):
    rows, rejects = documents_of([shared / "warc" / "*.warc.gz"])
    assert not rejects
    assert len(rows) == 38
    assert any(row["text"].startswith("Escopete") for row in rows)
    rows, rejects = documents_of([shared / "warc" / "*.wet.gz"])
    assert [row["metadata"] for row in rows] == ['{"language":"spa"}']


@pytest.mark.parametrize("length", ["9" * 5000, "9" * 20, "-5", "x"])
def test_an_invalid_length_is_a_reject(tmp_path, length):
    path = tmp_path / "a.warc"
    path.write_bytes(record(b"sound", "conversion", 1) + record(b"x", "conversion", 2, **{"Content-Length": length}))
    rows, rejects = documents_of([path])
    assert [row["text"] for row in rows] == ["sound"]
    assert "Content-Length" in rejects[0].error
