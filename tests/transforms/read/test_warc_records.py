"""WARC records are found however they are written, and again after any damage; every byte is accounted for."""

from __future__ import annotations

import io
import time

import pytest
from fastwarc.warc import ArchiveIterator
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.read.web.warc_records import Damage, Record, read_records


class Blocks:
    """A stream that comes in blocks of `size` bytes."""

    end = None

    def __init__(self, data: bytes, size: int = 1 << 20) -> None:
        self._data, self._size = data, size

    def __iter__(self):
        return (self._data[k : k + self._size] for k in range(0, len(self._data), self._size))


def record(
    name: str, text: bytes = b"", length: object = None, eol: bytes = b"\r\n", fields: bytes = b"", after: bytes | None = None
) -> bytes:
    text = text or b"the text of record " + name.encode()
    head = [
        b"WARC/1.0",
        b"WARC-Type: conversion",
        b"WARC-Record-ID: <urn:uuid:%s>" % name.encode(),
        b"WARC-Target-URI: http://x.test/%s" % name.encode(),
        *([b"Content-Length: %s" % str(len(text) if length is None else length).encode()] if length != "none" else []),
        *([fields] if fields else []),
    ]
    return eol.join(head) + eol + eol + text + (eol + eol if after is None else after)


def read(data: bytes, longest: int = 1 << 20, size: int = 1 << 20) -> tuple[list[str], list[Damage]]:
    """The names of the records, and the damages. Every byte lies in one of them or between two."""
    items = list(read_records(Blocks(data, size), longest))
    ends = [0, *(item.stop for item in items)]
    for item, before in zip(items, ends, strict=False):
        assert not data[before : item.offset].strip(b"\r\n\t \0"), "bytes in nothing"
        assert item.offset <= item.stop
    assert not data[ends[-1] :].strip(b"\r\n\t \0"), "bytes after all"
    names = [
        item.fields.get("warc-record-id", "").removeprefix("<urn:uuid:").rstrip(">")
        for item in items
        if isinstance(item, Record)
    ]
    return names, [item for item in items if isinstance(item, Damage)]


A, C = record("a"), record("c")


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize(
    "middle",
    [
        record("b"),
        record("b", eol=b"\n"),
        record("b", after=b""),
        record("b", after=b"\r\n"),
        record("b", after=b"\n"),
        record("b", after=b"\r\n" * 9),
        record("b", after=b"\r\n\r\n" + b"\0" * 500),
        record("b").replace(b"WARC-", b"warc-").replace(b"Content-", b"CONTENT-"),
        record("b").replace(b"WARC/1.0", b"warc/1.1"),
        record("b").replace(b"WARC/1.0", b"WARC/0.18 "),
        record("b").replace(b"WARC/1.0", b"WARC/2.10"),
        record("b", fields=b"X-Long: one\r\n two\r\n\tthree"),
        record("b", fields=b"X-Long:one"),
        record("b", fields=b"no colon here"),
        record("b", fields="X-Title: naïve ☃".encode()),
        record("b", fields=b"X-Title: \xff\xfe"),
        record("b", fields=b"Content-Length: 3"),
        record("b", length=3, fields=b"Content-Length: 20"),
        record("b", fields=b"X: " + b"y" * 100_000),
        record("b", text=b"quotes\r\n\r\nWARC/1.0\r\nWARC-Type: conversion\r\n\r\nand goes on"),
        record("b", text=b"\r\n\r\n" * 50),
        record("b", text=b"x" * 300_000),
    ],
)
def test_records_that_are_read(middle: bytes, size: int) -> None:
    assert read(A + middle + C, size=size if len(middle) < 1000 else max(size, 100)) == (["a", "b", "c"], [])


