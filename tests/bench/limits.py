"""Measures what memory and libraries can do with the same text on this machine: the limits for Tamis."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
import zstandard
from isal import igzip
from measure import Task, main, texts

_MB = 100
"""Text held in memory here, at most."""


def _text(corpus: Path) -> list[str]:
    held, size = [], 0.0
    for text in texts(corpus):
        held.append(text)
        size += len(text.encode()) / 1e6
        if size >= _MB:
            break
    return held


def _bytes(corpus: Path) -> bytes:
    return "\n".join(_text(corpus)).encode()


def on_bytes(prepare: Callable[[bytes], bytes], work: Callable[[bytes], object]) -> Callable[[Path], Task]:
    """Work on what `prepare` makes of all the text; MB are those of the text."""

    def task(corpus: Path) -> Task:
        data = _bytes(corpus)
        prepared = prepare(data)
        return Task(len(data) / 1e6, lambda: work(prepared))

    return task


def on_lines(prepare: Callable[[str], Any], work: Callable[[Any], object]) -> Callable[[Path], Task]:
    """Work on what `prepare` makes of each text."""

    def task(corpus: Path) -> Task:
        documents = _text(corpus)
        prepared = [prepare(text) for text in documents]
        size = sum(len(text.encode()) for text in documents) / 1e6

        def run() -> None:
            for one in prepared:
                work(one)

        return Task(size, run)

    return task


def read_parquet(corpus: Path) -> Task:
    stored = io.BytesIO()
    size = _store(_table(corpus), stored)
    return Task(size, lambda: pq.read_table(stored, use_threads=False))


def write_parquet(corpus: Path) -> Task:
    table = _table(corpus)
    return Task(_store(table, io.BytesIO()), lambda: _store(table, io.BytesIO()))


def _table(corpus: Path) -> pa.Table:
    return pa.table({"text": pa.array(_text(corpus), pa.large_string())})


def _store(table: pa.Table, sink: io.BytesIO) -> float:
    """Writes the texts as a rated part has them; returns MB of text."""
    pq.write_table(table, sink, compression="zstd", compression_level=1, use_dictionary=False)
    return float(pc.sum(pc.binary_length(table["text"])).as_py()) / 1e6


def copy_memory(corpus: Path) -> Task:
    source = np.frombuffer(_bytes(corpus), np.uint8)
    target = np.empty_like(source)
    return Task(source.nbytes / 1e6, lambda: np.copyto(target, source))


def _same(data: Any) -> Any:
    return data


WORKS = {
    "memcpy": copy_memory,
    "sum of bytes (numpy)": on_bytes(_same, lambda data: np.frombuffer(data[: len(data) // 8 * 8], np.uint64).sum()),
    "XXH64": on_bytes(_same, lambda data: xxhash.xxh64_intdigest(data)),
    "UTF-8 to str": on_bytes(_same, lambda data: data.decode()),
    "split at white space (str)": on_lines(_same, lambda text: text.split()),
    "gunzip (isal)": on_bytes(lambda data: igzip.compress(data, 2), igzip.decompress),
    "gzip level 1 (isal)": on_bytes(_same, lambda data: igzip.compress(data, 1)),
    "zstd read": on_bytes(zstandard.compress, zstandard.decompress),
    "zstd write, level 3": on_bytes(_same, zstandard.compress),
    "JSON read (orjson)": on_lines(lambda text: json.dumps({"text": text}, ensure_ascii=False).encode(), orjson.loads),
    "JSON write (orjson)": on_lines(lambda text: {"text": text}, orjson.dumps),
    "Parquet read, zstd": read_parquet,
    "Parquet write, zstd 1": write_parquet,
}

if __name__ == "__main__":
    main("pyarrow", WORKS)
