"""The token stream of a corpus under a tokenizer: where each document lies in it, and the sequences it is packed into.

All of it follows from the numbers of tokens of the documents, so a rank tokenises only the documents of its own sequences.
The numbers of a shard are those the run counted, when its recipe names the same tokenizer; else those that
tokenising the shard once gives. Both are kept in the cache. Each rank reads every shard, as its sequences lie in all of them:
reading and checking is tens of times faster than tokenising.
"""

from __future__ import annotations

import io
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.feed.corpus_index import CorpusIndex, CorpusReader, Ints, Shard
from tamis.transforms.feed.encode import Tokenizer
from tamis.transforms.feed.packing import Laid, Pieces, best_fit, cut, joined, lay

Packing = Literal["cut", "best_fit"]

WINDOW = 256
"""Sequences in a window of best fit, about: how far a document may stray from its place."""

_SHARDS = 4  # whose numbers are kept
_AT_ONCE = 256


@dataclass(frozen=True)
class Located:
    """Where the documents of a shard begin and end: in the stream, and in the run's own count of tokens."""

    stream: Ints
    run: Ints


class Stream:
    """Documents as stretches of a stream of tokens: its ids, each with `end` behind it where one is given."""

    def __init__(self, corpus: CorpusIndex, tokenizer: Tokenizer, end: int | None, cache: str | None) -> None:
        self.corpus, self.tokenizer, self.end, self._cache = corpus, tokenizer, end, cache
        self._as_counted = tokenizer.name is not None and tokenizer.name == corpus.tokenizer
        self._texts = CorpusReader(corpus.shards)
        self._first_documents = np.array([shard.first_document for shard in corpus.shards], np.int64)
        self._starts = [0]  # of the shards that are known so far, and of what follows them
        self._shards = lru_cache(_SHARDS)(self._located)
        self._kept: dict[int, npt.NDArray[np.int32]] = {}

    def start(self, shard: int) -> int:
        """First token of a shard; of the shard after the last, the length of the stream."""
        while len(self._starts) <= shard:
            index = len(self._starts) - 1
            of = self.corpus.shards[index]
            tokens = of.tokens if self._as_counted else int(self.counts(index)[0].sum())
            self._starts.append(self._starts[-1] + tokens + of.documents * (self.end is not None))
        return self._starts[shard]

    def shards(self, first: int, stop: int) -> range:
        """The shards that hold tokens of [first, stop); no later shard is looked at."""
        count = len(self.corpus.shards)
        while self._starts[-1] < stop and len(self._starts) <= count:
            self.start(len(self._starts))
        return range(bisect_right(self._starts, first) - 1, min(bisect_left(self._starts, stop), count))

    def located(self, shard: int) -> Located:
        """Where the documents of a shard lie."""
        return self._shards(shard)

    def run_token(self, token: int) -> float:
        """The token of the run, by the run's own count, that stands where this one of the stream does."""
        at = self.shards(token, token + 1)
        if not at:
            return float(self.corpus.tokens)
        found = self.located(at[0])
        return float(np.interp(token, found.stream, found.run))

    def ids(self, documents: Ints) -> tuple[npt.NDArray[np.int32], Ints]:
        """The ids of documents, given by rising numbers, and where each begins. RunError when they are not as many as indexed.

        The documents of the call before are not tokenised again: a long one reaches over many batches.
        """
        new = documents[[number not in self._kept for number in documents.tolist()]]
        fresh: list[npt.NDArray[np.int32]] = []
        for texts in self._pieces(new):
            fresh += self._encoded(*self.tokenizer.encode(texts))
        made = dict(zip(new.tolist(), fresh, strict=True))
        self._kept = {number: made[number] if number in made else self._kept[number] for number in documents.tolist()}
        arrays = list(self._kept.values())
        lengths = np.fromiter(map(len, arrays), np.int64, len(arrays))
        if (other := lengths != self._indexed(documents)).any():
            raise RunError(
                f"document {documents[other][0]} has not the tokens that its index says: '{self.tokenizer.name}' gives other "
                "ids now. A changed tokenizer needs another name"
            )
        return np.concatenate([np.zeros(0, np.int32), *arrays]), np.cumsum(lengths) - lengths

    def _indexed(self, documents: Ints) -> Ints:
        """The tokens of documents, given by rising numbers, by the index."""
        of = np.searchsorted(self._first_documents, documents, side="right") - 1
        parts = [np.zeros(0, np.int64)]
        for index in np.unique(of).tolist():
            rows = documents[of == index] - self._first_documents[index]
            parts.append(np.diff(self.located(index).stream)[rows])
        return np.concatenate(parts)

    def _encoded(self, ids: npt.NDArray[np.int32], lengths: Ints) -> list[npt.NDArray[np.int32]]:
        each = np.split(ids, np.cumsum(lengths)[:-1])
        if self.end is None:
            return each
        return [np.append(one, np.int32(self.end)) for one in each]

    def _located(self, index: int) -> Located:
        lengths, run = self.counts(index)
        stream = np.cumsum(np.append(self.start(index), lengths + (self.end is not None)))
        return Located(stream, np.cumsum(np.append(self.corpus.shards[index].first_token, run)))

    def counts(self, index: int) -> Ints:
        """The tokens of each document of a shard, (2, documents): by the tokenizer, and as the run counted them."""
        shard, uri = self.corpus.shards[index], self._index(index)
        if uri is not None and storage.exists(uri):
            with suppress(EOFError, ValueError):  # torn: it is not synced, and a machine may lose its power
                counts = np.load(io.BytesIO(storage.read_bytes(uri)), allow_pickle=False)
                if counts.shape == (2, shard.documents):
                    return counts.astype(np.int64)
        run = np.concatenate(
            [np.zeros(0, np.int64), *(rows["tokens"].to_numpy() for rows in self._texts.rows(index, "tokens"))]
        )
        counts = np.stack([run if self._as_counted else self._tokenised(shard), run])
        if uri is not None:
            self._keep(uri, counts)
        return counts

    def _tokenised(self, shard: Shard) -> Ints:
        documents = np.arange(shard.first_document, shard.first_document + shard.documents)
        return np.concatenate([np.zeros(0, np.int64), *(self.tokenizer.encode(texts)[1] for texts in self._pieces(documents))])

    def _pieces(self, documents: Ints) -> Iterator[pa.Array]:
        """The texts of documents, `_AT_ONCE` at a time: their ids would take more room than they do."""
        for texts in self._texts.take(documents):
            for first in range(0, len(texts), _AT_ONCE):
                yield texts.slice(first, _AT_ONCE)

    def _keep(self, uri: str, counts: Ints) -> None:
        file = io.BytesIO()
        np.save(file, counts.astype(np.uint32))
        try:
            storage.write_bytes(uri, file.getvalue(), durable=False)
        except OSError as error:
            self._cache = None
            warnings.warn(
                f"the numbers of tokens cannot be kept ({error}), so each loader counts again: name a folder (cache=…), or "
                "None for none",
                stacklevel=2,
            )

    def _index(self, index: int) -> str | None:
        if self._cache is None or self.tokenizer.name is None:
            return None
        return storage.join(self._cache, f"{fingerprint([self.tokenizer.name, self.corpus.shards[index].sha256])}.npy")


