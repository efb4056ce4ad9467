"""Shows which benchmark items the documents of a release have, and what happened to these documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.contamination.recorded_items import RecordedItems, recorded_items
from tamis.pipelines.formatting import plural
from tamis.pipelines.run.receipts import BenchmarkItems
from tamis.transforms.core.release import open_release
from tamis.transforms.decontaminate.record import CLASSES, NO_ACTION, matches

ACTIONS = ("drop", "cut", "review", "report")
"""What limits and class ask for, the severest first."""

_OUTCOMES = {"keep": "kept", "review": "review", "drop": "dropped"}
_HAPPENED = _OUTCOMES | {"review": "set aside for review"}


@dataclass(frozen=True)
class Touched:
    """Items and documents with a match of a class that asks for an action, and what happened to the documents."""

    kind: str
    action: str
    items: int
    documents: int
    kept: int
    review: int
    dropped: int


@dataclass(frozen=True)
class Contaminated:
    """A document with an item, and the bytes of the item in its rated text."""

    id: str
    item: str
    number: int
    part: str
    kind: str
    action: str
    score: float
    start: int
    stop: int
    decision: str
    reason: str | None


@dataclass(frozen=True)
class BenchmarkContamination:
    """What a release has met of a benchmark."""

    benchmark: str
    items: int
    touched: int
    """Items that some document has."""
    documents: int
    """Documents that have one."""
    unmatchable: list[str]
    """Ids of items that nothing can find."""
    by_class: list[Touched]
    near_items: int
    """Items that no document has, but that some document nearly has."""
    near_documents: int
    top: list[Contaminated]
    """Matches with the highest scores."""


def contaminated_documents(name: str, benchmarks: Sequence[str] = (), top: int = 5) -> list[BenchmarkContamination]:
    """What the record of a release, `RUN` or `RUN@41`, says of each benchmark: of all, or of those named. A
    document with items of several classes counts in each. Raises as `recorded_items` does."""
    return by_benchmark(recorded_items(open_release(name), benchmarks), top)


def by_benchmark(recorded: RecordedItems, top: int) -> list[BenchmarkContamination]:
    """A record by benchmark, with the `top` matches of each."""
    return [_of_benchmark(benchmark, recorded.of(benchmark.name), top) for benchmark in recorded.benchmarks]


def lines(found: Sequence[BenchmarkContamination]) -> Iterator[str]:
    """What a person reads."""
    for each in found:
        items = plural(each.items, "item")
        touched = f"{each.touched:,} of {items} in {plural(each.documents, 'document')}" if each.touched else f"none of {items}"
        yield f"{each.benchmark}: {touched}"
        if each.by_class:
            yield f"  {'class':<8} {'action':<8} {'items':>8} {'documents':>10} {'kept':>8} {'review':>8} {'dropped':>8}"
        for row in each.by_class:
            counts = f"{row.items:>8,} {row.documents:>10,} {row.kept:>8,} {row.review:>8,} {row.dropped:>8,}"
            yield f"  {row.kind:<8} {row.action:<8} {counts}"
        if each.near_documents:
            yield f"  near misses: {plural(each.near_items, 'other item')} in {plural(each.near_documents, 'document')}"
        if each.unmatchable:
            yield f"  unmatchable: {plural(len(each.unmatchable), 'item')}, such as {', '.join(each.unmatchable[:5])}"
        if each.top:
            yield "  highest scores"
        for one in each.top:
            place = f"item {one.item}, {one.kind}, {one.action}, bytes {one.start}-{one.stop}"
            yield f"  {one.score:.4f} {one.id}: {place}; {outcome(one.action, one.decision, one.reason)}"


def outcome(action: str, decision: str, reason: str | None) -> str:
    """What happened to a document with a match."""
    if action == "cut" and decision == "keep":
        return "kept without it"
    return f"{_HAPPENED[decision]}{f' because of {reason}' if reason else ''}"


def _of_benchmark(benchmark: BenchmarkItems, rows: pa.Table, top: int) -> BenchmarkContamination:
    found = matches(rows)
    near = rows.filter(pc.equal(rows["action"], NO_ACTION))
    near_items = near["number"].filter(pc.invert(pc.is_in(near["number"], value_set=found["number"].combine_chunks())))
    highest = found.sort_by([("score", "descending"), ("id", "ascending"), ("number", "ascending")]).slice(0, top)
    return BenchmarkContamination(
        benchmark.name,
        benchmark.items,
        _different(found["number"]),
        _different(found["id"]),
        benchmark.unmatchable,
        _by_class(found),
        _different(near_items),
        _different(near["id"]),
        [contaminated(row) for row in highest.to_pylist()],
    )


def contaminated(row: dict[str, Any]) -> Contaminated:
    """A row of the record."""
    fields = {name: row[name] for name in Contaminated.__dataclass_fields__ if name not in ("kind", "score")}
    return Contaminated(**fields, kind=row["class"], score=round(row["score"], 4))


def _by_class(rows: pa.Table) -> list[Touched]:
    touched = []
    for kind in _known_first(rows["class"].unique().to_pylist(), CLASSES):
        of_class = rows.filter(pc.equal(rows["class"], kind))
        for action in _known_first(of_class["action"].unique().to_pylist(), ACTIONS):
            own = of_class.filter(pc.equal(of_class["action"], action))
            outcomes = {
                name: _different(own["id"].filter(pc.equal(own["decision"], value))) for value, name in _OUTCOMES.items()
            }
            touched.append(Touched(kind, action, _different(own["number"]), _different(own["id"]), **outcomes))
    return touched


def _known_first(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """The names in the given order, then those that it lacks, as another version writes them."""
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def _different(values: pa.ChunkedArray) -> int:
    return len(values.unique())
