"""The geometry of the report's charts, in units of their viewBox. page.html.j2 draws them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tamis.pipelines.formatting import compact, number
from tamis.pipelines.report.benchmark_sections import BenchmarkSection
from tamis.pipelines.report.page_data import Histogram, OrderSegment
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.dedup.minhash import MinHash
from tamis.transforms.select.rule_blocks import THRESHOLDS, Rules
from tamis.transforms.select.thresholds import Threshold

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """The plot area of a chart."""

    left: float
    top: float
    right: float
    bottom: float

    def x(self, share: float) -> float:
        return round(self.left + share * (self.right - self.left), 2)

    def y(self, share: float) -> float:
        """y coordinate of a value from 0 (bottom) to 1 (top)."""
        return round(self.bottom - share * (self.bottom - self.top), 2)


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    fails: bool


@dataclass(frozen=True, slots=True)
class LabelledLine:
    """A vertical line with a label; `anchor` is the text-anchor of the label."""

    x: float
    label: str
    anchor: str


@dataclass(frozen=True, slots=True)
class SignalChart:
    """A histogram. The height of a bar is the logarithm of 1 + its documents. `ticks`: (position,
    label) of values on the horizontal axis, `levels` of documents on the vertical one. `summary` says
    in words what it shows; `note` names the limits of blocks."""

    name: str
    unit: str
    missing: int
    bars: list[Bar]
    lines: list[LabelledLine]
    ticks: list[tuple[float, str]]
    levels: list[tuple[float, str]]
    summary: str
    note: str


@dataclass(frozen=True, slots=True)
class SCurve:
    """Probability that LSH proposes a pair, by its Jaccard similarity."""

    box: Box
    path: str
    bands: int
    rows: int
    ngram: int
    threshold: float
    mark: Point
    chances: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class SourceBand:
    """The share of one source along the order; `colour` is an index into the page's palette."""

    name: str
    path: str
    colour: int


@dataclass(frozen=True, slots=True)
class OrderChart:
    """Quality, learning rate and shares of sources along the training order."""

    quality_box: Box
    source_box: Box
    quality: str
    quality_ticks: list[tuple[float, str]]
    rate: str
    peak: float
    phases: list[LabelledLine]
    bands: list[SourceBand]


SIGNAL_BOX = Box(30, 18, 300, 104)
LEVELS = 4  # labels on the vertical axis of a histogram, at most
SCURVE_BOX = Box(34, 12, 400, 214)
QUALITY_BOX = Box(48, 24, 944, 230)
SOURCE_BOX = Box(48, 10, 944, 120)
SEGMENTS = 240  # at most; more are merged, since a screen cannot show them
SOURCES = 7  # with their own band; the others share one


def signal_charts(histograms: Mapping[str, Histogram], rules: Rules) -> list[SignalChart]:
    """A histogram for each signal."""
    return [_signal_chart(name, histogram, rules.of_signal(name)) for name, histogram in histograms.items()]


def _signal_chart(name: str, histogram: Histogram, thresholds: Mapping[str, Threshold | None]) -> SignalChart:
    """`thresholds`: by section. If a block sets limits, nobody can see in a histogram of all documents
    how many fail, so none are said to."""
    edges, counts = histogram["edges"], histogram["counts"]
    most, box = max(counts, default=0), SIGNAL_BOX
    limits = _limits(thresholds.get(THRESHOLDS)) if thresholds.keys() <= {THRESHOLDS} else {}

    at_edges = np.array(edges), np.linspace(0, 1, len(edges))

    def x(value: float) -> float:
        """All bins are drawn equally wide; a value lies in proportion within its bin."""
        return box.x(float(np.interp(value, *at_edges)))

    def y(count: float) -> float:
        return box.y(float(np.log1p(count) / np.log1p(most)))

    bars = []
    failing = dict.fromkeys(limits, 0)
    for (left, right), count in zip(pairwise(edges), counts, strict=True):
        middle = (left + right) / 2
        fails = [side for side, limit in limits.items() if (middle < limit if side == "min" else middle > limit)]
        for side in fails:
            failing[side] += count
        if count:
            height = round(box.bottom - y(count), 2)
            bars.append(Bar(x(left) + 0.5, y(count), max(x(right) - x(left) - 1, 1), height, bool(fails)))
    middle = box.x(0.5)
    lines, notes = [], []
    for section, threshold in thresholds.items():
        marks = [(x(limit), f"{side} {number(limit)}") for side, limit in _limits(threshold).items()]
        if section == THRESHOLDS:
            lines += [LabelledLine(at, label, "end" if at > middle else "start") for at, label in marks]
        else:  # too many labels to stand at their lines
            lines += [LabelledLine(at, "", "start") for at, _ in marks]
            notes.append(f"{section}: {', '.join(label for _, label in marks) or 'no limit'}")
    ticks = [(box.x(share), number(edges[round(share * (len(edges) - 1))])) for share in (0, 0.5, 1)]
    failures = [f"{failing[side]:,} fail {side} {number(limit)}" for side, limit in limits.items()]
    summary = f"{name}: {sum(counts):,} documents from {number(edges[0])} to {number(edges[-1])}"
    summary = ", ".join([summary, *failures])
    levels, note = _levels(most, y), "; ".join(notes)
    return SignalChart(name, histogram["unit"], histogram["missing"], bars, lines, ticks, levels, summary, note)


