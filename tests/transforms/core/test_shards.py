"""A shard holds what was written, byte for byte the same however the table lies in memory, and shows damage."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.transforms import storage
from tamis.transforms.core import documents
from tamis.transforms.core.shards import Output, read_shard, write_shard
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read

FORMATS = ["parquet", "jsonl.zst"]
OUTPUTS = [Output(format=format) for format in FORMATS]
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": UNICODE, "text": UNICODE, "source": UNICODE, "url": st.none() | UNICODE, "licence": st.none() | UNICODE}
    ),
    max_size=20,
)


def table(rows):
    return pa.Table.from_pylist(rows, schema=documents.SCHEMA)


def sample(n=1000):
    rows = [{"id": f"{k}", "text": f"text {k} " * (k % 90), "source": f"s{k % 3}"} for k in range(n)]
    return table(rows).append_column("quality", pa.array(np.linspace(0, 1, n)))


@pytest.mark.parametrize("options", OUTPUTS, ids=FORMATS)
@given(rows=ROWS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_documents_come_back(tmp_path, options, rows):
    uri = str(tmp_path / f"shard{options.suffix}")
    written = write_shard(table(rows), uri, options)
    back = read_shard(uri)
    assert back.to_pylist() == table(rows).to_pylist()
    assert back.schema == documents.SCHEMA
    data = storage.read_bytes(uri)
    assert (written.bytes, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("options", OUTPUTS, ids=FORMATS)
@given(rows=ROWS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_shard_is_an_input(tmp_path, options, rows):
    """What is written is read again as the same documents: ids that are given stay, empty ones and sources do not."""
    rows = [row | {"id": row["id"] or "x", "source": row["source"] or "y"} for row in rows]
    uri = str(tmp_path / f"shard{options.suffix}")
    write_shard(table(rows), uri, options)
    inputs = Input(paths=(uri,))
    batches = [batch for split in plan(inputs)[0] for batch, rejects in read(split, inputs) if not rejects]
    assert pa.Table.from_batches(batches, documents.SCHEMA).to_pylist() == table(rows).to_pylist()


@pytest.mark.parametrize("options", OUTPUTS, ids=FORMATS)
def test_the_layout_in_memory_does_not_show(tmp_path, options):
    whole = sample()
    chunked = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 500), whole.slice(507)])
    cut = pa.concat_tables([whole.slice(900), whole]).slice(100)
    checksums = {
        write_shard(layout, str(tmp_path / f"{k}{options.suffix}"), options).sha256
        for k, layout in enumerate([whole, chunked, cut, whole])
    }
    assert len(checksums) == 1


@pytest.mark.parametrize("options", OUTPUTS, ids=FORMATS)
def test_an_empty_shard(tmp_path, options):
    uri = str(tmp_path / f"shard{options.suffix}")
    write_shard(table([]), uri, options)
    assert read_shard(uri).to_pylist() == []
    assert read_shard(uri).column_names == documents.SCHEMA.names


def test_row_groups_have_even_bytes_and_checked_pages(tmp_path):
    uri = str(tmp_path / "shard.parquet")
    write_shard(sample(), uri, Output(row_group_bytes=50_000))
    file = pq.ParquetFile(uri)
    assert file.num_row_groups > 5
    lengths = [len("".join(file.read_row_group(group)["text"].to_pylist())) for group in range(file.num_row_groups - 1)]
    assert all(25_000 < length < 60_000 for length in lengths)
    assert file.metadata.row_group(0).column(1).compression == "ZSTD"
    assert read_shard(uri).equals(sample())


def test_all_64_bits_survive(tmp_path):
    for options in OUTPUTS:
        uri = str(tmp_path / f"shard{options.suffix}")
        doc_refs = pa.array([2**64 - 1, 0], pa.uint64())
        write_shard(pa.table({"doc_ref": doc_refs, "x": [0.1, None]}), uri, options)
        assert read_shard(uri).to_pydict() == {"doc_ref": [2**64 - 1, 0], "x": [0.1, None]}


@pytest.mark.parametrize("options", OUTPUTS, ids=FORMATS)
def test_damage_is_an_error(tmp_path, options):
    uri = tmp_path / f"shard{options.suffix}"
    write_shard(sample(), str(uri), options)
    data = bytearray(uri.read_bytes())
    uri.write_bytes(data[: len(data) - 30])
    with pytest.raises((ValueError, OSError)):
        read_shard(str(uri))
    data[len(data) // 3] ^= 4
    uri.write_bytes(data)
    with pytest.raises((ValueError, OSError)):
        read_shard(str(uri))


def test_a_wrong_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.parquet"):
        write_shard(sample(), str(tmp_path / "x.jsonl.zst"), Output())
    with pytest.raises(ValueError, match="name ends in"):
        read_shard(str(tmp_path / "x.csv"))
