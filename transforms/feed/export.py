"""Writes a finished run in the formats of other loaders, in its order; a reader that does not shuffle keeps it.

Every byte is checked against the manifest before it is written. The file that makes a format readable (an index) comes last.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import orjson
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.core import shards
from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.corpus_index import CorpusIndex, CorpusReader, load_corpus, verified
from tamis.transforms.feed.encode import Tokenizer, load_tokenizer, tokenizer_id

Format = Literal["megatron", "mds", "parquet", "litdata", "jsonl"]

COLUMNS = ("id", "source", "text")
"""What MDS and litdata hold of a document."""

FORMAT: Final = "tamis.export/1"

_INDEX = "index.json"
_AT_ONCE = 256


@dataclass(frozen=True)
class Exported:
    """What was written; `files` in the order of the documents, then what makes them readable."""

    files: tuple[str, ...]
    documents: int


def export(run: str, format: Format, output: str, tokenizer: str | Tokenizer | None = None, end: int | None = None) -> Exported:
    """Writes a finished run under the folder or prefix `output`.

    megatron: `corpus.bin` and `.idx`, a sequence for each document, which needs a tokenizer; `end` is put behind each
    document, by default the id the tokenizer ends with; `corpus.json` says of which corpus, tokenizer and end they are. mds:
    `StreamingDataset(local=output, shuffle=False)`. parquet: `datasets.load_dataset(output)`, the shards byte for byte.
    litdata: `StreamingDataset(output, shuffle=False)`. jsonl: a file for each shard.

    Raises RunError when a shard is not the manifest's, something is at `output` already, or a tokenizer is missing or idle.
    """
    if (format == "megatron") != (tokenizer is not None):
        raise RunError(
            "megatron holds tokens: name a tokenizer" if tokenizer is None else f"{format} holds texts: no tokenizer"
        )
    corpus = load_corpus(run)
    if storage.names(output):
        raise RunError(f"{output}: there is something already; give a new folder")
    if tokenizer is None:
        files = _OF_TEXTS[format](corpus, output)
    else:
        encoder = load_tokenizer(tokenizer)
        files = _megatron(corpus, output, encoder, encoder.end if end is None else end)
    return Exported(tuple(files), sum(shard.documents for shard in corpus.shards))


def _parquet(corpus: CorpusIndex, output: str) -> Iterator[str]:
    for number, uri in _parts(corpus, output, "parquet"):
        shard = corpus.shards[number]
        if shard.uri.endswith(".parquet"):
            storage.write_bytes(uri, verified(shard.uri, shard.sha256))
        else:
            shards.write_shard(pa.concat_tables(CorpusReader(corpus.shards).rows(number)), uri, shards.Output())
        yield uri


def _jsonl(corpus: CorpusIndex, output: str) -> Iterator[str]:
    texts = CorpusReader(corpus.shards)
    for number, uri in _parts(corpus, output, "jsonl"):
        with storage.commit(uri) as sink:
            for rows in texts.rows(number):
                for first in range(0, len(rows), _AT_ONCE):
                    lines = rows.slice(first, _AT_ONCE).to_pylist()
                    sink.write(b"".join(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
        yield uri


def _parts(corpus: CorpusIndex, output: str, suffix: str) -> Iterator[tuple[int, str]]:
    """The shards that hold documents (`datasets` cannot read an empty file), and names that are in the order of the run."""
    full = [number for number, shard in enumerate(corpus.shards) if shard.documents]
    for place, number in enumerate(full):
        yield number, storage.join(output, "data", f"train-{place:05d}-of-{len(full):05d}.{suffix}")


def _mds(corpus: CorpusIndex, output: str) -> Iterator[str]:
    """MDS, version 2: count, offsets, the configuration again, samples. github.com/mosaicml/streaming, docs on the format."""
    configuration = {
        "column_encodings": ["str"] * len(COLUMNS),
        "column_names": list(COLUMNS),
        "column_sizes": [None] * len(COLUMNS),
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": None,
        "version": 2,
    }
    told = []
    header = json.dumps(configuration, sort_keys=True).encode()
    for number, samples in _samples(corpus):
        name = f"shard.{number:05d}.mds"
        size = _write_samples(storage.join(output, name), samples, header)
        raw = {"basename": name, "bytes": size, "hashes": {}}
        told.append({**configuration, "raw_data": raw, "samples": len(samples), "zip_data": None})
        yield storage.join(output, name)
    yield _write_index(output, {"version": 2, "shards": told})


def _litdata(corpus: CorpusIndex, output: str) -> Iterator[str]:
    """Chunks of litdata: count, offsets, samples; the index says of which pytree a sample's strings are the leaves."""
    leaf: dict[str, object] = {"type": None, "context": None, "children_spec": []}
    tree = [1, {"type": "builtins.dict", "context": json.dumps(COLUMNS), "children_spec": [leaf] * len(COLUMNS)}]
    configuration = {
        "chunk_bytes": shards.Output().shard_bytes,
        "chunk_size": None,
        "compression": None,
        "data_format": ["str"] * len(COLUMNS),
        "data_spec": json.dumps(tree),
        "encryption": None,
        "item_loader": "PyTreeLoader",
    }
    told = []
    for number, samples in _samples(corpus):
        name = f"chunk-0-{number}.bin"
        _write_samples(storage.join(output, name), samples)
        size = sum(map(len, samples))
        told.append({"chunk_bytes": size, "chunk_size": len(samples), "dim": None, "filename": name})
        yield storage.join(output, name)
    yield _write_index(output, {"chunks": told, "config": configuration})


