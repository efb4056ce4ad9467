"""Bad input: good records pass, bad ones are rejects with their place, and nothing raises."""

from __future__ import annotations

import bz2
import gzip
import io
from itertools import pairwise

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_inputs import documents_of, jsonl

from tamis.transforms import storage
from tamis.transforms.read.decompress import ByteStream
from tamis.transforms.read.input_options import Input, Split
from tamis.transforms.read.inputs import read
from tamis.transforms.read.lines import lines

GOOD = [{"id": f"{k}", "text": f"document {k} " + "word " * (k % 50)} for k in range(500)]
LINES = [orjson.dumps(record) + b"\n" for record in GOOD]
PLAIN = b"".join(LINES)
CODECS = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bz2": bz2.compress,
}


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"text": "a"', "broken JSON"),
        (b'{"text": "a"} x', "broken JSON"),
        (b'{"text": NaN}', "broken JSON"),
        (b"[1, 2]", "not a JSON object but list"),
        (b'"text"', "not a JSON object but str"),
        (b"null", "not a JSON object"),
        (b'{"body": "a", "n": 1}', "no text field 'text'; the fields are: body, n"),
        (b"{}", "no text field 'text'; the fields are: none"),
        (b'{"text": null}', "text field 'text' is null"),
        (b'{"text": 5}', "the text field is an integer, not a string"),
        (b'{"text": ["a"]}', "the text field is a list, not a string"),
        (b'{"text": "a\xffb"}', "invalid UTF-8 at byte 11 of the record"),
        (b'{"text": "\xed\xa0\x80"}', "invalid UTF-8 at byte 10 of the record"),
        (b'{"text": "\\ud800"}', "lone surrogate"),
        (b'{"text": "\\udc00 x"}', "lone surrogate"),
        (b"[" * 5000, "broken JSON"),
        (b'{"text": "a", "deep": ' + b"[" * 500 + b"]" * 500 + b"}", "a field cannot be kept as JSON: Recursion limit"),
        (b'{"text": "a", "source": ' + b"[" * 500 + b"]" * 500 + b"}", "a field cannot be kept as JSON: Recursion limit"),
        (b"\0\0\0", "broken JSON"),
    ],
)
def test_a_bad_line_is_rejected_where_it_is_and_the_others_pass(tmp_path, line, error):
    before, after = LINES[0], LINES[1]
    rows, rejects = documents_of([write(tmp_path / "a.jsonl", before + line + b"\n" + after)])
    assert [row["id"] for row in rows] == ["0", "1"]
    (reject,) = rejects
    assert (reject.offset, reject.line) == (len(before), 2)
    assert error in reject.error
    assert reject.uri.endswith("a.jsonl")
    assert reject.excerpt.isprintable()
    assert len(reject.excerpt) <= 200


@pytest.mark.parametrize(
    "data",
    [b"\xef\xbb\xbf" + PLAIN, PLAIN.replace(b"\n", b"\r\n"), PLAIN.removesuffix(b"\n"), PLAIN.replace(b"\n", b"\n\n  \n")],
    ids=["byte order mark", "CRLF", "no last newline", "blank lines"],
)
def test_harmless_oddities(tmp_path, data):
    rows, rejects = documents_of([write(tmp_path / "a.jsonl", data)])
    assert [row["text"] for row in rows] == [record["text"] for record in GOOD]
    assert not rejects


def test_nuls_and_emptiness_are_text(tmp_path):
    texts = ["a\0b", "", "\0", " ", "\U0010ffff", "\u2028\x85"]
    rows, rejects = documents_of([jsonl(tmp_path / "a.jsonl", [{"text": text} for text in texts])])
    assert [row["text"] for row in rows] == texts
    assert not rejects


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.txt", "a.warc", "a.warc.gz"])
def test_an_empty_file_holds_no_documents(tmp_path, name):
    assert documents_of([write(tmp_path / name, b"")]) == ([], [])


