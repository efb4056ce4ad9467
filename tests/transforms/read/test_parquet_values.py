"""Parquet holds values that no one expected: each is read, or costs its row, and a lost row counts as one."""

from __future__ import annotations

import decimal
import io
import json
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_inputs import documents_of

TEXTS = ["first text", "second text", "third text"]
BAD = pa.array([b"fine", b"\xff\xfe", "schön".encode()])  # as text, the second value is not UTF-8


def read(tmp_path, table, **options):
    pq.write_table(table, tmp_path / "a.parquet")
    return documents_of([tmp_path / "a.parquet"], **options)


def bad_text():
    return BAD.view(pa.string())


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([1.0, 2.0, 9007199254740993.0]), ["1", "2", "9007199254740992"]),  # pandas' integers with missing values
        (pa.array([0.5, -1.25, 1e300]), ["0.5", "-1.25", str(int(1e300))]),
        (pa.array([1, 2, 3], pa.float32()), ["1", "2", "3"]),
        (pa.array([0, -5, 127], pa.int8()), ["0", "-5", "127"]),
        (pa.array([0, 1, 2**64 - 1], pa.uint64()), ["0", "1", str(2**64 - 1)]),
        (pa.array([decimal.Decimal("7.00"), decimal.Decimal("7.50"), decimal.Decimal("-3.00")]), ["7", "7.50", "-3"]),
        (pa.array([decimal.Decimal(10**60)] * 3, pa.decimal256(61, 0)), [str(10**60)] * 3),
        (pa.array([uuid.UUID(int=k).bytes for k in range(3)], pa.uuid()), [str(uuid.UUID(int=k)) for k in range(3)]),
        (pa.array([b"\0" * 4, b"abcd", b"\xff" * 4], pa.binary(4)), ["00000000", "61626364", "ffffffff"]),
        (pa.array([b"one", b"\xff\x01", "zwölf".encode()]), ["one", "ff01", "zwölf"]),
        (pa.array([True, False, True]), ["true", "false", "true"]),
        (pa.array(["a", "b", "c"]).dictionary_encode(), ["a", "b", "c"]),
        (pa.array(["a", "b", "c"], pa.large_string()), ["a", "b", "c"]),
        (pa.array([0, 1, 2], pa.date32()), ["1970-01-01", "1970-01-02", "1970-01-03"]),
        (pa.array([1, 2, 3], pa.timestamp("ns")), [f"1970-01-01 00:00:00.00000000{k}" for k in (1, 2, 3)]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_an_id_is_of_any_scalar_type(tmp_path, ids, expected):
    rows, rejects = read(tmp_path, pa.table({"text": TEXTS, "id": ids}))
    assert not rejects
    assert [row["id"] for row in rows] == expected


@pytest.mark.parametrize("ids", [pa.array([None, 1.0, float("nan")]), pa.array([None, "x", ""]), pa.nulls(3)])
def test_a_missing_id_is_a_hash(tmp_path, ids):
    rows, rejects = read(tmp_path, pa.table({"text": TEXTS, "id": ids}))
    assert not rejects
    assert sum(len(row["id"]) == 32 for row in rows) == (3 if ids.type == pa.null() else 2)


@pytest.mark.parametrize("ids", [pa.array([[1], None, [2]]), pa.array([{"a": 1}, None, {"a": 2}])])
def test_an_id_that_is_no_scalar_costs_its_row(tmp_path, ids):
    rows, rejects = read(tmp_path, pa.table({"text": TEXTS, "id": ids}))
    assert [row["text"] for row in rows] == ["second text"]
    assert [(reject.offset, "the id is" in reject.error) for reject in rejects] == [(0, True), (2, True)]


FAR = {"s": 2**40, "ms": 2**50, "us": 2**62, "ns": 2**62}
TIMES = [
    *(pa.array([value, -value, 0], pa.timestamp(unit)) for unit, value in FAR.items()),
    *(pa.array([value, -value, 0], pa.timestamp(unit, "Europe/Paris")) for unit, value in FAR.items()),
    pa.array([1, None, 2], pa.timestamp("us", "Mars/Phobos")),
    *(pa.array([1, None, 2**40], pa.duration(unit)) for unit in FAR),
    *(pa.array([1, None, 2], pa.time32(unit)) for unit in ("s", "ms")),
    *(pa.array([1, None, 2], pa.time64(unit)) for unit in ("us", "ns")),
    pa.array([2**31 - 1, -(2**31), 4_000_000], pa.date32()),
]


@pytest.mark.parametrize("times", TIMES, ids=lambda times: str(times.type))
@pytest.mark.parametrize("shape", ["column", "list", "large_list", "fixed", "struct", "map", "deep"])
def test_times_of_any_year_are_metadata(tmp_path, times, shape):
    column = {
        "column": lambda: times,
        "list": lambda: pa.ListArray.from_arrays([0, 1, 2, 3], times),
        "large_list": lambda: pa.LargeListArray.from_arrays([0, 1, 2, 3], times),
        "fixed": lambda: pa.FixedSizeListArray.from_arrays(times, 1),
        "struct": lambda: pa.StructArray.from_arrays([times], ["t"]),
        "map": lambda: pa.MapArray.from_arrays([0, 1, 2, 3], pa.array(["a", "b", "c"]), times),
        "deep": lambda: pa.ListArray.from_arrays([0, 1, 2, 3], pa.StructArray.from_arrays([times], ["t"])),
    }[shape]()
    rows, rejects = read(tmp_path, pa.table({"text": TEXTS, "when": column}))
    assert not rejects
    assert [row["text"] for row in rows] == TEXTS
    assert any(digit.isdigit() for digit in rows[0]["metadata"])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"\xff", b"", None]),
        pa.array([[b"\xff"], [], None]),
        pa.array([1.5, float("nan"), float("-inf")], pa.float16()),
        pa.array([{"a": {"b": [{"c": decimal.Decimal("1.50")}]}}, None, {"a": None}]),
        pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        pa.array([[("k", b"\xff")], [], None], pa.map_(pa.binary(), pa.binary())),
        pa.StructArray.from_arrays([pa.array([1, 2, 3]), pa.array(["x", "y", "z"])], ["same", "same"]),
        pa.array([2**64 - 1, 0, None], pa.uint64()),
        pa.array([uuid.UUID(int=1).bytes] * 3, pa.uuid()),
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.array([["a"], ["b"], None], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
        pa.array([True, None, False]),
        pa.nulls(3),
    ],
    ids=lambda column: str(column.type)[:30],
)
def test_values_of_any_type_are_metadata(tmp_path, column):
    rows, rejects = read(tmp_path, pa.table({"text": TEXTS, "value": column}))
    assert not rejects
    assert [row["text"] for row in rows] == TEXTS
    for row in rows:
        assert row["metadata"] is None or json.loads(row["metadata"]).keys() <= {"value"}


