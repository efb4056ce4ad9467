"""A finished run as batches for training: tokenised, packed, in exactly the planned order, with the learning rate of each step.

Sequences are numbered 0, 1, 2, … in the order of the run. Step s takes sequences [s·B, (s + 1)·B) and rank r of W its r-th
part of them, so the ranks together, step by step, read the run in order whatever W is, and any step can be where one resumes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count
from multiprocessing import get_context
from typing import Any, Final, Literal, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.tokenizer import TokenizerId, tokenizer_key
from tamis.transforms.feed.corpus_index import CorpusIndex, load_corpus
from tamis.transforms.feed.encode import Tokenizer, load_tokenizer, tokenizer_id
from tamis.transforms.feed.stream import PACKINGS, Packing, Sequences, Stream, laid
from tamis.transforms.runtime.prefetch import prefetch

FORMAT: Final = "tamis.feed/1"
CACHE: Final = ".feed"
INDEX: Final = "index.json"
"""In the cache: for which corpus and tokenizers `index` filled it."""
INDEX_FORMAT: Final = "tamis.index/1"


class Batch(NamedTuple):
    """What one rank trains on in one step. Arrays are (sequences of this rank, tokens of a sequence).

    A segment is a stretch of one document: attention that stays inside segments, and positions that begin at 0 in each,
    keep documents apart. Where `segments` is 0 there is nothing: the end of the run, or room that best fit left.
    `learning_rate` is the plan's exact mean over the tokens [first_token, end_token) of the run that the step stands for, so
    that all steps together have the plan's mass; tokens are those the run counted.
    """

    tokens: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    step: int
    learning_rate: float
    first_token: int
    end_token: int


class CurriculumDataset:
    """Iterates over the batches of one rank. Each iteration begins where `load_state_dict` put it, or at the start.

    `batch_size` is the number of sequences of all ranks together. `end` is the id put behind each document: `"own"` the
    tokenizer's, None none. `cache` is the folder or prefix where the numbers of tokens of documents are kept, by tokenizer; by
    default `.feed` in the run, None keeps none. `prefetch` batches are made ahead, in one thread. Every byte of text is
    checked against the manifest before it is yielded.

    Raises FileNotFoundError for a run that is not finished, RunError for a plan or a shard that is not the manifest's, and for
    another tokenizer than the cache was indexed for.
    """

    def __init__(
        self,
        run: str,
        tokenizer: str | Callable[[str], Sequence[int]] | Tokenizer,
        sequence_length: int,
        batch_size: int,
        *,
        rank: int = 0,
        world_size: int = 1,
        packing: Packing = "cut",
        end: int | Literal["own"] | None = "own",
        cache: str | None = "",
        prefetch: int = 2,
    ) -> None:
        if sequence_length < 1 or batch_size < 1 or batch_size % world_size:
            raise RunError(
                f"{batch_size} sequences of {sequence_length} tokens for {world_size} ranks: each must get as many, and some"
            )
        if not 0 <= rank < world_size:
            raise RunError(f"rank {rank} of {world_size}: ranks are 0 to {world_size - 1}")
        self.corpus = load_corpus(run)
        self.tokenizer = load_tokenizer(tokenizer)
        self.sequence_length, self.batch_size = sequence_length, batch_size
        self.rank, self.world_size = rank, world_size
        self.packing, self.prefetch = packing, prefetch
        self.end = self.tokenizer.end if end == "own" else end
        self.cache = storage.join(run, CACHE) if cache == "" else cache
        _check_index(self.corpus, self.tokenizer, self.cache)
        self._from = (0, 0)  # step, and its first sequence
        self._done: int | None = None  # steps that this object has yielded itself

    def __iter__(self) -> Iterator[Batch]:
        return self._iterate(0, 1)

    @property
    def steps(self) -> int:
        """The number of steps from the start of the run to its end. Every document must have been counted for this."""
        sequences = self._sequences()[1].count()
        step, at = self._from
        return step + -(-max(sequences - at, 0) // self.batch_size)

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """Where to go on after so many finished steps; by default those that this object has yielded.

        In a DataLoader with workers it is copies of this object that yield: give the step. The state fits any world size, and
        any number of workers; the batch size may change too.
        """
        step = self._done if step is None else step
        if step is None:
            raise RunError("nothing was read through this object itself, perhaps by worker processes: give the finished steps")
        begun, first = self._from
        if step < begun:
            raise RunError(f"step {step} lies before step {begun}, where this dataset began")
        return {
            "format": FORMAT,
            "corpus": self.corpus.root,
            "stream": self._stream_mark,
            "step": step,
            "sequence": first + (step - begun) * self.batch_size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on there. Raises RunError for the state of another corpus, tokenizer, sequence length or packing."""
        if state.get("format") != FORMAT:
            raise RunError(f"this is no state of {FORMAT}")
        if state["corpus"] != self.corpus.root:
            raise RunError(f"this is the state of another corpus than '{self.corpus.run}': {state['corpus'][:16]}…")
        if state["stream"] != self._stream_mark:
            raise RunError("this is the state of another tokenizer, end, sequence length or packing: its sequences are others")
        self._from, self._done = (int(state["step"]), int(state["sequence"])), None

    def shuffle(self, *_: object, **__: object) -> NoReturn:
        """Always an error: the order is what the run was made for."""
        raise RunError("a run is read in its planned order; for a shuffled one set curriculum.order: uniform in the recipe")

    def __getitem__(self, _: object) -> NoReturn:
        raise RunError("batches are read in their order, by iteration: a sampler would read them in another")

    @property
    def _stream_mark(self) -> str:
        return fingerprint([self.tokenizer.name, self.end, self.sequence_length, self.packing])

    def _sequences(self) -> tuple[Stream, Sequences]:
        stream = Stream(self.corpus, self.tokenizer, self.end, self.cache)
        return stream, PACKINGS[self.packing](stream, self.sequence_length)

    def _iterate(self, worker: int, workers: int) -> Iterator[Batch]:
        """Every `workers`-th step: what a DataLoader puts together in turn is every step in order."""
        batches = self._batches(worker, workers)
        for batch in prefetch(batches, self.prefetch) if self.prefetch else batches:
            self._done = batch.step + 1
            yield batch

    def _batches(self, worker: int, workers: int) -> Iterator[Batch]:
        stream, sequences = self._sequences()  # its own: an iteration runs in a thread
        begun, start = self._from
        share = self.batch_size // self.world_size
        for step in count(begun + worker, workers):
            first = start + (step - begun) * self.batch_size
            if not sequences.has(first):
                return
            own = first + self.rank * share
            arrays = laid(stream, sequences, own, own + share, self.sequence_length)
            low, high = sequences.run_token(first), sequences.run_token(first + self.batch_size)
            rate = self.corpus.learning_rate(low, high)
            yield Batch(arrays.tokens, arrays.segments, arrays.positions, step, rate, int(low), int(high))