def test_a_line_of_50_megabytes(tmp_path):
    text = "0123456789" * 5_000_000
    rows, rejects = documents_of([jsonl(tmp_path / "a.jsonl", [{"text": text}, {"text": "next"}])])
    assert [len(row["text"]) for row in rows] == [50_000_000, 4]
    assert not rejects


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_record_that_is_too_long_is_rejected_and_the_next_passes(tmp_path, name):
    long = orjson.dumps({"text": "x" * 3_000_000}) + b"\n"
    data = LINES[0] + long + LINES[1] + long.removesuffix(b"\n")
    rows, rejects = documents_of(
        [write(tmp_path / name, CODECS["gz"](data) if name.endswith("gz") else data)], max_record_bytes=1_000_000
    )
    assert [row["id"] for row in rows] == ["0", "1"]
    assert [(reject.offset, reject.line) for reject in rejects] == [
        (len(LINES[0]), 2),
        (len(LINES[0]) + len(long) + len(LINES[1]), 4),
    ]
    assert all("max_record_bytes" in reject.error for reject in rejects)


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5), longest=st.integers(1, 60))
def test_lines_do_not_depend_on_the_blocks(data, cuts, longest):
    class Blocks:
        damage, start, end, after_damage = None, 0, None, False

        def __iter__(self):
            edges = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
            return (data[a:b] for a, b in pairwise(edges))

    expected, offset = [], 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if number <= data.count(b"\n") or line:
            expected.append((offset, number, line if len(line) <= longest else None))
        offset += len(line) + 1
    got = [(line.offset, line.number, None if line.error else line.data) for line in lines(Blocks(), longest)]
    if data.startswith(b"\xef\xbb\xbf") and expected[0][2] is not None:
        expected[0] = (0, 1, expected[0][2][3:])
    assert got == expected


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", [True, False], ids=["by name", "by first bytes"])
def test_compressed_files_of_several_streams(tmp_path, codec, suffix):
    compress = CODECS[codec]
    data = compress(PLAIN[:1000]) + compress(b"") + compress(PLAIN[1000:])
    rows, rejects = documents_of([write(tmp_path / (f"a.jsonl.{codec}" if suffix else "a.jsonl"), data)])
    assert [row["id"] for row in rows] == [record["id"] for record in GOOD]
    assert not rejects


def test_zeros_behind_a_gzip_stream_are_padding(tmp_path):
    rows, rejects = documents_of([write(tmp_path / "a.jsonl.gz", CODECS["gz"](PLAIN) + bytes(1_000_000))])
    assert (len(rows), rejects) == (500, [])


@pytest.mark.parametrize("codec", CODECS)
def test_a_stream_cut_anywhere_gives_the_whole_records_before_the_cut(tmp_path, codec):
    compress = CODECS[codec]
    data = b"".join(compress(b"".join(LINES[k : k + 100])) for k in range(0, 500, 100))
    path = tmp_path / f"a.jsonl.{codec}"
    previous = 0
    for share in np.linspace(0.02, 0.995, 25):
        rows, rejects = documents_of([write(path, data[: int(len(data) * share)])])
        assert [row["id"] for row in rows] == [record["id"] for record in GOOD[: len(rows)]]
        assert len(rows) >= previous
        previous = len(rows)
        assert len(rows) >= int(500 * share) // 100 * 100 - 100
        if len(rejects) == 0:
            assert len(rows) % 100 == 0  # cut between two streams, which looks like the end of the file
            continue
        (reject,) = rejects
        assert "truncated" in reject.error or "not a" in reject.error
        assert reject.line == len(rows) + 1
        assert sum(map(len, LINES[: len(rows)])) - 1 <= reject.offset <= sum(map(len, LINES[: len(rows)]))


@pytest.mark.parametrize("codec", CODECS)
def test_garbage_behind_a_stream(tmp_path, codec):
    data = CODECS[codec](PLAIN.removesuffix(b"\n"))
    rows, rejects = documents_of([write(tmp_path / f"a.jsonl.{codec}", data + b"garbage")])
    assert [row["id"] for row in rows] == [record["id"] for record in GOOD]
    (reject,) = rejects
    assert reject.error.startswith("garbage after the end")
    assert f"from byte {len(data)} of the file" in reject.error
    assert reject.offset == len(PLAIN) - 1


