"""Checks what scores measure, for `tamis rate check`: fairness across sources, confounders, agreement, drift, review."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipelines.quality.calibrate_signals import join_labels
from tamis.pipelines.quality.value_table import labels_of, numbers_and_labels, numbers_of, read_values
from tamis.transforms.assess.confounders import partial_correlations, residual_scores
from tamis.transforms.assess.drift import Drift, drift
from tamis.transforms.assess.fairness import Fairness, fairness
from tamis.transforms.assess.rater_agreement import correlation_matrix, effective_number, kappa, mutual_information
from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import RunError

SOURCE = "source"


@dataclass(frozen=True)
class Limits:
    """When a check raises an alarm."""

    source_auc: float = 0.8
    """AUC of source → high score, at least (Marin)."""
    source_sd: float = 0.1
    """Standard deviation of the scores of a source, below it."""
    agreement: float = 0.7
    """Agreement with the labels within a source, below it."""
    judged: float = 0.5
    """Mean share of the bytes of a source that the rater saw, below it."""
    confounder: float = 0.5
    """Partial correlation with a confounder, at least, by its absolute value."""
    flips: float = 0.1
    """Documents that change sides with a new model, above it."""
    shift: float = 0.2
    """Mean change with a new model in standard deviations, above it, by its absolute value."""
    least: int = 30
    """Documents of a source below which it raises no alarm."""


@dataclass
class ScoreChecks:
    """What was found. `alarms`: for a person; the command fails if there are any."""

    limit: float
    """Scores from here on are high."""
    high: float
    """The share of the documents that are; more than was asked for if many have the score of the limit."""
    fairness: Fairness | None = None
    confounders: dict[str, float] = field(default_factory=dict)
    correlations: dict[str, float] = field(default_factory=dict)
    effective_raters: float | None = None
    categories: dict[str, dict[str, float]] = field(default_factory=dict)
    drift: dict[str, Drift] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data; NaN becomes null."""
        return dict(_plain(asdict(self)))


def check_scores(
    sources: Sequence[str],
    score: str,
    raters: Sequence[str],
    confounders: Sequence[str],
    categories: Sequence[str],
    order: Sequence[str],
    top: float,
    by: str,
    labels: str,
    judged: str,
    against: str,
    benchmark: str,
    decision: str,
    limits: Limits,
) -> ScoreChecks:
    """The checks of `score` on the documents of `sources`. High is the best share `top` of it.

    `raters`: other scores, for the correlation matrix. `confounders`: numbers, or labels. `categories`: labels, of
    which each pair is compared, also by weighted κ if they are numbers, or listed in `order` from lowest to highest.
    `by`: the column of the sources, "" for none. `labels`: a file with id and label, an oracle's verdict from 0 to 1.
    `judged`: the column with the share of the bytes that the rater saw. `against`: the column with the scores of the
    old model. `benchmark`: a file with both scores on a frozen set of documents.
    Raises RunError for what is not there.
    """
    numeric, worded = numbers_and_labels(sources, confounders, decision)
    needed = [score, *raters, *numeric, *filter(None, (judged, against))]
    table = read_values(sources, needed, [*categories, *worded, *filter(None, (by, "id" if labels else ""))], decision)
    values = numbers_of(table, score)
    if np.isnan(values).all():
        raise RunError(f"no document has a value of '{score}'")
    limit = float(np.nanquantile(values, 1 - top))
    found = ScoreChecks(limit, float(np.mean(values[~np.isnan(values)] >= limit)))
    if by:
        verdicts = join_labels(table["id"].combine_chunks(), labels) if labels else None
        seen = numbers_of(table, judged) if judged else None
        found.fairness = fairness(values, labels_of(table, by, "none"), limit, verdicts, seen)
        found.alarms += _fairness_alarms(found.fairness, limits)
    if confounders:
        columns = {name: numbers_of(table, name) if name in numeric else labels_of(table, name, "none") for name in confounders}
        found.confounders = partial_correlations(values, columns)
        found.alarms += [
            f"{score} follows {name}: partial correlation {value:+.2f}, the others held fixed"
            for name, value in found.confounders.items()
            if abs(value) >= limits.confounder
        ]
    if raters:
        names = list(dict.fromkeys([score, *raters]))
        matrix = correlation_matrix(np.stack([numbers_of(table, name) for name in names], axis=1))
        pairs = combinations(range(len(names)), 2)
        found.correlations = {f"{names[i]} ~ {names[j]}": float(matrix[i, j]) for i, j in pairs}
        found.effective_raters = effective_number(matrix)
    for first, second in combinations(dict.fromkeys(categories), 2):
        one, other = (labels_of(table, name, None) for name in (first, second))
        measures = {"kappa": kappa(one, other), "nmi": mutual_information(one, other)}
        if grades := _grades({*one, *other} - {None}, order):
            measures |= {"linear_kappa": kappa(one, other, grades, 1), "quadratic_kappa": kappa(one, other, grades, 2)}
        found.categories[f"{first} ~ {second}"] = measures
    if against:
        found.drift["documents"] = _drift(numbers_of(table, against), values, top)
    if benchmark:
        if not against:
            raise RunError("--benchmark needs --against, the column with the scores of the old model")
        frozen = read_values([benchmark], [score, against])
        found.drift["benchmark"] = _drift(numbers_of(frozen, against), numbers_of(frozen, score), top)
    found.alarms += _drift_alarms(found.drift, limits)
    return found


