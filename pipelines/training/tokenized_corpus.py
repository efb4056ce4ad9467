"""The documents of a run as token ids in memory, to train small models on in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.core.arrays import Ints
from tamis.transforms.feed.corpus_index import CorpusReader, load_corpus
from tamis.transforms.feed.packing import PackedBatch
from tamis.transforms.feed.text_to_ids import Tokenizer, token_counts
from tamis.transforms.text.hashing import hash_texts, mix


@dataclass(frozen=True)
class TokenizedCorpus:
    """Documents in the order of the run as concatenated ids, each with an end id, and what they are
    ordered and sampled by."""

    ids: npt.NDArray[np.int32]
    lengths: Ints
    quality: npt.NDArray[np.float32]
    tie_break: npt.NDArray[np.uint64]
    source: Ints


def read_corpus(run: str, tokenizer: Tokenizer, kept: npt.NDArray[np.bool_] | None = None) -> TokenizedCorpus:
    """The documents of a finished run, or of them those that are `kept`, bool[documents]."""
    shards = load_corpus(run).shards
    reader = CorpusReader(shards)
    parts, first = [], 0
    for index in range(len(shards)):
        for part in reader.rows(index, "id", "text", "source", "quality"):
            parts.append(part if kept is None else part.filter(pa.array(kept[first : first + len(part)])))
            first += len(part)
    table = pa.concat_tables(parts)
    ids, lengths = tokenizer.encode(table["text"].combine_chunks().cast(pa.large_string()))
    if tokenizer.end is not None:
        ids, lengths = np.insert(ids, np.cumsum(lengths), tokenizer.end), lengths + 1
    quality = table["quality"].to_numpy().astype(np.float32)
    return TokenizedCorpus(ids, lengths, quality, _hash_ids(table), _number_sources(table))


@dataclass(frozen=True)
class DocumentSizes:
    """All documents in the order of the run: tokens with the end, a hash of the id, and the source."""

    lengths: Ints
    tie_break: npt.NDArray[np.uint64]
    source: Ints


def sample(documents: DocumentSizes | TokenizedCorpus, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which documents are in a sample of each source, of `share` of its tokens rounded up to whole
    documents. Of a document all copies are, or none."""
    draw = mix(documents.tie_break, seed)
    order = np.lexsort((draw, documents.source))
    source, draw, tokens = documents.source[order], draw[order], documents.lengths[order]
    place = np.arange(len(order))
    opens = np.diff(source, prepend=source[:1] - 1) != 0
    first_copy = np.maximum.accumulate(np.where(opens | (np.diff(draw, prepend=draw[:1]) != 0), place, 0))
    before = np.cumsum(tokens) - tokens
    inside = (before - before[np.maximum.accumulate(np.where(opens, place, 0))])[first_copy]
    _, index = np.unique(source, return_inverse=True)
    kept = np.empty(len(order), bool)
    kept[order] = inside < share * np.bincount(index, tokens)[index]
    return kept


def measure_documents(run: str, tokenizer: Tokenizer) -> DocumentSizes:
    """Counts the tokens of all documents of a finished run, a row group at a time."""
    shards = load_corpus(run).shards
    reader = CorpusReader(shards)
    counts, columns = [], []
    for index in range(len(shards)):
        for part in reader.rows(index, "id", "text", "source"):
            counts.append(token_counts(tokenizer, part["text"].combine_chunks().cast(pa.large_string())))
            columns.append(part.select(["id", "source"]))
    table = pa.concat_tables(columns)
    lengths = np.concatenate(counts) + (tokenizer.end is not None)
    return DocumentSizes(lengths, _hash_ids(table), _number_sources(table))


def make_batches(corpus: TokenizedCorpus, documents: Ints, length: int, batch_size: int) -> list[PackedBatch]:
    """The documents, concatenated and cut into sequences. The last batch may be smaller."""
    starts = np.cumsum(corpus.lengths) - corpus.lengths
    size = corpus.lengths[documents]
    inside = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    tokens = corpus.ids[np.repeat(starts[documents], size) + inside]
    full = len(tokens) // length * length
    shape = (-1, length)
    owner = np.repeat(np.arange(len(documents)), size)[:full].reshape(shape)
    segments = (owner - owner[:, :1] + 1).astype(np.int32) if full else owner.astype(np.int32)
    column = np.arange(length)[None]
    first = np.where(np.diff(segments, axis=1, prepend=0) > 0, column, 0)
    positions = (column - np.maximum.accumulate(first, axis=1)).astype(np.int32)
    sequences = tokens[:full].reshape(shape).astype(np.int64)
    slices = [slice(at, at + batch_size) for at in range(0, len(segments), batch_size)]
    return [PackedBatch(sequences[rows], segments[rows], positions[rows]) for rows in slices]


def _hash_ids(table: pa.Table) -> npt.NDArray[np.uint64]:
    return hash_texts(table["id"].combine_chunks().cast(pa.large_string()))


def _number_sources(table: pa.Table) -> Ints:
    sources = table["source"].combine_chunks().cast(pa.large_string()).dictionary_encode()
    return np.asarray(sources.indices.fill_null(-1).to_numpy().astype(np.int64))
