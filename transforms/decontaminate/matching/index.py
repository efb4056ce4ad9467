"""The index of benchmark items: their words, and the runs of words by which a scan finds them. It is
built once, and mapped by every worker.

A *seed* is the shortest run of two to five words from its first that carries `SEED_BITS`, or a
whole text of so few words; at most `MOST_SEEDS` a text, those that carry most, and none that many
items share. Its first two, three or four words are in a bit filter, so clean text costs three lookups a
word.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.core.options import fingerprint
from tamis.transforms.decontaminate.benchmarks import PARTS, items
from tamis.transforms.decontaminate.matching.item_texts import (
    BASE,
    Ints,
    ItemTexts,
    bits,
    item_texts,
    items_with,
    ngram_hashes,
    plain_bits,
)
from tamis.transforms.runtime import caches, kernels
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import mix64
from tamis.transforms.text.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.contamination_rater import Decontaminate

# mypy: disable-error-code="no-untyped-def"

SEED_BITS: Final = 30.0
"""That a seed carries: web pages share one such run in 80 words with the items of seven benchmarks."""
WHOLE_BITS: Final = 16.0
"""That a text of up to five words carries, to be a seed as a whole."""
MOST_SEEDS: Final = 20
"""Of a text."""
MOST_SHARED: Final = 16
"""Items that share a seed; a run of words that more of them have is part of a template."""
LONGEST_SEED: Final = 5
"""Words of a seed."""
STEM_BITS: Final = 45.0
"""Of a question. One that carries less is found by its choices and its answer, too."""
CHOICE_BITS: Final = 25.0
"""That a choice carries, to be looked for."""
LONG_ANSWER: Final = 8
"""Words of an answer that is looked for by itself."""
SCALE: Final = 8
"""Bits are kept in eighths."""

_FILTER_BITS = 32  # at least, per run of words, with two bits set
MOST_CACHED = 8
"""Number of indexes in the cache; those used last are kept."""

QUESTION, PASSAGE, CHOICES, ANSWER = range(len(PARTS))


@dataclass(frozen=True)
class Index:
    """i items with t texts of w words, in the order of benchmarks, items and parts."""

    first: npt.NDArray[np.int64]
    """[t + 1]: words of text k are `first[k]` up to `first[k + 1]`."""
    word: npt.NDArray[np.int32]
    """[w]: position of each word in `vocabulary`."""
    number: npt.NDArray[np.int32]
    """[w]: position of each word with its digits in `vocabulary`."""
    plain: npt.NDArray[np.uint8]
    """[w]: eighths of a bit that a word is worth by itself."""
    bits: npt.NDArray[np.uint8]
    """[w]: eighths of a bit that a word is worth among other items."""
    vocabulary: npt.NDArray[np.uint64]
    """Hashes of words, ascending."""
    item: npt.NDArray[np.int32]
    """[t]: item of each text, ascending."""
    part: npt.NDArray[np.uint8]
    """[t]: position in `PARTS`."""
    text_first: npt.NDArray[np.int64]
    """[i + 1]: texts of item k are `text_first[k]` up to `text_first[k + 1]`."""
    benchmark: npt.NDArray[np.int32]
    """[i]: position of the item's benchmark in `names`."""
    labels: pa.LargeStringArray
    """[i]: the ids of the items."""
    names: pa.LargeStringArray
    """[b]: of the benchmarks."""
    keys: npt.NDArray[np.uint64]
    """[s]: hash of the words of each seed, ascending."""
    seed_first: npt.NDArray[np.int64]
    """[s + 1]: occurrences of seed k are `seed_text[seed_first[k]:seed_first[k + 1]]`."""
    seed_text: npt.NDArray[np.int32]
    seed_place: npt.NDArray[np.int32]
    """Its first word among those of the text."""
    seed_words: npt.NDArray[np.uint8]
    slots: npt.NDArray[np.int32]
    """Hash table with linear probing: positions in `keys`, or -1; its size is a power of two, at
    most half of it is used."""
    pairs: npt.NDArray[np.uint64]
    """Bit filter: two bits of one u64 for every seed of two words."""
    triples: npt.NDArray[np.uint64]
    """The same for seeds of three words."""
    heads: npt.NDArray[np.uint64]
    """The same for the first four words of longer seeds."""
    longest: npt.NDArray[np.uint64]
    """The same for seeds of five words."""

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over everything that can change the candidates of a document."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(json.dumps([self.names.to_pylist(), self.labels.to_pylist()]).encode())
        for name in ("first", "word", "number", "plain", "vocabulary", "item", "part", "benchmark", "keys", "seed_text"):
            column = getattr(self, name)
            digest.update(len(column).to_bytes(8, "little") + column.tobytes())
        return digest.hexdigest()

    @cached_property
    def plain_total(self) -> npt.NDArray[np.int64]:
        """[t]: eighths of bits of each text, word by word."""
        return totals(self.plain, self.first)

    @cached_property
    def unmatchable(self) -> Ints:
        """Items of which no text has a seed."""
        found = np.zeros(len(self.benchmark), np.bool_)
        found[self.item[self.seed_text]] = True
        return np.flatnonzero(~found)

    def save(self, uri: str) -> None:
        """Writes the index as an Arrow IPC file of one row, which appears only when complete."""
        table = pa.table({field.name: _one_row(getattr(self, field.name)) for field in fields(self)})
        with storage.commit(uri) as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def load(cls, uri: str) -> Index:
        """Reads a saved index; processes share a local file. Raises ValueError for other files."""
        path = storage.local_path(uri)
        source = pa.BufferReader(storage.read_bytes(uri)) if path is None else pa.memory_map(str(path))
        try:
            table = pa.ipc.open_file(source).read_all()
            return cls(**{field.name: _from_row(table.column(field.name).chunk(0)) for field in fields(cls)})
        except (KeyError, IndexError, pa.ArrowInvalid) as error:
            raise ValueError(f"{uri}: not an index of benchmark items: {error}") from error