def test_garbage_under_a_compressed_name(tmp_path):
    rows, rejects = documents_of([write(tmp_path / "a.jsonl.gz", b"garbage" * 100)])
    assert not rows
    assert "not a gzip stream" in rejects[0].error


@pytest.mark.parametrize("codec", CODECS)
@given(place=st.floats(0.01, 0.99), bit=st.integers(0, 7))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_never_raises_and_never_goes_unseen(tmp_path, codec, place, bit):
    noise = np.random.default_rng(0).integers(97, 123, 40_000, np.uint8).tobytes()
    plain = b"".join(b'{"text": "%s"}\n' % noise[k : k + 1000] for k in range(0, len(noise), 1000))
    data = bytearray(CODECS[codec](plain))
    data[int(len(data) * place)] ^= 1 << bit
    stream = ByteStream(io.BytesIO(bytes(data)), f"a.{codec}")
    assert stream.read() != plain or stream.damage is not None or data[:10] != CODECS[codec](plain)[:10]
    rows, rejects = documents_of([write(tmp_path / f"a.jsonl.{codec}", bytes(data))])
    assert len(rows) + len(rejects) >= 1


@pytest.mark.parametrize("codec", CODECS)
def test_of_a_corrupt_member_all_but_the_last_before_the_damage_is_read(tmp_path, codec):
    """Its last blocks may be wrong already where a decoder finds the damage."""
    noise = np.random.default_rng(0).integers(97, 123, 6_000_000, np.uint8).tobytes()
    plain = b"".join(b'{"id":"%d","text":"%s"}\n' % (k, noise[100 * k : 100 * k + 100]) for k in range(60_000))
    data = bytearray(CODECS[codec](plain))
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff" * 40
    rows, rejects = documents_of([write(tmp_path / f"a.jsonl.{codec}", bytes(data))])
    assert [row["id"] for row in rows] == [str(k) for k in range(len(rows))]
    assert 10_000 < len(rows) < 30_000 or "wrong checksum" in rejects[0].error
    assert sum(reject.records for reject in rejects) == pytest.approx(60_000 - len(rows), rel=0.5)


def test_another_schema_names_its_columns(tmp_path):
    pq.write_table(pa.table({"body": ["a"], "n": [1]}), tmp_path / "a.parquet")
    rows, rejects = documents_of([tmp_path / "a.parquet"])
    assert not rows
    (reject,) = rejects
    assert reject.error.startswith("no text column 'text'; the columns are: body, n; name the right one")


def test_a_text_column_of_another_type_costs_its_rows(tmp_path):
    pq.write_table(pa.table({"text": range(1000)}), tmp_path / "a.parquet", row_group_size=300)
    rows, rejects = documents_of([tmp_path / "a.parquet"], split_bytes=1000)
    assert not rows
    assert {reject.error for reject in rejects} == {"the text column 'text' is int64, not a string"}
    assert sum(reject.records for reject in rejects) == 1000


@pytest.mark.parametrize("kind", ["string", "large_string", "binary", "large_binary", "dictionary", "string_view"])
def test_text_columns_of_every_kind(tmp_path, kind):
    texts = pa.array(["é", None, "", "x" * 100, "é"])
    column = texts.dictionary_encode() if kind == "dictionary" else texts.cast(getattr(pa, kind)())
    pq.write_table(pa.table({"text": column, "id": pa.array(range(5), pa.int32())}), tmp_path / "a.parquet")
    rows, rejects = documents_of([tmp_path / "a.parquet"])
    assert [(row["id"], row["text"]) for row in rows] == [("0", "é"), ("2", ""), ("3", "x" * 100), ("4", "é")]
    assert [(reject.offset, reject.error) for reject in rejects] == [(1, "the text is null")]


