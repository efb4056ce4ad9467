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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.core.options import fingerprint
from tamis.transforms.decontaminate.benchmarks import PARTS, Item, items
from tamis.transforms.decontaminate.matching.item_texts import (
    SCALE,
    Floats,
    Hashes,
    Ints,
    ItemTexts,
    bits,
    item_texts,
    plain_bits,
)
from tamis.transforms.decontaminate.matching.ngram_counts import items_with
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
        total: npt.NDArray[np.int64] = _whole_totals(self.plain, self.first)
        return total

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
    """Reads the benchmarks and indexes their items. Raises as `items` does.

    One benchmark is held at a time, and no more of its items than their words: a word takes some fifty bytes.
    """
    labels: list[pa.Array] = []
    texts = item_texts(_read(options, labels), words)
    counts = [len(of_benchmark) for of_benchmark in labels]
    plain, among_items = plain_bits(texts), bits(texts)
    text_first = np.searchsorted(texts.item, np.arange(sum(counts) + 1))
    seeds = _seeds(texts, plain)
    whole = _whole_texts(options, counts, texts, text_first, seeds.text, plain, words)
    several = zip((seeds.key, seeds.text, seeds.place, seeds.beside, seeds.enough), whole.records, strict=True)
    key, *numbers = (np.concatenate(both) for both in several)
    order = np.argsort(key, kind="stable")
    return Index(
        first=texts.first,
        word=texts.word,
        number=texts.number,
        plain=np.round(plain * SCALE).astype(np.uint8)[texts.word],
        bits=among_items,
        varies=np.packbits(texts.varies, bitorder="little"),
        shared=np.packbits(_shared(texts), bitorder="little"),
        vocabulary=texts.vocabulary,
        item=texts.item,
        part=texts.part,
        text_first=text_first,
        benchmark=np.repeat(np.arange(len(counts)), counts).astype(np.int32),
        labels=pa.chunked_array(labels, pa.large_string()).combine_chunks(),
        names=pa.array([benchmark.name for benchmark in options.benchmarks], pa.large_string()),
        seeds=seed_records(key[order], *(number[order] for number in numbers)),
        slots=seed_slots(key[order]),
        whole_text=whole.text,
        whole_length=whole.length,
        whole_hash=whole.hash,
        pairs=bit_filter(np.unique(seeds.key[seeds.pair])),
        triples=bit_filter(np.unique(np.concatenate([seeds.key[~seeds.pair], whole.records[0]]))),
    )


def _read(options: Decontaminate, labels: list[pa.Array]) -> Iterator[list[Item]]:
    """The items of each benchmark; appends their ids to `labels`."""
    for benchmark in options.benchmarks:
        read = items(benchmark)
        labels.append(pa.array([item.id for item in read], pa.large_string()))
        yield read


def _shared(texts: ItemTexts) -> npt.NDArray[np.bool_]:
    """[words]: see `Index.shared`."""
    found = np.zeros(len(texts.word), np.bool_)
    begins = np.flatnonzero(items_with(texts, SHARED_WORDS, texts.part == QUESTION) > MOST_OWN)
    for k in range(SHARED_WORDS):
        found[begins + k] = True
    return found


def _whole_texts(
    options: Decontaminate, counts: Sequence[int], texts: ItemTexts, text_first: Ints, seeded: Any, plain: Floats, words: Words
) -> WholeTexts:
    """The entries of the questions of items of which no text has a seed, whose benchmarks are read again. `counts`:
    items of each benchmark; `seeded`: texts that have a seed."""
    found = np.zeros(sum(counts), np.bool_)
    found[texts.item[seeded]] = True
    number, questions = list[int](), list[str]()
    begin = 0
    for benchmark, count in zip(options.benchmarks, counts, strict=True):
        without = np.flatnonzero(~found[begin : begin + count]).tolist()
        read = items(benchmark) if without else []
        for item in without:
            for place, question in enumerate(read[item].question):
                number.append(int(text_first[begin + item]) + place)
                questions.append(question)
        begin += count
    worth = [plain[texts.word[texts.first[text] : texts.first[text + 1]]] for text in number]
    return whole_texts(questions, np.array(number, np.int64), worth, words)


class _Seeds(NamedTuple):
    """Occurrences of seeds, by text and place, those of three words first; of each also whether it has two words."""

    key: Hashes
    text: Any
    place: Any
    beside: Any
    enough: Any
    pair: Any


