"""The token stream of a corpus under a tokenizer: the place of each document, and the sequences.

All of this follows from the token counts of the documents, so a rank tokenises only the documents
of its own sequences. A shard's counts are the run's own if its recipe names the same tokenizer;
otherwise the shard is tokenised once. Both kinds are cached. Every rank reads every shard, since
its sequences lie in all of them; that is tens of times faster than tokenising.

Documents are numbered by their places. In a patch, a document that was taken down keeps its place and
its tokens in the stream, and its pieces are padding: all others are where they were.
"""

import io
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.feed.corpus_index import CorpusIndex, CorpusReader, Shard, load_corpus
from tamis.transforms.feed.gaps import places
from tamis.transforms.feed.packing import PackedBatch, Pieces, best_fit, concatenate, cut, fill_batch
from tamis.transforms.feed.text_to_ids import Ids, Tokenizer, token_counts

Packing = Literal["cut", "best_fit"]

WINDOW = 256
"""Size of a best-fit window in sequences: how far a document may move from its place."""

_SHARDS = 4  # whose document offsets stay in memory
_BATCH_TEXTS = 256


@dataclass(frozen=True)
class DocumentOffsets:
    """Bounds of a shard's documents (documents + 1), in the stream and in the run's own count."""

    stream: Ints
    run: Ints


