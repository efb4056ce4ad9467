"""Seeded mutations of web archives: no traceback, no hang, and nothing is lost outside of the damage.

TAMIS_FUZZ_SECONDS sets how long each test runs; every mutation has a number, which reproduces it.
"""

from __future__ import annotations

import gzip
import os
import random
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import brotli
import pytest
import zstandard
from test_page_decoding import TEXTS
from test_warc import chunked, record, response

from tamis.transforms.read import inputs
from tamis.transforms.read.input_options import Input, Reject, Split
from tamis.transforms.read.web.http_body import BodyError, decode_body
from tamis.transforms.read.web.http_response import parse_response
from tamis.transforms.read.web.page_decoding import decode_page

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("TAMIS_FUZZ_SECONDS", "20"))
RECORDS = 30
MOST_CPU = 2.0  # seconds for one mutation of 10 kB

WORDS = [
    "\r\n",
    "\n",
    "\0",
    "WARC/1.0\r\n",
    "Content-Length: 9",
    "HTTP/1.1 200 OK\r\n",
    "\x1f\x8b\x08",
    "\x28\xb5\x2f\xfd",
    "<html>",
    "5\r\n",
]


def numbers() -> Iterator[int]:
    """The numbers of mutations, until the time is over."""
    end = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < end:
        yield number
        number += 1
    print(f"{number} mutations in {SECONDS:.0f} s")


def mutate(data: bytes, rng: random.Random, start: int, stop: int) -> bytes:
    """The data with one change between two places."""
    place = rng.randrange(start, stop)
    length = min(stop - place, rng.choice([1, 2, 16, 200]))
    noise = rng.randbytes(length)
    kind = rng.randrange(6)
    if kind == 0:  # flip a bit
        return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    if kind == 1:  # overwrite
        return data[:place] + noise + data[place + length :]
    if kind == 2:  # delete
        return data[:place] + data[place + length :]
    if kind == 3:  # insert
        return data[:place] + noise + data[place:]
    if kind == 4:  # insert what means something
        return data[:place] + rng.choice(WORDS).encode("latin-1") + data[place:]
    return data[:place] + data[start : start + length] + data[place + length :]  # repeat


def member_zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, member_zstd], ids=["plain", "gzip", "zstd"])
def test_a_mutation_of_a_record_costs_its_neighbours_nothing(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    blocks = [pack(record(b"the text of record %d" % number, "conversion", number)) for number in range(RECORDS)]
    starts = [sum(map(len, blocks[:number])) for number in range(RECORDS + 1)]
    data, sizes = b"".join(blocks), set(map(len, blocks))
    path = tmp_path / ("a.warc.wet" + {gzip.compress: ".gz", member_zstd: ".zst"}.get(pack, ""))
    for number in numbers():
        rng = random.Random(number)
        hit = rng.randrange(RECORDS)
        mutated = mutate(data, rng, starts[hit], starts[hit + 1])
        path.write_bytes(mutated)
        begin = time.process_time()
        rows, rejects = read(path)
        assert time.process_time() - begin < MOST_CPU, f"mutation {number}"
        ids = {row["id"] for row in rows}
        lost = [other for other in range(RECORDS) if f"urn:uuid:{other}" not in ids]
        # A change at the border of two records may hit both: the blank lines between them are part of the first.
        assert set(lost) <= {hit - 1, hit, hit + 1}, f"mutation {number} of record {hit} lost {lost}"
        assert len(lost) <= 2, f"mutation {number} of record {hit} lost {lost}"
        # Another id is not a loss, and nobody misses a record that was cut out whole.
        assert rejects or len(rows) >= RECORDS or len(data) - len(mutated) in sizes, (
            f"mutation {number} of record {hit} lost {lost} without a word"
        )


def read(path: Path) -> tuple[list[dict], list[Reject]]:
    split = Split(str(path), "warc", 0, -1, path.stat().st_size, "")
    rows, rejects = [], []
    for batch, losses in inputs.read(split, Input(paths=(str(path),))):
        rows += batch.to_pylist()
        rejects += losses
    return rows, rejects


PAGE = (
    "<html><head><meta charset=utf-8><title>t</title></head><body><p>" + "Some words of a page. " * 40 + "</p></body></html>"
).encode()
RESPONSES = [
    response(PAGE),
    response(chunked(PAGE, 100), Transfer_Encoding="chunked"),
    response(gzip.compress(PAGE), Content_Encoding="gzip"),
    response(zlib.compress(PAGE), Content_Encoding="deflate"),
    response(brotli.compress(PAGE), Content_Encoding="br"),
    response(member_zstd(PAGE), Content_Encoding="zstd"),
    response(chunked(gzip.compress(PAGE), 50), Content_Encoding="gzip", Transfer_Encoding="chunked"),
]


def test_mutations_of_responses() -> None:
    for number in numbers():
        rng = random.Random(number)
        block = rng.choice(RESPONSES)
        for _ in range(rng.randrange(1, 4)):
            block = mutate(block, rng, 0, len(block)) or b"x"
        begin = time.process_time()
        with suppress(BodyError):
            assert len(decode_body(parse_response(block), 1 << 20).data) <= 1 << 20
        assert time.process_time() - begin < MOST_CPU, f"mutation {number}"


def test_mutations_of_pages_in_every_encoding() -> None:
    """Whatever the bytes are, the page is text; and of a declared page, a changed byte costs a few characters."""
    for number in numbers():
        rng = random.Random(number)
        text, encoding = rng.choice(TEXTS)
        python_name = {"gbk": "gb18030", "windows-874": "cp874"}.get(encoding, encoding)
        page = f"<html><meta charset={encoding}><p>{'</p><p>'.join([text] * 12)}</p></html>".encode(python_name)
        start = page.index(b"<p>") + 3
        place = rng.randrange(start, len(page) - 11)
        mutated = page[:place] + rng.randbytes(1) + page[place + 1 :]
        decoded = decode_page(mutated, rng.choice([None, encoding]))
        decoded.text.encode()
        if encoding != "iso-2022-jp":  # where a lost escape changes all that follows
            assert decoded.text.count(text) >= 10, f"mutation {number} of {encoding}"
