"""Compares the records of contamination of two releases: which items and documents only one of them has met."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.contamination.recorded_items import RecordedItems, recorded_items
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.release import open_release
from tamis.transforms.decontaminate.record import NO_ACTION, matches

_PAIR = ["number", "id"]
_NAMED = 5  # items that are named in a line


@dataclass(frozen=True)
class Overlap:
    """How many items or documents both have, and only one of them."""

    both: int
    only_a: int
    only_b: int


@dataclass(frozen=True)
class ItemDifference:
    """An item with documents that only one of the releases has with it."""

    item: str
    number: int
    documents_a: int
    documents_b: int
    only_a: int
    only_b: int


@dataclass(frozen=True)
class ScoreShifts:
    """Scores in B minus scores in A, of the documents and items that both have, near misses included, and how many
    of them reach a limit in one only. They are null if the metrics differ."""

    pairs: int
    mean: float | None
    lowest: float | None
    highest: float | None
    reached_only_a: int
    reached_only_b: int


@dataclass(frozen=True)
class BenchmarkComparison:
    """A benchmark in two releases. `missing_in`: the release whose recipe does not name it, or nothing;
    `items_a` and `items_b`: how many it has there."""

    benchmark: str
    missing_in: str
    items_a: int
    items_b: int
    items: Overlap
    documents: Overlap
    shifts: ScoreShifts
    differences: list[ItemDifference]


def compare_records(a: str, b: str, benchmarks: Sequence[str] = ()) -> list[BenchmarkComparison]:
    """What the records of two releases have, each `RUN` or `RUN@41`, by benchmark of either recipe: of all, or of
    those named. Items are the same by their number in the benchmark, documents by their ids. Raises RunError
    if neither recipe names a benchmark, and as `recorded_items` does."""
    records = [recorded_items(open_release(name)) for name in (a, b)]
    names = list(dict.fromkeys(benchmark.name for record in records for benchmark in record.benchmarks))
    for one in benchmarks:
        if one not in names:
            hint = nearest(one, names)
            named = f"; did you mean {hint!r}?" if hint else f": {', '.join(names)}"
            raise RunError(f"neither {a} nor {b} has a benchmark {one!r}{named}")
    return [_compared(name, records[0], records[1], (a, b)) for name in names if not benchmarks or name in benchmarks]


def lines(found: Sequence[BenchmarkComparison], a: str, b: str) -> Iterator[str]:
    """What a person reads."""
    yield f"A: {a}"
    yield f"B: {b}"
    for each in found:
        if each.missing_in:
            yield f"{each.benchmark}: the recipe of {each.missing_in} does not name it"
            continue
        changed = "" if each.items_a == each.items_b else f"; it has {each.items_a:,} items in A and {each.items_b:,} in B"
        yield f"{each.benchmark}{changed}"
        yield f"  {'':<10} {'both':>8} {'only A':>8} {'only B':>8}"
        for name, counts in (("items", each.items), ("documents", each.documents)):
            yield f"  {name:<10} {counts.both:>8,} {counts.only_a:>8,} {counts.only_b:>8,}"
        yield from _shift_lines(each.shifts)
        for side, field in (("A", "only_a"), ("B", "only_b")):
            changed_by = {row: int(getattr(row, field)) for row in each.differences if getattr(row, field)}
            if changed_by:
                items = sorted(changed_by, key=lambda row: (-changed_by[row], row.number))
                named = ", ".join(f"{row.item} ({changed_by[row]:,})" for row in items[:_NAMED])
                more = f" and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
                yield f"  items with documents only in {side}: {named}{more}"


def _shift_lines(shifts: ScoreShifts) -> Iterator[str]:
    if not shifts.pairs:
        return
    if shifts.mean is None or shifts.lowest is None or shifts.highest is None:
        yield "  scores: A and B measure them differently"
    else:
        spread = f"mean {shifts.mean:+.4f}, from {shifts.lowest:+.4f} to {shifts.highest:+.4f}"
        yield f"  score shifts, B - A, of {shifts.pairs:,} matches in both: {spread}"
    if shifts.reached_only_a or shifts.reached_only_b:
        yield f"  of these reach a limit only in A {shifts.reached_only_a:,}, only in B {shifts.reached_only_b:,}"


def _compared(name: str, a: RecordedItems, b: RecordedItems, labels: tuple[str, str]) -> BenchmarkComparison:
    sizes = [{each.name: each.items for each in record.benchmarks} for record in (a, b)]
    missing = next((label for label, size in zip(labels, sizes, strict=True) if name not in size), "")
    rows = a.of(name), b.of(name)
    found = matches(rows[0]), matches(rows[1])
    return BenchmarkComparison(
        name,
        missing,
        sizes[0].get(name, 0),
        sizes[1].get(name, 0),
        _overlap(found[0]["number"], found[1]["number"]),
        _overlap(found[0]["id"], found[1]["id"]),
        _shifts(*rows),
        [] if missing else list(_differences(*found)),
    )


def _overlap(one: pa.ChunkedArray, other: pa.ChunkedArray) -> Overlap:
    one, other = one.unique(), other.unique()
    both = pc.sum(pc.is_in(one, value_set=other), min_count=0).as_py() or 0
    return Overlap(both, len(one) - both, len(other) - both)


def _shifts(a: pa.Table, b: pa.Table) -> ScoreShifts:
    names = [*_PAIR, "metric", "score", "action"]
    joined = a.select(names).join(b.select(names), keys=_PAIR, join_type="inner", left_suffix="_a", right_suffix="_b")
    joined = joined.sort_by([(name, "ascending") for name in _PAIR])  # floats are added up in a fixed order
    reached = [pc.not_equal(joined[f"action_{side}"], NO_ACTION).to_numpy() for side in "ab"]
    only = [int((reached[k] & ~reached[1 - k]).sum()) for k in (0, 1)]
    if not len(joined) or not pc.all(pc.equal(joined["metric_a"], joined["metric_b"])).as_py():
        return ScoreShifts(len(joined), None, None, None, *only)
    shift = joined["score_b"].to_numpy() - joined["score_a"].to_numpy()
    mean, lowest, highest = (round(float(value), 4) for value in (np.mean(shift), shift.min(), shift.max()))
    return ScoreShifts(len(joined), mean, lowest, highest, *only)


def _differences(a: pa.Table, b: pa.Table) -> Iterator[ItemDifference]:
    documents: dict[int, tuple[set[str], set[str]]] = {}
    names: dict[int, str] = {}
    for side, rows in enumerate((a, b)):
        for row in rows.select(["number", "item", "id"]).to_pylist():
            documents.setdefault(row["number"], (set(), set()))[side].add(row["id"])
            names[row["number"]] = row["item"]
    for number, (one, other) in sorted(documents.items()):
        if one != other:
            yield ItemDifference(names[number], number, len(one), len(other), len(one - other), len(other - one))