def lines(found: ScoreChecks) -> Iterator[str]:
    """What a person reads."""
    yield f"high: {found.limit:g} or above, {found.high:.1%} of the documents"
    if found.fairness is not None:
        yield f"source → high score: AUC {found.fairness.auc:.3f}"
        yield f"  {'source':<24} {'documents':>10} {'mean':>8} {'sd':>8} {'high':>7} {'agreement':>10} {'judged':>7}"
        for row in found.fairness.sources:
            agreement, judged = ("–" if value is None else f"{value:.1%}" for value in (row.agreement, row.judged))
            yield (
                f"  {row.source:<24} {row.documents:>10,} {row.mean:>8.3f} {row.sd:>8.3f} {row.high:>7.1%} "
                f"{agreement:>10} {judged:>7}"
            )
    for title, values in (("partial correlation", found.confounders), ("Spearman's ρ", found.correlations)):
        for name, value in values.items():
            yield f"{title} {name}: {value:+.3f}"
    if found.effective_raters is not None:
        yield f"effective number of raters: {found.effective_raters:.2f}"
    for name, measures in found.categories.items():
        weighted = [
            f"{kind} κ {measures[f'{kind}_kappa']:.3f}" for kind in ("linear", "quadratic") if f"{kind}_kappa" in measures
        ]
        yield f"{name}: " + ", ".join([f"κ {measures['kappa']:.3f}", *weighted, f"NMI {measures['nmi']:.3f}"])
    for name, change in found.drift.items():
        yield (
            f"drift on {name} ({change.documents:,}): flips {change.flips:.1%} at {change.limit:g}, "
            f"shift {change.shift:+.3f} sd, ρ {change.rank_agreement:.3f}"
        )
    yield from (f"alarm: {alarm}" for alarm in found.alarms)


def residual_table(sources: Sequence[str], score: str, confounders: Sequence[str], decision: str) -> pa.Table:
    """id and `residual`: the score of each document without what the confounders explain; null if one is missing."""
    numeric, worded = numbers_and_labels(sources, confounders, decision)
    table = read_values(sources, [score, *numeric], ["id", *worded], decision)
    columns = {name: numbers_of(table, name) if name in numeric else labels_of(table, name, "none") for name in confounders}
    left = residual_scores(numbers_of(table, score), columns)
    return pa.table({"id": table["id"], "residual": pa.array(left, from_pandas=True)})


def _grades(labels: set[str], order: Sequence[str]) -> list[str]:
    """The labels from lowest to highest; empty if nothing says which is higher."""
    if order:
        if unknown := sorted(labels - set(order)):
            raise RunError(f"--order lists {', '.join(order)}, but not the label '{unknown[0]}'")
        return list(order)
    try:
        return sorted(labels, key=float)
    except ValueError:
        return []


def _drift(old: Floats, new: Floats, top: float) -> Drift:
    try:
        return drift(old, new, float(np.nanquantile(old, 1 - top)) if not np.isnan(old).all() else math.nan)
    except ValueError as error:
        raise RunError(f"drift: {error}") from None


def _fairness_alarms(found: Fairness, limits: Limits) -> Iterator[str]:
    if found.auc >= limits.source_auc:
        yield f"the source alone predicts a high score with AUC {found.auc:.2f} (limit {limits.source_auc:g})"
    for row in found.sources:
        if row.documents < limits.least:
            continue
        if row.sd < limits.source_sd:
            yield f"{row.source}: the score hardly differs within the source, sd {row.sd:.3f} (limit {limits.source_sd:g})"
        if row.agreement is not None and row.agreement < limits.agreement:
            yield f"{row.source}: agrees with {row.agreement:.0%} of the labels (limit {limits.agreement:.0%})"
        if row.judged is not None and row.judged < limits.judged:
            yield f"{row.source}: the rater saw {row.judged:.0%} of the bytes (limit {limits.judged:.0%})"


def _drift_alarms(found: Mapping[str, Drift], limits: Limits) -> Iterator[str]:
    for name, change in found.items():
        if change.flips > limits.flips:
            yield f"drift on {name}: {change.flips:.1%} of the documents change sides (limit {limits.flips:.0%})"
        if abs(change.shift) > limits.shift:
            yield f"drift on {name}: scores shift by {change.shift:+.2f} standard deviations (limit {limits.shift:g})"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