def _samples(corpus: CorpusIndex) -> Iterator[tuple[int, list[bytes]]]:
    """(number, samples) of each shard that has documents; numbers without gaps. A sample: sizes (uint32), then the strings."""
    texts, number = CorpusReader(corpus.shards), 0
    for index in range(len(corpus.shards)):
        samples = []
        for rows in texts.rows(index, *COLUMNS):
            columns = [rows[name].cast(pa.large_binary()).to_pylist() for name in COLUMNS]
            samples += [struct.pack(f"<{len(row)}I", *map(len, row)) + b"".join(row) for row in zip(*columns, strict=True)]
        if samples:
            yield number, samples
            number += 1


def _write_samples(uri: str, samples: list[bytes], header: bytes = b"") -> int:
    """The size of the file: count, offsets of each sample and of the end (uint32), header, samples."""
    start = 4 + 4 * (len(samples) + 1) + len(header)
    offsets = start + np.cumsum([0, *map(len, samples)])
    if offsets[-1] >> 32:
        raise RunError(
            f"{uri}: {offsets[-1]:,} bytes, the format has room for {1 << 32:,}: use smaller shards (output.shard_bytes)"
        )
    with storage.commit(uri) as sink:
        sink.write(struct.pack("<I", len(samples)) + offsets.astype("<u4").tobytes() + header)
        for sample in samples:
            sink.write(sample)
    return int(offsets[-1])


def _write_index(output: str, index: dict[str, Any]) -> str:
    uri = storage.join(output, _INDEX)
    storage.write_bytes(uri, json.dumps(index, sort_keys=True).encode())
    return uri


def _megatron(corpus: CorpusIndex, output: str, encoder: Tokenizer, end: int | None) -> Iterator[str]:
    """Ids behind each other in .bin; .idx, version 1, has their type, the length and byte offset of each, and the documents."""
    small = encoder.vocabulary is not None and max(encoder.vocabulary, (end or 0) + 1) < 65500
    dtype, code = (np.dtype("<u2"), 8) if small else (np.dtype("<i4"), 4)
    texts, lengths = CorpusReader(corpus.shards), array("i")
    bin_, idx = (storage.join(output, f"corpus.{suffix}") for suffix in ("bin", "idx"))
    with storage.commit(bin_) as sink:
        for shard in range(len(corpus.shards)):
            for rows in texts.rows(shard, "text"):
                for first in range(0, len(rows), _AT_ONCE):
                    ids, counts = encoder.encode(rows["text"].slice(first, _AT_ONCE).combine_chunks())
                    if end is not None:
                        ids, counts = np.insert(ids, np.cumsum(counts), end), counts + 1
                    sink.write(ids.astype(dtype).tobytes())
                    lengths.frombytes(counts.astype("i").tobytes())
    yield bin_
    about = {"format": FORMAT, "corpus": corpus.root, "tokenizer": tokenizer_id(encoder), "end": end}
    about_uri = storage.join(output, "corpus.json")
    storage.write_bytes(about_uri, (json.dumps(about, indent=1) + "\n").encode())
    yield about_uri
    count = np.frombuffer(lengths, "i")
    offsets = (np.cumsum(count, dtype=np.int64) - count) * dtype.itemsize
    with storage.commit(idx) as sink:
        sink.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(count), len(count) + 1))
        for part in (count.astype("<i4"), offsets.astype("<i8"), np.arange(len(count) + 1, dtype="<i8")):
            sink.write(part.tobytes())
    yield idx


_OF_TEXTS: dict[str, Callable[[CorpusIndex, str], Iterator[str]]] = {
    "mds": _mds,
    "parquet": _parquet,
    "litdata": _litdata,
    "jsonl": _jsonl,
}
FORMATS: tuple[Format, ...] = get_args(Format)