def totals(values: npt.NDArray[Any], first: npt.NDArray[np.int64]) -> Any:
    """The sum of the values of each run from `first[k]` to `first[k + 1]`."""
    dtype = np.float64 if values.dtype.kind == "f" else np.int64
    sums = np.concatenate([np.zeros(1, dtype), np.cumsum(values, dtype=dtype)])
    return sums[first[1:]] - sums[first[:-1]]


def load_or_build(options: Decontaminate, words: Words = DEFAULT_WORDS) -> Index:
    """The index from the cache, if built by the same code from the same bytes; else builds it.

    Raises as `build` does. Without a writable cache, it builds every time.
    """
    folder = caches.first_writable(caches.candidate_folders("tamis-benchmarks"))
    if folder is None:
        return build(options, words)
    key = _cache_key(options, words)
    path = folder / f"{key}.arrow"
    if path.is_file():
        try:
            index = Index.load(str(path))
            path.touch()
            return index
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
    index = build(options, words)
    if _cache_key(options, words) == key:  # else a file changed during the build
        try:
            index.save(str(path))
            for old in sorted(folder.glob("*.arrow"), key=lambda file: file.stat().st_mtime_ns)[:-MOST_CACHED]:
                old.unlink(missing_ok=True)
        except OSError:
            pass  # the disk is full, or another process removed the same file; the next run builds again
    return index


def _cache_key(options: Decontaminate, words: Words) -> str:
    """Covers everything that determines an index: code, benchmarks, words, and the files."""
    files = [[entry.uri, storage.sha256(entry.uri)] for benchmark in options.benchmarks for entry in benchmark.files]
    benchmarks = [benchmark.model_dump(mode="json") for benchmark in options.benchmarks]
    return fingerprint([kernels.digest(Path(__file__)), benchmarks, words.identity, files])


