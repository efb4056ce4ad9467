"""Makes the documents of a probe: a sample of a recipe's input, as they are and with texts planted into them.

What is planted are mutated copies of the recipe's benchmark items, translations that a user has, and negatives:
texts like items that are none, and items of other splits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipelines.estimate.sample import SAMPLE_BYTES, sample, sampled_input
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import check_beginning, list_input
from tamis.transforms.core.documents import BATCH_BYTES, SCHEMA
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.benchmark_files import Row, local_files, rows
from tamis.transforms.decontaminate.benchmarks import Benchmark, Item, items
from tamis.transforms.decontaminate.contamination_rater import Decontaminate
from tamis.transforms.decontaminate.probe.containment import Containment
from tamis.transforms.decontaminate.probe.draws import Draws, key_of
from tamis.transforms.decontaminate.probe.mutations import DILUTED, MUTATIONS, mutated, planted, whole
from tamis.transforms.decontaminate.probe.negatives import NEGATIVES, QUOTED, Family, negative
from tamis.transforms.decontaminate.rephrased.nearest import Encode
from tamis.transforms.provenance.ledger import sample_keys
from tamis.transforms.read.inputs import plan, read
from tamis.transforms.text.hashing import hash_texts, mix

SIBLING = "sibling"
"""In place of a mutation: an item of another split."""

TRANSLATED = "translated"
"""In place of a mutation: an item in another language."""

_VOCABULARY_DOCUMENTS = 300
_TRIES = 4  # items that a generated negative may be made of, for each that is wanted


@dataclass(frozen=True)
class Probe:
    """What is planted."""

    documents: int = 3000
    """Of the input, at most."""
    items: int = 60
    """Of each benchmark by each mutation, and negatives of each kind, at most."""
    seed: int = 0
    mutations: Sequence[str] = tuple(MUTATIONS)
    negatives: Sequence[str] = ()
    """Files of items that are not in the benchmarks: a path, or benchmark=path."""
    translations: Sequence[str] = ()
    """Files of translated items, with the fields `id` and `text`: a path, or benchmark=path."""
    encode: Encode | None = None
    """Embeds texts, to compare items with translations; without it, TF-IDF does."""


@dataclass(frozen=True)
class Copy:
    """A text to plant. `number`: of the item in the index, or -1 for a negative; `host`: the document."""

    item: Item
    number: int
    mutation: str
    host: int
    text: str


@dataclass(frozen=True)
class ProbeDocuments:
    """The documents: first all `hosts` as they are, then each of `copies` in its host."""

    items: dict[str, int]
    """Of each benchmark."""
    hosts: pa.Table
    """Documents of the input."""
    copies: Sequence[Copy]

    def plants(self) -> npt.NDArray[np.int64]:
        """[documents]: the item in the index that is planted in each, or -1."""
        return np.array([-1] * len(self.hosts) + [copy.number for copy in self.copies], np.int64)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Every document, in batches of about `BATCH_BYTES`. Those of copies have the ids of their hosts."""
        texts = self.hosts["text"].to_pylist()
        for some in _by_size([len(text) for text in texts]):
            yield _batch(self.hosts.slice(some.start, len(some)))
        for some in _by_size([len(texts[copy.host]) + len(copy.text) for copy in self.copies]):
            copies = self.copies[some.start : some.stop]
            hosts = self.hosts.take(pa.array([copy.host for copy in copies]))
            new = [planted(texts[copy.host], copy.text, copy.mutation in (DILUTED, QUOTED)) for copy in copies]
            column = pa.array(new, pa.large_string())
            yield _batch(hosts.set_column(SCHEMA.get_field_index("text"), SCHEMA.field("text"), column))


def probe_documents(recipe: Recipe, options: Decontaminate, probe: Probe) -> ProbeDocuments:
    """The documents of a probe, the same for the same recipe, files and `probe`. Raises RunError for files that
    cannot be read, and for an input without words."""
    listed = [_items(benchmark) for benchmark in options.benchmarks]
    negatives = list(_negatives(options, probe))
    translated = list(_translations(options, listed, probe.translations))
    hosts = sample_of(recipe, probe)
    vocabulary = _vocabulary(hosts)
    count = len(hosts)
    copies = [
        *_copies(listed, probe, vocabulary, count),
        *(
            Copy(item, number, TRANSLATED, _host(item, probe.seed, TRANSLATED, count), text)
            for item, number, text in translated
        ),
        *_generated(listed, recipe, probe, vocabulary, count),
        *(copy for found, most in negatives for copy in _siblings(found, most, probe.seed, count)),
    ]
    names = [benchmark.name for benchmark in options.benchmarks]
    return ProbeDocuments(dict(zip(names, map(len, listed), strict=True)), hosts, copies)


def _items(benchmark: Benchmark) -> list[Item]:
    try:
        return items(benchmark)
    except ValueError as error:
        raise RunError(str(error)) from None


def _negatives(options: Decontaminate, probe: Probe) -> Iterator[tuple[list[Item], int]]:
    """(items, how many of them) of the files of the user, and of other splits beside those of the benchmarks."""
    for text in probe.negatives:
        benchmark, path = _named(options, "--negatives", text)
        yield _items(benchmark.model_copy(update={"path": path, "split": None})), probe.documents
    for benchmark in options.benchmarks:
        for sibling in benchmark.siblings:
            yield _items(sibling), probe.items


def _named(options: Decontaminate, option: str, text: str) -> tuple[Benchmark, str]:
    """The benchmark and the path of `path` or `benchmark=path`."""
    by_name = {benchmark.name: benchmark for benchmark in options.benchmarks}
    name, separator, path = text.partition("=")
    if separator and name in by_name:
        return by_name[name], path
    if len(by_name) == 1:
        return next(iter(by_name.values())), text
    raise RunError(f"{option} {text}: say of which benchmark, as {next(iter(by_name))}={text}")