def test_columns_of_one_name(tmp_path):
    """Of the parts of a document the last one counts, as in JSON; metadata keeps all."""
    names = ["text", "text", "id", "id", "n", "n", "n"]
    arrays = [["a", "b"], ["c", None], ["i", "j"], ["k", "l"], [1, 2], ["x", "y"], [None, True]]
    rows, rejects = read(tmp_path, pa.Table.from_arrays([pa.array(array) for array in arrays], names))
    assert not rejects
    assert [(row["text"], row["id"]) for row in rows] == [("c", "k"), ("b", "l")]
    assert [json.loads(row["metadata"]) for row in rows] == [{"n": 1, "n#2": "x"}, {"n": 2, "n#2": "y", "n#3": True}]


@pytest.mark.parametrize("part", ["text", "url", "source", "licence", "date"])
def test_binary_columns_are_text(tmp_path, part):
    table = pa.table({"text": TEXTS} | {part: BAD})
    rows, rejects = read(tmp_path, table)
    assert [row[part] for row in rows] == ["fine", "schön"]
    assert [(reject.offset, reject.error) for reject in rejects] == [(1, f"invalid UTF-8 in the {part}")]


def test_binary_text_inside_a_struct(tmp_path):
    rows, rejects = read(tmp_path, pa.table({"doc": pa.StructArray.from_arrays([BAD], ["body"])}), fields={"text": "doc.body"})
    assert [row["text"] for row in rows] == ["fine", "schön"]
    assert [reject.offset for reject in rejects] == [1]