def build(options: Decontaminate, words: Words = DEFAULT_WORDS) -> Index:
    """Reads the benchmarks and indexes their items. Raises as `items` does."""
    read = [items(benchmark) for benchmark in options.benchmarks]
    every = [item for of_benchmark in read for item in of_benchmark]
    texts = item_texts(every, words)
    plain, among_items = plain_bits(texts), bits(texts)
    vocabulary = np.unique(np.concatenate([texts.fold, texts.exact]))
    key, text, place, length = _seeds(texts, plain)
    start = np.flatnonzero(np.r_[True, key[1:] != key[:-1]][: len(key)])
    keys = key[start]
    at = texts.first[text] + place
    heads = ngram_hashes(texts.first, texts.fold, 4)[at[length > 3]]
    return Index(
        first=texts.first,
        word=np.searchsorted(vocabulary, texts.fold).astype(np.int32),
        number=np.searchsorted(vocabulary, texts.exact).astype(np.int32),
        plain=np.round(plain * SCALE).astype(np.uint8),
        bits=np.maximum(1, np.round(among_items * SCALE)).astype(np.uint8),
        vocabulary=vocabulary,
        item=texts.item.astype(np.int32),
        part=texts.part,
        text_first=np.searchsorted(texts.item, np.arange(len(every) + 1)),
        benchmark=np.repeat(np.arange(len(read)), [len(of_benchmark) for of_benchmark in read]).astype(np.int32),
        labels=pa.array([item.id for item in every], pa.large_string()),
        names=pa.array([benchmark.name for benchmark in options.benchmarks], pa.large_string()),
        keys=keys,
        seed_first=np.append(start, len(key)),
        seed_text=text.astype(np.int32),
        seed_place=place.astype(np.int32),
        seed_words=length.astype(np.uint8),
        slots=_slots(keys),
        pairs=_filter(np.unique(key[length == 2])),
        triples=_filter(np.unique(key[length == 3])),
        heads=_filter(np.unique(heads)),
        longest=_filter(np.unique(key[length == LONGEST_SEED])),
    )


def _seeds(texts: ItemTexts, plain: npt.NDArray[np.float64]) -> tuple[Any, Ints, Ints, Ints]:
    """Key, text, place and number of words of every occurrence of a seed, by key, then text."""
    words_of, total = texts.words_of, totals(plain, texts.first)
    question = np.zeros(texts.item[-1] + 1 if len(texts.item) else 0)
    np.add.at(question, texts.item[texts.part == QUESTION], total[texts.part == QUESTION])
    stem = question[texts.item] < STEM_BITS
    wanted = (texts.part <= PASSAGE) | ((texts.part == ANSWER) & (words_of >= LONG_ANSWER))
    wanted |= (texts.part >= CHOICES) & stem & (total >= CHOICE_BITS)
    length, key = np.zeros(len(texts.fold), np.int64), np.zeros(len(texts.fold), np.uint64)
    sums = np.concatenate([[0.0], np.cumsum(plain)])
    for n in range(2, LONGEST_SEED + 1):
        hashes = ngram_hashes(texts.first, texts.fold, n)
        at = np.flatnonzero(hashes)
        if not len(at):
            continue
        owner, carried = texts.owner[at], sums[at + n] - sums[at]
        enough = (carried >= SEED_BITS) | ((words_of[owner] == n) & (carried >= WHOLE_BITS))
        shared = items_with(hashes[at], texts.item[owner])
        found = at[enough & (shared <= MOST_SHARED) & (length[at] == 0) & wanted[owner]]
        length[found], key[found] = n, hashes[found]
    at = np.flatnonzero(length)
    carried = sums[at + length[at]] - sums[at]
    order = np.lexsort((at, -carried, texts.owner[at]))
    owner = texts.owner[at][order]
    at = np.sort(at[order[np.arange(len(at)) - np.searchsorted(owner, owner) < MOST_SEEDS]])
    at = at[np.argsort(key[at], kind="stable")]
    owner = texts.owner[at]
    return key[at], owner, at - texts.first[owner], length[at]


def _one_row(column: object) -> pa.Array:
    values = pa.array(column)
    return pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)


