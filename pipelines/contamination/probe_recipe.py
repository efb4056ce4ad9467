"""Plants mutated copies of a recipe's benchmark items into documents of its input, and judges them as a run would.

The documents are a sample of the input, edited and matched by the recipe's own editors, matcher and
thresholds. Words are weighed by the documents of the probe, with plants and without.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.pipelines.estimate.sample import SAMPLE_BYTES, sample, sampled_input
from tamis.pipelines.measure import Components, measure_each
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import check_beginning, list_input
from tamis.transforms.core.documents import BATCH_BYTES, SCHEMA
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.decontaminate.benchmarks import Benchmark, Item, items
from tamis.transforms.decontaminate.contamination_rater import Contamination, Decontaminate
from tamis.transforms.decontaminate.judge import CANDIDATES
from tamis.transforms.decontaminate.matching.index import Index
from tamis.transforms.decontaminate.matching.scores import CLASSES
from tamis.transforms.decontaminate.probe.draws import Draws, key_of
from tamis.transforms.decontaminate.probe.mutations import DILUTED, MUTATIONS, mutated, planted, question_of, whole
from tamis.transforms.decontaminate.probe.planted_outcomes import outcomes
from tamis.transforms.provenance.ledger import sample_keys
from tamis.transforms.read.inputs import plan, read
from tamis.transforms.text.hashing import hash_texts, mix

CLEAN, NEGATIVE = "", "negative"
"""In place of a mutation: a document as it is, and one with an item of another split."""

_VOCABULARY_DOCUMENTS = 300


@dataclass(frozen=True)
class Probe:
    """What is planted."""

    documents: int = 3000
    """Of the input, at most."""
    items: int = 60
    """Of each benchmark by each mutation, at most."""
    seed: int = 0
    mutations: Sequence[str] = tuple(MUTATIONS)
    negatives: Sequence[str] = ()
    """Files of items that are not in the benchmarks: a path, or benchmark=path."""


@dataclass(frozen=True)
class Planted:
    """A document of the probe: what was planted into it, and what the recipe made of it."""

    document: str
    """Its id in the input."""
    benchmark: str
    item: str
    mutation: str
    """A name of `MUTATIONS`, `CLEAN` or `NEGATIVE`."""
    words: int
    """Of the question."""
    found: bool
    """Whether it is flagged, that is dropped, cut or set aside for review: for the planted item if one is."""
    dropped: bool
    """Or cut."""
    detail: str
    """The match that decides, or nothing."""


@dataclass(frozen=True)
class Probed:
    """Every document of a probe."""

    recipe: str
    seed: int
    items: dict[str, int]
    """Of each benchmark."""
    documents: list[Planted]


@dataclass(frozen=True)
class _Copy:
    """A text to plant. `number`: of the item in the index, or -1; `host`: the document."""

    item: Item
    number: int
    mutation: str
    host: int
    text: str


def probe_recipe(recipe: Recipe, probe: Probe) -> Probed:
    """Probes a recipe: the result depends on the recipe, its input and benchmarks, and `probe` alone.

    Raises RunError if the recipe names no benchmarks or flags nothing, for an unknown mutation, and for
    files that cannot be read.
    """
    options = _checked(recipe, probe)
    recipe = recipe.model_copy(update={"dedup": None})  # no hashes of what is not compared
    listed = [_items(benchmark) for benchmark in options.benchmarks]
    negatives = [(benchmark, _items(benchmark)) for benchmark in _negatives(options, probe.negatives)]
    documents = _documents(recipe, probe)
    vocabulary = _vocabulary(documents)
    components = prepared_components(recipe, "", {CANDIDATES})
    copies = [
        *_copies(listed, probe, vocabulary, len(documents)),
        *(copy for benchmark, found in negatives for copy in _siblings(found, probe, len(documents))),
    ]
    candidates = [
        _candidates(batch, recipe, components)
        for batches in (_clean_batches(documents), _planted_batches(documents, copies))
        for batch in batches
    ]
    plant = np.array([-1] * len(documents) + [copy.number for copy in copies], np.int64)
    found = outcomes(pa.concat_arrays(candidates), plant, _index(components), options)
    ids = documents["id"].to_pylist()
    flagged, dropped = (found.severity >= least for least in (1, 2))
    rows = [
        Planted(name, "", "", CLEAN, 0, bool(flagged[k]), bool(dropped[k]), found.detail[k]) for k, name in enumerate(ids)
    ] + [
        Planted(ids[copy.host], copy.item.benchmark, copy.item.id, copy.mutation, len(question_of(copy.item).split()),
                bool(flagged[k] if copy.number < 0 else found.own[k]), bool(dropped[k]), found.detail[k])
        for k, copy in enumerate(copies, len(ids))
    ]  # fmt: skip
    names = [benchmark.name for benchmark in options.benchmarks]
    return Probed(recipe.name, probe.seed, dict(zip(names, map(len, listed), strict=True)), rows)


def _checked(recipe: Recipe, probe: Probe) -> Decontaminate:
    options = recipe.decontaminate
    if options is None:
        raise RunError(f"the recipe {recipe.name} has no benchmarks to look for: add the section decontaminate")
    if all(options.classes.action(name) == "report" for name in CLASSES):
        raise RunError("every class in decontaminate.classes is report, so nothing is flagged: drop or review one")
    for name in probe.mutations:
        if name not in MUTATIONS:
            hint = nearest(name, MUTATIONS)
            raise RunError(f"there is no mutation {name!r}" + (f"; did you mean {hint!r}?" if hint else "")
                           + f" There are {', '.join(MUTATIONS)}")  # fmt: skip
    return options


def _items(benchmark: Benchmark) -> list[Item]:
    try:
        return items(benchmark)
    except ValueError as error:
        raise RunError(str(error)) from None


def _negatives(options: Decontaminate, paths: Sequence[str]) -> Iterator[Benchmark]:
    """The benchmarks with other files."""
    by_name = {benchmark.name: benchmark for benchmark in options.benchmarks}
    for text in paths:
        name, separator, path = text.partition("=")
        if separator and name in by_name:
            yield by_name[name].model_copy(update={"path": path, "split": None})
        elif len(by_name) == 1:
            yield next(iter(by_name.values())).model_copy(update={"path": text, "split": None})
        else:
            raise RunError(f"--negatives {text}: say of which benchmark, as {next(iter(by_name))}={text}")


def _documents(recipe: Recipe, probe: Probe) -> pa.Table:
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


def _copies(listed: Sequence[Sequence[Item]], probe: Probe, vocabulary: Sequence[str], hosts: int) -> Iterator[_Copy]:
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
                yield _Copy(item, before + place, mutation, _host(item, probe.seed, mutation, hosts), text)
                planted_items += 1
                if planted_items == probe.items:
                    break
        before += len(of_benchmark)


def _siblings(found: Sequence[Item], probe: Probe, hosts: int) -> Iterator[_Copy]:
    """Items of another split, whole."""
    for place in _order(found, probe.seed, NEGATIVE)[: probe.documents]:
        item = found[place]
        if text := whole(item, item.choices).strip():
            yield _Copy(item, -1, NEGATIVE, _host(item, probe.seed, NEGATIVE, hosts), text)


def _order(of_benchmark: Sequence[Item], seed: int, mutation: str) -> list[int]:
    """The places of the items in the order in which they are drawn."""
    if not of_benchmark:
        return []
    ids = pa.array([item.id for item in of_benchmark], pa.string())
    key = mix(hash_texts(ids), key_of(seed, of_benchmark[0].benchmark, mutation))
    return [int(place) for place in np.argsort(key, kind="stable")]


def _host(item: Item, seed: int, mutation: str, hosts: int) -> int:
    return Draws(seed, item.benchmark, item.id, mutation, "host").below(hosts)


def _clean_batches(documents: pa.Table) -> Iterator[pa.RecordBatch]:
    for rows in _by_size([len(text) for text in documents["text"].to_pylist()]):
        yield _batch(documents.slice(rows.start, len(rows)))


def _planted_batches(documents: pa.Table, copies: Sequence[_Copy]) -> Iterator[pa.RecordBatch]:
    texts = documents["text"].to_pylist()
    for rows in _by_size([len(texts[copy.host]) + len(copy.text) for copy in copies]):
        some = copies[rows.start : rows.stop]
        hosts = documents.take(pa.array([copy.host for copy in some]))
        new = [planted(texts[copy.host], copy.text, copy.mutation == DILUTED) for copy in some]
        yield _batch(hosts.set_column(SCHEMA.get_field_index("text"), SCHEMA.field("text"), pa.array(new, pa.large_string())))


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


def _candidates(batch: pa.RecordBatch, recipe: Recipe, components: Components) -> pa.ListArray:
    """The candidates of each document; none of one on which an editor fails."""
    (rated, _), errors = measure_each(batch, recipe, components)
    good = np.array([row not in errors for row in range(batch.num_rows)])
    return rated[CANDIDATES].take(pa.array(np.cumsum(good) - 1, mask=~good))


def _index(components: Components) -> Index:
    (rater,) = (rater for rater in components.raters if isinstance(rater, Contamination))
    return rater.index
