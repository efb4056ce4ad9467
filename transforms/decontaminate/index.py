"""The n-grams of benchmark passages as a table to match documents against, built once and mapped by every worker.

An n-gram is n consecutive folded words (`SegmentedTexts.fold_hash`: lower case, no diacritics, every digit 0; words of
punctuation alone are left out), so case, punctuation, line breaks and numbers do not hide a copy. All lengths that
occur share one table. Every n-gram begins with a *head* of `min_ngram` words, and wherever a head stands in a document it
covers just one of the *halves* that begin at every fifth word or so (`_half`). So one look into a bit filter for five words
decides, of clean text, that nothing matches there.
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
_FILTER_BITS = 8  # at least, for each gram, two of them set: of clean text one half in 20 is known, then one head in 25
_VARIED: Final = 4  # distinct words an n-gram needs: "0, 1, 2, …", once every digit is 0, is in every table
_KEPT = 8  # indexes in the cache: those used last
_COUNTS = ("passages", "short", "template")


@dataclass(frozen=True, slots=True)
class Matches:
    """The documents in which n-grams were found, ascending, and the passage that matches each best."""

    document: npt.NDArray[np.int64]
    ngrams: npt.NDArray[np.int64]
    """Distinct n-grams of any benchmark in the document."""
    passage: npt.NDArray[np.int64]
    coverage: npt.NDArray[np.float64]
    """Share of the passage's n-grams that the document has, above 0 and up to 1."""