class TokenStream:
    """All documents as one stream of token ids, each followed by `end` unless that is None.
    `first_places`: the number of the first document of each shard, and of one after the last."""

    def __init__(self, corpus: CorpusIndex, tokenizer: Tokenizer, end: int | None, cache: str | None) -> None:
        self.corpus, self.tokenizer, self.end, self._cache = corpus, tokenizer, end, cache
        self._counted_by_run = tokenizer.name is not None and tokenizer.name == corpus.tokenizer
        self._texts = CorpusReader(corpus.shards)
        self.first_places = np.cumsum([0, *(shard.places for shard in corpus.shards)])
        self._starts = [0]  # first tokens of the shards counted so far, and of the next one
        self.offsets = lru_cache(_SHARDS)(self._offsets)
        self._ids: dict[int, Ids] = {}  # of the documents of the last call of `ids`

    def start(self, shard: int) -> int:
        """First token of a shard; for the number after the last, the length of the stream."""
        while len(self._starts) <= shard:
            index = len(self._starts) - 1
            entry = self.corpus.shards[index]
            tokens = entry.place_tokens if self._counted_by_run else int(self.counts(index)[0].sum())
            self._starts.append(self._starts[-1] + tokens + entry.places * (self.end is not None))
        return self._starts[shard]

    def shards(self, first: int, stop: int) -> range:
        """The shards that hold tokens of [first, stop). Counts no later shard."""
        count = len(self.corpus.shards)
        while self._starts[-1] < stop and len(self._starts) <= count:
            self.start(len(self._starts))
        return range(bisect_right(self._starts, first) - 1, min(bisect_left(self._starts, stop), count))

    def run_token(self, token: int) -> float:
        """The position in the run's own token count that corresponds to a token of the stream."""
        shards = self.shards(token, token + 1)
        if not shards:
            return float(self.corpus.tokens)
        offsets = self.offsets(shards[0])
        return float(np.interp(token, offsets.stream, offsets.run))

    def stored(self, documents: Ints) -> Ints:
        """The numbers in the files of documents, whose numbers must ascend; -1 if one was taken down."""
        numbers = documents.copy()
        shard_of = np.searchsorted(self.first_places, documents, side="right") - 1
        for index in np.unique(shard_of).tolist():
            shard, own = self.corpus.shards[index], shard_of == index
            row = documents[own] - self.first_places[index]
            left = shard.first_document + row - np.searchsorted(shard.gaps, row)
            numbers[own] = np.where(np.isin(row, shard.gaps), -1, left)
        return numbers

    def ids(self, documents: Ints) -> tuple[Ids, Ints]:
        """(ids, starts) of documents that are there, whose numbers must ascend. Raises RunError if a
        count differs from the index. Documents of the call before are not tokenised again: a long
        document reaches over many batches."""
        new = documents[[number not in self._ids for number in documents.tolist()]]
        encoded: list[Ids] = []
        for texts in self._text_batches(self.stored(new)):
            encoded += self._encode(texts)
        ids = dict(zip(new.tolist(), encoded, strict=True))
        self._ids = {number: ids[number] if number in ids else self._ids[number] for number in documents.tolist()}
        arrays = list(self._ids.values())
        lengths = np.fromiter(map(len, arrays), np.int64, len(arrays))
        if (differs := lengths != self._indexed_lengths(documents)).any():
            raise RunError(
                f"the token count of document {documents[differs][0]} differs from the index: tokenizer "
                f"'{self.tokenizer.name}' has changed. Give a changed tokenizer another name"
            )
        return np.concatenate([np.zeros(0, np.int32), *arrays]), np.cumsum(lengths) - lengths

    def _indexed_lengths(self, documents: Ints) -> Ints:
        """Lengths of documents, whose numbers must ascend, by their shards' offsets."""
        shard_of = np.searchsorted(self.first_places, documents, side="right") - 1
        parts = [np.zeros(0, np.int64)]
        for index in np.unique(shard_of).tolist():
            rows = documents[shard_of == index] - self.first_places[index]
            parts.append(np.diff(self.offsets(index).stream)[rows])
        return np.concatenate(parts)

    def _encode(self, texts: pa.Array) -> list[Ids]:
        ids, lengths = self.tokenizer.encode(texts)
        documents = np.split(ids, np.cumsum(lengths)[:-1])
        if self.end is None:
            return documents
        return [np.append(document, np.int32(self.end)) for document in documents]

    def _offsets(self, index: int) -> DocumentOffsets:
        lengths, run = self.counts(index)
        stream = np.cumsum(np.append(self.start(index), lengths + (self.end is not None)))
        return DocumentOffsets(stream, np.cumsum(np.append(self.corpus.shards[index].first_token, run)))

    def counts(self, index: int) -> Ints:
        """Token counts of a shard's places, (2, places): by tokenizer and by run."""
        shard, uri = self.corpus.shards[index], self._cache_uri(index)
        if uri is not None and storage.exists(uri):
            with suppress(EOFError, ValueError):  # cut short by a power failure
                counts = np.load(io.BytesIO(storage.read_bytes(uri)), allow_pickle=False)
                if counts.shape == (2, shard.places):
                    return counts.astype(np.int64)
        run = np.concatenate(
            [np.zeros(0, np.int64), *(rows["tokens"].to_numpy() for rows in self._texts.rows(index, "tokens"))]
        )
        if len(shard.gaps):
            run = np.concatenate([shard.gap_tokens, run])[np.argsort(np.append(shard.gaps, places(shard.gaps, len(run))))]
        own = run if self._counted_by_run else self._count_patched(index) if len(shard.gaps) else self._count_tokens(shard)
        counts = np.stack([own, run])
        if uri is not None:
            self._save(uri, counts)
        return counts

    def _count_tokens(self, shard: Shard) -> Ints:
        documents = np.arange(shard.first_document, shard.first_document + shard.documents)
        counts = (token_counts(self.tokenizer, texts) for texts in self._text_batches(documents))
        return np.concatenate([np.zeros(0, np.int64), *counts])

    def _count_patched(self, index: int) -> Ints:
        """Token counts of the places of a shard with gaps, in the release that has their texts."""
        patched, shard = self.corpus.patched, self.corpus.shards[index]
        try:
            before = load_corpus(patched)
        except FileNotFoundError as error:
            raise RunError(_uncounted(patched)) from error
        if before.shards[index].places != shard.places:
            raise RunError(_uncounted(patched))
        return TokenStream(before, self.tokenizer, self.end, self._cache).counts(index)[0]

    def _text_batches(self, documents: Ints) -> Iterator[pa.Array]:
        """The texts of documents, a few at a time: their ids take more memory than they do."""
        for texts in self._texts.take(documents):
            for first in range(0, len(texts), _BATCH_TEXTS):
                yield texts.slice(first, _BATCH_TEXTS)

    def _save(self, uri: str, counts: Ints) -> None:
        file = io.BytesIO()
        np.save(file, counts.astype(np.uint32))
        try:
            storage.write_bytes(uri, file.getvalue(), durable=False)
        except OSError as error:
            self._cache = None
            warnings.warn(
                f"token counts cannot be cached ({error}), so every loader counts again: name another folder (cache=…), or "
                "None for no cache",
                stacklevel=2,
            )

    def _cache_uri(self, index: int) -> str | None:
        if self._cache is None or self.tokenizer.name is None:
            return None
        return storage.join(self._cache, counts_file(self.tokenizer.name, self.corpus.shards[index]))


def counts_file(tokenizer: str, shard: Shard) -> str:
    """The name in the cache of the token counts of a shard."""
    return f"{fingerprint([tokenizer, shard.sha256])}.npy"


def _uncounted(patched: str) -> str:
    return (
        f"documents that were taken down keep the places that they had in {patched}. Their texts are gone, so no tokenizer but "
        "that of the recipe (rate.tokens.tokenizer) and those that the run was indexed for (tamis index) knows how many tokens "
        "these have: use one of them, or make a new release"
    )