@pytest.mark.parametrize(
    "nest",
    [
        lambda bad: pa.StructArray.from_arrays([bad], ["k"]),
        lambda bad: pa.ListArray.from_arrays(np.arange(len(bad) + 1), bad),
        lambda bad: pa.MapArray.from_arrays(np.arange(len(bad) + 1), pa.array(["k"] * len(bad)), bad),
        lambda bad: pa.ListArray.from_arrays(np.arange(len(bad) + 1), pa.StructArray.from_arrays([bad], ["k"])),
        lambda bad: bad.cast(pa.large_string()),
    ],
    ids=["struct", "list", "map", "list of structs", "large string"],
)
def test_a_bad_string_costs_its_row_also_inside_others(tmp_path, nest):
    values = [b"x"] * 1000
    for place in (0, 500, 999):
        values[place] = b"\xff"
    table = pa.table({"text": [f"text {k}" for k in range(1000)], "meta": nest(pa.array(values).view(pa.string()))})
    rows, rejects = read(tmp_path, table)
    assert len(rows) == 997
    assert [(reject.offset, reject.error) for reject in rejects] == [
        (k, "invalid UTF-8 in column 'meta'") for k in (0, 500, 999)
    ]


@pytest.mark.slow
def test_half_of_the_values_may_be_bad(tmp_path):
    values = [b"\xff" if k % 2 else b"x" for k in range(20_000)]
    nested = pa.StructArray.from_arrays([pa.array(values).view(pa.string())], ["k"])
    rows, rejects = read(tmp_path, pa.table({"text": ["t"] * 20_000, "meta": nested}))
    assert (len(rows), len(rejects)) == (10_000, 10_000)


def test_the_folders_of_a_path_are_columns(tmp_path):
    folder = tmp_path / "lang=de" / "month=01"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"text": TEXTS, "month": [7, 8, None]}), folder / "a.parquet")
    rows, rejects = documents_of([tmp_path], fields={"source": "lang"})
    assert not rejects
    assert [row["source"] for row in rows] == ["de"] * 3
    assert [row["metadata"] for row in rows] == ['{"month":7}', '{"month":8}', None]


@pytest.mark.parametrize("split_bytes", [1, 1 << 30])
def test_a_shard_without_the_column_costs_its_rows(tmp_path, split_bytes):
    pq.write_table(pa.table({"content": ["word " * 50] * 600}), tmp_path / "a.parquet", row_group_size=100)
    pq.write_table(pa.table({"text": ["word"] * 50}), tmp_path / "b.parquet")
    rows, rejects = documents_of([tmp_path], split_bytes=split_bytes)
    assert len(rows) == 50
    assert sum(reject.records for reject in rejects) == 600
    assert not any(reject.estimated for reject in rejects)


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_what_is_lost_in_a_row_group_is_counted(tmp_path, codec):
    noise = np.random.default_rng(0).integers(97, 123, (300, 100), np.uint8)
    texts = [row.tobytes().decode() for row in noise]
    sink = io.BytesIO()
    table = pa.table({"text": texts, "n": range(300)})
    pq.write_table(table, sink, row_group_size=100, compression=codec, use_dictionary=False, write_page_checksum=True)
    data = bytearray(sink.getvalue())
    group = pq.ParquetFile(sink).metadata.row_group(1).column(0)
    data[group.data_page_offset + group.total_compressed_size // 2] ^= 255
    (tmp_path / "a.parquet").write_bytes(data)
    rows, rejects = documents_of([tmp_path / "a.parquet"])
    assert [row["text"] for row in rows] == texts[:100] + texts[200:]
    assert [(reject.offset, reject.records, reject.estimated) for reject in rejects] == [(100, 100, False)]


def test_a_file_without_a_footer_is_an_estimate_by_its_size(tmp_path):
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["word " * 100] * 2000}), sink, use_dictionary=False, compression="none")
    (tmp_path / "a.parquet").write_bytes(sink.getvalue()[:-10])
    rows, rejects = documents_of([tmp_path / "a.parquet"])
    assert not rows
    assert 200 < rejects[0].records < 4000
    assert rejects[0].estimated