class Sequences(Protocol):
    """A stream packed into sequences of one length, numbered in the order of the run."""

    def pieces(self, first: int, stop: int) -> Pieces:
        """What sequences [first, stop) hold; those after the last hold nothing. Documents are numbered in the whole corpus."""
        ...

    def has(self, sequence: int) -> bool:
        """Whether there is such a sequence."""
        ...

    def run_token(self, sequence: int) -> float:
        """The token of the run, by its own count, at which a sequence begins."""
        ...

    def count(self) -> int:
        """All of them: every shard must be known for this."""
        ...


class Cut:
    """Concatenate and cut: sequence n is tokens [n·size, (n + 1)·size) of the stream."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream, self._size = stream, size

    def pieces(self, first: int, stop: int) -> Pieces:
        low, high = first * self._size, stop * self._size
        of = self._stream.shards(low, high)
        shards = self._stream.corpus.shards
        found = [cut(self._stream.located(k).stream, low, high, self._size).moved(shards[k].first_document, 0) for k in of]
        return joined(found)

    def has(self, sequence: int) -> bool:
        token = sequence * self._size
        return len(self._stream.shards(token, token + 1)) > 0

    def run_token(self, sequence: int) -> float:
        return self._stream.run_token(sequence * self._size)

    def count(self) -> int:
        return -(-self._stream.start(len(self._stream.corpus.shards)) // self._size)


class BestFit:
    """Best fit in windows: a document belongs to the window in whose `WINDOW`·size tokens of the stream it begins.

    To know the number of a sequence, all before it are packed, by their lengths alone.
    """

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream, self._size, self._span = stream, size, WINDOW * size
        self._starts = [0]  # first sequence of each window that is known so far, and of what follows them
        self._window = lru_cache(4)(self._packed)

    def pieces(self, first: int, stop: int) -> Pieces:
        found = []
        for window in self._windows(first, stop):
            packed, start = self._window(window), self._starts[window]
            there = (packed.sequence >= first - start) & (packed.sequence < stop - start)
            found.append(packed.where(there).moved(0, start))
        return joined(found)

    def has(self, sequence: int) -> bool:
        return len(self._windows(sequence, sequence + 1)) > 0

    def run_token(self, sequence: int) -> float:
        """Sequences share the tokens of their window evenly."""
        of = self._windows(sequence, sequence + 1)
        if not of:
            return float(self._stream.corpus.tokens)
        window = of[0]
        low, high = (self._stream.run_token(at * self._span) for at in (window, window + 1))
        start, stop = self._starts[window], self._starts[window + 1]
        return low + (high - low) * (sequence - start) / (stop - start)

    def count(self) -> int:
        while self._more():
            pass
        return self._starts[-1]

    def _windows(self, first: int, stop: int) -> list[int]:
        """The windows that hold sequences of [first, stop)."""
        while self._starts[-1] < stop and self._more():
            pass
        low = int(np.searchsorted(self._starts, first, side="right")) - 1
        high = int(np.searchsorted(self._starts, stop, side="left"))
        return [window for window in range(low, min(high, len(self._starts) - 1)) if self._starts[window + 1] > first]

    def _more(self) -> bool:
        """Packs one window more; False when there is none."""
        window = len(self._starts) - 1
        if not self._stream.shards(window * self._span, window * self._span + 1):
            return False
        packed = self._window(window)
        self._starts.append(self._starts[-1] + (int(packed.sequence[-1]) + 1 if len(packed.sequence) else 0))
        return True

    def _packed(self, window: int) -> Pieces:
        low, high = window * self._span, (window + 1) * self._span
        lengths, documents = [], []
        for index in self._stream.shards(low, high):
            stream = self._stream.located(index).stream
            begins = np.flatnonzero((stream[:-1] >= low) & (stream[:-1] < high))
            lengths.append(np.diff(stream)[begins])
            documents.append(begins + self._stream.corpus.shards[index].first_document)
        packed = best_fit(np.concatenate(lengths), self._size)
        return Pieces(np.concatenate(documents)[packed.document], packed.start, packed.length, packed.sequence)


PACKINGS: dict[Packing, type[Cut | BestFit]] = {"cut": Cut, "best_fit": BestFit}


def laid(stream: Stream, sequences: Sequences, first: int, stop: int, size: int) -> Laid:
    """Sequences [first, stop) as arrays; only the documents they hold are tokenised."""
    pieces = sequences.pieces(first, stop).moved(0, -first)
    documents, which = np.unique(pieces.document, return_inverse=True)
    ids, at = stream.ids(documents)
    return lay(pieces, ids, at[which] + pieces.start, stop - first, size)
