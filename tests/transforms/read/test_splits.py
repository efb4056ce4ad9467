"""A split file gives the same documents and rejects as an unsplit one, in the same order, wherever it is split."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import zlib
from itertools import pairwise

import numpy as np
import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_inputs import documents_of
from test_warc import page, record, response

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.read import decompress
from tamis.transforms.read.input_options import Input, Split
from tamis.transforms.read.inputs import plan, read

COMPRESS = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    ".bz2": bz2.compress,
}
LINE = st.one_of(
    st.builds(lambda k: orjson.dumps({"text": "word " * k, "n": k}), st.integers(0, 60)),
    st.sampled_from([b"", b" ", b"bad", b'{"no": 1}', b'{"text": "\xff"}', b"[1]", b'{"text": "\xe2\x82\xac"}\r']),
)
FILE = st.tuples(st.lists(LINE, max_size=25), st.booleans(), st.booleans()).map(
    lambda parts: b"\xef\xbb\xbf" * parts[1] + b"\n".join(parts[0]) + b"\n" * parts[2]
)


def pack(data, cuts, suffix):
    """`data` in members that end at `cuts`, which may be in the midst of a line, or of a character."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return b"".join(COMPRESS[suffix](data[a:b]) for a, b in pairwise(edges))


def unpacked(data, suffix, start):
    """What the file decompresses to from byte `start` on."""
    if suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(data[start:], read_across_frames=True).read()
    return {"": bytes, ".gz": gzip.decompress, ".bz2": bz2.decompress}[suffix](data[start:])