@dataclass(frozen=True)
class Index:
    """g n-grams of p passages of b benchmarks. Passages stand in benchmark, item and field order; so do ties."""

    lengths: npt.NDArray[np.int64]
    """Words of an n-gram: `min_ngram` to `ngram`, ascending, those that occur."""
    min_ngram: int
    keys: npt.NDArray[np.uint64]
    """[g]: hash of each n-gram and its length, ascending."""
    first: npt.NDArray[np.int64]
    """[g + 1]: the passages with n-gram k are `passages[first[k]:first[k + 1]]`."""
    passages: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    """[p]: distinct n-grams of each passage, templates left out."""
    benchmark: npt.NDArray[np.int32]
    """[p]: position of the passage's benchmark in `names`."""
    labels: pa.LargeStringArray
    """[p]: `item:field`."""
    names: pa.LargeStringArray
    """[b]"""
    counts: npt.NDArray[np.int64]
    """[b × 3], flat: passages, those that give no n-gram, those that give templates only; see `unmatchable`."""
    slots: npt.NDArray[np.int32]
    """Open addressing, linear probing: place of an n-gram in `keys`, or -1; a power of two long, at most half full."""
    heads: npt.NDArray[np.uint64]
    """Two bits of one word for every head."""
    halves: npt.NDArray[np.uint64]
    """Likewise for every run of `_half(min_ngram)` words of the passages."""

    @property
    def unmatchable(self) -> dict[str, dict[str, int]]:
        """By benchmark: how many `passages` it has, too `short` or uniform ones, ones of `template` n-grams only."""
        rows = self.counts.reshape(-1, len(_COUNTS)).tolist()
        return {name: dict(zip(_COUNTS, row, strict=True)) for name, row in zip(self.names.to_pylist(), rows, strict=True)}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over the contents: whatever can change a document's values."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(json.dumps([self.min_ngram, self.names.to_pylist(), self.labels.to_pylist()]).encode())
        for column in (self.lengths, self.keys, self.first, self.passages, self.size, self.benchmark):
            digest.update(len(column).to_bytes(8, "little") + column.tobytes())
        return digest.hexdigest()

    def match(self, texts: SegmentedTexts) -> Matches:
        """Which documents share n-grams with a passage, and how much of the best passage they hold.

        Best is the highest coverage, then the most n-grams found, then the earliest passage.
        """
        document, gram = _scan(
            texts.fold_hash,
            texts.word_first,
            self.lengths,
            self.min_ngram,
            self.keys,
            self.slots,
            self.heads,
            _half(self.min_ngram),
            self.halves,
        )
        document, gram = _distinct(document, gram, len(self.keys))
        # Each n-gram counts for every passage that has it.
        fan = self.first[gram + 1] - self.first[gram]
        member = np.arange(fan.sum()) - np.repeat(np.cumsum(fan) - fan, fan) + np.repeat(self.first[gram], fan)
        pair, found = np.unique(
            np.repeat(document, fan) * len(self.size) + self.passages[member].astype(np.int64), return_counts=True
        )
        owner, passage = np.divmod(pair, max(1, len(self.size)))
        coverage = found / self.size[passage]
        order = np.lexsort((passage, -found, -coverage, owner))
        best = order[np.flatnonzero(np.diff(owner[order], prepend=-1))]
        documents, ngrams = np.unique(document, return_counts=True)
        return Matches(documents, ngrams, passage[best], coverage[best])

    def save(self, uri: str) -> None:
        """Writes the index as an Arrow IPC file of one row, which appears when it is complete."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        table = pa.table({name: _one_row(column) for name, column in columns.items()})
        with storage.commit(uri) as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    @classmethod
    def load(cls, uri: str) -> Index:
        """Reads what `save` wrote; a local file is mapped, so processes share it. Raises ValueError if it is none."""
        path = storage.local_path(uri)
        source = pa.BufferReader(storage.read_bytes(uri)) if path is None else pa.memory_map(str(path))
        try:
            table = pa.ipc.open_file(source).read_all()
            return cls(**{field.name: _from_row(table.column(field.name).chunk(0)) for field in fields(cls)})
        except (KeyError, IndexError, pa.ArrowInvalid) as error:
            raise ValueError(f"{uri}: not an index of benchmark n-grams: {error}") from error


def built(options: Decontaminate, words: Words = DEFAULT_WORDS) -> Index:
    """What `build` gives, or gave before of the same bytes by the same code: indexes are kept beside the environment.

    Raises as `build` does. Where nothing can be kept, every run builds.
    """
    home = caches.first_writable(caches.candidate_folders("tamis-benchmarks"))
    if home is None:
        return build(options, words)
    mark = _mark(options, words)
    path = home / f"{mark}.arrow"
    if path.is_file():
        try:
            index = Index.load(str(path))
            path.touch()
            return index
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
    index = build(options, words)
    if _mark(options, words) == mark:  # else a file changed while it was read
        try:
            index.save(str(path))
            for old in sorted(home.glob("*.arrow"), key=lambda file: file.stat().st_mtime_ns)[:-_KEPT]:
                old.unlink(missing_ok=True)
        except OSError:
            pass  # the disk is full, or another process cleared the same file: the next run builds again
    return index


def _mark(options: Decontaminate, words: Words) -> str:
    """Covers all that an index is made of: the code, the options, the words, and every file's name and contents."""
    files = [[entry.uri, storage.sha256(entry.uri)] for one in options.benchmarks for entry in storage.expand([one.path])]
    return fingerprint([kernels.digest(Path(__file__)), options.model_dump(mode="json"), words.identity, files])