def test_invalid_utf8_in_parquet_costs_its_row_only(tmp_path):
    raw = pa.array([b"good", b"bad \xff", b"\xed\xa0\x80", "gut ä".encode()])
    other = pa.array([b"a", b"b", b"c", b"\xfe"]).view(pa.string())
    pq.write_table(pa.table({"text": raw.view(pa.string()), "other": other}), tmp_path / "a.parquet")
    rows, rejects = documents_of([tmp_path / "a.parquet"])
    assert [row["text"] for row in rows] == ["good"]
    assert [(reject.offset, reject.error) for reject in rejects] == [
        (row, f"invalid UTF-8 in column '{name}'") for row, name in ((1, "text"), (2, "text"), (3, "other"))
    ]


def test_times_numbers_and_bytes_in_parquet_become_metadata(tmp_path):
    table = pa.table(
        {
            "text": ["a"],
            "date": pa.array([1], pa.timestamp("ns")),
            "when": pa.array([10**16], pa.timestamp("us")),
            "raw": [b"\xff"],
            "f": [float("nan")],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    rows, rejects = documents_of([tmp_path / "a.parquet"])
    assert not rejects
    assert rows[0]["date"] == "1970-01-01 00:00:00.000000001"
    assert orjson.loads(rows[0]["metadata"]) == {"when": "2286-11-20 17:46:40.000000", "raw": "ff", "f": None}


def test_truncated_and_empty_parquet_is_one_reject(tmp_path):
    pq.write_table(pa.table({"text": ["a"] * 1000}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    for cut in (0, 4, len(data) // 2, len(data) - 1):
        rows, rejects = documents_of([write(tmp_path / "a.parquet", data[:cut])])
        assert not rows
        assert len(rejects) == 1
        assert "unreadable Parquet file" in rejects[0].error


def test_a_damaged_row_group_costs_no_other(tmp_path):
    texts = [f"{k:05d}" * 20 for k in range(300)]
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": texts}), path, row_group_size=100, compression="none", use_dictionary=False, write_page_checksum=True
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    rows, rejects = documents_of([write(path, bytes(data))])
    assert [row["text"] for row in rows] == texts[:100] + texts[200:]
    (reject,) = rejects
    assert (reject.offset, reject.records, reject.estimated) == (100, 100, False)
    assert "row group 1 is damaged" in reject.error
    assert "rows 100 to 199 are lost" in reject.error


def test_a_flipped_bit_of_a_footer_never_raises(tmp_path):
    """Nor does a wrong number of rows in the footer."""
    sink = io.BytesIO()
    rows = pa.table({"text": ["a", "b", "c"], "größe": [1, 2, 3]})
    pq.write_table(rows, sink, row_group_size=2, store_schema=False)
    sound = sink.getvalue()
    footer = int.from_bytes(sound[-8:-4], "little")
    errors = set()
    for place in range(len(sound) - 8 - footer, len(sound) - 8):
        for flip in (0x04, 0x80):
            path = write(tmp_path / "a.parquet", sound[:place] + bytes([sound[place] ^ flip]) + sound[place + 1 :])
            errors |= {reject.error for reject in documents_of([path])[1]}
    assert any("fewer rows than the footer says" in error for error in errors)


@pytest.mark.parametrize("error", [PermissionError(13, "no"), io.UnsupportedOperation("no ranges"), OSError(5, "disk")])
@pytest.mark.parametrize("name", ["a.parquet", "a.warc", "a.jsonl"])
def test_system_errors_are_not_bad_data(tmp_path, monkeypatch, error, name):
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def seekable(self):
            return True

        def seek(self, offset, whence=0):
            return 1000

        def tell(self):
            return 1000

        def readinto(self, buffer):
            raise error

    write(tmp_path / name, b"x" * 1000)
    split = Split(str(tmp_path / name), name[2:], 0, -1, 1000, "")
    monkeypatch.setattr(storage, "open_binary", lambda uri: Broken())
    monkeypatch.setattr(storage, "local_path", lambda uri: None)
    with pytest.raises(type(error)):
        list(read(split, Input(paths=())))
