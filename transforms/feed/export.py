"""Writes a finished run in the formats of other loaders, in training order.

Every shard is checked against the manifest before its documents are written. The index that makes
a format readable comes last.
"""

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
from tamis.transforms.core.release import open_release
from tamis.transforms.feed.corpus_index import CorpusIndex, CorpusReader, load_corpus, read_verified
from tamis.transforms.feed.dataset_card import CARD, dataset_card
from tamis.transforms.feed.text_to_ids import Tokenizer, load_tokenizer, tokenizer_id

Format = Literal["megatron", "mds", "parquet", "litdata", "jsonl"]

COLUMNS = ("id", "source", "text")
"""The columns that MDS and litdata get, as strings. Signals follow, as JSON: numbers, labels, null."""

FORMAT: Final = "tamis.export/1"

_INDEX = "index.json"
_BATCH_TEXTS = 256


@dataclass(frozen=True)
class ExportResult:
    """The files, in the order of the documents and then the index, without a dataset card; the
    number of documents."""

    files: tuple[str, ...]
    documents: int


def export(
    run: str, format: Format, output: str, tokenizer: str | Tokenizer | None = None, end: int | None = None
) -> ExportResult:
    """Writes a finished run under the folder or prefix `output`.

    - megatron (needs a tokenizer): `corpus.bin` and `corpus.idx`, one sequence per document, each
      followed by `end` (default: the tokenizer's own); `corpus.json` records corpus, tokenizer, end.
    - mds: read it with `StreamingDataset(local=output, shuffle=False)`.
    - litdata: read it with `StreamingDataset(output, shuffle=False)`.
    - parquet: read it with `datasets.load_dataset(output)`. Parquet shards are copied bytewise.
    - jsonl: one file per shard. It and parquet get a dataset card, README.md.

    Raises RunError if a shard does not match the manifest, `output` is not empty, or the format
    needs a tokenizer and none is given (or the reverse).
    """
    if (format == "megatron") != (tokenizer is not None):
        missing = "megatron needs a tokenizer (--tokenizer)"
        raise RunError(missing if tokenizer is None else f"{format} stores texts: leave out the tokenizer")
    corpus = load_corpus(run)
    if storage.names(output):
        raise RunError(f"{output} is not empty: give a new folder")
    if tokenizer is None:
        files = tuple(_TEXT_WRITERS[format](corpus, output))
    else:
        encoder = load_tokenizer(tokenizer)
        files = tuple(_megatron(corpus, output, encoder, encoder.end if end is None else end))
    if format in ("parquet", "jsonl"):
        card = dataset_card(open_release(run).manifest, f"data/train-*.{format}")
        storage.write_bytes(storage.join(output, CARD), card.encode())
    return ExportResult(files, sum(shard.documents for shard in corpus.shards))


def _parquet(corpus: CorpusIndex, output: str) -> Iterator[str]:
    for number, uri in _parts(corpus, output, "parquet"):
        shard = corpus.shards[number]
        if shard.uri.endswith(".parquet"):
            storage.write_bytes(uri, read_verified(shard.uri, shard.sha256))
        else:
            shards.write_shard(pa.concat_tables(CorpusReader(corpus.shards).rows(number)), uri, shards.Output())
        yield uri