def test_values() -> None:
    (item,) = read_records(Blocks(record("a", fields=b"X-Long : one\r\n  two\r\nX-Long: three", eol=b"\r\n")), 1 << 20)
    assert isinstance(item, Record)
    assert item.fields["x-long"] == "one two"
    assert item.content == b"the text of record a"
    assert read_records(Blocks(record("e", text=b"")), 1 << 20)


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        (record("b", length=12), "wrong Content-Length: 12, but the next record begins after 24 bytes"),
        (record("b", length=40), "wrong Content-Length: 40"),
        (record("b", length=10_000), "wrong Content-Length: 10000, but the next record begins after 24 bytes"),
        (record("b", length=10**9), "wrong Content-Length: 1000000000, but the next record begins after 24 bytes"),
        (record("b", length=12, after=b""), "wrong Content-Length: 12"),
        (record("b", length="none"), "a WARC record without Content-Length: its header is broken"),
        (record("b", length=-20), "a WARC record with the Content-Length '-20'"),
        (record("b", length="x"), "a WARC record with the Content-Length 'x'"),
        (record("b", length="9" * 5000), "a WARC record with the Content-Length '999"),
        (b"garbage\r\n\r\n", "11 bytes that are no WARC record"),
        (b"\x1f\x8b garbage", "10 bytes that are no WARC record"),
        (b"WARC/x.0\r\nWARC-Type: response\r\n\r\n", "33 bytes that are no WARC record"),
        (record("b")[7:], "bytes that are no WARC record"),
        (b"<html>WARC/1.0 is a format</html>\n", "34 bytes that are no WARC record"),
    ],
)
def test_damage_costs_what_it_hits(middle: bytes, reason: str, size: int) -> None:
    names, damages = read(A + middle + C + A, size=size)
    assert names == ["a", "c", "a"]
    (damage,) = damages
    assert damage.offset == len(A)
    assert reason in damage.reason


@pytest.mark.parametrize("cut", range(1, len(C)))
def test_a_file_that_is_cut(cut: int) -> None:
    names, damages = read(A + C[:cut])
    whole = cut >= len(C) - 4  # the blank lines at the end
    assert names == (["a", "c"] if whole else ["a"])
    assert whole or [(damage.offset, damage.cut) for damage in damages] == [(len(A), True)]


def test_long_records_are_passed_over() -> None:
    long = record("b", text=b"x" * 5_000_000)
    items = list(read_records(Blocks(A + long + C, 10_000), 1000))
    assert [(item.fields["warc-record-id"], item.length, item.content is None) for item in items] == [
        ("<urn:uuid:a>", 20, False),
        ("<urn:uuid:b>", 5_000_000, True),
        ("<urn:uuid:c>", 20, False),
    ]


@pytest.mark.parametrize("size", [1000, 1 << 20])
@pytest.mark.parametrize(
    "hostile",
    [
        b"WARC/1.0\r\n" * 100_000,
        b"WARC/1.0\r\nWARC-" * 100_000,
        b"WARC/1.0\r\nWARC-Type: x\r\n" * 50_000,
        b"WARC/1.0\r\nWARC-Type: x\r\nContent-Length: 900000\r\n\r\n" * 50_000,
        b"WARC/1.0\r\nWARC-Type: x\r\nContent-Length: 9000000000\r\n\r\n" * 50_000,
        b"WARC/1.0\r\nWARC-Type: x\r\nContent-Length: 3\r\n\r\n" * 50_000,
        b"\r\n" * 1_000_000,
        b"a: b\r\n " * 500_000,
    ],
    ids=range(8),
)
def test_time_is_linear(hostile: bytes, size: int) -> None:
    begin = time.process_time()
    names, _ = read(A + hostile + C, size=size)
    assert names[0] == "a"
    read(A + b"WARC/1.0\r\nWARC-Type: x\r\n" + hostile, size=size)
    assert time.process_time() - begin < 30


@settings(max_examples=60)
@given(texts=st.lists(st.binary(max_size=300), max_size=8), eol=st.sampled_from([b"\r\n"]), size=st.integers(1, 400))
def test_fastwarc_finds_the_same_records(texts: list[bytes], eol: bytes, size: int) -> None:
    data = b"".join(record(str(number), text, eol=eol) for number, text in enumerate(texts))
    theirs = [(item.record_id, item.reader.read()) for item in ArchiveIterator(io.BytesIO(data), parse_http=False)]
    ours = [(item.fields["warc-record-id"], item.content) for item in read_records(Blocks(data, size), 1 << 20)]
    assert ours == theirs