def _translations(
    options: Decontaminate, listed: Sequence[Sequence[Item]], paths: Sequence[str]
) -> Iterator[tuple[Item, int, str]]:
    """(item, its number in the index, text) of each translation."""
    for text in paths:
        benchmark, path = _named(options, "--translations", text)
        place = [one.name for one in options.benchmarks].index(benchmark.name)
        before = sum(map(len, listed[:place]))
        numbers = {item.id: number for number, item in enumerate(listed[place])}
        for where, row in _rows(path):
            if not isinstance(row.get("text"), str) or row.get("id") is None:
                raise RunError(f"--translations: {where} has no fields id and text; it has {', '.join(row)}")
            number = numbers.get(str(row["id"]))
            if number is None:
                raise RunError(f"--translations: {where}: {benchmark.name} has no item {row['id']!r}")
            yield listed[place][number], before + number, row["text"]


def _rows(path: str) -> Iterator[tuple[str, Row]]:
    try:
        for entry in local_files(path, None):
            yield from rows(entry.uri)
    except ValueError as error:
        raise RunError(str(error)) from None


def sample_of(recipe: Recipe, probe: Probe) -> pa.Table:
    """A sample of the input, by hashes of ids: the same however the input is cut into files, as far as
    it is small enough to be read as a whole."""
    splits, _ = list_input(recipe, "")
    check_beginning(recipe, splits)
    with tempfile.TemporaryDirectory(prefix="tamis-probe-") as folder:
        pieces = sample(sorted(splits, key=lambda split: (split.uri, split.start)), recipe, folder, SAMPLE_BYTES)
        options = sampled_input(recipe.input, pieces)
        batches = [batch for split in plan(options)[0] for batch, _ in read(split, options)]
    table = pa.Table.from_batches(batches, SCHEMA).combine_chunks()
    key, text = sample_keys(table["id"].combine_chunks(), probe.seed), hash_texts(table["text"].combine_chunks())
    table = table.take(pa.array(np.lexsort((text, key))[: probe.documents])).combine_chunks()
    if not len(table):
        raise RunError("input: it has no documents to plant items into")
    return table


def _vocabulary(documents: pa.Table) -> list[str]:
    """Words of the documents, as often as they have them."""
    texts = documents["text"].slice(0, _VOCABULARY_DOCUMENTS).to_pylist()
    words = [word for text in texts for word in text.split() if word.isalpha()]
    if len({word.casefold() for word in words}) < 2:
        raise RunError("input: its documents have no words to put into items")
    return words


def _copies(listed: Sequence[Sequence[Item]], probe: Probe, vocabulary: Sequence[str], hosts: int) -> Iterator[Copy]:
    """Copies of items by every mutation; each mutation draws its own items."""
    before = 0
    for of_benchmark in listed:
        for mutation in probe.mutations:
            planted_items = 0
            for place in _order(of_benchmark, probe.seed, mutation):
                item = of_benchmark[place]
                text = mutated(item, mutation, probe.seed, vocabulary)
                if text is None:
                    continue
                yield Copy(item, before + place, mutation, _host(item, probe.seed, mutation, hosts), text)
                planted_items += 1
                if planted_items == probe.items:
                    break
        before += len(of_benchmark)


def _generated(
    listed: Sequence[Sequence[Item]], recipe: Recipe, probe: Probe, vocabulary: Sequence[str], hosts: int
) -> Iterator[Copy]:
    """Negatives of every kind that have no item of any benchmark by the rule of `containment`, and differ."""
    containment = Containment([item for of_benchmark in listed for item in of_benchmark], recipe.words)
    for of_benchmark in listed:
        family = Family(of_benchmark)
        for kind in NEGATIVES:
            made: dict[str, Item] = {}
            for place in _order(of_benchmark, probe.seed, kind)[: _TRIES * probe.items]:
                text = negative(family, place, kind, probe.seed, vocabulary)
                if text is not None:
                    made.setdefault(text, of_benchmark[place])
            held = containment.holds(list(made))
            for (text, item), _ in [each for each in zip(made.items(), held, strict=True) if not each[1]][: probe.items]:
                yield Copy(item, -1, kind, _host(item, probe.seed, kind, hosts), text)


def _siblings(found: Sequence[Item], most: int, seed: int, hosts: int) -> Iterator[Copy]:
    """Items of another split, whole."""
    for place in _order(found, seed, SIBLING)[:most]:
        item = found[place]
        if text := whole(item, item.choices).strip():
            yield Copy(item, -1, SIBLING, _host(item, seed, SIBLING, hosts), text)


def _order(of_benchmark: Sequence[Item], seed: int, mutation: str) -> list[int]:
    """The places of the items in the order in which they are drawn."""
    if not of_benchmark:
        return []
    ids = pa.array([item.id for item in of_benchmark], pa.string())
    key = mix(hash_texts(ids), key_of(seed, of_benchmark[0].benchmark, mutation))
    return [int(place) for place in np.argsort(key, kind="stable")]


def _host(item: Item, seed: int, mutation: str, hosts: int) -> int:
    return Draws(seed, item.benchmark, item.id, mutation, "host").below(hosts)


def _by_size(sizes: Sequence[int]) -> Iterator[range]:
    """Ranges of about `BATCH_BYTES`."""
    first, size = 0, 0
    for place, one in enumerate(sizes):
        size += one
        if size >= BATCH_BYTES or place + 1 == len(sizes):
            yield range(first, place + 1)
            first, size = place + 1, 0


def _batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]
