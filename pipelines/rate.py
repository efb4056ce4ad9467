"""Rate: the splits of a task become parts, in one pass and in constant memory."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.combiners import ToListCombineFn

from tamis.pipelines.column_files import ColumnFiles
from tamis.pipelines.measure import Components, measure, measure_each
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.progress import Progress
from tamis.pipelines.run.work_plan import PartTask, allow_more, input_order, max_rejects, rated_parts
from tamis.transforms import storage
from tamis.transforms.beam.exchange import MapDoFn, PartState
from tamis.transforms.core.component import Component
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import Part, PartReceipt, PartWriter, SplitCounts
from tamis.transforms.core.rater import Rater, running_order
from tamis.transforms.provenance.takedown import Takedown, marked, read_takedown, without_texts
from tamis.transforms.read.batch_builder import EXCERPT_CHARS, printable
from tamis.transforms.read.decompress import WrongChecksum
from tamis.transforms.read.input_options import Absent, Loss, Reject, Skipped
from tamis.transforms.read.inputs import read
from tamis.transforms.runtime.credentials import redact
from tamis.transforms.runtime.memory import give_back_freed_memory, keep_freed_memory
from tamis.transforms.runtime.prefetch import prefetch

Advance = Callable[[int, int], None]  # records progress: documents, bytes of text
RatedPart = tuple[Part, PartReceipt]

PART_DOCUMENTS, PART_BYTES = 250_000, 1 << 30
"""A part ends after so many documents or bytes of text: Decide loads some columns of a whole part."""

_REJECT_CHARACTERS = 400  # of a reject in an error message; rejects/ has all of them

ComponentT = TypeVar("ComponentT", bound=Component[Any])

_components: dict[str, dict[tuple[str, str, str], Any]] = {}  # by recipe, and by kind, name and options
_lock = threading.Lock()


def rate_task(task: PartTask, recipe: Recipe, indexes: str) -> Iterator[RatedPart]:
    """The parts of a task, which are rated unless an earlier attempt has finished them."""
    progress = Progress(task.run, "rate")
    keep_freed_memory()  # Decide and Emit gain by it, too
    yield from rated_parts(task) or rate_parts(task, recipe, indexes, progress.advance)
    progress.finish(task.size)


def rate_parts(task: PartTask, recipe: Recipe, indexes: str, advance: Advance) -> list[RatedPart]:
    """Reads the splits of a task, measures all signals on one segmentation of each batch, and
    commits parts of bounded size: one for most tasks, several for a large split."""
    components = prepared_components(recipe, indexes)
    try:
        return _write_parts(task, recipe, components, advance, trust=True)
    except WrongChecksum:  # rare, so no sound file is decoded twice
        number = 0
        while task.part(number).receipt() is not None:
            task.part(number).remove()
            number += 1
        return _write_parts(task, recipe, components, advance, trust=False)


def _write_parts(task: PartTask, recipe: Recipe, components: Components, advance: Advance, trust: bool) -> list[RatedPart]:
    # One thread reads, a second measures, this one writes: nearly all of it without Python's lock.
    takedown = read_takedown(task.run)
    measured = _measure(task, recipe, components, trust, takedown)
    empty = [rated.schema for rated in measure(pa.RecordBatch.from_pylist([], schema=SCHEMA), recipe, components)]
    parts: list[RatedPart] = []
    rows = iter(prefetch(measured))
    item = next(rows, None)
    first = 0  # the first split of the part
    while not parts or item is not None:
        part, counts = task.part(len(parts)), Counter[tuple[int, str]]()
        last = first
        with PartWriter(part) as writer:
            while item is not None and writer.documents < PART_DOCUMENTS and writer.text_bytes < PART_BYTES:
                last, losses, rated, sketch = item
                rejected = writer.rejected
                for loss in losses:
                    if isinstance(loss, Skipped):
                        writer.skip(loss.reason, loss.count)
                        counts[last, "skipped"] += loss.count
                    elif isinstance(loss, Absent):
                        writer.absent[loss.part] += loss.documents
                    else:
                        counts[last, "estimated"] += loss.records * loss.estimated
                        writer.reject(takedown.redacted(asdict(replace(loss, uri=redact(loss.uri), error=redact(loss.error)))))
                if rated.num_rows:
                    writer.write(rated, sketch)
                counts[last, "documents"] += rated.num_rows
                counts[last, "rejected"] += writer.rejected - rejected
                advance(rated.num_rows, int(rated["text"].nbytes))
                item = next(rows, None)
            stop = last + 1 if item is not None else len(task.splits)
            inputs = [_split_counts(task, number, counts) for number in range(first, stop)]
            receipt = writer.finish((empty[0], empty[1]), task.fingerprint, inputs, len(parts), item is None)
        parts.append((part, receipt))
        first = last if item is not None and item[0] == last else stop
    return parts


def _measure(
    task: PartTask, recipe: Recipe, components: Components, trust: bool, takedown: Takedown
) -> Iterator[tuple[int, list[Loss], pa.RecordBatch, pa.RecordBatch]]:
    """The number of the split, losses, documents with their signals, and sketch of each batch."""
    batches = (
        (number, batch, losses)
        for number, split in enumerate(task.splits)
        for batch, losses in read(split, recipe.input, trust)
    )
    columns: ColumnFiles | None = None
    last = -1
    for number, batch, losses in prefetch(batches):
        if number != last:
            if columns is not None:
                columns.save()
            columns, last = ColumnFiles(task.run, task.splits[number], recipe, components.raters), number
        assert columns is not None
        (rated, sketch), errors = measure_each(batch, recipe, components, columns.known(batch))
        columns.add(batch, rated)
        for row, error in errors.items():
            identity, text = batch["id"][row].as_py(), batch["text"][row].as_py()[:EXCERPT_CHARS]
            losses.append(Reject(task.splits[number].uri, None, None, f"document '{identity}': {error}", printable(text)))
        if takedown and (purged := takedown.matches(rated["id"], rated["url"])).any():
            rated, sketch = without_texts(rated, purged), marked(sketch, purged)
        yield number, losses, rated, sketch
    if columns is not None:
        columns.save()


def _split_counts(task: PartTask, number: int, counts: Mapping[tuple[int, str], int]) -> SplitCounts:
    split = task.splits[number]
    return SplitCounts(
        fingerprint=task.digests[number],
        **asdict(replace(split, uri=redact(split.uri))),
        documents=counts[number, "documents"],
        rejected=counts[number, "rejected"],
        estimated=counts[number, "estimated"],
        skipped=counts[number, "skipped"],
    )


def prepared_components(recipe: Recipe, indexes: str, signals: Collection[str] | None = None) -> Components:
    """The recipe's editors, and its raters in the order they run, set up once in this process:
    threads share their models, and processes map what the driver saved in the folder `indexes`,
    such as benchmarks and lists, instead of each reading them ("": there is none). `signals`: of
    the raters, only those for these signals."""
    editors = {
        section: [_prepared(recipe, "editor", editor) for editor in each] for section, each in recipe.editors_by_section.items()
    }
    return Components(editors, prepared_raters(recipe, indexes, signals))


def prepared_raters(recipe: Recipe, indexes: str, signals: Collection[str] | None = None) -> list[Rater[Any]]:
    """The raters of `prepared_components`. `signals`: only those that measure them, and those whose
    signals they need; no other is set up."""
    raters = running_order(
        rater.with_index(storage.join(indexes, rater.index_file)) if indexes and rater.index_file else rater
        for rater in recipe.raters
    )
    if signals is not None:
        raters = list(_measuring(raters, signals))
    return [_prepared(recipe, "rater", rater) for rater in raters]


def _measuring(raters: Sequence[Rater[Any]], signals: Collection[str]) -> Iterator[Rater[Any]]:
    """The raters, in the order they run, that give these signals."""
    wanted, needed = set(signals), set[str]()
    for rater in reversed(raters):  # each runs after those whose signals it needs
        if any(signal.name in wanted for signal in rater.signals):
            wanted.update(rater.needs)
            needed.add(rater.name)
    return (rater for rater in raters if rater.name in needed)


def _prepared(recipe: Recipe, kind: str, component: ComponentT) -> ComponentT:
    """The component that was set up in this process, which may be this one."""
    with _lock:
        ready = _components.setdefault(recipe.rate_fingerprint, {})
        if not ready:
            keep_freed_memory()
        key = (kind, component.name, component.options.fingerprint())  # blocks may have editors of one name
        if key not in ready:
            try:
                component.setup()
            except Exception as error:  # of one word: whatever it is, every document would raise it
                what = "" if isinstance(error, ImportError | OSError | ValueError | RunError) else f"{type(error).__name__}: "
                raise RunError(f"{kind} '{component.name}': {what}{error}") from error
            ready[key] = component
        prepared: ComponentT = ready[key]
        return prepared


class CheckRejects(beam.PTransform):
    """Waits for all parts, then numbers them. Raises RunError if there are more rejects than
    `max_rejects` allows."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def expand(self, rated: beam.PCollection) -> beam.PCollection:
        counts = rated | "Count" >> beam.ParDo(MapDoFn(_count_records))
        all_counts = counts | beam.CombineGlobally(ToListCombineFn()).without_defaults()
        ordinals = beam.pvalue.AsSingleton(all_counts | "Check" >> beam.ParDo(MapDoFn(partial(_ordinals, recipe=self.recipe))))
        return rated | "Number" >> beam.ParDo(MapDoFn(_part_state), ordinals).with_output_types(PartState)