def _from_row(column: pa.Array) -> Any:
    values = column.values
    return values if pa.types.is_large_string(values.type) else values.to_numpy(zero_copy_only=True)


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _slots(keys):
    capacity = 2
    while capacity < 2 * len(keys):
        capacity *= 2
    slots = np.full(capacity, -1, np.int32)
    for k in range(len(keys)):
        slot = np.int64(keys[k] & np.uint64(capacity - 1))
        while slots[slot] >= 0:
            slot = (slot + 1) & (capacity - 1)
        slots[slot] = k
    return slots


@njit(cache=True, nogil=True, inline="always")
def _two_bits(h):
    return (np.uint64(1) << (h & np.uint64(63))) | (np.uint64(1) << ((h >> np.uint64(6)) & np.uint64(63)))


@njit(cache=True, nogil=True)
def _filter(hashes):
    capacity = 1
    while capacity * 64 < _FILTER_BITS * len(hashes):
        capacity *= 2
    filled = np.zeros(capacity, np.uint64)
    for h in hashes:
        filled[np.int64((h >> np.uint64(12)) & np.uint64(capacity - 1))] |= _two_bits(h)
    return filled


@njit(cache=True, nogil=True, inline="always")
def _in_filter(h, filled):
    both = _two_bits(h)
    return filled[np.int64((h >> np.uint64(12)) & np.uint64(len(filled) - 1))] & both == both


@njit(cache=True, nogil=True)
def occurrences(first, fold, filters, keys, slots):
    """Every occurrence of a seed, by document: document, position in `keys`, and word of the document."""
    pairs, triples, heads, longest = filters
    document = np.empty(256, np.int64)
    seed = np.empty(256, np.int64)
    place = np.empty(256, np.int64)
    size = 0
    mask = np.int64(len(slots) - 1)
    two, three, four, five = np.uint64(2), np.uint64(3), np.uint64(4), np.uint64(5)
    most = 0
    for d in range(len(first) - 1):
        most = max(most, first[d + 1] - first[d])
    runs = np.empty(4 * most + 4, np.uint64)
    places = np.empty(4 * most + 4, np.int64)
    quads = np.empty(most + 1, np.int64)
    for d in range(len(first) - 1):
        b, e = first[d], first[d + 1]
        running, heading = 0, 0
        for i in range(b, e - 3):  # without a branch, so that lookups in the filters overlap
            h = fold[i] * BASE + fold[i + 1]
            key = mix64(h, two)
            runs[running], places[running] = key, i
            running += _in_filter(key, pairs)
            h = h * BASE + fold[i + 2]
            key = mix64(h, three)
            runs[running], places[running] = key, i
            running += _in_filter(key, triples)
            quads[heading] = i
            heading += _in_filter(mix64(h * BASE + fold[i + 3], four), heads)
        for i in range(max(b, e - 3), e - 1):
            h = fold[i] * BASE + fold[i + 1]
            runs[running], places[running] = mix64(h, two), i
            running += 1
            if i + 2 < e:
                runs[running], places[running] = mix64(h * BASE + fold[i + 2], three), i
                running += 1
        for i in quads[:heading]:
            h = ((fold[i] * BASE + fold[i + 1]) * BASE + fold[i + 2]) * BASE + fold[i + 3]
            runs[running], places[running] = mix64(h, four), i
            running += 1
            if i + 4 < e:
                key = mix64(h * BASE + fold[i + 4], five)
                runs[running], places[running] = key, i
                running += _in_filter(key, longest)
        for k in range(running):
            key = runs[k]
            slot = np.int64(key) & mask
            while slots[slot] >= 0:
                if keys[slots[slot]] == key:
                    if size == len(seed):
                        document = np.concatenate((document, np.empty_like(document)))
                        seed = np.concatenate((seed, np.empty_like(seed)))
                        place = np.concatenate((place, np.empty_like(place)))
                    document[size], seed[size], place[size] = d, slots[slot], places[k] - b
                    size += 1
                    break
                slot = (slot + 1) & mask
    return document[:size], seed[:size], place[:size]
