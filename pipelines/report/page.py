"""report.html: one self-contained page that shows what a run did with its documents, from its manifest and a few samples.

Everything that comes from documents (ids, sources, excerpts) is hostile: it is escaped by the template engine, isolated in its
writing direction, and rid of control characters. The page needs no network and no JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tamis.pipelines.report import charts as charts
from tamis.pipelines.report.page_data import Data, Segment, gather
from tamis.pipelines.run.work_plan import REPORT
from tamis.transforms import storage
from tamis.transforms.core.formatting import compact, number, share, storage_size
from tamis.transforms.core.manifest import Manifest, read_manifest
from tamis.transforms.select.guards import Guards, NumberRange, token_shares


def write_report(run: str) -> str:
    """Writes report.html from the manifest and what the run's receipts hold, and returns where."""
    finished = read_manifest(run)
    uri = storage.join(run, REPORT)
    storage.write_bytes(uri, render(finished, gather(run, finished)).encode())
    return uri


def render(manifest: Manifest, data: Data) -> str:
    """The page of a finished run: `manifest` as it is sealed, and what `data` adds."""
    recipe = manifest["recipe"]
    histograms = charts.histograms(data["histograms"], recipe)
    return str(
        _environment()
        .from_string((resources.files("tamis.pipelines.report") / "page.html.j2").read_text("utf-8"))
        .render(
            run=manifest,
            parts=_parts(manifest["counts"]),
            reasons=_reasons(manifest["counts"], recipe),
            sources=_sources(manifest["counts"]),
            decided=[chart for chart in histograms if chart.lines],
            measured=[chart for chart in histograms if not chart.lines],
            scurve=charts.scurve(recipe),
            clusters=data["clusters"],
            decontaminated=bool(recipe.get("decontaminate")),
            contamination=data["contamination"],
            order=charts.order(manifest["curriculum"], data["segments"]),
            repeats=data["repeats"],
            guards=_guards(manifest, data["segments"]),
            real_before=data["real_before"],
            shards=manifest["curriculum"]["shards"],
            size=sum(int(file["bytes"]) for file in manifest["files"]),
        )
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One share of the documents read."""

    name: str
    documents: int
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
    return [
        Part(name, counts[name], _ratio(counts[name], counts["records"])) for name in ("kept", "review", "dropped", "rejected")
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
    for name, guard in options.by_name.items():
        share, along = token_shares(tokens, [segment["guarded"].get(name, 0) for segment in segments])
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


def _kind(column: str, wanted: tuple[str, ...] | NumberRange) -> str:
    if not isinstance(wanted, NumberRange):
        return f"{column} is {', '.join(wanted)}"
    sides = (("from", wanted.min), ("to", wanted.max))
    return " ".join([column, *(f"{word} {limit:.15g}" for word, limit in sides if limit is not None)])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_clean, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[[Any], str]] = {
        "count": "{:,}".format,
        "percent": "{:.2%}".format,
        "compact": compact,
        "share": share,
        "number": number,
        "bytes": storage_size,
    }
    environment.filters.update(filters)
    return environment


_UNSHOWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def _clean(value: object) -> object:
    """Text as a page may hold it: no control characters, no lone surrogates, no non-characters."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNSHOWABLE.sub("\ufffd", value)
    return value