def score_chart(section: BenchmarkSection) -> SignalChart:
    """A histogram of the matches of a benchmark by score. Grey bars reach no limit."""
    edges, counts, box = section["edges"], section["counts"], SIGNAL_BOX
    most = max(counts, default=0)
    limits = {name: limit for name, limit in (("drop", section["drop"]), ("review", section["review"])) if limit <= 1}
    lowest = min(section["drop"], section["review"])

    def y(count: float) -> float:
        return box.y(float(np.log1p(count) / np.log1p(most)))

    bars = [
        Bar(box.x(left) + 0.5, y(count), max(box.x(right) - box.x(left) - 1, 1), round(box.bottom - y(count), 2), left < lowest)
        for (left, right), count in zip(pairwise(edges), counts, strict=True)
        if count
    ]
    by_value: dict[float, list[str]] = {}
    for name, limit in limits.items():
        by_value.setdefault(limit, []).append(name)
    marks = [(box.x(limit), f"{' and '.join(names)} from {number(limit)}") for limit, names in sorted(by_value.items())]
    # The labels of two limits stand on either side of their lines.
    anchors = ["end", "start"] if len(marks) == 2 else ["end"]
    lines = [LabelledLine(at, label, anchor) for (at, label), anchor in zip(marks, anchors, strict=False)]
    ticks = [(box.x(share), number(share)) for share in (0.0, 0.5, 1.0)]
    name = section["found"]["benchmark"]
    reached = sum(count for left, count in zip(edges, counts, strict=False) if left >= lowest)
    summary = f"{name}: {sum(counts):,} matches by score, {reached:,} of them from {number(lowest)} on"
    return SignalChart("Score", "matches", 0, bars, lines, ticks, _levels(most, y), summary, "")