class PackedSequences(Protocol):
    """A stream packed into sequences of one length, numbered in the order of the run."""

    def pieces(self, first: int, stop: int) -> Pieces:
        """The pieces in sequences [first, stop). Document numbers are those of their places."""

    def has(self, sequence: int) -> bool:
        """Whether this sequence exists."""

    def run_token(self, sequence: int) -> float:
        """The position in the run's own token count at which a sequence begins."""

    def count(self) -> int:
        """The number of sequences. Counts every shard that is not counted yet."""


class CutSequences:
    """Concatenate and cut: sequence n is tokens [n·size, (n + 1)·size) of the stream."""

    def __init__(self, stream: TokenStream, size: int) -> None:
        self._stream, self._size = stream, size

    def pieces(self, first: int, stop: int) -> Pieces:
        low, high = first * self._size, stop * self._size
        return concatenate(
            [
                cut(self._stream.offsets(index).stream, low, high, self._size).shifted(int(self._stream.first_places[index]), 0)
                for index in self._stream.shards(low, high)
            ]
        )

    def has(self, sequence: int) -> bool:
        token = sequence * self._size
        return len(self._stream.shards(token, token + 1)) > 0

    def run_token(self, sequence: int) -> float:
        return self._stream.run_token(sequence * self._size)

    def count(self) -> int:
        return -(-self._stream.start(len(self._stream.corpus.shards)) // self._size)


class BestFitSequences:
    """Best fit in windows of `WINDOW`·size tokens; a document is in the window it begins in. To
    number a sequence, all windows before it are packed, from the documents' lengths alone."""

    def __init__(self, stream: TokenStream, size: int) -> None:
        self._stream, self._size, self._span = stream, size, WINDOW * size
        self._starts = [0]  # first sequences of the windows packed so far, and of the next one
        self._window = lru_cache(4)(self._pack_window)

    def pieces(self, first: int, stop: int) -> Pieces:
        parts = []
        for window in self._windows(first, stop):
            packed, start = self._window(window), self._starts[window]
            inside = (packed.sequence >= first - start) & (packed.sequence < stop - start)
            parts.append(packed.take(inside).shifted(0, start))
        return concatenate(parts)

    def has(self, sequence: int) -> bool:
        return len(self._windows(sequence, sequence + 1)) > 0

    def run_token(self, sequence: int) -> float:
        """The sequences of a window share its tokens evenly."""
        windows = self._windows(sequence, sequence + 1)
        if not windows:
            return float(self._stream.corpus.tokens)
        window = windows[0]
        low, high = (self._stream.run_token(number * self._span) for number in (window, window + 1))
        start, stop = self._starts[window], self._starts[window + 1]
        return low + (high - low) * (sequence - start) / (stop - start)

    def count(self) -> int:
        while self._pack_next():
            pass
        return self._starts[-1]

    def _windows(self, first: int, stop: int) -> list[int]:
        while self._starts[-1] < stop and self._pack_next():
            pass
        low = int(np.searchsorted(self._starts, first, side="right")) - 1
        high = int(np.searchsorted(self._starts, stop, side="left"))
        return [window for window in range(low, min(high, len(self._starts) - 1)) if self._starts[window + 1] > first]

    def _pack_next(self) -> bool:
        """Packs the next window; False at the end of the stream."""
        window = len(self._starts) - 1
        if not self._stream.shards(window * self._span, window * self._span + 1):
            return False
        packed = self._window(window)
        self._starts.append(self._starts[-1] + (int(packed.sequence[-1]) + 1 if len(packed.sequence) else 0))
        return True

    def _pack_window(self, window: int) -> Pieces:
        low, high = window * self._span, (window + 1) * self._span
        lengths, documents = [], []
        for index in self._stream.shards(low, high):
            stream = self._stream.offsets(index).stream
            rows = np.flatnonzero((stream[:-1] >= low) & (stream[:-1] < high))
            lengths.append(np.diff(stream)[rows])
            documents.append(rows + self._stream.first_places[index])
        packed = best_fit(np.concatenate(lengths), self._size)
        return Pieces(np.concatenate(documents)[packed.document], packed.start, packed.length, packed.sequence)


PACKINGS: dict[Packing, type[CutSequences | BestFitSequences]] = {"cut": CutSequences, "best_fit": BestFitSequences}


def pack(stream: TokenStream, sequences: PackedSequences, first: int, stop: int, size: int) -> PackedBatch:
    """Sequences [first, stop) as arrays. Only the documents in them are tokenised."""
    pieces = sequences.pieces(first, stop).shifted(0, -first)
    documents, row = np.unique(pieces.document, return_inverse=True)
    there = stream.stored(documents) >= 0
    ids, starts = stream.ids(documents[there])
    at = np.full(len(documents), -1)
    at[there] = starts
    return fill_batch(pieces, ids, np.where(there[row], at[row] + pieces.start, -1), stop - first, size)
