"""Plain text: each file or line is a document, and invalid UTF-8 is a reject."""

from __future__ import annotations

import gzip

import pytest
from test_inputs import documents_of


def read(tmp_path, data, name="a.txt", **options):
    (tmp_path / name).write_bytes(data)
    rows, rejects = documents_of([tmp_path / name], **options)
    return [row["text"] for row in rows], [(reject.offset, reject.line, reject.error) for reject in rejects]


def test_a_file_is_a_document(tmp_path):
    assert read(tmp_path, b"\xef\xbb\xbffirst\r\n\r\nsecond\0\n") == (["first\r\n\r\nsecond\0\n"], [])
    assert read(tmp_path, gzip.compress(b"text"), "a.txt.gz") == (["text"], [])


def test_a_line_is_a_document(tmp_path):
    texts, rejects = read(tmp_path, b"\xef\xbb\xbffirst\r\n\n  \nsecond\nb\xffd\nlast", text_unit="line")
    assert texts == ["first", "second", "last"]
    assert rejects == [(21, 5, "invalid UTF-8 at byte 1 of the record")]


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        (b"ab\xff", "a.txt", "invalid UTF-8 at byte 2"),
        (gzip.compress(b"text " * 1000, mtime=0)[:-9], "a.txt.gz", "truncated gzip stream"),
        (b"x" * 101, "a.txt", "max_record_bytes"),
    ],
)
def test_bad_files(tmp_path, data, name, error):
    texts, rejects = read(tmp_path, data, name, max_record_bytes=5000 if name.endswith("gz") else 100)
    assert texts == []
    assert error in rejects[0][2]


def test_a_cut_line_is_no_document(tmp_path):
    lines = b"".join(b"line %d\n" % k for k in range(10_000))
    texts, rejects = read(tmp_path, gzip.compress(lines)[:-3000], "a.txt.gz", text_unit="line")
    assert texts == [f"line {k}" for k in range(len(texts))]
    assert 0 < len(texts) < 10_000
    assert rejects[0][1] == len(texts) + 1