def build(options: Decontaminate, words: Words = DEFAULT_WORDS) -> Index:
    """Reads the benchmarks and indexes their n-grams of `words`. Raises as `passages` does.

    A passage of at least `ngram` words gives its distinct n-grams; one of `min_ngram` to `ngram` - 1 words gives a
    single n-gram, itself; a shorter one cannot be matched. An n-gram that more than `max_items` items of one benchmark
    have is a template of it ("Which of the following is …") and does not count for it; it may still count for another.
    One of fewer than four distinct words never counts.
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
    cut = segment(pa.array(texts, pa.large_string()), words)
    key, head, length, owner = _grams(cut.fold_hash, cut.word_first, options.ngram, options.min_ngram)
    of_passage, of_item = np.array(benchmark, np.int64), np.array(item, np.int64)

    order = np.argsort(key, kind="stable")  # by key, then owner: they come in the order of owners
    order = order[_changes(key[order], owner[order])]  # an n-gram counts once a passage
    key, head, length, owner = key[order], head[order], length[order], owner[order]
    template = _templates(key, of_passage[owner], of_item[owner], options.max_items)
    long_enough = np.bincount(owner, minlength=len(texts)) > 0
    key, head, length, owner = key[~template], head[~template], length[~template], owner[~template]
    size = np.bincount(owner, minlength=len(texts)).astype(np.int32)

    start = np.flatnonzero(_changes(key))
    head.sort()
    keys = key[start]
    states = (np.ones(len(texts), bool), ~long_enough, long_enough & (size == 0))
    counts = [np.bincount(of_passage, state, len(options.benchmarks)).astype(np.int64) for state in states]
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
        counts=np.stack(counts, axis=1).ravel(),
        slots=_slots(keys),
        heads=_filter(head[_changes(head)]),
        halves=_filter(np.unique(_runs(cut.fold_hash, cut.word_first, _half(options.min_ngram), options.min_ngram))),
    )


def _half(head_words: int) -> int:
    """Words of half a head. Of the halves that begin at every (head - half + 1)-th word, every head covers exactly one."""
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
    """Which n-grams more than `max_items` items of their benchmark have; rows ascend by `key`, then benchmark."""
    run = np.cumsum(_changes(key, benchmark)) - 1
    width = item.max(initial=0) + 1
    pair = np.sort(run * width + item)
    items = np.bincount(pair[_changes(pair)] // width, minlength=run[-1] + 1 if len(run) else 0)
    return items[run] > max_items


def _distinct(
    document: npt.NDArray[np.int64], gram: npt.NDArray[np.int64], grams: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    document, gram = np.divmod(np.unique(document * grams + gram), max(1, grams))
    return document, gram


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
def _keep(words: npt.NDArray[np.uint64], start: int, end: int, kept: npt.NDArray[np.uint64]) -> int:
    """Copies the words that are more than punctuation to the front of `kept`; returns their number."""
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
    """Hash of every run of `width` words of the passages that have `min_ngram`, in text order."""
    runs = np.empty(len(words), np.uint64)
    kept = np.empty(len(words), np.uint64)
    size = 0
    for p in range(len(word_first) - 1):
        n = _keep(words, word_first[p], word_first[p + 1], kept)
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
        n = _keep(words, word_first[p], word_first[p + 1], kept)
        if n < min_ngram:
            continue
        width = min(n, ngram)
        for i in range(n - width + 1):
            h = np.uint64(0)
            varied = 0
            for k in range(width):
                h = h * _BASE + kept[i + k]
                if k == min_ngram - 1:
                    head[size] = h
                if varied < _VARIED:
                    varied += not (kept[i + k] == kept[i : i + k]).any()
            if varied < min(_VARIED, min_ngram):
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
def _known(h: np.uint64, bits: npt.NDArray[np.uint64]) -> bool:
    wanted = _bits(h)
    return bits[np.int64((h >> np.uint64(12)) & np.uint64(len(bits) - 1))] & wanted == wanted


@njit(cache=True, nogil=True)
def _scan(
    words: npt.NDArray[np.uint64],
    word_first: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    head_words: int,
    keys: npt.NDArray[np.uint64],
    slots: npt.NDArray[np.int32],
    heads: npt.NDArray[np.uint64],
    half_words: int,
    halves: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(document, place in `keys`) of every n-gram occurrence, in text order."""
    document = np.empty(256, np.int64)
    gram = np.empty(256, np.int64)
    size = 0
    longest = 0
    for d in range(len(word_first) - 1):
        longest = max(longest, word_first[d + 1] - word_first[d])
    kept = np.empty(longest, np.uint64)
    stride = head_words - half_words + 1
    found = np.empty(longest // stride + 1, np.int64)
    slots_mask = np.int64(len(slots) - 1)
    for d in range(len(word_first) - 1):
        n = _keep(words, word_first[d], word_first[d + 1], kept)
        halves_found = 0
        for k in range(stride - 1, n - half_words + 1, stride):  # without a branch, so looks into the filter overlap
            found[halves_found] = k
            halves_found += _known(_polynomial(kept, k, k + half_words), halves)
        for k in found[:halves_found]:
            for i in range(k - stride + 1, min(k, n - head_words) + 1):
                h = _polynomial(kept, i, i + head_words)
                if not _known(h, heads):
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
                            document[size] = d
                            gram[size] = slots[slot]
                            size += 1
                            break
                        slot = (slot + 1) & slots_mask
    return document[:size], gram[:size]