class _PartCount(NamedTuple):
    """Documents and rejects of a part, and the file that lists the rejects."""

    order: tuple[str, int, int, str]  # the first item of these tuples, so that they sort
    name: str
    documents: int
    rejected: int
    rejects_uri: str


def _count_records(rated: RatedPart) -> _PartCount:
    part, receipt = rated
    counts = receipt.documents, receipt.rejected
    return _PartCount(input_order(part, receipt), part.name, *counts, part.uri("rejects", "jsonl"))


def _ordinals(counts: list[_PartCount], recipe: Recipe) -> dict[str, int]:
    """The ordinal of each part by its name."""
    rejected = sum(count.rejected for count in counts)
    records = rejected + sum(count.documents for count in counts)
    if rejected > max_rejects(recipe, records):
        first_file = min(count for count in counts if count.rejected).rejects_uri
        raise RunError(
            f"{rejected:,} of {records:,} records could not be read; max_rejects is {recipe.max_rejects}. "
            f"The first: {_first_reject(first_file)}. "
            "All are listed with file, offset and error in rejects/ of the run directory: "
            f"correct the input, or {allow_more(rejected / records)}"
        )
    return {count.name: ordinal for ordinal, count in enumerate(sorted(counts))}


def _part_state(rated: RatedPart, ordinals: Mapping[str, int]) -> PartState:
    give_back_freed_memory()  # of Rate, which is done
    part, _ = rated
    ordinal = ordinals[part.name]
    return PartState(ordinal, replace(part, ordinal=ordinal))


def _first_reject(uri: str) -> str:
    """The first reject in a list, without control characters: the input may be hostile."""
    with storage.open_binary(uri) as file:
        reject = json.loads(file.read(1 << 20).split(b"\n", 1)[0])
    if reject["offset"] is None:
        position = ""
    elif reject["line"] is not None and not reject["start"]:
        position = f", line {reject['line']:,}"
    else:
        position = f", offset {reject['offset']:,}" + (f" behind byte {reject['start']:,}" if reject["start"] else "")
    message = f"{reject['uri']}{position}: {reject['error']}"
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in message)[:_REJECT_CHARACTERS].rstrip(".")
