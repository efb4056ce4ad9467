"""Every format gives the same documents, ids depend on content only, and reading follows the plan."""

from __future__ import annotations

import json

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.transforms.core import documents
from tamis.transforms.read.file_formats import format_of
from tamis.transforms.read.input_options import Input, Reject, Split, split_count
from tamis.transforms.read.inputs import plan, read
from tamis.transforms.text.hashing import hash128

UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def documents_of(paths, **options):
    """All documents and rejects of an input; checks every batch."""
    inputs = Input(paths=tuple(map(str, paths)), **options)
    rows, rejects = [], []
    for split in plan(inputs)[0]:
        for batch, bad in read(split, inputs):
            assert batch.schema == documents.SCHEMA
            batch.validate(full=True)
            rows += batch.to_pylist()
            rejects += [loss for loss in bad if isinstance(loss, Reject)]
    return rows, rejects


def jsonl(path, records):
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return path


RECORDS = st.lists(
    st.fixed_dictionaries(
        {"text": UNICODE},
        optional={
            "id": UNICODE | st.integers(0, 2**63 - 1),
            "url": st.none() | UNICODE,
            "source": UNICODE,
            "license": UNICODE,
            "n": st.integers(-5, 5),
            "tags": st.lists(UNICODE, max_size=2),
        },
    ),
    max_size=12,
)


@given(records=RECORDS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parquet_and_jsonl_of_the_same_records_are_the_same_documents(tmp_path, records):
    records = [record | ({"id": str(record["id"])} if "id" in record else {}) for record in records]
    rows, rejects = documents_of([jsonl(tmp_path / "a.jsonl", records)])
    schema = pa.schema(
        [
            *((name, "string") for name in ("text", "id", "url", "source", "license")),
            ("n", "int64"),
            ("tags", pa.list_(pa.string())),
        ]
    )
    pq.write_table(pa.Table.from_pylist(records, schema), tmp_path / "a.parquet")
    assert not rejects
    assert [row["text"] for row in rows] == [record["text"] for record in records]
    assert documents_of([tmp_path / "a.parquet"]) == (rows, [])


def test_fields_are_mapped_and_the_rest_is_metadata(tmp_path):
    record = {
        "doc": {"body": "Hello", "lang": "en", "none": None},
        "b": 2,
        "a": [1, {"z": 1, "y": 2}],
        "uri": "http://x",
        "rights": ["MIT", "BSD"],
        "year": 2024,
        "empty": None,
    }
    fields = {"text": "doc.body", "url": ["link", "uri"], "licence": "rights", "date": "year"}
    rows, rejects = documents_of([jsonl(tmp_path / "a.jsonl", [record])], fields=fields, source="mine")
    assert not rejects
    (row,) = rows
    assert row["text"] == "Hello"
    assert (row["source"], row["url"], row["licence"], row["date"]) == ("mine", "http://x", '["MIT","BSD"]', "2024")
    assert row["metadata"] == '{"a":[1,{"y":2,"z":1}],"b":2,"doc":{"lang":"en","none":null}}'


def test_nested_columns_are_mapped_in_parquet(tmp_path):
    table = pa.Table.from_pylist([{"doc": {"body": "Hello", "lang": "en"}, "id": 7}, {"doc": None, "id": 8}])
    pq.write_table(table, tmp_path / "a.parquet")
    rows, rejects = documents_of([tmp_path / "a.parquet"], fields={"text": "doc.body"})
    assert [(row["id"], row["text"], row["metadata"]) for row in rows] == [("7", "Hello", '{"doc":{"lang":"en"}}')]
    assert [(reject.offset, reject.error) for reject in rejects] == [(1, "the text is null")]


def test_missing_ids_depend_on_source_and_text_only(tmp_path):
    records = [{"text": f"text {k}", "source": f"s{k % 2}"} for k in range(10)]
    together, _ = documents_of([jsonl(tmp_path / "all.jsonl", records)])
    one, _ = documents_of([jsonl(tmp_path / "1.jsonl", records[7:])])
    two, _ = documents_of([jsonl(tmp_path / "2.jsonl", [*records[3:7], *records[:3]])])
    assert sorted(row["id"] for row in together) == sorted(row["id"] for row in [*one, *two])
    assert len({row["id"] for row in together}) == 10
    assert all(len(row["id"]) == 32 and int(row["id"], 16) >= 0 for row in together)
    other, _ = documents_of([jsonl(tmp_path / "3.jsonl", [{"text": "text 0", "source": "s1"}])])
    assert other[0]["id"] not in {row["id"] for row in together}


def test_source_and_text_are_not_simply_joined(tmp_path):
    rows, _ = documents_of([jsonl(tmp_path / "a.jsonl", [{"text": "bc", "source": "a"}, {"text": "c", "source": "ab"}])])
    assert rows[0]["id"] != rows[1]["id"]
    assert rows[0]["id"] != hash128(pa.array(["abc"], pa.large_string())).tobytes().hex()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "5"),
        ("x", "x"),
        (-(2**63), str(-(2**63))),
        (2**70, str(2**70)),
        (10**400, str(10**400)),
        (7.0, "7"),
        (1.5, "1.5"),
        (True, "true"),
    ],
)
def test_ids_of_other_types(tmp_path, value, expected):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a", "id": value}) + "\n")
    rows, _ = documents_of([tmp_path / "a.jsonl"])
    assert rows[0]["id"] == expected


