"""report.html: one self-contained page that shows what a run did with its documents, from its manifest and a few samples.

Everything that comes from documents (ids, sources, excerpts) is hostile: it is escaped by the template engine, isolated in its
writing direction, and rid of control characters. The page needs no network and no JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from typing import Any, TypedDict

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from transforms.dedup.minhash import MinHash
from transforms.schedule import Schedule
from transforms.select.guards import Guards, Within, shares

Manifest = Mapping[str, Any]
Point = tuple[float, float]


class Histogram(TypedDict):
    """Values of one signal over all documents; the outermost bins also hold what lies beyond them."""

    unit: str
    edges: list[float]
    counts: list[int]
    missing: int


class Cluster(TypedDict):
    """The copies of one text: the document that stays, and how many documents it stands for, itself included."""

    id: str
    copies: int
    source: str
    excerpt: str


class Contaminated(TypedDict):
    """One document that holds items of a benchmark."""

    id: str
    decision: str
    detail: str
    excerpt: str


class Benchmark(TypedDict):
    """What was found of one benchmark: all documents counted, a few shown."""

    name: str
    documents: int
    examples: list[Contaminated]


class Segment(TypedDict):
    """A stretch of the training order: its tokens, their mean quality (None: unknown), and their tokens by source and guard."""

    tokens: int
    quality: float | None
    sources: dict[str, int]
    guarded: dict[str, int]


class Repeats(TypedDict):
    """Tokens between two neighbouring copies of a document, at least: as measured (None: no copies), and as asked for."""

    closest: int | None
    asked: int


class Data(TypedDict):
    """What the report shows beyond the manifest. `clusters` largest first; `segments` in training order; `real_before`: real
    tokens of the release before, where a guard holds the run to them."""

    histograms: dict[str, Histogram]
    clusters: list[Cluster]
    contamination: list[Benchmark]
    segments: list[Segment]
    repeats: Repeats
    real_before: int | None


def render(manifest: Manifest, data: Data) -> str:
    """The page of a finished run: `manifest` as it is sealed, and what `data` adds."""
    recipe = manifest["recipe"]
    histograms = _histograms(data["histograms"], recipe)
    return str(
        _environment()
        .from_string((resources.files("pipelines") / "report.html.j2").read_text("utf-8"))
        .render(
            run=manifest,
            parts=_parts(manifest["counts"]),
            reasons=_reasons(manifest["counts"], recipe),
            sources=_sources(manifest["counts"]),
            decided=[chart for chart in histograms if chart.lines],
            measured=[chart for chart in histograms if not chart.lines],
            scurve=_scurve(recipe),
            clusters=data["clusters"],
            decontaminated=bool(recipe.get("decontaminate")),
            contamination=data["contamination"],
            order=_order(manifest["curriculum"], data["segments"]),
            repeats=data["repeats"],
            guards=_guards(manifest, data["segments"]),
            real_before=data["real_before"],
            shards=manifest["curriculum"]["shards"],
            size=sum(int(file["bytes"]) for file in manifest["files"]),
        )
    )


# --- numbers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """One share of the documents read."""

    name: str
    documents: int
    tokens: int | None
    share: float


@dataclass(frozen=True, slots=True)
class Reason:
    """What one reason took, with the rule of the recipe behind it; `width` is its bar, 1 for the longest."""

    name: str
    decision: str
    rule: str
    documents: int
    tokens: int
    share: float
    width: float


@dataclass(frozen=True, slots=True)
class Source:
    """What became of one source; `share` is its part of the kept tokens."""

    name: str
    documents: int
    kept: int
    review: int
    dropped: int
    kept_tokens: int
    share: float


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guard's share of the corpus' tokens, the least and the largest of a stretch of the order, and its limits."""

    name: str
    kind: str
    share: float
    low: float
    high: float
    rule: str
    limits: list[float]
    warns: bool


def _parts(counts: Mapping[str, Any]) -> list[Part]:
    tokens = counts["tokens"]
    return [
        Part(name, counts[name], tokens.get(name), _ratio(counts[name], counts["records"]))
        for name in ("kept", "review", "dropped", "rejected")
    ]


