"""WARC: HTML becomes its text, WET stays unchanged, and a bad response loses only itself."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter

import pytest
import zstandard
from test_inputs import documents_of

from tamis.transforms.read import inputs
from tamis.transforms.read.input_options import Input, Skipped, Split

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


def skipped(path, **options):
    """Reasons and counts of what a WARC file has beside documents and rejects."""
    split = Split(str(path), "warc", 0, -1, path.stat().st_size, "")
    losses = [loss for _, losses in inputs.read(split, Input(paths=(str(path),), **options)) for loss in losses]
    counts = Counter()
    for loss in losses:
        if isinstance(loss, Skipped):
            counts[loss.reason] += loss.count
    return counts


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


SKIPPED = [
    (record(b"software: x\r\n", "warcinfo"), "record type warcinfo"),
    (record(b"GET / HTTP/1.1\r\n\r\n", "request"), "record type request"),
    (record(b"", "revisit"), "record type revisit"),
    (record(b"x: y\r\n", "metadata"), "record type metadata"),
    (record(page(1), "resource", **{"Content-Type": "text/html"}), "record type resource"),
    (record(b"x", "unheard-of"), "record type other"),
    (record(b"x" * 5000, "request"), "record type request"),
    (record(response(page(1), status="404 Not Found")), "status 404"),
    (record(response(page(1), status="301 Moved")), "status 301"),
    (record(response(page(1), status="206 Partial")), "status 206"),
    (record(response(b"\x89PNG", content_type="image/png")), "content type image/*"),
    (record(response(b"%PDF-1.4", content_type="application/pdf")), "content type application/pdf"),
    (record(response(b"%PDF-1.4")), "content type application/pdf"),
    (record(response(b"words", content_type="text/plain")), "content type text/plain"),
    (record(response(b"{}", content_type="application/x-unheard-of")), "content type application/*"),
    (record(response(b"{}", content_type="unheard/of")), "content type other"),
    (record(response(b"words", content_type="")), "content type none"),
    (record(b"", "response"), "no HTTP response"),
    (record(b"\x16\x03\x01", "response"), "no HTTP response"),
    (record(b"\x00\x01", "conversion", **{"Content-Type": "video/mp4"}), "content type video/*"),
]


def test_what_is_skipped_on_purpose_is_counted_by_reason(tmp_path):
    (tmp_path / "a.warc").write_bytes(b"".join(block for block, _ in SKIPPED) * 2)
    counts = Counter(reason for _, reason in SKIPPED)
    assert skipped(tmp_path / "a.warc", max_record_bytes=3000) == counts + counts
    assert documents_of([tmp_path / "a.warc"], max_record_bytes=3000) == ([], [])


def test_records_of_other_types_are_an_option(tmp_path):
    html = record(page(1), "resource", 1, **{"Content-Type": "text/html; charset=utf-8"})
    text = record("Grüße".encode("latin-1"), "resource", 2, **{"Content-Type": "text/plain; charset=latin1"})
    picture = record(b"\x89PNG", "resource", 3, **{"Content-Type": "image/png"})
    wet, http = record(b"words", "conversion", 4), record(response(page(5)), number=5)
    (tmp_path / "a.warc").write_bytes(html + text + picture + wet + http)
    rows, rejects = documents_of([tmp_path / "a.warc"], warc_records=["resource"])
    assert not rejects
    assert [row["text"] for row in rows] == ["Über alles, 1: a page of text that says something.", "Grüße"]
    assert skipped(tmp_path / "a.warc", warc_records=["resource"]) == {
        "content type image/*": 1,
        "record type conversion": 1,
        "record type response": 1,
    }


@pytest.mark.parametrize(
    "http",
    [
        response(page(1), status="203 Non-Authoritative Information"),
        response(page(1), content_type=""),
        response(page(1), content_type='"text/html"'),
        page(1),
    ],
)
def test_pages_that_only_their_bytes_tell(tmp_path, http):
    rows, _ = read(tmp_path, record(http, number=1))
    assert [row["text"] for row in rows] == ["Über alles, 1: a page of text that says something."]


def test_the_type_that_the_crawler_identified_counts_if_the_bytes_agree(tmp_path):
    identified = {"WARC-Identified-Payload-Type": "text/html"}
    html = record(response(page(1), content_type="text/plain"), number=1, **identified)
    text = record(response(b"words", content_type="text/plain"), number=2, **identified)
    rows, rejects = read(tmp_path, html + text)
    assert ([row["id"] for row in rows], rejects) == (["urn:uuid:1"], [])
    assert skipped(tmp_path / "a.warc") == {"content type text/plain": 1}


@pytest.mark.parametrize(
    ("block", "facts"),
    [
        (record(response(page(1))), {"encoding": "utf-8"}),
        (record(response(page(1, "latin-1"), content_type="text/html; charset=latin1")), {"encoding": "windows-1252"}),
        (record(response(page(1), content_type="text/html; charset=gbk")), {"encoding": "utf-8", "encoding_conflict": "gbk"}),
        (record(response(page(1) + b"\xff")), {"encoding": "utf-8"}),
        (record(response(page(1).replace(b"text", b"te\xe9xt"))), {"encoding": "utf-8", "replaced": 0.019608}),
        (record(response(chunked(page(1), 7)[:-9], Transfer_Encoding="chunked")), {"encoding": "utf-8", "cut": "chunked"}),
        (record(response(gzip.compress(page(1))[:-4], Content_Encoding="gzip")), {"encoding": "utf-8", "cut": "gzip"}),
        (record(response(page(1)), **{"WARC-Truncated": "length"}), {"encoding": "utf-8", "cut": "length"}),
        (record(response(b"<nav><p>Only a menu with words</p></nav>")), {"encoding": "utf-8", "fallback": True}),
    ],
)
def test_metadata_says_how_a_page_was_read(tmp_path, block, facts):
    (row,), rejects = read(tmp_path, block)
    assert not rejects
    assert row["text"]
    assert json.loads(row["metadata"])["page"] == facts | {"extractor": "resiliparse"}


def test_a_bad_byte_in_a_wet_record_costs_one_character(tmp_path):
    (row,), _ = read(tmp_path, record("Grüße und a\x00".encode() + b"\xff", "conversion"))
    assert (row["text"], row["metadata"]) == ("Grüße und a\x00\ufffd", '{"page":{"encoding":"utf-8","replaced":0.076923}}')


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
@pytest.mark.parametrize(
    "damage",
    [
        lambda block: block.replace(b"Content-Length: ", b"Content-Length: 9"),
        lambda block: re.sub(rb"Content-Length: \d+", b"Content-Length: 60", block),
        lambda block: block.replace(b"Content-Length", b"Content-Lenght"),
        lambda block: block.replace(b"WARC/1.0", b"WRAC/1.0"),
        lambda block: block[: len(block) // 2],
        lambda block: b"\1\2" + block[20:100],
    ],
)
def test_one_damaged_record_costs_one_document(tmp_path, pack, damage):
    blocks = [record(response(page(n)), number=n) for n in range(20)]
    blocks[9] = damage(blocks[9])
    rows, rejects = read(tmp_path, b"".join(map(pack, blocks)), "a.warc" + {gzip.compress: ".gz", bytes: ""}.get(pack, ".zst"))
    assert [row["id"] for row in rows] == [f"urn:uuid:{n}" for n in range(20) if n != 9]
    assert [(reject.offset, reject.records) for reject in rejects] == [(sum(map(len, blocks[:9])), 1)]


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data)])
def test_one_damaged_member_costs_one_document(tmp_path, pack):
    members = [pack(record(response(page(n)), number=n)) for n in range(20)]
    for place in range(0, len(members[9]), 5):
        bad = bytearray(members[9])
        bad[place] ^= 0xFF
        data = b"".join([*members[:9], bytes(bad), *members[10:]])
        rows, rejects = read(tmp_path, data, f"a.warc.{'gz' if pack is gzip.compress else 'zst'}")
        assert [row["id"] for row in rows if row["id"] != "urn:uuid:9"] == [f"urn:uuid:{n}" for n in range(20) if n != 9]
        assert len(rejects) <= 1, (place, rejects)
        assert len(rows) + sum(reject.records for reject in rejects) == 20 or place in (4, 5, 8, 9)  # gzip's time and system


@pytest.mark.parametrize("packed", [False, True])
def test_dictionaries_of_zstd(tmp_path, packed):
    """The IIPC's form: the dictionary lies in a skippable frame before all others, compressed or not."""
    blocks = [record(response(page(n)), number=n) for n in range(40)]
    dictionary = zstandard.train_dictionary(4096, blocks)
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    raw = zstandard.compress(dictionary.as_bytes()) if packed else dictionary.as_bytes()
    head = b"\x5d\x2a\x4d\x18" + len(raw).to_bytes(4, "little") + raw
    rows, rejects = read(tmp_path, head + b"".join(map(compressor.compress, blocks)), "a.warc.zst")
    assert not rejects
    assert [row["id"] for row in rows] == [f"urn:uuid:{n}" for n in range(40)]
