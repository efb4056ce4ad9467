"""Writes report.html, one self-contained page that shows what a run did with its documents.

Sections appear only if there is something in them.

Text from documents (ids, sources, excerpts) may be hostile. The template engine escapes it,
`<bdi>` isolates its writing direction, and control characters are replaced. The page needs no
network and no JavaScript.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from tamis.pipelines.formatting import compact, number, share, storage_size
from tamis.pipelines.report import charts
from tamis.pipelines.report.other_limits import other_limits
from tamis.pipelines.report.page_data import Groups, OrderSegment, ReportData, load_report_data
from tamis.transforms import storage
from tamis.transforms.core.manifest import Manifest, bytes_by_folder, character_rows
from tamis.transforms.core.release import Release
from tamis.transforms.curriculum.order import Curriculum
from tamis.transforms.runtime import caches
from tamis.transforms.select.guards import Guards, NumberRange, token_shares
from tamis.transforms.select.rule_blocks import THRESHOLDS, Rules
from tamis.transforms.select.thresholds import Threshold

Row = dict[str, Any]  # of a table of the page

SOURCE_ROWS = 100
"""Sources that are shown. A source may be a host, and then there are millions."""


def write_report(release: Release, uri: str) -> None:
    """Writes the report of a release from its manifest and receipts as the file `uri`."""
    storage.write_bytes(uri, render(release.manifest, load_report_data(release)).encode())


def render(manifest: Manifest, data: ReportData) -> str:
    """The page about a finished run."""
    recipe = manifest["recipe"]
    rules = Rules.model_validate({name: recipe[name] for name in Rules.model_fields.keys() & recipe.keys()})
    signals = charts.signal_charts(data["histograms"], rules)
    sources = _sources(manifest["counts"])
    return str(
        _template().render(
            run=manifest,
            outcomes=_outcomes(manifest["counts"]),
            reasons=_reasons(manifest["counts"], rules),
            sources=sources[:SOURCE_ROWS],
            more_sources=len(sources[SOURCE_ROWS:]),
            changes=data["changes"],
            examples={(each["decision"], each["reason"]): each["examples"] for each in data["reasons"]},
            kept=data["kept"],
            groups=[(kind, groups, _group_rows(groups)) for kind, groups in data["groups"].items()],
            ordered=_is_ordered(manifest["curriculum"]),
            characters=character_rows(manifest["counts"]),
            decided=[chart for chart in signals if chart.lines],
            measured=[chart for chart in signals if not chart.lines],
            scurve=charts.scurve_chart(recipe),
            other_limits=[*other_limits(data["histograms"], rules)],
            measures=data["measured"],
            clusters=data["clusters"],
            pairs=data["pairs"],
            contamination=[(section, charts.score_chart(section)) for section in data["contamination"]],
            order=charts.order_chart(manifest["curriculum"], data["segments"]),
            repeats=data["repeats"],
            guards=_guards(manifest, data["segments"]),
            real_before=data["real_before"],
            shards=manifest["curriculum"]["shards"],
            recipe=_recipe_text(recipe),
            size=sum(bytes_by_folder(manifest).get(name, 0) for name in ("data", "decisions", "rated", "sketches")),
        )
    )


def _recipe_text(recipe: Mapping[str, Any]) -> str:
    """The recipe as YAML, without what it leaves out."""
    return yaml.safe_dump(_written(recipe), sort_keys=False, allow_unicode=True, width=100)


def _written(value: Any) -> Any:
    """A value without the fields that are null or empty."""
    if isinstance(value, Mapping):
        fields = {key: _written(field) for key, field in value.items()}
        return {key: field for key, field in fields.items() if field not in (None, {}, [])}
    return [_written(item) for item in value] if isinstance(value, list | tuple) else value


def _outcomes(counts: Mapping[str, Any]) -> list[Row]:
    """Kept, review, dropped, rejected and skipped records, and their share of those read."""
    names = ("kept", "review", "dropped", "rejected", *(("skipped",) if counts.get("skipped") else ()))
    return [{"name": name, "documents": counts[name], "share": _ratio(counts[name], counts["records"])} for name in names]


def _reasons(counts: Mapping[str, Any], rules: Rules) -> list[Row]:
    """The counts by reason, with its rule. `width` is that of the bar, 1 for the longest."""
    longest = max((row["documents"] for row in counts["reasons"]), default=0)
    return [
        row
        | {"rule": "; ".join(_rule(section, rule) for section, rule in rules.of_signal(row["reason"]).items())}
        | {"share": _ratio(row["documents"], counts["records"]), "width": _ratio(row["documents"], longest)}
        for row in counts["reasons"]
    ]


def _rule(section: str, threshold: Threshold | None) -> str:
    """The limits in a section of the recipe."""
    sides = {"min": threshold.min, "max": threshold.max} if threshold is not None else {}
    limits = ", ".join(f"{name} {limit:.15g}" for name, limit in sides.items() if limit is not None)
    if threshold is None:
        limits = "no limit"
    elif threshold.one_of is not None:
        limits = f"one of {', '.join(threshold.one_of)}"
    return limits if section == THRESHOLDS else f"{section}: {limits}"


def _sources(counts: Mapping[str, Any]) -> list[Row]:
    """The counts by source, largest first. `share` is the share of the kept tokens."""
    rows: list[Row] = [{"name": name, "kept_tokens": 0} | row for name, row in counts["sources"].items()]
    for row in rows:
        row["documents"] = row["kept"] + row["review"] + row["dropped"]
        row["share"] = _ratio(row["kept_tokens"], counts["tokens"]["kept"])
    return sorted(rows, key=lambda row: (-row["documents"], row["name"]))


def _group_rows(groups: Groups) -> list[Row]:
    rows: list[Row] = [dict(row) for row in groups["rows"]]
    for row in rows:
        row["documents"] = row["kept"] + row["review"] + row["dropped"]
    return rows


def _is_ordered(curriculum: Mapping[str, Any]) -> bool:
    """Whether quality decides about the place of a document."""
    options = Curriculum.model_validate({name: curriculum[name] for name in Curriculum.model_fields if name in curriculum})
    phases = options.effective_phases
    return any(phase.order != "uniform" for phase in phases) or (len(phases) > 1 and options.assign == "quality")


def _guards(manifest: Manifest, segments: Sequence[OrderSegment]) -> list[Row]:
    """The guards: share of all tokens, range of shares along the order, limits."""
    options = Guards.model_validate(manifest["recipe"]["guards"])
    codes = {warning["code"] for warning in manifest["warnings"]}
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
            {
                "name": name,
                "kind": " or ".join(_condition(column, condition) for column, condition in guard.where.items()),
                "share": share,
                "low": min(along, default=0.0),
                "high": max(along, default=0.0),
                "rule": ", ".join(limits) + (", in each slice of the order" if guard.along else ""),
                "limits": list(limits.values()),
                "warns": f"guard-{name}" in codes,
            }
        )
    return rows


def _condition(column: str, condition: tuple[str, ...] | NumberRange) -> str:
    if not isinstance(condition, NumberRange):
        return f"{column} is {' or '.join(condition)}"
    sides = (("from", condition.min), ("to", condition.max))
    return " ".join([column, *(f"{word} {limit:.15g}" for word, limit in sides if limit is not None)])


def _ratio(part: float, total: float) -> float:
    return part / total if total else 0.0


@cache
def _template() -> Template:
    """The page. It takes a quarter of a second to compile, so its code is cached."""
    folder = caches.first_writable(caches.candidate_folders("tamis-page"))
    environment = Environment(
        loader=PackageLoader("tamis.pipelines.report", "."),
        bytecode_cache=FileSystemBytecodeCache(str(folder)) if folder else None,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": "{:,}".format, "percent": "{:.2%}".format, "bytes": storage_size}
    environment.filters |= {"compact": compact, "share": share, "number": number}
    return environment.get_template("page.html.j2")


_UNSHOWABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def _clean(value: object) -> object:
    """Replaces control characters, lone surrogates and non-characters in text."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNSHOWABLE.sub("\ufffd", value)
    return value
