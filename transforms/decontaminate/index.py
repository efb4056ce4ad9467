"""Matches documents with the n-grams of benchmark passages, by an index that is built once and
mapped by every worker.

An n-gram is n consecutive folded words (`SegmentedTexts.fold_hash`: lower case, no diacritics,
every digit 0; words of punctuation only are left out), so case, punctuation between words, line
breaks and other digits do not hide a copy; a number with more digits does, and so does an
apostrophe that is left out (dont), since both change a word. N-grams of all lengths share one table. Every n-gram begins with a
*head* of `min_ngram` words. A scan looks only at the *halves* that begin at about every fifth word
of a document (`_half`), because every possible head covers exactly one of them. So clean text needs
one lookup in a bit filter per five words.
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
from tamis.transforms.decontaminate.benchmarks import passages
from tamis.transforms.runtime import caches, kernels
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import mix64
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.ngrams import Decontaminate
    from tamis.transforms.text.segment import SegmentedTexts

_BASE: Final = np.uint64(0xD6E8FEB86659FD93)  # of the polynomial hash modulo 2^64; odd, so no word is ever shifted out
_FILTER_BITS = 8  # at least, per gram, with two bits set: in clean text 1 half in 20 passes, then 1 head in 25
_LEAST_DISTINCT: Final = 4  # distinct words of an n-gram: "0, 1, 2, …" folds to equal words, and occurs in every table
MOST_CACHED = 8
"""Number of indexes in the cache; those used last are kept."""


@dataclass(frozen=True, slots=True)
class Matches:
    """The documents that share n-grams with a passage, ascending, and the best passage of each."""

    document: npt.NDArray[np.int64]
    ngrams: npt.NDArray[np.int64]
    """Number of distinct n-grams of all benchmarks in the document."""
    passage: npt.NDArray[np.int64]
    coverage: npt.NDArray[np.float64]
    """Share of the n-grams of the passage that the document contains; above 0, at most 1."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Where documents contain n-grams of passages: from the first matched word to the last, without
    gaps of more than twice the length of the passage. By document, passage and place."""

    document: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    """Position of the first word among those of all texts."""
    last: npt.NDArray[np.int64]
    passage: npt.NDArray[np.int64]
    coverage: npt.NDArray[np.float64]
    """Share of the n-grams of the passage that the whole document contains."""


@dataclass(frozen=True)
class Index:
    """g n-grams of p passages of b benchmarks, in the order of benchmarks, items and fields."""

    lengths: npt.NDArray[np.int64]
    """The lengths of the n-grams in words, ascending: between `min_ngram` and `ngram`."""
    min_ngram: int
    keys: npt.NDArray[np.uint64]
    """[g]: hash of the words and the length of each n-gram, ascending."""
    first: npt.NDArray[np.int64]
    """[g + 1]: the passages with n-gram k are `passages[first[k]:first[k + 1]]`."""
    passages: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    """[p]: number of distinct n-grams of each passage, without templates."""
    benchmark: npt.NDArray[np.int32]
    """[p]: position of the passage's benchmark in `names`."""
    labels: pa.LargeStringArray
    """[p]: `item:field`."""
    names: pa.LargeStringArray
    """[b]: of the benchmarks"""
    slots: npt.NDArray[np.int32]
    """Hash table with linear probing: positions in `keys`, or -1; its size is a power of two, at
    most half of it is used."""
    heads: npt.NDArray[np.uint64]
    """Bit filter: two bits of one u64 for every head."""
    halves: npt.NDArray[np.uint64]
    """Bit filter for every run of `_half(min_ngram)` words of the passages."""

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over everything that can change the values of a document."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(json.dumps([self.min_ngram, self.names.to_pylist(), self.labels.to_pylist()]).encode())
        for column in (self.lengths, self.keys, self.first, self.passages, self.size, self.benchmark):
            digest.update(len(column).to_bytes(8, "little") + column.tobytes())
        return digest.hexdigest()

    def match(self, texts: SegmentedTexts) -> Matches:
        """The documents that share n-grams with a passage, and how much of their best passage they
        contain.

        The best passage has the highest coverage, then the most shared n-grams, then the earliest
        position.
        """
        document, gram, _, _ = self._occurrences(texts)
        grams = max(1, len(self.keys))
        document, gram = np.divmod(np.unique(document * grams + gram), grams)
        row, member = self._passages_with(gram)
        pair, shared = np.unique(document[row] * len(self.size) + member, return_counts=True)
        owner, passage = np.divmod(pair, max(1, len(self.size)))
        coverage = shared / self.size[passage]
        order = np.lexsort((passage, -shared, -coverage, owner))
        best = order[np.flatnonzero(np.diff(owner[order], prepend=-1))]
        documents, ngrams = np.unique(document, return_counts=True)
        return Matches(documents, ngrams, passage[best], coverage[best])

    def copies(self, texts: SegmentedTexts, least: float) -> Copies:
        """Where the passages are of which a document contains at least the share `least`: every
        n-gram of theirs, wherever it is."""
        document, gram, place, width = self._occurrences(texts)
        row, member = self._passages_with(gram)
        pair = document[row] * len(self.size) + member
        order = np.lexsort((place[row], gram[row], pair))
        distinct = np.empty(len(order), np.bool_)
        distinct[order] = _changes(pair[order], gram[row][order])
        pairs, which = np.unique(pair, return_inverse=True)
        owner, passage = np.divmod(pairs, max(1, len(self.size)))
        coverage = np.bincount(which[distinct], minlength=len(pairs)) / self.size[passage]
        covered = coverage[which] >= least
        row, which = row[covered], which[covered]

        order = np.lexsort((place[row], which))
        row, which = row[order], which[order]
        start, stop = place[row], place[row] + width[row]
        words = self.size[passage[which]] + width[row] - 1  # of the passage, at least
        begins = _changes(which)
        begins[1:] |= start[1:] - stop[:-1] > 2 * words[1:]  # the n-grams of a passage have one length, so stops ascend
        first, last = np.flatnonzero(begins), np.flatnonzero(np.append(begins[1:], True)[: len(begins)])
        said = np.flatnonzero(texts.fold_hash)  # places count words without punctuation
        origin = np.searchsorted(said, texts.word_first[owner[which[first]]])
        return Copies(
            document=owner[which[first]],
            first=said[origin + start[first]],
            last=said[origin + stop[last] - 1],
            passage=passage[which[first]],
            coverage=coverage[which[first]],
        )

    def _occurrences(self, texts: SegmentedTexts) -> tuple[npt.NDArray[np.int64], ...]:
        """The result of `_scan`."""
        words, table, filters = (texts.fold_hash, texts.word_first), (self.keys, self.slots), (self.heads, self.halves)
        found: tuple[npt.NDArray[np.int64], ...] = _scan(
            *words, self.lengths, self.min_ngram, _half(self.min_ngram), *table, *filters
        )
        return found

    def _passages_with(self, gram: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Each passage that has an n-gram, as a position in `gram` and the passage: each n-gram
        counts for every passage that has it."""
        fan = self.first[gram + 1] - self.first[gram]
        member = np.arange(fan.sum()) - np.repeat(np.cumsum(fan) - fan, fan) + np.repeat(self.first[gram], fan)
        return np.repeat(np.arange(len(gram)), fan), self.passages[member].astype(np.int64)

    def save(self, uri: str) -> None:
        """Writes the index as an Arrow IPC file of one row, which appears only when complete."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        table = pa.table({name: _one_row(column) for name, column in columns.items()})
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
            raise ValueError(f"{uri}: not an index of benchmark n-grams: {error}") from error


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
    """Covers everything that determines an index: code, options, words, and the files."""
    entries = [entry for benchmark in options.benchmarks for entry in benchmark.files]
    files = [[entry.uri, storage.sha256(entry.uri)] for entry in entries]
    decided = options.model_dump(mode="json", exclude={"action", "drop", "review", "margin"})
    return fingerprint([kernels.digest(Path(__file__)), decided, words.identity, files])


def build(options: Decontaminate, words: Words = DEFAULT_WORDS) -> Index:
    """Reads the benchmarks and indexes their n-grams of `words`. Raises as `passages` does.

    A passage of at least `ngram` words has its distinct n-grams. One of `min_ngram` to `ngram` - 1
    words is a single n-gram. A shorter one cannot be matched. An n-gram in more than `max_items`
    items of a benchmark is part of its template ("Which of the following is …") and does not count
    for this benchmark, but may count for another. An n-gram with fewer than four distinct words
    never counts.
    """
    texts: list[str] = []
    labels: list[str] = []
    benchmark: list[int] = []
    item: list[int] = []
    for number, source in enumerate(options.benchmarks):
        items: dict[str, int] = {}
        for passage in passages(source):
            texts.append(passage.text)
            labels.append(f"{passage.item}:{passage.field}")
            benchmark.append(number)
            item.append(items.setdefault(passage.item, len(items)))
    segmented = segment(pa.array(texts, pa.large_string()), words)
    key, head, length, owner = _grams(segmented.fold_hash, segmented.word_first, options.ngram, options.min_ngram)
    of_passage, of_item = np.array(benchmark, np.int64), np.array(item, np.int64)

    order = np.argsort(key, kind="stable")  # by key, then owner, because owners ascend
    order = order[_changes(key[order], owner[order])]  # an n-gram counts once per passage
    key, head, length, owner = key[order], head[order], length[order], owner[order]
    template = _templates(key, of_passage[owner], of_item[owner], options.max_items)
    key, head, length, owner = key[~template], head[~template], length[~template], owner[~template]
    size = np.bincount(owner, minlength=len(texts)).astype(np.int32)

    start = np.flatnonzero(_changes(key))
    head.sort()
    keys = key[start]
    halves = _runs(segmented.fold_hash, segmented.word_first, _half(options.min_ngram), options.min_ngram)
    return Index(
        lengths=np.flatnonzero(np.bincount(length[start])),
        min_ngram=options.min_ngram,
        keys=keys,
        first=np.append(start, len(key)),
        passages=owner.astype(np.int32),
        size=size,
        benchmark=of_passage.astype(np.int32),
        labels=pa.array(labels, pa.large_string()),
        names=pa.array([source.name for source in options.benchmarks], pa.large_string()),
        slots=_slots(keys),
        heads=_filter(head[_changes(head)]),
        halves=_filter(np.unique(halves)),
    )


def _half(head_words: int) -> int:
    """Words per half; halves begin at every (head - half + 1)-th word, so a head covers one."""
    return (head_words + 1) // 2


def _changes(*columns: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """True at the first row of every run of equal rows."""
    changes = np.zeros(len(columns[0]), bool)
    changes[:1] = True
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return changes


def _templates(
    key: npt.NDArray[np.uint64], benchmark: npt.NDArray[np.int64], item: npt.NDArray[np.int64], max_items: int
) -> npt.NDArray[np.bool_]:
    """Which n-grams occur in more than `max_items` items; rows ascend by `key`, then benchmark."""
    run = np.cumsum(_changes(key, benchmark)) - 1
    width = item.max(initial=0) + 1
    pair = np.sort(run * width + item)
    items = np.bincount(pair[_changes(pair)] // width, minlength=run[-1] + 1 if len(run) else 0)
    return items[run] > max_items


def _one_row(column: object) -> pa.Array:
    if isinstance(column, int):
        return pa.array([column], pa.int64())
    values = pa.array(column)
    return pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)


def _from_row(column: pa.Array) -> Any:
    if pa.types.is_int64(column.type):
        return column[0].as_py()
    values = column.values
    return values if pa.types.is_large_string(values.type) else values.to_numpy(zero_copy_only=True)


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, inline="always")
def _without_punctuation(words: npt.NDArray[np.uint64], start: int, end: int, kept: npt.NDArray[np.uint64]) -> int:
    """Copies `words[start:end]` without punctuation to `kept`; returns their number."""
    n = 0
    for k in range(start, end):
        kept[n] = words[k]
        n += words[k] != 0
    return n


@njit(cache=True, nogil=True, inline="always")
def _polynomial(kept: npt.NDArray[np.uint64], start: int, end: int) -> np.uint64:
    h = np.uint64(0)
    for k in range(start, end):
        h = h * _BASE + kept[k]
    return h


@njit(cache=True, nogil=True)
def _runs(
    words: npt.NDArray[np.uint64], word_first: npt.NDArray[np.int64], width: int, min_ngram: int
) -> npt.NDArray[np.uint64]:
    """Hash of every `width` words in passages of at least `min_ngram` words, in text order."""
    runs = np.empty(len(words), np.uint64)
    kept = np.empty(len(words), np.uint64)
    size = 0
    for p in range(len(word_first) - 1):
        n = _without_punctuation(words, word_first[p], word_first[p + 1], kept)
        if n < min_ngram:
            continue
        for i in range(n - width + 1):
            runs[size] = _polynomial(kept, i, i + width)
            size += 1
    return runs[:size]


@njit(cache=True, nogil=True)
def _grams(
    words: npt.NDArray[np.uint64], word_first: npt.NDArray[np.int64], ngram: int, min_ngram: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Key, hash of the head, length in words and passage of every n-gram, in text order."""
    key = np.empty(len(words), np.uint64)
    head = np.empty(len(words), np.uint64)
    length = np.empty(len(words), np.int64)
    owner = np.empty(len(words), np.int64)
    kept = np.empty(len(words), np.uint64)
    size = 0
    for p in range(len(word_first) - 1):
        n = _without_punctuation(words, word_first[p], word_first[p + 1], kept)
        if n < min_ngram:
            continue
        width = min(n, ngram)
        for i in range(n - width + 1):
            h = np.uint64(0)
            distinct = 0
            for k in range(width):
                h = h * _BASE + kept[i + k]
                if k == min_ngram - 1:
                    head[size] = h
                if distinct < _LEAST_DISTINCT:
                    distinct += not (kept[i + k] == kept[i : i + k]).any()
            if distinct < min(_LEAST_DISTINCT, min_ngram):
                continue
            key[size] = mix64(h, np.uint64(width))
            length[size] = width
            owner[size] = p
            size += 1
    return key[:size], head[:size], length[:size], owner[:size]


@njit(cache=True, nogil=True)
def _slots(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
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
def _bits(h: np.uint64) -> np.uint64:
    return (np.uint64(1) << (h & np.uint64(63))) | (np.uint64(1) << ((h >> np.uint64(6)) & np.uint64(63)))


@njit(cache=True, nogil=True)
def _filter(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    capacity = 1
    while capacity * 64 < _FILTER_BITS * len(hashes):
        capacity *= 2
    bits = np.zeros(capacity, np.uint64)
    for h in hashes:
        bits[np.int64((h >> np.uint64(12)) & np.uint64(capacity - 1))] |= _bits(h)
    return bits


@njit(cache=True, nogil=True, inline="always")
def _in_filter(h: np.uint64, bits: npt.NDArray[np.uint64]) -> bool:
    both = _bits(h)
    return bits[np.int64((h >> np.uint64(12)) & np.uint64(len(bits) - 1))] & both == both


@njit(cache=True, nogil=True)
def _scan(
    words: npt.NDArray[np.uint64],
    word_first: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    head_words: int,
    half_words: int,
    keys: npt.NDArray[np.uint64],
    slots: npt.NDArray[np.int32],
    heads: npt.NDArray[np.uint64],
    halves: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every occurrence of an n-gram, in text order: document, position in `keys`, first word among
    those of the document that are not punctuation, and number of words."""
    document = np.empty(256, np.int64)
    gram = np.empty(256, np.int64)
    place = np.empty(256, np.int64)
    words_in_gram = np.empty(256, np.int64)
    size = 0
    longest = 0
    for d in range(len(word_first) - 1):
        longest = max(longest, word_first[d + 1] - word_first[d])
    kept = np.empty(longest, np.uint64)
    stride = head_words - half_words + 1
    matches = np.empty(longest // stride + 1, np.int64)  # positions of matching halves
    slots_mask = np.int64(len(slots) - 1)
    for d in range(len(word_first) - 1):
        n = _without_punctuation(words, word_first[d], word_first[d + 1], kept)
        matching = 0
        for k in range(stride - 1, n - half_words + 1, stride):  # without a branch, so that lookups in the filter overlap
            matches[matching] = k
            matching += _in_filter(_polynomial(kept, k, k + half_words), halves)
        for k in matches[:matching]:
            for i in range(k - stride + 1, min(k, n - head_words) + 1):
                h = _polynomial(kept, i, i + head_words)
                if not _in_filter(h, heads):
                    continue
                width = head_words
                for length in lengths:
                    if i + length > n:
                        break
                    while width < length:
                        h = h * _BASE + kept[i + width]
                        width += 1
                    key = mix64(h, np.uint64(length))
                    slot = np.int64(key & np.uint64(slots_mask))
                    while slots[slot] >= 0:
                        if keys[slots[slot]] == key:
                            if size == len(gram):
                                document = np.concatenate((document, np.empty_like(document)))
                                gram = np.concatenate((gram, np.empty_like(gram)))
                                place = np.concatenate((place, np.empty_like(place)))
                                words_in_gram = np.concatenate((words_in_gram, np.empty_like(words_in_gram)))
                            document[size] = d
                            gram[size] = slots[slot]
                            place[size] = i
                            words_in_gram[size] = length
                            size += 1
                            break
                        slot = (slot + 1) & slots_mask
    return document[:size], gram[:size], place[:size], words_in_gram[:size]
