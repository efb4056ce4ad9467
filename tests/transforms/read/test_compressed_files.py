"""Compressed files: every codec, members that end anywhere, checksums that prove damage, and what that costs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
from itertools import pairwise

import lz4.frame
import numpy as np
import orjson
import pytest
import zstandard
from test_inputs import documents_of
from test_warc import page, record, response

from tamis.transforms.read.decompress import ByteStream, WrongChecksum, streams
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read

COMPRESS = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
}
CHECKED = [codec for codec in COMPRESS if codec != "bz2"]  # bzip2 checks each block before it gives its data
CHECKSUM = {"gz": -6, "zst": -2, "xz": -28, "lz4": -2}  # a byte of it, from the end of a member

LINES = [b'{"id":"%d","text":"%s"}\n' % (k, b"word " * (k % 40)) for k in range(3000)]
SKIPPABLE = b"\x53\x2a\x4d\x18" + (7).to_bytes(4, "little") + b"skipped"


def members(codec, count=6):
    edges = [len(LINES) * k // count for k in range(count + 1)]
    return [COMPRESS[codec](b"".join(LINES[a:b])) for a, b in pairwise(edges)]


def ids(rows):
    return [int(row["id"]) for row in rows]


@pytest.mark.parametrize("codec", COMPRESS)
@pytest.mark.parametrize("named", [True, False], ids=["by name", "by first bytes"])
@pytest.mark.parametrize("split_bytes", [3000, 1 << 30])
def test_every_codec_is_read_in_members(tmp_path, codec, named, split_bytes):
    path = tmp_path / (f"a.jsonl.{codec}" if named else "a.jsonl")
    path.write_bytes(b"".join(members(codec)))
    rows, rejects = documents_of([path], split_bytes=split_bytes)
    assert (ids(rows), rejects) == (list(range(3000)), [])


@pytest.mark.parametrize("codec", ["zst", "lz4"])
def test_skippable_frames_are_skipped(tmp_path, codec):
    path = tmp_path / f"a.jsonl.{codec}"
    path.write_bytes(SKIPPABLE + SKIPPABLE.join(members(codec)) + SKIPPABLE)
    rows, rejects = documents_of([path])
    assert (ids(rows), rejects) == (list(range(3000)), [])


@pytest.mark.parametrize("codec", CHECKED)
@pytest.mark.parametrize("bad", [0, 3, 5])
def test_nothing_is_kept_of_a_member_whose_checksum_is_wrong(tmp_path, codec, bad):
    parts = [bytearray(part) for part in members(codec)]
    parts[bad][CHECKSUM[codec]] ^= 1
    path = tmp_path / f"a.jsonl.{codec}"
    path.write_bytes(b"".join(parts))
    rows, rejects = documents_of([path])
    assert ids(rows) == [k for k in range(3000) if not 500 * bad <= k < 500 * (bad + 1)]
    (reject,) = rejects
    assert "wrong checksum" in reject.error
    assert (reject.records, reject.estimated) == (500, True)


@pytest.mark.parametrize("codec", CHECKED)
def test_wrong_checksums_one_after_the_other(tmp_path, codec):
    parts = [bytearray(part) for part in members(codec)]
    for bad in (1, 2, 3):
        parts[bad][CHECKSUM[codec]] ^= 1
    path = tmp_path / f"a.jsonl.{codec}"
    path.write_bytes(b"".join(parts))
    rows, rejects = documents_of([path])
    assert ids(rows) == [*range(500), *range(2000, 3000)]
    assert sum(reject.records for reject in rejects) == pytest.approx(1500, abs=20)


@pytest.mark.slow
@pytest.mark.parametrize("codec", CHECKED)
def test_a_large_member_is_read_once_if_it_is_trusted_and_twice_if_not(tmp_path, codec):
    plain = b"".join(b'{"text":"document %d"}\n' % k for k in range(250_000))
    data = bytearray(COMPRESS[codec](plain))
    data[CHECKSUM[codec]] ^= 1
    path = tmp_path / f"a.jsonl.{codec}"
    path.write_bytes(data)
    options = Input(paths=(str(path),))
    (split,), _ = plan(options)
    with pytest.raises(WrongChecksum, match="nothing in it can be trusted"):
        list(read(split, options, trust=True))
    rows, rejects = documents_of([path])
    assert (rows, [reject.records for reject in rejects]) == ([], [250_000])


@pytest.mark.parametrize("codec", COMPRESS)
def test_of_a_cut_file_the_loss_is_as_large_as_the_rest_in_the_median(tmp_path, codec):
    noise = np.random.default_rng(0).integers(97, 123, (3000, 200), np.uint8)
    plain = b"".join(b'{"text":"%s"}\n' % row.tobytes() for row in noise)
    data = COMPRESS[codec](plain)
    path = tmp_path / f"a.jsonl.{codec}"
    path.write_bytes(data[: len(data) // 2])
    rows, (reject,) = documents_of([path])
    assert 0 <= len(rows) < 1600
    assert reject.records == pytest.approx(len(rows), abs=1) or not rows
    assert reject.estimated


@pytest.mark.parametrize("codec", ["gz", "zst"])
def test_of_a_corrupt_member_the_loss_is_estimated_by_its_stored_bytes(tmp_path, codec):
    noise = np.random.default_rng(0).integers(97, 123, (3000, 200), np.uint8)
    lines = [b'{"text":"%s"}\n' % row.tobytes() for row in noise]
    parts = [bytearray(COMPRESS[codec](b"".join(lines[k : k + 1000]))) for k in (0, 1000, 2000)]
    parts[1][5000:5400] = b"\0" * 400
    path = tmp_path / f"a.jsonl.{codec}"
    path.write_bytes(b"".join(parts))
    rows, rejects = documents_of([path])
    lost = sum(reject.records for reject in rejects)
    assert len(rows) >= 2000
    assert lost == pytest.approx(3000 - len(rows), rel=0.6)


@pytest.mark.slow
@pytest.mark.parametrize("codec", COMPRESS)
def test_no_document_is_kept_that_damage_has_changed(tmp_path, codec):
    draw = random.Random(codec)
    words = ["price", "is", "dollars", "9000", "1000", "word", "and"]
    lines = [b'{"text":"%d %s"}\n' % (k, " ".join(draw.choices(words, k=20)).encode()) for k in range(3000)]
    texts = {orjson.loads(line)["text"] for line in lines}
    data = COMPRESS[codec](b"".join(lines))
    path = tmp_path / f"a.jsonl.{codec}"
    for _ in range(60):
        start, length = draw.randrange(20, len(data) - 64), draw.choice([1, 1, 2, 8, 40])
        path.write_bytes(data[:start] + draw.randbytes(length) + data[start + length :])
        rows, rejects = documents_of([path])
        assert {row["text"] for row in rows} <= texts
        assert len(rows) == 3000 or rejects


@pytest.mark.parametrize("codec", COMPRESS)
def test_a_file_that_was_decompressed_and_kept_its_name_is_read(tmp_path, codec):
    path = tmp_path / f"a.jsonl.{codec}"
    path.write_bytes(b"".join(LINES))
    rows, rejects = documents_of([path])
    assert (ids(rows), rejects) == (list(range(3000)), [])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("split_bytes", [2000, 1 << 30])
def test_the_dictionary_of_a_warc_zst(tmp_path, compressed, split_bytes):
    records = [record(response(page(k)), number=k) for k in range(40)]
    dictionary = zstandard.train_dictionary(4096, records * 5)
    compressor = zstandard.ZstdCompressor(dict_data=dictionary, write_checksum=True)
    stored = dictionary.as_bytes()
    if compressed:
        stored = zstandard.ZstdCompressor().compress(stored)
    head = b"\x5d\x2a\x4d\x18" + len(stored).to_bytes(4, "little") + stored
    (tmp_path / "a.warc.zst").write_bytes(head + b"".join(map(compressor.compress, records)))
    rows, rejects = documents_of([tmp_path / "a.warc.zst"], split_bytes=split_bytes)
    assert ([row["id"] for row in rows], [reject for reject in rejects if hasattr(reject, "error")]) == (
        [f"urn:uuid:{k}" for k in range(40)],
        [],
    )


class Pipe(io.RawIOBase):
    """A stream that cannot seek, as from a web server."""

    def __init__(self, data):
        self._file = io.BytesIO(data)

    def readable(self):
        return True

    def seekable(self):
        return False

    def read(self, size=-1):
        return self._file.read(size)


@pytest.mark.parametrize("codec", COMPRESS)
def test_a_stream_that_cannot_seek_is_read_up_to_its_damage(codec):
    data = b"".join(members(codec))
    assert ByteStream(Pipe(data), f"a.{codec}").read() == b"".join(LINES)
    broken = bytearray(data)
    broken[len(broken) // 2] ^= 255
    for trust in (True, False):
        (stream,) = streams(Pipe(bytes(broken)), f"a.{codec}", 0, -1, trust=trust)
        text = stream.read()
        assert stream.damage is not None
        assert stream.lost_records(text.count(b"\n")) >= 1


def test_metadata_of_the_reject_goes_through_json(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(members("gz")[0][:-20])
    _, rejects = documents_of([tmp_path / "a.jsonl.gz"])
    assert orjson.loads(orjson.dumps(rejects[0]))["estimated"] is True