def index(run: str, tokenizer: str | Tokenizer, cache: str = "", processes: int = 0) -> int:
    """Counts the tokens of every document once, a shard at a time in each process (0: one a core), and keeps the numbers.

    Without it each rank counts for itself what it comes to; with it a rank tokenises only its own documents. Returns how many
    tokens there are, ends left out. Raises RunError for a tokenizer without a name, under which nothing can be kept.
    """
    encoder = load_tokenizer(tokenizer)
    if encoder.name is None:
        raise RunError("the numbers of tokens are kept under the tokenizer's name: give it one")
    shards = range(len(load_corpus(run).shards))
    with ProcessPoolExecutor(processes or os.cpu_count(), get_context("spawn")) as pool:
        counted = sum(pool.map(partial(_index_shard, run, encoder, cache), shards))
    _record_index(load_corpus(run), encoder, cache or storage.join(run, CACHE))
    return counted


def _indexed(corpus: CorpusIndex, cache: str) -> list[TokenizerId]:
    """The tokenizers that the cache was indexed for, for this corpus."""
    uri = storage.join(cache, INDEX)
    found = (storage.read_json(uri) if storage.exists(uri) else None) or {}
    return found["tokenizers"] if found.get("corpus") == corpus.root else []


def _record_index(corpus: CorpusIndex, tokenizer: Tokenizer, cache: str) -> None:
    new = tokenizer_id(tokenizer)
    assert new is not None
    there = {tokenizer_key(each): each for each in (*_indexed(corpus, cache), new)}
    record = {"format": INDEX_FORMAT, "corpus": corpus.root, "tokenizers": [there[name] for name in sorted(there)]}
    storage.write_bytes(storage.join(cache, INDEX), json.dumps(record).encode())


def _check_index(corpus: CorpusIndex, tokenizer: Tokenizer, cache: str | None) -> None:
    """Raises RunError for a tokenizer that the cache was not indexed for, though it was for others."""
    known = _indexed(corpus, cache) if cache is not None else []
    mine = tokenizer_id(tokenizer)
    if not known or (mine is not None and tokenizer_key(mine) in map(tokenizer_key, known)):
        return
    raise RunError(
        f"'{corpus.run}' is indexed for {', '.join(map(_shown, known))}, not for {_shown(mine) if mine else 'this function'}: "
        "its sequences would be others. Give that tokenizer, or index the run for this one too (tamis index), or count without "
        "the index (cache=None)"
    )


def _shown(of: TokenizerId) -> str:
    return of["name"] + (f" (SHA-256 {of['sha256'][:16]}…)" if of["sha256"] else "")


def _index_shard(run: str, tokenizer: Tokenizer, cache: str, shard: int) -> int:
    stream = Stream(load_corpus(run), tokenizer, None, cache or storage.join(run, CACHE))
    return int(stream.counts(shard)[0].sum())


def in_order(batches: Iterable[Batch], step: int = 0) -> Iterator[Batch]:
    """The batches of a loader, from `step` on. RunError at the first that was moved, lost or repeated on the way."""
    for expected, batch in zip(count(step), batches, strict=False):
        if batch.step != expected:
            raise RunError(f"step {batch.step} came where step {expected} should: the loader changes the planned order")
        yield batch
