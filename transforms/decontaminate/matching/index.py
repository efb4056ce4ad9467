"""The index of benchmark items: their words, and the runs of words by which a scan finds them. It is
built once, and mapped by every worker.

A *seed* is three words in a row that few items share, or two of a text of up to `SHORT` words. It counts where enough of
the two words on either side are there too, so that `SEED_BITS` come together: an edit beside it does
not hide it. A text has about `MOST_SEEDS`, spread over it. A bit filter tells the first words of
clean text from seeds, so a word costs one lookup.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.core.options import fingerprint
from tamis.transforms.decontaminate.benchmarks import PARTS, Item, items
from tamis.transforms.decontaminate.matching.item_texts import (
    Ints,
    ItemTexts,
    bits,
    item_texts,
    items_with,
    ngram_hashes,
    plain_bits,
)
from tamis.transforms.decontaminate.matching.seed_scan import (
    BESIDE,
    ENOUGH,
    SEED_WORDS,
    TEXT,
    WHOLE,
    bit_filter,
    pair_key,
    seed_records,
    seed_slots,
    triple_key,
)
from tamis.transforms.decontaminate.matching.whole_items import WholeTexts, whole_texts
from tamis.transforms.runtime import kernels
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.runtime.mapped_arrays import cached, map_arrays, save_arrays
from tamis.transforms.text.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.contamination_rater import Decontaminate

# mypy: disable-error-code="no-untyped-def"

SEED_BITS: Final = 36.0
"""That a seed and the words beside it carry together, or `SEED_SHARE` of the text if that is less."""
SEED_SHARE: Final = 0.6
WHOLE_BITS: Final = 16.0
"""That they carry at least."""
SHORT: Final = 9
PAIR_BITS: Final = 20.0
"""That two words carry, to be a seed."""
RARE_BITS: Final = 28.0
"""That the words of a seed carry by themselves; web pages have one in 100 words with fewer. A text with
few such seeds has its `FEWEST_SEEDS` heaviest."""
LEAST_BITS: Final = 14.0
FEWEST_SEEDS: Final = 6
MOST_SEEDS: Final = 20
"""Of a text, or one in `SPACING` words if that is more."""
SPACING: Final = 16
MOST_SHARED: Final = 16
"""Items that share a seed; words that more of them have are part of a template."""
STEM_BITS: Final = 45.0
"""Of a question. One that carries less is found by its choices and its answer, too."""
CHOICE_BITS: Final = 25.0
"""That a choice carries, to be looked for."""
LONG_ANSWER: Final = 8
"""Words of an answer that is looked for by itself."""
SHARED_WORDS: Final = 4
"""In a row, of a question."""
MOST_OWN: Final = 2
"""Questions that have such words as their own; what more of them have is shared."""
SCALE: Final = 8
"""Bits are kept in eighths."""

_ROUNDING = 1e-6

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
    varies: npt.NDArray[np.uint8]
    """[(w + 7) // 8]: a bit for each word that others replace within a template: numbers, also as words,
    names and single letters."""
    shared: npt.NDArray[np.uint8]
    """[(w + 7) // 8]: a bit for each word of a question that is one of `SHARED_WORDS` in a row which more
    than `MOST_OWN` items have in theirs."""
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
    seeds: npt.NDArray[np.uint32]
    """[4 × occurrences], of `seed_records`."""
    slots: npt.NDArray[np.uint64]
    """Hash table of `seeds` (`seed_slots`)."""
    whole_text: npt.NDArray[np.int32]
    """[e], of `WholeTexts`, as the next two."""
    whole_length: npt.NDArray[np.int32]
    whole_hash: npt.NDArray[np.uint64]
    pairs: npt.NDArray[np.uint64]
    """Bit filter: two bits of one u64 for every seed of two words."""
    triples: npt.NDArray[np.uint64]
    """The same for seeds of three words."""

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over everything that can change the candidates of a document."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(json.dumps([self.names.to_pylist(), self.labels.to_pylist()]).encode())
        for name in ("first", "word", "number", "plain", "vocabulary", "item", "part", "benchmark", "seeds", "whole_hash"):
            column = getattr(self, name)
            digest.update(len(column).to_bytes(8, "little") + column.tobytes())
        return digest.hexdigest()

    @cached_property
    def plain_total(self) -> npt.NDArray[np.int64]:
        """[t]: eighths of bits of each text, word by word."""
        return totals(self.plain, self.first)

    @cached_property
    def longest(self) -> int:
        """Words of the longest text."""
        return int(np.diff(self.first).max(initial=0))

    @cached_property
    def unmatchable(self) -> Ints:
        """Items of which no text has a seed, or is found as a whole."""
        found = np.zeros(len(self.benchmark), np.bool_)
        found[self.item[self.seeds[TEXT::4][self.seeds[ENOUGH::4] & WHOLE == 0]]] = True
        found[self.item[self.whole_text]] = True
        return np.flatnonzero(~found)

    def save(self, uri: str) -> None:
        """Writes the index as a file of arrays, which appears only when complete."""
        save_arrays(uri, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, uri: str) -> Index:
        """Reads a saved index; processes share a local file. Raises ValueError for other files."""
        try:
            return cls(**map_arrays(uri))
        except TypeError as error:
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
    key, make = partial(_cache_key, options, words), partial(build, options, words)
    return cached("tamis-benchmarks", key, Index.load, make, Index.save)


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
    text_first = np.searchsorted(texts.item, np.arange(len(every) + 1))
    key, text, place, beside, enough, pair = _seeds(texts, plain)
    whole = _whole_texts(every, texts, text_first, text, plain, words)
    several = zip((key, text, place, beside, enough), whole.records, strict=True)
    all_keys, *numbers = (np.concatenate(both) for both in several)
    order = np.argsort(all_keys, kind="stable")
    return Index(
        first=texts.first,
        word=np.searchsorted(vocabulary, texts.fold).astype(np.int32),
        number=np.searchsorted(vocabulary, texts.exact).astype(np.int32),
        plain=np.round(plain * SCALE).astype(np.uint8),
        bits=np.maximum(1, np.round(among_items * SCALE)).astype(np.uint8),
        varies=np.packbits(texts.varies, bitorder="little"),
        shared=np.packbits(_shared(texts), bitorder="little"),
        vocabulary=vocabulary,
        item=texts.item.astype(np.int32),
        part=texts.part,
        text_first=text_first,
        benchmark=np.repeat(np.arange(len(read)), [len(of_benchmark) for of_benchmark in read]).astype(np.int32),
        labels=pa.array([item.id for item in every], pa.large_string()),
        names=pa.array([benchmark.name for benchmark in options.benchmarks], pa.large_string()),
        seeds=seed_records(all_keys[order], *(number[order] for number in numbers)),
        slots=seed_slots(all_keys[order]),
        whole_text=whole.text,
        whole_length=whole.length,
        whole_hash=whole.hash,
        pairs=bit_filter(np.unique(key[pair])),
        triples=bit_filter(np.unique(np.concatenate([key[~pair], whole.records[0]]))),
    )


def _shared(texts: ItemTexts) -> npt.NDArray[np.bool_]:
    """[words]: see `Index.shared`."""
    found = np.zeros(len(texts.fold), np.bool_)
    key = ngram_hashes(texts.first, texts.fold, SHARED_WORDS)
    asked = np.flatnonzero((texts.part[texts.owner] == QUESTION) & (key != 0))
    begins = asked[items_with(key[asked], texts.item[texts.owner[asked]]) > MOST_OWN]
    for k in range(SHARED_WORDS):
        found[begins + k] = True
    return found


def _whole_texts(
    every: Sequence[Item], texts: ItemTexts, text_first: Ints, seeded: Ints, plain: npt.NDArray[np.float64], words: Words
) -> WholeTexts:
    """The entries of the questions of items of which no text has a seed. `seeded`: texts that have one."""
    found = np.zeros(len(every), np.bool_)
    found[texts.item[seeded]] = True
    number, questions = list[int](), list[str]()
    for item in np.flatnonzero(~found).tolist():
        for place, question in enumerate(every[item].question):
            number.append(int(text_first[item]) + place)
            questions.append(question)
    worth = [plain[texts.first[text] : texts.first[text + 1]] for text in number]
    return whole_texts(questions, np.array(number, np.int64), worth, words)


def _seeds(texts: ItemTexts, plain: npt.NDArray[np.float64]) -> tuple[Any, Ints, Ints, Any, Any, Any]:
    """Key, text, place, `beside`, `enough` and whether it has two words, of every occurrence, by key, then text."""
    words_of, total = texts.words_of, totals(plain, texts.first)
    question = np.zeros(texts.item[-1] + 1 if len(texts.item) else 0)
    np.add.at(question, texts.item[texts.part == QUESTION], total[texts.part == QUESTION])
    stem = question[texts.item] < STEM_BITS
    wanted = (texts.part <= PASSAGE) | ((texts.part == ANSWER) & (words_of >= LONG_ANSWER))
    wanted |= (texts.part >= CHOICES) & stem & (total >= CHOICE_BITS)
    needed = np.clip(SEED_SHARE * total, WHOLE_BITS, SEED_BITS)
    several = (_runs_with_enough(texts, plain, n, wanted, needed) for n in (3, 2))
    key, owner, place, carried, bits_beside, beside, pair = (np.concatenate(both) for both in zip(*several, strict=True))
    found = np.arange(len(key))
    # The heaviest one of each stretch of the text.
    most = np.maximum(MOST_SEEDS, words_of // SPACING)[owner[found]]
    stretch = place[found] * most // np.maximum(most, words_of[owner[found]]) + most * pair[found]
    order = np.lexsort((place[found], -carried[found], stretch, owner[found]))
    found = found[order]
    same = np.zeros(len(found), np.bool_)
    same[1:] = (owner[found[1:]] == owner[found[:-1]]) & (np.diff(stretch[order]) == 0)
    found = found[~same]
    found = found[np.lexsort((place[found], -carried[found], owner[found]))]
    rank = np.arange(len(found)) - np.searchsorted(owner[found], owner[found])
    found = np.sort(found[(carried[found] >= RARE_BITS) | (rank < FEWEST_SEEDS) | pair[found]])
    found = found[np.argsort(key[found], kind="stable")]
    enough = np.zeros(len(found), np.uint16)
    for chosen in range(1 << (2 * BESIDE)):
        together = carried[found].copy()
        for k in range(2 * BESIDE):
            if chosen >> k & 1:
                together += bits_beside[found, k]
        enough |= (together >= needed[owner[found]] - _ROUNDING).astype(np.uint16) << np.uint16(chosen)
    return key[found], owner[found], place[found], beside[found], enough, pair[found]


def _runs_with_enough(
    texts: ItemTexts, plain: npt.NDArray[np.float64], n: int, wanted: npt.NDArray[np.bool_], needed: npt.NDArray[np.float64]
) -> tuple[Any, Ints, Ints, Any, Any, Any, Any]:
    """Of the runs of n words that carry enough and that few items share: key, text, place, bits, the bits of each
    word beside them, `beside`, and whether n is two. `wanted` and `needed` are those of each text."""
    owner = texts.owner
    key, carried, bits_beside, beside = _runs(texts.first, texts.fold, plain, n)
    enough = (key != 0) & wanted[owner]
    if n == 2:
        enough &= (texts.words_of[owner] <= SHORT) & ((carried >= PAIR_BITS) | (texts.words_of[owner] == 2))
    enough &= carried + bits_beside.sum(axis=1) >= needed[owner] - _ROUNDING
    enough &= (carried >= LEAST_BITS) | (texts.words_of[owner] <= SEED_WORDS)
    found = np.flatnonzero(enough)
    carried, bits_beside, beside = carried[found], bits_beside[found], beside[found]  # the rest is most of a build's memory
    few = items_with(key, texts.item[owner])[found] <= MOST_SHARED
    found = found[few]
    place = found - texts.first[owner[found]]
    return key[found], owner[found], place, carried[few], bits_beside[few], beside[few], np.full(len(found), n == 2)


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _runs(first, fold, plain, n):
    """Of the n words from each: the key, 0 if the text ends before; their bits; the bits of each word beside
    them; `beside`."""
    key = np.zeros(len(fold), np.uint64)
    carried = np.zeros(len(fold), np.float64)
    bits_beside = np.zeros((len(fold), 2 * BESIDE), np.float64)
    beside = np.zeros(len(fold), np.uint32)
    for k in range(len(first) - 1):
        low, high = first[k], first[k + 1]
        for i in range(low, high - n + 1):
            key[i] = pair_key(fold[i], fold[i + 1]) if n == 2 else triple_key(fold[i], fold[i + 1], fold[i + 2])
            for j in range(i, i + n):
                carried[i] += plain[j]
            for k in range(2 * BESIDE):
                j = i - BESIDE + k if k < BESIDE else i + n + k - BESIDE
                if low <= j < high:
                    bits_beside[i, k] = plain[j]
                    beside[i] |= np.uint32(fold[j] & np.uint64(255)) << np.uint32(8 * k)
    return key, carried, bits_beside, beside