def _reasons(counts: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[Reason]:
    longest = max((row["documents"] for row in counts["reasons"]), default=0)
    return [
        Reason(
            row["reason"],
            row["decision"],
            _rule(recipe["thresholds"].get(row["reason"])),
            row["documents"],
            row["tokens"],
            _ratio(row["documents"], counts["records"]),
            _ratio(row["documents"], longest),
        )
        for row in counts["reasons"]
    ]


def _rule(threshold: Mapping[str, Any] | None) -> str:
    if threshold is None:
        return ""
    limits = [f"{name} {threshold[name]:.15g}" for name in ("min", "max") if threshold[name] is not None]
    return ", ".join(limits or ["one of", *(threshold["one_of"] or ())]).replace("one of, ", "one of ")


def _sources(counts: Mapping[str, Any]) -> list[Source]:
    kept = counts["tokens"]["kept"]
    rows = [
        Source(
            name,
            row["kept"] + row["review"] + row["dropped"],
            row["kept"],
            row["review"],
            row["dropped"],
            row.get("kept_tokens", 0),
            _ratio(row.get("kept_tokens", 0), kept),
        )
        for name, row in counts["sources"].items()
    ]
    return sorted(rows, key=lambda row: (-row.documents, row.name))


def _guards(manifest: Manifest, segments: Sequence[Segment]) -> list[Guarded]:
    options = Guards.model_validate(manifest["recipe"]["guards"])
    warned = {warning["code"] for warning in manifest["warnings"]}
    tokens = [segment["tokens"] for segment in segments]
    rows = []
    for name, guard in options.named.items():
        share, along = shares(tokens, [segment["guarded"].get(name, 0) for segment in segments])
        limits = {
            f"{what} {side} {limit:.0%}": limit
            for what in ("warn", "fail")
            for side in ("above", "below")
            if (limit := getattr(guard, f"{what}_{side}")) is not None
        }
        rows.append(
            Guarded(
                name,
                " or ".join(_kind(column, wanted) for column, wanted in guard.where.items()),
                share,
                min(along, default=0.0),
                max(along, default=0.0),
                ", ".join(limits) + (", in every stretch" if guard.along else ""),
                list(limits.values()),
                f"guard-{name}" in warned,
            )
        )
    return rows


def _kind(column: str, wanted: tuple[str, ...] | Within) -> str:
    if not isinstance(wanted, Within):
        return f"{column} is {', '.join(wanted)}"
    sides = (("from", wanted.min), ("to", wanted.max))
    return " ".join([column, *(f"{word} {limit:.15g}" for word, limit in sides if limit is not None)])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


# --- charts: geometry only, in the units of each chart's own viewBox ---------------------------------------------------


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
        """Height of a value from 0 (bottom) to 1 (top)."""
        return round(self.bottom - share * (self.bottom - self.top), 2)


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    fails: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """A line at a value, with its words and the side of the line they stand on."""

    x: float
    label: str
    anchor: str


@dataclass(frozen=True, slots=True)
class SignalChart:
    name: str
    unit: str
    low: float
    high: float
    documents: int
    missing: int
    bars: list[Bar]
    lines: list[Mark]


@dataclass(frozen=True, slots=True)
class SCurve:
    """Probability that LSH proposes a pair, over its Jaccard similarity."""

    box: Box
    path: str
    bands: int
    rows: int
    ngram: int
    threshold: float
    mark: Point
    chances: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Band:
    """One source's share along the order; `colour` indexes the palette of the page."""

    name: str
    path: str
    colour: int


@dataclass(frozen=True, slots=True)
class OrderChart:
    """Quality and learning rate along the training order, and the sources below."""

    quality_box: Box
    source_box: Box
    quality: str
    quality_ticks: list[tuple[float, str]]
    rate: str
    peak: float
    phases: list[Mark]
    bands: list[Band]


SIGNAL_BOX = Box(0, 16, 300, 96)
SCURVE_BOX = Box(34, 12, 400, 214)
QUALITY_BOX = Box(40, 24, 944, 230)
SOURCE_BOX = Box(40, 10, 944, 120)
SEGMENTS = 240
"""Segments drawn at most: more than a screen shows are merged."""

SOURCES = 7
"""Sources drawn by name; the rest are one band."""


def _histograms(histograms: Mapping[str, Histogram], recipe: Mapping[str, Any]) -> list[SignalChart]:
    return [_histogram(name, histogram, recipe["thresholds"].get(name)) for name, histogram in histograms.items()]


def _histogram(name: str, histogram: Histogram, threshold: Mapping[str, Any] | None) -> SignalChart:
    edges, counts = histogram["edges"], histogram["counts"]
    low, high, most = edges[0], edges[-1], max(counts, default=0)
    limits = {side: threshold[side] for side in ("min", "max") if threshold[side] is not None} if threshold else {}
    box = SIGNAL_BOX

    def share(value: float) -> float:
        """Bins are drawn equally wide, whatever their edges: a value lies in proportion within its bin."""
        return float(np.interp(value, edges, np.linspace(0, 1, len(edges))))

    bars = []
    for (left, right), count in zip(pairwise(edges), counts, strict=True):
        if not count:
            continue
        top = min(box.y(count / most), box.bottom - 1)  # a bin with one document is seen
        middle = (left + right) / 2
        fails = middle < limits.get("min", -np.inf) or middle > limits.get("max", np.inf)
        bars.append(
            Bar(box.x(share(left)) + 0.5, top, max(box.x(share(right)) - box.x(share(left)) - 1, 1), box.bottom - top, fails)
        )
    lines = [
        Mark(box.x(share(limit)), f"{side} {_number(limit)}", "end" if share(limit) > 0.5 else "start")
        for side, limit in limits.items()
    ]
    return SignalChart(name, histogram["unit"], low, high, sum(counts), histogram["missing"], bars, lines)


def _scurve(recipe: Mapping[str, Any]) -> SCurve | None:
    minhash = (recipe.get("dedup") or {}).get("minhash")
    if not minhash:
        return None
    options = MinHash.model_validate(minhash)
    proposed, threshold = options.proposed, options.threshold
    box = SCURVE_BOX
    curve = _line((box.x(j), box.y(proposed(j))) for j in np.linspace(0, 1, 101).tolist())
    mark = (box.x(threshold), box.y(proposed(threshold)))
    chances = [(j, proposed(j)) for j in sorted({0.5, 0.6, 0.7, 0.8, 0.9, threshold})]
    return SCurve(box, curve, options.bands, options.rows, options.ngram, threshold, mark, chances)


def _order(curriculum: Mapping[str, Any], segments: Sequence[Segment]) -> OrderChart | None:
    total = sum(segment["tokens"] for segment in segments)
    if not total:
        return None
    drawn = _merged([segment for segment in segments if segment["tokens"]], total)
    ends = np.cumsum([segment["tokens"] for segment in drawn]) / total
    spans = list(pairwise([0.0, *(float(end) for end in ends)]))
    schedule = Schedule.model_validate(curriculum["schedule"])
    quality, ticks = _quality(drawn, spans)
    at = np.linspace(0, 1, 401)
    rate = _line(
        (QUALITY_BOX.x(t), QUALITY_BOX.y(lr / schedule.peak)) for t, lr in zip(at, schedule.learning_rate(at), strict=True)
    )
    starts: dict[str, int] = {}
    for shard in curriculum["shards"]:
        starts.setdefault(shard["phase"], shard["first_token"])
    phases = [Mark(QUALITY_BOX.x(first / total), name, "start") for name, first in starts.items()] if len(starts) > 1 else []
    return OrderChart(QUALITY_BOX, SOURCE_BOX, quality, ticks, rate, schedule.peak, phases, _bands(drawn, spans))


def _merged(segments: Sequence[Segment], total: int) -> list[Segment]:
    """Neighbours merged to about `SEGMENTS` stretches of equal tokens."""
    merged: list[Segment] = []
    slot, through = -1, 0
    for segment in segments:
        here = through * SEGMENTS // total
        through += segment["tokens"]
        if here == slot:
            merged[-1] = _joined(merged[-1], segment)
        else:
            merged.append(segment)
            slot = here
    return merged


def _joined(one: Segment, other: Segment) -> Segment:
    known = [(s["quality"], s["tokens"]) for s in (one, other) if s["quality"] is not None]
    weight = sum(tokens for _, tokens in known)
    return {
        "tokens": one["tokens"] + other["tokens"],
        "quality": sum(quality * tokens for quality, tokens in known) / weight if weight else None,
        "sources": {
            name: one["sources"].get(name, 0) + other["sources"].get(name, 0) for name in {**one["sources"], **other["sources"]}
        },
        "guarded": {},  # not drawn
    }


def _quality(segments: Sequence[Segment], spans: Sequence[tuple[float, float]]) -> tuple[str, list[tuple[float, str]]]:
    """Mean quality as a line of steps, and the ticks of its axis, which spans the tenths that hold it."""
    known = [segment["quality"] for segment in segments if segment["quality"] is not None]
    if not known:
        return "", []
    low, high = np.floor(min(known) * 10) / 10, np.ceil(max(known) * 10) / 10
    low, high = (low, high) if high > low else (low - 0.1, high + 0.1)
    steps: list[str] = []
    for (start, end), segment in zip(spans, segments, strict=True):
        if segment["quality"] is None:
            continue
        y = QUALITY_BOX.y((segment["quality"] - low) / (high - low))
        steps.append(f"{'L' if steps else 'M'}{QUALITY_BOX.x(start)} {y}H{QUALITY_BOX.x(end)}")
    values = np.linspace(low, high, 3)
    return "".join(steps), [(QUALITY_BOX.y((value - low) / (high - low)), f"{value:.2f}") for value in values]


def _bands(segments: Sequence[Segment], spans: Sequence[tuple[float, float]]) -> list[Band]:
    """Stacked shares of the largest sources and of the rest, the largest at the bottom."""
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
        given = np.array([sum(segment["sources"].get(name, 0) for name in group) for segment in segments])
        top = floor + given / sizes
        upper = [point for span, y in zip(spans, top, strict=True) for point in _step(span, y)]
        lower = [point for span, y in zip(spans, floor, strict=True) for point in _step(span, y)]
        label = group[0] if len(group) == 1 else f"{len(group)} others"
        bands.append(Band(label, _line([*upper, *reversed(lower)]) + "Z", colour))
        floor = top
    return bands


def _step(span: tuple[float, float], y: float) -> list[Point]:
    height = SOURCE_BOX.y(min(float(y), 1.0))
    return [(SOURCE_BOX.x(span[0]), height), (SOURCE_BOX.x(span[1]), height)]


def _line(points: Iterable[Point]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)


# --- the page ----------------------------------------------------------------------------------------------------------


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_clean, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[..., str]] = {
        "count": _count,
        "compact": _compact,
        "share": _share,
        "percent": _percent,
        "number": _number,
        "bytes": _bytes,
    }
    environment.filters.update(filters)
    return environment


_UNSHOWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def _clean(value: object) -> object:
    """Text as a page may hold it: no control characters, no lone surrogates, no non-characters."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNSHOWABLE.sub("\ufffd", value)
    return value


def _count(value: int) -> str:
    return f"{value:,}"


def _compact(value: float) -> str:
    """Three digits: 987, 12.3k, 4.56M, 7.89B, 1.2T."""
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.3g}{suffix}"
    return f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{100 * value:.2f}%"


def _share(value: float) -> str:
    """A percentage that never rounds something to nothing, nor nearly all to all."""
    percent = 100 * value
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _bytes(value: int) -> str:
    for size, suffix in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.3g} {suffix}"
    return f"{value} bytes"