def _jsonl(corpus: CorpusIndex, output: str) -> Iterator[str]:
    texts = CorpusReader(corpus.shards)
    for number, uri in _parts(corpus, output, "jsonl"):
        with storage.commit(uri) as sink:
            for rows in texts.rows(number):
                for first in range(0, len(rows), _BATCH_TEXTS):
                    lines = rows.slice(first, _BATCH_TEXTS).to_pylist()
                    sink.write(b"".join(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
        yield uri


def _parts(corpus: CorpusIndex, output: str, suffix: str) -> Iterator[tuple[int, str]]:
    """(shard, output file) of shards with documents: `datasets` cannot read an empty file."""
    full = [number for number, shard in enumerate(corpus.shards) if shard.documents]
    for index, number in enumerate(full):
        yield number, storage.join(output, "data", f"train-{index:05d}-of-{len(full):05d}.{suffix}")


def _mds(corpus: CorpusIndex, output: str) -> Iterator[str]:
    """MDS version 2: count, offsets, configuration, samples (github.com/mosaicml/streaming)."""
    names, encodings = [*COLUMNS, *corpus.signals], _encodings(corpus)
    configuration = {
        "column_encodings": encodings,
        "column_names": names,
        "column_sizes": [None] * len(names),
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": None,
        "version": 2,
    }
    entries = []
    header = json.dumps(configuration, sort_keys=True).encode()
    for number, samples in _samples(corpus):
        name = f"shard.{number:05d}.mds"
        size = _write_samples(storage.join(output, name), samples, header)
        raw = {"basename": name, "bytes": size, "hashes": {}}
        entries.append({**configuration, "raw_data": raw, "samples": len(samples), "zip_data": None})
        yield storage.join(output, name)
    yield _write_index(output, {"version": 2, "shards": entries})


def _litdata(corpus: CorpusIndex, output: str) -> Iterator[str]:
    """litdata chunks: count, offsets, samples. The index has the pytree of a sample's strings."""
    leaf: dict[str, object] = {"type": None, "context": None, "children_spec": []}
    names = [*COLUMNS, *corpus.signals]
    tree = [1, {"type": "builtins.dict", "context": json.dumps(names), "children_spec": [leaf] * len(names)}]
    configuration = {
        "chunk_bytes": shards.Output().shard_bytes,
        "chunk_size": None,
        "compression": None,
        "data_format": _encodings(corpus),
        "data_spec": json.dumps(tree),
        "encryption": None,
        "item_loader": "PyTreeLoader",
    }
    entries = []
    for number, samples in _samples(corpus):
        name = f"chunk-0-{number}.bin"
        _write_samples(storage.join(output, name), samples)
        size = sum(map(len, samples))
        entries.append({"chunk_bytes": size, "chunk_size": len(samples), "dim": None, "filename": name})
        yield storage.join(output, name)
    yield _write_index(output, {"chunks": entries, "config": configuration})


def _encodings(corpus: CorpusIndex) -> list[str]:
    """Both formats call them so."""
    return ["str"] * len(COLUMNS) + ["json"] * len(corpus.signals)


def _samples(corpus: CorpusIndex) -> Iterator[tuple[int, list[bytes]]]:
    """(number, samples) of shards with documents. A sample is sizes (uint32), then strings."""
    texts, number = CorpusReader(corpus.shards), 0
    for index in range(len(corpus.shards)):
        samples = []
        for rows in texts.rows(index, *COLUMNS, *corpus.signals):
            columns = [rows[name].cast(pa.large_binary()).to_pylist() for name in COLUMNS]
            columns += [[orjson.dumps(value) for value in rows[name].to_pylist()] for name in corpus.signals]
            samples += [struct.pack(f"<{len(row)}I", *map(len, row)) + b"".join(row) for row in zip(*columns, strict=True)]
        if samples:
            yield number, samples
            number += 1


def _write_samples(uri: str, samples: list[bytes], header: bytes = b"") -> int:
    """Writes count, offsets (uint32; the last is the end), header, samples; returns the size."""
    start = 4 + 4 * (len(samples) + 1) + len(header)
    offsets = start + np.cumsum([0, *map(len, samples)])
    if offsets[-1] >> 32:
        raise RunError(
            f"{uri}: {offsets[-1]:,} bytes, but the format allows {1 << 32:,}: use smaller shards (output.shard_bytes)"
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
    """corpus.bin: all ids. corpus.idx, version 1: type, lengths, byte offsets, documents."""
    small = encoder.vocabulary is not None and max(encoder.vocabulary, (end or 0) + 1) < 65500
    dtype, code = (np.dtype("<u2"), 8) if small else (np.dtype("<i4"), 4)
    texts, lengths = CorpusReader(corpus.shards), array("i")
    bin_, idx = (storage.join(output, f"corpus.{suffix}") for suffix in ("bin", "idx"))
    with storage.commit(bin_) as sink:
        for shard in range(len(corpus.shards)):
            for rows in texts.rows(shard, "text"):
                for first in range(0, len(rows), _BATCH_TEXTS):
                    ids, counts = encoder.encode(rows["text"].slice(first, _BATCH_TEXTS).combine_chunks())
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


_TEXT_WRITERS: dict[str, Callable[[CorpusIndex, str], Iterator[str]]] = {
    "mds": _mds,
    "parquet": _parquet,
    "litdata": _litdata,
    "jsonl": _jsonl,
}
FORMATS: tuple[Format, ...] = get_args(Format)