def splits_of(path, **options):
    return plan(Input(paths=(str(path),), **options))[0]


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("kind", ["jsonl", "txt"])
@given(data=FILE, cuts=st.lists(st.integers(0, 2000), max_size=12), piece=st.integers(1, 3000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_splits_give_what_the_whole_gives_in_its_order(tmp_path, suffix, kind, data, cuts, piece):
    path = tmp_path / f"a.{kind}{suffix}"
    stored = pack(data, cuts, suffix)
    path.write_bytes(stored)
    expected, bad = documents_of([path], text_unit="line", split_bytes=1 << 30)
    rows, rejects = documents_of([path], text_unit="line", split_bytes=piece)
    assert rows == expected
    assert [(reject.error, reject.excerpt) for reject in rejects] == [(reject.error, reject.excerpt) for reject in bad]
    for reject, same in zip(rejects, bad, strict=True):
        text, all_of_it = unpacked(stored, suffix, reject.start), unpacked(stored, suffix, 0)
        assert len(text) - reject.offset == len(all_of_it) - same.offset
        assert text.split(b"\n")[reject.line - 1] == all_of_it.split(b"\n")[same.line - 1].removeprefix(
            b"\xef\xbb\xbf" if reject.line > 1 else b""
        )


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_file_is_cut_into_pieces_of_about_the_size_that_is_wished(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(97, 123, 400_000, np.uint8).tobytes()
    lines = b"".join(b'{"text": "%s"}\n' % noise[k : k + 1000] for k in range(0, len(noise), 1000))
    (tmp_path / f"a.jsonl{suffix}").write_bytes(stored := pack(lines, range(5000, len(lines), 5000), suffix))
    splits = splits_of(tmp_path / f"a.jsonl{suffix}", split_bytes=(len(stored) // 8 + 1) * (4 if suffix else 1))
    assert len(splits) == 8
    assert max(split.size for split in splits) < len(stored) / 8 + 6000
    assert sum(split.size for split in splits) == len(stored)
    assert [split.start for split in splits[1:]] + [-1] == [split.stop for split in splits]


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2"])
def test_one_member_is_one_split(tmp_path, suffix):
    noise = np.random.default_rng(0).bytes(100_000).hex().encode()
    (tmp_path / f"a.jsonl{suffix}").write_bytes(COMPRESS[suffix](b'{"text": "%s"}\n' % noise))
    assert [(split.start, split.stop) for split in splits_of(tmp_path / f"a.jsonl{suffix}", split_bytes=1000)] == [(0, -1)]


def test_a_text_file_that_is_one_document_is_one_split(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"word\n" * 1000)
    assert len(splits_of(tmp_path / "a.txt", split_bytes=100)) == 1
    assert len(splits_of(tmp_path / "a.txt", split_bytes=100, text_unit="line")) == 64


def test_planning_reads_near_the_cuts_only_and_little_of_a_single_member(tmp_path, monkeypatch):
    sizes = []

    class Counted(io.FileIO):
        def read(self, size=-1):
            data = super().read(size)
            sizes.append(len(data))
            return data

    monkeypatch.setattr(storage, "open_binary", lambda uri: Counted(uri))
    monkeypatch.setattr(decompress, "SEARCH_WINDOW", 1 << 20)
    monkeypatch.setattr(decompress, "SEARCH_LIMIT", 4 << 20)
    noise = np.random.default_rng(0).bytes(1 << 20)
    (tmp_path / "one.jsonl.gz").write_bytes(COMPRESS[".gz"](noise * 60))
    (tmp_path / "many.jsonl.gz").write_bytes(COMPRESS[".gz"](noise) * 60)
    for name, pieces, most in (("one", 1, 10 << 20), ("many", 16, 50 << 20)):
        sizes.clear()
        assert len(splits_of(tmp_path / f"{name}.jsonl.gz", split_bytes=16 << 20)) == pieces
        assert sum(sizes) < most


def test_bgzf_is_split(tmp_path):
    def block(data):
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = deflate.compress(data) + deflate.flush()
        head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25)
        return head + body + struct.pack("<II", zlib.crc32(data), len(data))

    lines = b"".join(orjson.dumps({"text": f"{k} " * (k % 90)}) + b"\n" for k in range(2000))
    stored = b"".join(block(lines[k : k + 3000]) for k in range(0, len(lines), 3000)) + block(b"")
    (tmp_path / "a.jsonl.gz").write_bytes(stored)
    expected = documents_of([tmp_path / "a.jsonl.gz"])
    assert len(expected[0]) == 2000
    assert len(splits_of(tmp_path / "a.jsonl.gz", split_bytes=4 * len(stored) // 10)) >= 10
    assert documents_of([tmp_path / "a.jsonl.gz"], split_bytes=4 * len(stored) // 10) == expected


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_inside_a_member_is_no_member(tmp_path, suffix):
    one, two = (COMPRESS[suffix](np.random.default_rng(seed).bytes(3000)) for seed in (0, 1))
    lines = [b'{"text": "a"}', b"x" + one + two + b"y", b'{"text": "b"}']
    stored = b"".join(COMPRESS[suffix](b"\n".join(lines) + b"\n") for _ in range(4))
    assert stored.count(one) == stored.count(two) == 4  # stored as they are
    (tmp_path / f"a.jsonl{suffix}").write_bytes(stored)
    expected, bad = documents_of([tmp_path / f"a.jsonl{suffix}"])
    assert [row["text"] for row in expected] == ["a", "b"] * 4
    for piece in (1000, 10_000, 25_000):
        rows, rejects = documents_of([tmp_path / f"a.jsonl{suffix}"], split_bytes=piece)
        assert (rows, len(rejects)) == (expected, len(bad))


def test_a_split_that_ends_where_no_member_begins_is_an_error(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(COMPRESS[".gz"](b'{"text": "a"}\n') * 3)
    with pytest.raises(RunError, match="no gzip member begins at byte 40"):
        list(read(Split(str(tmp_path / "a.jsonl.gz"), "jsonl", 0, 40, 40, ""), Input(paths=())))


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2"])
@given(
    starts=st.lists(st.integers(0, 8000), max_size=10),
    damage=st.lists(st.tuples(st.floats(0.001, 0.999), st.integers(0, 255)), min_size=1, max_size=2),
    piece=st.integers(1, 8000),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_costs_the_same_documents_wherever_the_cuts_are(tmp_path, suffix, starts, damage, piece):
    noise = np.random.default_rng(0).integers(97, 123, 8000, np.uint8).tobytes()
    lines = b"".join(b'{"text": "%s"}\n' % noise[k : k + 97] for k in range(0, len(noise), 97))
    stored = bytearray(pack(lines, starts, suffix))
    for share, value in damage:
        stored[int(len(stored) * share)] = value
    (tmp_path / f"a.jsonl{suffix}").write_bytes(stored)
    rows, rejects = documents_of([tmp_path / f"a.jsonl{suffix}"], split_bytes=1 << 30)
    parts, bad = documents_of([tmp_path / f"a.jsonl{suffix}"], split_bytes=piece)
    assert (parts, [reject.error for reject in bad]) == (rows, [reject.error for reject in rejects])


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("piece", [1 << 30, 3000])
def test_damage_costs_its_member_only(tmp_path, suffix, piece):
    noise = np.random.default_rng(0).integers(97, 123, 100_000, np.uint8).tobytes()
    lines = [b'{"text": "%s"}\n' % noise[k : k + 100] for k in range(0, len(noise), 100)]
    members = [COMPRESS[suffix](b"".join(lines[k : k + 100])) for k in range(0, 1000, 100)]
    broken = bytearray(members[4])
    broken[len(broken) // 2 : len(broken) // 2 + 20] = b"\xff" * 20
    (tmp_path / f"a.jsonl{suffix}").write_bytes(b"".join([*members[:4], bytes(broken), *members[5:]]))
    rows, rejects = documents_of([tmp_path / f"a.jsonl{suffix}"], split_bytes=piece)
    texts = [orjson.loads(line)["text"] for line in lines]
    assert [row["text"] for row in rows[:400]] == texts[:400]
    assert [row["text"] for row in rows[-500:]] == texts[500:]
    assert len(rows) <= 1000
    assert any(word in rejects[-1].error for word in ("corrupt", "wrong checksum"))
    assert sum(reject.records for reject in rejects) >= 1


@pytest.mark.parametrize("piece", [1 << 30, 8000, 1500, 4])
def test_a_crawl_is_split_between_its_records(tmp_path, piece):
    records = [gzip.compress(record(response(page(k)), number=k), mtime=0) for k in range(30)]
    (tmp_path / "a.warc.gz").write_bytes(b"".join(records))
    rows, rejects = documents_of([tmp_path / "a.warc.gz"], split_bytes=piece)
    assert ([row["id"] for row in rows], rejects) == ([f"urn:uuid:{k}" for k in range(30)], [])
    assert len(splits_of(tmp_path / "a.warc.gz", split_bytes=piece)) == {1 << 30: 1, 8000: 8, 1500: 30, 4: 30}[piece]


def test_a_crawl_in_members_that_are_no_records_is_one_split(tmp_path):
    data = b"".join(record(response(page(k)), number=k) for k in range(30))
    (tmp_path / "a.warc.gz").write_bytes(pack(data, range(100, len(data), 100), ".gz"))
    rows, rejects = documents_of([tmp_path / "a.warc.gz"], split_bytes=100)
    assert ([row["id"] for row in rows], rejects) == ([f"urn:uuid:{k}" for k in range(30)], [])


def test_a_damaged_record_of_a_crawl_costs_no_other(tmp_path):
    records = [gzip.compress(record(response(page(k)), number=k), mtime=0) for k in range(30)]
    broken = bytearray(records[10])
    broken[60:70] = b"\xff" * 10
    (tmp_path / "a.warc.gz").write_bytes(b"".join([*records[:10], bytes(broken), *records[11:]]))
    for piece in (1 << 30, 5000):
        rows, rejects = documents_of([tmp_path / "a.warc.gz"], split_bytes=piece)
        ids = [row["id"] for row in rows if row["id"] != "urn:uuid:10"]
        assert ids == [f"urn:uuid:{k}" for k in range(30) if k != 10]
        assert any("corrupt gzip" in reject.error for reject in rejects)