def _seeds(texts: ItemTexts, plain: Floats) -> _Seeds:
    """The occurrences of seeds. `plain`: bits of each word of the vocabulary."""
    words_of, total = texts.words_of, _totals(texts.first, texts.word, plain)
    question = np.zeros(texts.item[-1] + 1 if len(texts.item) else 0)
    np.add.at(question, texts.item[texts.part == QUESTION], total[texts.part == QUESTION])
    stem = question[texts.item] < STEM_BITS
    wanted = (texts.part <= PASSAGE) | ((texts.part == ANSWER) & (words_of >= LONG_ANSWER))
    wanted |= (texts.part >= CHOICES) & stem & (total >= CHOICE_BITS)
    needed = np.clip(SEED_SHARE * total, WHOLE_BITS, SEED_BITS) - _ROUNDING
    few = [items_with(texts, n) <= MOST_SHARED for n in (3, 2)]
    return _Seeds(*_chosen(texts.first, texts.word, texts.vocabulary, plain, wanted, needed, *few))


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _whole_totals(values, first):
    """`totals` of whole numbers, without their running sum."""
    total = np.zeros(len(first) - 1, np.int64)
    for k in range(len(total)):
        for i in range(first[k], first[k + 1]):
            total[k] += values[i]
    return total


@njit(cache=True, nogil=True)
def _totals(first, word, plain):
    """Bits of each text."""
    total = np.zeros(len(first) - 1)
    for k in range(len(total)):
        for i in range(first[k], first[k + 1]):
            total[k] += plain[word[i]]
    return total


@njit(cache=True, nogil=True)
def _bits_beside(word, plain, low, high, i, n, room):
    """The bits of the words beside the n words from i, 0 where the text has none; returns the bits of the n words."""
    carried = 0.0
    for j in range(i, i + n):
        carried += plain[word[j]]
    for k in range(2 * BESIDE):
        j = i - BESIDE + k if k < BESIDE else i + n + k - BESIDE
        room[k] = plain[word[j]] if low <= j < high else 0.0
    return carried


@njit(cache=True, nogil=True)
def _chosen(first, word, vocabulary, plain, wanted, needed, few_triples, few_pairs):
    """The heaviest run of three words, and of two in a short text, of each stretch of a text: of those that carry
    enough and that few items share."""
    room = np.empty(2 * BESIDE)
    key = np.empty(1024, np.uint64)
    numbers = np.empty((3, 1024), np.uint32)
    enough = np.empty(1024, np.uint32)
    pair = np.empty(1024, np.bool_)
    size = 0
    for k in range(len(first) - 1):
        low, high = first[k], first[k + 1]
        words = high - low
        if not wanted[k] or words < 2:
            continue
        most = max(MOST_SEEDS, words // SPACING)
        heaviest = np.full(2 * most, -1.0)
        place = np.full(2 * most, -1)
        for n in (3, 2):
            if n == 2 and words > SHORT:
                continue
            for i in range(low, high - n + 1):
                carried = _bits_beside(word, plain, low, high, i, n, room)
                if n == 2 and carried < PAIR_BITS and words != 2:
                    continue
                if carried < LEAST_BITS and words > SEED_WORDS:
                    continue
                if carried + (room[0] + room[1] + room[2] + room[3]) < needed[k]:
                    continue
                if not (few_triples[i] if n == 3 else few_pairs[i]):
                    continue
                stretch = (i - low) * most // max(most, words) + (most if n == 2 else 0)
                if carried > heaviest[stretch]:
                    heaviest[stretch], place[stretch] = carried, i
        order = np.argsort(-heaviest, kind="mergesort")
        for rank in range(FEWEST_SEEDS, len(order)):
            if order[rank] < most and heaviest[order[rank]] < RARE_BITS:
                place[order[rank]] = -1
        for stretch in range(2 * most):
            i, n = place[stretch], 3 if stretch < most else 2
            if i < 0:
                continue
            if size == len(key):
                key, enough = np.concatenate((key, np.empty_like(key))), np.concatenate((enough, np.empty_like(enough)))
                numbers = np.concatenate((numbers, np.empty_like(numbers)), axis=1)
                pair = np.concatenate((pair, np.empty_like(pair)))
            carried = _bits_beside(word, plain, low, high, i, n, room)
            a, b = vocabulary[word[i]], vocabulary[word[i + 1]]
            key[size] = pair_key(a, b) if n == 2 else triple_key(a, b, vocabulary[word[i + 2]])
            numbers[0, size], numbers[1, size], numbers[2, size] = k, i - low, 0
            for m in range(2 * BESIDE):
                j = i - BESIDE + m if m < BESIDE else i + n + m - BESIDE
                if low <= j < high:
                    numbers[2, size] |= np.uint32(vocabulary[word[j]] & np.uint64(255)) << np.uint32(8 * m)
            enough[size] = 0
            for chosen in range(1 << (2 * BESIDE)):
                together = carried
                for m in range(2 * BESIDE):
                    if chosen >> m & 1:
                        together += room[m]
                enough[size] |= np.uint32(together >= needed[k]) << np.uint32(chosen)
            pair[size] = n == 2
            size += 1
    return key[:size], numbers[0, :size], numbers[1, :size], numbers[2, :size], enough[:size], pair[:size]
