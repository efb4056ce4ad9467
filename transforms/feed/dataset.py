"""A finished run as training batches: tokenised, packed, in order, with learning rates.

Sequences are numbered 0, 1, 2, … in the order of the run. Step s takes sequences [s·B, (s + 1)·B), or
the next B of them where B follows the plan, and rank r of W takes the r-th part. So the ranks together
read the run in order whatever W is, and training can resume at any step.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property, partial
from itertools import count
from multiprocessing import get_context
from typing import Any, Final, Literal, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.feed.corpus_index import CorpusIndex, load_corpus
from tamis.transforms.feed.step_sizes import Change, StepSizes, followed, step_sizes
from tamis.transforms.feed.stream import PACKINGS, PackedSequences, Packing, TokenStream, counts_file, pack
from tamis.transforms.feed.text_to_ids import Tokenizer, load_tokenizer, tokenizer_id
from tamis.transforms.runtime.prefetch import prefetch
from tamis.transforms.text.tokenizer import TokenizerId, tokenizer_key

FORMAT: Final = "tamis.feed/1"
CACHE: Final = ".feed"
INDEX: Final = "index.json"
"""File in the cache that records the corpus and the tokenizers that `index` counted."""
INDEX_FORMAT: Final = "tamis.index/1"


class TrainingBatch(NamedTuple):
    """What a rank trains on in a step. Arrays are (sequences of this rank, tokens of a sequence).

    A segment is a piece of one document. Restricting attention to segments, with positions that
    start at 0 in each, keeps documents from seeing each other. Segment 0 is padding, at the end of
    the run or where best fit left room. `learning_rate` is the plan's exact mean over tokens
    [first_token, end_token) of the run, by the run's own count; all steps together have the plan's
    integral of the learning rate.
    """

    tokens: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    step: int
    learning_rate: float
    first_token: int
    end_token: int


class CurriculumDataset:
    """Iterates over the batches of one rank, from the start or where `load_state_dict` put it.

    `run` is a run directory, `RUN`, or a release of it, `RUN@41`. `RUN` is the release that is
    current now: this object reads that one to its end, whatever later runs add. `plan` is a
    training plan for another schedule (`tamis plan --schedule`); by default the release's own.
    `batch_size` is the number of sequences of all ranks together. With `batch_increment`, it follows the
    `batch_hints` of the plan, in multiples of that, which is a multiple of every number of ranks to come;
    the tokens of all documents are counted first. `end` is the id appended to each
    document: `"own"` for the tokenizer's, None for none. `cache` is the folder or prefix that
    keeps token counts of documents, by tokenizer: by default `.feed` in the run, None for no
    cache. One thread prepares `prefetch` batches ahead. Every shard is checked against the
    manifest before its texts are used.

    Raises FileNotFoundError if there is no such release; RunError if the plan or a shard does not
    match the manifest, the plan has no hints to follow, or the cache was indexed for another tokenizer.
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
        plan: str = "",
        batch_increment: int = 0,
    ) -> None:
        if sequence_length < 1 or batch_size < 1 or batch_size % world_size:
            raise RunError(
                f"cannot share {batch_size} sequences of {sequence_length} tokens among {world_size} ranks: the batch size "
                "must be a multiple of the number of ranks, and both sizes at least 1"
            )
        if not 0 <= rank < world_size:
            raise RunError(f"rank {rank} of {world_size}: ranks are 0 to {world_size - 1}")
        if batch_increment < 0 or (batch_increment and (batch_size % batch_increment or batch_increment % world_size)):
            raise RunError(
                f"cannot change {batch_size} sequences by {batch_increment} on {world_size} ranks: the batch size must be a "
                "multiple of batch_increment, and that of the number of ranks"
            )
        self.corpus = load_corpus(run, plan)
        if batch_increment and not self.corpus.batch_hints:
            raise RunError(
                f"the plan of '{run}' has no batch_hints to follow, which phases with assign: quality give: leave out "
                "batch_increment"
            )
        self.tokenizer = load_tokenizer(tokenizer)
        self.sequence_length, self.batch_size, self.batch_increment = sequence_length, batch_size, batch_increment
        self.rank, self.world_size = rank, world_size
        self.packing, self.prefetch = packing, prefetch
        self.end = self.tokenizer.end if end == "own" else end
        self.cache = storage.join(self.corpus.run, CACHE) if cache == "" else cache
        _check_index(self.corpus, self.tokenizer, self.cache)
        self._start = (0, 0)  # the step to begin at, and its first sequence
        self._steps: int | None = None  # finished steps, as far as this object yielded them itself

    def __repr__(self) -> str:
        batch = f"{self.batch_size} sequences of {self.sequence_length} tokens a step"
        where = f"rank {self.rank} of {self.world_size}, from step {self._start[0]}"
        return f"CurriculumDataset('{self.corpus.run}', {batch}, {where})"

    def __len__(self) -> int:
        """The number of batches that an iteration gives: `steps`, less those before where it resumes."""
        return self.steps - self._start[0]

    def __iter__(self) -> Iterator[TrainingBatch]:
        return self.batches()

    def batches(self, worker: int = 0, workers: int = 1) -> Iterator[TrainingBatch]:
        """Every `workers`-th step from `worker` on, since DataLoaders alternate between workers."""
        batches = self._batches(worker, workers)
        for batch in prefetch(batches, self.prefetch) if self.prefetch else batches:
            self._steps = batch.step + 1
            yield batch

    @property
    def steps(self) -> int:
        """The number of steps in the run. Counts the tokens of all documents not counted yet."""
        return self._sizes.steps(self._sequences()[1].count())

    def state_dict(self, step: int | None = None) -> dict[str, Any]:
        """Where to resume after `step` finished steps, by default those that this object yielded.
        With DataLoader workers, copies of it yield: pass the step. The state fits any world size,
        number of workers and batch size."""
        step = self._steps if step is None else step
        if step is None:
            raise RunError("this object has yielded no batch itself (DataLoader workers use copies): pass the finished steps")
        begin, _ = self._start
        if step < begin:
            raise RunError(f"step {step} lies before step {begin}, where this dataset began")
        return {
            "format": FORMAT,
            "corpus": self.corpus.root,
            "stream": self._stream_fingerprint,
            "step": step,
            "sequence": self._sizes.at(step)[0],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes at a state, of this corpus or of one that it is a patch of: sequences and steps are the
        same, with padding in the places of documents that were taken down. Raises RunError if it is of
        another corpus or other sequences."""
        if state.get("format") != FORMAT:
            raise RunError(f"not a state of format {FORMAT}")
        if state["corpus"] not in (self.corpus.root, *self.corpus.continues):
            raise RunError(f"this state belongs to another corpus than '{self.corpus.run}': {state['corpus'][:16]}…")
        if state["stream"] != self._stream_fingerprint:
            raise RunError("this state was saved with another tokenizer, end id, sequence length or packing: sequences differ")
        self._start, self._steps = (int(state["step"]), int(state["sequence"])), None

    def shuffle(self, *_: object, **__: object) -> NoReturn:
        """Always raises RunError: the run was made for its order."""
        raise RunError("a run is read in its planned order; to shuffle it, set curriculum.order: uniform in the recipe")

    def __getitem__(self, _: object) -> NoReturn:
        raise RunError("iterate over the batches: a sampler would read them in another order")

    @property
    def _stream_fingerprint(self) -> str:
        return fingerprint([self.tokenizer.name, self.end, self.sequence_length, self.packing])

    @property
    def _sizes(self) -> StepSizes:
        """Of the steps from where this dataset begins."""
        return step_sizes(self._changes, *self._start)

    @cached_property
    def _changes(self) -> list[Change]:
        if not self.batch_increment:
            return [(0, self.batch_size)]
        sequences = self._sequences()[1]
        return followed(self.corpus.batch_hints, self.batch_size, self.batch_increment, sequences.count(), sequences.run_token)

    def _sequences(self) -> tuple[TokenStream, PackedSequences]:
        stream = TokenStream(self.corpus, self.tokenizer, self.end, self.cache)
        return stream, PACKINGS[self.packing](stream, self.sequence_length)

    def _batches(self, worker: int, workers: int) -> Iterator[TrainingBatch]:
        stream, sequences = self._sequences()  # not shared: each iteration runs in its own thread
        sizes = self._sizes
        for step in count(self._start[0] + worker, workers):
            first, size = sizes.at(step)
            if not sequences.has(first):
                return
            share = size // self.world_size
            own = first + self.rank * share
            arrays = pack(stream, sequences, own, own + share, self.sequence_length)
            low, high = sequences.run_token(first), sequences.run_token(first + size)
            rate = self.corpus.learning_rate(low, high)
            yield TrainingBatch(arrays.tokens, arrays.segments, arrays.positions, step, rate, int(low), int(high))


def index(run: str, tokenizer: str | Tokenizer, cache: str = "", processes: int = 0) -> int:
    """Counts the tokens of every document once, for the cache; returns the total without end ids.

    Each of `processes` (0: one per core) counts a shard at a time. With the counts cached, a rank
    tokenises only its own documents; without, every rank counts all documents up to its own.
    Raises RunError if the tokenizer has no name.
    """
    encoder = load_tokenizer(tokenizer)
    if encoder.name is None:
        raise RunError("token counts are cached under the tokenizer's name: give the tokenizer one")
    shards = range(len(load_corpus(run).shards))
    with ProcessPoolExecutor(processes or os.cpu_count(), get_context("spawn")) as pool:
        total = sum(pool.map(partial(_index_shard, run, encoder, cache), shards))
    corpus = load_corpus(run)
    _record_index(corpus, encoder, cache or storage.join(corpus.run, CACHE))
    return total


def carry_index(release: str, patch: str) -> None:
    """Gives a patch the token counts that the cache of the run has of the release it patches, for the
    tokenizers that `index` has counted it for. The texts may be purged then."""
    before, corpus = load_corpus(release), load_corpus(patch)
    cache = storage.join(corpus.run, CACHE)
    tokenizers = _indexed(before, cache)
    for key in map(tokenizer_key, tokenizers):
        for one, other in zip(before.shards, corpus.shards, strict=True):
            counts = storage.join(cache, counts_file(key, one))
            if one.sha256 != other.sha256 and storage.exists(counts):
                storage.write_bytes(storage.join(cache, counts_file(key, other)), storage.read_bytes(counts))
    if tokenizers:
        _write_index(corpus, tokenizers, cache)


def _indexed(corpus: CorpusIndex, cache: str) -> list[TokenizerId]:
    """The tokenizers for which `index` has counted this corpus."""
    uri = storage.join(cache, INDEX)
    record = (storage.read_json(uri) if storage.exists(uri) else None) or {}
    return record["tokenizers"] if record.get("corpus") == corpus.root else []


def _record_index(corpus: CorpusIndex, tokenizer: Tokenizer, cache: str) -> None:
    new = tokenizer_id(tokenizer)
    assert new is not None
    by_key = {tokenizer_key(each): each for each in (*_indexed(corpus, cache), new)}
    _write_index(corpus, [by_key[key] for key in sorted(by_key)], cache)


def _write_index(corpus: CorpusIndex, tokenizers: Sequence[TokenizerId], cache: str) -> None:
    record = {"format": INDEX_FORMAT, "corpus": corpus.root, "tokenizers": tokenizers}
    storage.write_bytes(storage.join(cache, INDEX), json.dumps(record).encode())


def _check_index(corpus: CorpusIndex, tokenizer: Tokenizer, cache: str | None) -> None:
    """Raises RunError if the corpus is indexed, but not for this tokenizer."""
    indexed = _indexed(corpus, cache) if cache is not None else []
    own = tokenizer_id(tokenizer)
    if not indexed or (own is not None and tokenizer_key(own) in map(tokenizer_key, indexed)):
        return
    raise RunError(
        f"'{corpus.run}' is indexed for {', '.join(map(_describe, indexed))}, not for "
        f"{_describe(own) if own else 'this function'}, which gives other sequences. Use an indexed tokenizer, index the run "
        "for this one too (tamis index), or do without the index (cache=None)"
    )


def _describe(tokenizer: TokenizerId) -> str:
    return tokenizer["name"] + (f" (SHA-256 {tokenizer['sha256'][:16]}…)" if tokenizer["sha256"] else "")


def _index_shard(run: str, tokenizer: Tokenizer, cache: str, shard: int) -> int:
    corpus = load_corpus(run)
    stream = TokenStream(corpus, tokenizer, None, cache or storage.join(corpus.run, CACHE))
    return int(stream.counts(shard)[0].sum())


def in_order(batches: Iterable[TrainingBatch], step: int = 0) -> Iterator[TrainingBatch]:
    """Checks a loader's batches from `step` on. Raises RunError if one is out of order or missing."""
    for expected, batch in zip(count(step), batches, strict=False):
        if batch.step != expected:
            raise RunError(f"the loader changes the planned order: it gave step {batch.step} in place of step {expected}")
        yield batch
