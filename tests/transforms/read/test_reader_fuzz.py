"""Seeded mutations of valid files: no traceback, no hang, and nothing is lost outside the damage."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import multiprocessing
import os
import random
import time
from itertools import accumulate, pairwise

import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from test_inputs import documents_of

SECONDS = float(os.environ.get("TAMIS_FUZZ_SECONDS", "30"))
"""For each format."""

RECORDS = 400
COMPRESS = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
}


def records():
    words = random.Random(0)
    texts = (
        " ".join(words.choices(["eins", "zwei", "drei", "vier 四", "fünf"], k=words.randrange(30))) for _ in range(RECORDS)
    )
    return [{"id": str(k), "text": text, "meta": {"n": k, "tags": [text[:5]]}} for k, text in enumerate(texts)]


def lines():
    return [json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records()]


def table(group, **options):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records()), sink, row_group_size=group, write_page_checksum=True, **options)
    return sink.getvalue()


def row_groups(data):
    """The ranges of bytes of the row groups, with their ids, and where the footer begins."""
    footer = pq.read_metadata(io.BytesIO(data))
    starts, first = [4], 0
    ranges = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        end = max(
            (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size
            for column in (group.column(k) for k in range(group.num_columns))
        )
        ranges.append((starts[-1], end, range(first, first + group.num_rows)))
        starts.append(end)
        first += group.num_rows
    return ranges, starts[-1]


def units(name):
    """A file as (bytes, ids of the records in them) that are read whatever happens to other units."""
    if name == "jsonl":
        return [(line, [k]) for k, line in enumerate(lines())]
    every = lines()
    return [(COMPRESS[name](b"".join(every[k : k + 50])), range(k, k + 50)) for k in range(0, RECORDS, 50)]


def mutation(data, rng):
    """A range of bytes and what takes its place."""
    start = rng.randrange(len(data))
    length = rng.choice([0, 1, 1, 1, 2, 8, 64, 512, 4096])
    stop = min(len(data), start + length)
    kind = rng.randrange(7)
    if kind == 0:
        return start, len(data), b""  # cut
    if kind == 1:
        return start, stop, b""
    if kind == 2:
        return start, stop, bytes(stop - start)
    if kind == 3:
        return start, stop, rng.randbytes(stop - start)
    if kind == 4:
        return start, start, data[start:stop]  # twice
    if kind == 5:
        return start, start + 1, bytes([data[start] ^ 1 << rng.randrange(8)])
    return start, start, rng.randbytes(length)


def check(path, data, expected):
    """Reads a mutated file. Returns the processor time."""
    path.write_bytes(data)
    start = time.process_time()
    rows, rejects = documents_of([path])
    seconds = time.process_time() - start
    lost = {str(k) for k in expected} - {row["id"] for row in rows}
    assert not lost, (sorted(lost, key=int)[:10], [reject.error for reject in rejects][:3])
    assert all(reject.records >= 1 for reject in rejects)
    return seconds


def fuzz(path, data, surviving, seed, seconds):
    """Mutates and reads a file for some seconds. Returns the number of files, and the longest time."""
    rng = random.Random(seed)
    end, count, slowest = time.monotonic() + seconds, 0, 0.0
    while time.monotonic() < end:
        start, stop, replacement = mutation(data, rng)
        slowest = max(slowest, check(path, data[:start] + replacement + data[stop:], surviving(start, stop)))
        count += 1
    return count, slowest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jsonl", *COMPRESS])
def test_records_in_units(tmp_path, name):
    parts = units(name)
    edges = [0, *accumulate(len(part) for part, _ in parts)]
    data = b"".join(part for part, _ in parts)

    def surviving(start, stop):
        """The records of units before the damage, and of those behind it. The last byte before a
        line must be whole, too: it ends the line before."""
        gap = 1 if name == "jsonl" else 0
        before = (ids for (_, end), (_, ids) in zip(pairwise(edges), parts, strict=True) if end <= start)
        after = (ids for (begin, _), (_, ids) in zip(pairwise(edges), parts, strict=True) if begin - gap >= stop)
        return [k for ids in (*before, *after) for k in ids]

    suffix = "jsonl" if name == "jsonl" else f"jsonl.{name}"
    count, slowest = fuzz(tmp_path / f"a.{suffix}", data, surviving, f"fuzz {name}", SECONDS)
    print(f"{name}: {count} files, slowest {slowest:.3f} s")
    assert count > 10 * SECONDS
    assert slowest < 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.csv", "a.json", "pretty.json", "a.txt"])
def test_records_that_depend_on_each_other(tmp_path, name):
    """A quote or a bracket reaches as far as it likes, so only the records before the damage must be read."""
    if name.endswith("csv"):
        rows = [f'{record["id"]},"{record["text"]}",x\n'.encode() for record in records()]
        parts = [b"id,text,n\n", *rows]
    elif name.endswith("json"):
        indent = 1 if name.startswith("pretty") else None
        parts = [b"[", *(json.dumps(record, indent=indent).encode() + b"," for record in records())]
        parts[-1] = parts[-1][:-1] + b"]"
    else:
        parts = [b"", *lines()]
    edges = [0, *accumulate(map(len, parts))]

    def surviving(start, stop):
        if name.endswith("txt") or start < edges[1]:
            return []
        return [k for k, end in enumerate(edges[2:]) if end <= start]

    count, slowest = fuzz(tmp_path / name, b"".join(parts), surviving, f"fuzz {name}", SECONDS)
    print(f"{name}: {count} files, slowest {slowest:.3f} s")
    assert slowest < 2


def parquet_process(path, compression, seed, seconds, results):
    data = table(50, compression=compression)
    ranges, footer = row_groups(data)

    def surviving(start, stop):
        if stop > footer or start < 4:
            return []
        return [k for begin, until, ids in ranges if until <= start or begin >= stop for k in ids]

    rng = random.Random(seed)
    deadline, count, slowest = time.monotonic() + seconds, 0, 0.0
    while time.monotonic() < deadline:
        start, stop, replacement = mutation(data, rng)
        if stop - start != len(replacement):  # all offsets behind it would be wrong
            replacement = (replacement + bytes(stop - start))[: stop - start]
        slowest = max(slowest, check(path, data[:start] + replacement + data[stop:], surviving(start, stop)))
        count += 1
    results.put((count, slowest))


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_parquet(tmp_path, compression):
    """In a process of its own, because a crash inside Arrow would end this one."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(
        target=parquet_process, args=(tmp_path / "a.parquet", compression, f"fuzz {compression}", SECONDS, results)
    )
    process.start()
    process.join(SECONDS + 120)
    assert process.exitcode == 0
    count, slowest = results.get()
    print(f"parquet {compression}: {count} files, slowest {slowest:.3f} s")
    assert slowest < 2