@pytest.mark.parametrize("value", [[1], {"a": 1}])
def test_ids_that_are_none(tmp_path, value):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a", "id": value}) + "\n")
    rows, rejects = documents_of([tmp_path / "a.jsonl"])
    assert not rows
    assert "the id is" in rejects[0].error


def test_duplicate_ids_pass(tmp_path):
    rows, _ = documents_of([jsonl(tmp_path / "a.jsonl", [{"text": "a", "id": "x"}, {"text": "b", "id": "x"}])])
    assert [row["id"] for row in rows] == ["x", "x"]


def test_plan_is_sorted_and_goes_through_json(tmp_path):
    for name in ("b.jsonl", "a.parquet", "c.txt"):
        if name.endswith("parquet"):
            pq.write_table(pa.table({"text": ["x" * 1000] * 500}), tmp_path / name, row_group_size=100, compression="none")
        else:
            (tmp_path / name).write_bytes(b"{}\n")
    inputs = Input(paths=(str(tmp_path),), split_bytes=1500)
    splits = plan(inputs)[0]
    assert [split.uri.rsplit("/", 1)[1] for split in splits] == ["a.parquet"] * 5 + ["b.jsonl", "c.txt"]
    assert [(split.start, split.stop) for split in splits] == [(k, k + 1) for k in range(5)] + [(0, -1)] * 2
    from dataclasses import asdict

    assert [Split(**json.loads(json.dumps(asdict(split)))) for split in splits] == splits


def test_each_row_is_in_one_split(tmp_path):
    texts = [f"{k} " * (k % 300) for k in range(5000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=333)
    for size in (1, 50_000, 1 << 30):
        rows, _ = documents_of([tmp_path / "a.parquet"], split_bytes=size)
        assert [row["text"] for row in rows] == texts


@given(size=st.integers(0, 10_000), piece=st.integers(1, 3000))
def test_the_split_count_is_a_power_of_two_and_the_splits_are_small_enough(size, piece):
    count = split_count(size, piece)
    assert count * piece >= size
    assert count & (count - 1) == 0
    assert count == 1 or count // 2 * piece < size


def test_splits_of_row_groups_are_even(tmp_path):
    pq.write_table(pa.table({"text": ["x" * 1000] * 900}), tmp_path / "a.parquet", row_group_size=10, use_dictionary=False)
    splits = plan(Input(paths=(str(tmp_path / "a.parquet"),), split_bytes=300_000))[0]
    assert [split.stop - split.start for split in splits] in ([22, 23, 22, 23], [23, 22, 23, 22], [22, 23, 23, 22])
    assert (splits[0].start, splits[-1].stop) == (0, 90)


def test_batches_are_of_even_size(tmp_path):
    records = [{"text": "word " * (k % 4000), "id": k} for k in range(2000)]
    jsonl(tmp_path / "a.jsonl", records)
    pq.write_table(pa.table({"text": [record["text"] for record in records]}), tmp_path / "b.parquet")
    inputs = Input(paths=(str(tmp_path),))
    for split in plan(inputs)[0]:
        sizes = [batch["text"].nbytes for batch, _ in read(split, inputs)]
        assert max(sizes) < 3 * documents.BATCH_BYTES
        assert sum(sizes) / len(sizes) > documents.BATCH_BYTES / 3


def test_formats_are_recognised_by_name_or_first_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b'\xef\xbb\xbf {"text": "a"}')
    (tmp_path / "y").write_bytes(b"WARC/1.0\r\n")
    (tmp_path / "z.data").write_bytes(b"\0\1")
    assert [format_of(str(tmp_path / name)) for name in ("x", "y")] == ["jsonl", "warc"]
    assert format_of("a.warc.wet.gz") == "wet"
    with pytest.raises(ValueError, match=r"z\.data.*input\.format"):
        plan(Input(paths=(str(tmp_path / "z.data"),)))


def test_no_files_are_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in ("empty", "none.jsonl", "*.jsonl"):
        with pytest.raises(FileNotFoundError, match=path.replace("*", r"\*")):
            plan(Input(paths=(str(tmp_path / path),)))