def _levels(most: int, y: Callable[[float], float]) -> list[tuple[float, str]]:
    """Labels of a logarithmic axis up to `most`."""
    digits = len(str(most)) if most else 0
    return [(y(10**power), compact(10**power)) for power in range(0, digits, -(-digits // LEVELS) or 1)]


def _limits(threshold: Threshold | None) -> dict[str, float]:
    sides = {"min": threshold.min, "max": threshold.max} if threshold is not None else {}
    return {side: limit for side, limit in sides.items() if limit is not None}


def scurve_chart(recipe: Mapping[str, Any]) -> SCurve | None:
    """The S-curve of MinHash; None if the recipe does not use it."""
    minhash = (recipe.get("dedup") or {}).get("minhash")
    if not minhash:
        return None
    # A release of another version may have other options.
    options = MinHash.model_validate({name: minhash[name] for name in MinHash.model_fields if name in minhash})
    proposed, threshold = options.candidate_probability, options.threshold
    box = SCURVE_BOX
    curve = _line((box.x(j), box.y(proposed(j))) for j in np.linspace(0, 1, 101).tolist())
    mark = (box.x(threshold), box.y(proposed(threshold)))
    chances = [(j, proposed(j)) for j in sorted({0.5, 0.6, 0.7, 0.8, 0.9, threshold})]
    return SCurve(box, curve, options.bands, options.rows, options.ngram, threshold, mark, chances)


def order_chart(curriculum: Mapping[str, Any], segments: Sequence[OrderSegment]) -> OrderChart | None:
    """The chart of the training order; None if nothing was kept."""
    total = sum(segment["tokens"] for segment in segments)
    if not total:
        return None
    merged = _merge([segment for segment in segments if segment["tokens"]], total)
    ends = np.cumsum([segment["tokens"] for segment in merged]) / total
    spans = list(pairwise([0.0, *(float(end) for end in ends)]))
    schedule = Schedule.model_validate(curriculum["schedule"])
    quality, ticks = _quality(merged, spans)
    at = np.linspace(0, 1, 401)
    rate = _line(
        (QUALITY_BOX.x(t), QUALITY_BOX.y(lr / schedule.peak)) for t, lr in zip(at, schedule.learning_rate(at), strict=True)
    )
    starts: dict[str, int] = {}
    for shard in curriculum["shards"]:
        starts.setdefault(shard["phase"], shard["first_token"])
    phases = (
        [LabelledLine(QUALITY_BOX.x(first / total), name, "start") for name, first in starts.items()] if len(starts) > 1 else []
    )
    return OrderChart(QUALITY_BOX, SOURCE_BOX, quality, ticks, rate, schedule.peak, phases, _bands(merged, spans))


def _merge(segments: Sequence[OrderSegment], total: int) -> list[OrderSegment]:
    """Merges neighbours into about `SEGMENTS` segments of equal tokens."""
    merged: list[OrderSegment] = []
    slot, through = -1, 0
    for segment in segments:
        segment_slot = through * SEGMENTS // total
        through += segment["tokens"]
        if segment_slot == slot:
            merged[-1] = _join(merged[-1], segment)
        else:
            merged.append(segment)
            slot = segment_slot
    return merged


def _join(one: OrderSegment, other: OrderSegment) -> OrderSegment:
    rated = [(s["quality"], s["tokens"]) for s in (one, other) if s["quality"] is not None]
    weight = sum(tokens for _, tokens in rated)
    return {
        "tokens": one["tokens"] + other["tokens"],
        "quality": sum(quality * tokens for quality, tokens in rated) / weight if weight else None,
        "sources": {
            name: one["sources"].get(name, 0) + other["sources"].get(name, 0) for name in {**one["sources"], **other["sources"]}
        },
        "guarded": {},  # not drawn
    }


def _quality(segments: Sequence[OrderSegment], spans: Sequence[tuple[float, float]]) -> tuple[str, list[tuple[float, str]]]:
    """Mean quality as a step line, and the ticks of its axis, which spans whole tenths."""
    values = [segment["quality"] for segment in segments if segment["quality"] is not None]
    if not values:
        return "", []
    low, high = np.floor(min(values) * 10) / 10, np.ceil(max(values) * 10) / 10
    low, high = (low, high) if high > low else (low - 0.1, high + 0.1)
    steps: list[str] = []
    for (start, end), segment in zip(spans, segments, strict=True):
        if segment["quality"] is None:
            continue
        y = QUALITY_BOX.y((segment["quality"] - low) / (high - low))
        steps.append(f"{'L' if steps else 'M'}{QUALITY_BOX.x(start)} {y}H{QUALITY_BOX.x(end)}")
    ticks = np.linspace(low, high, 3)
    return "".join(steps), [(QUALITY_BOX.y((tick - low) / (high - low)), f"{tick:.2f}") for tick in ticks]


def _bands(segments: Sequence[OrderSegment], spans: Sequence[tuple[float, float]]) -> list[SourceBand]:
    """Stacked shares of the largest sources and of all others, the largest at the bottom."""
    totals: dict[str, int] = {}
    for segment in segments:
        for name, tokens in segment["sources"].items():
            totals[name] = totals.get(name, 0) + tokens
    ranked = sorted(totals, key=lambda name: (-totals[name], name))
    groups = [[name] for name in ranked[:SOURCES]] + ([ranked[SOURCES:]] if len(ranked) > SOURCES else [])
    sizes = np.array([segment["tokens"] for segment in segments], np.float64)
    floor = np.zeros_like(sizes)
    bands = []
    for colour, group in enumerate(groups):
        group_tokens = np.array([sum(segment["sources"].get(name, 0) for name in group) for segment in segments])
        top = floor + group_tokens / sizes
        upper = [point for span, y in zip(spans, top, strict=True) for point in _step(span, y)]
        lower = [point for span, y in zip(spans, floor, strict=True) for point in _step(span, y)]
        label = group[0] if len(group) == 1 else f"{len(group)} others"
        bands.append(SourceBand(label, _line([*upper, *reversed(lower)]) + "Z", colour))
        floor = top
    return bands


def _step(span: tuple[float, float], y: float) -> list[Point]:
    height = SOURCE_BOX.y(min(float(y), 1.0))
    return [(SOURCE_BOX.x(span[0]), height), (SOURCE_BOX.x(span[1]), height)]


def _line(points: Iterable[Point]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)
