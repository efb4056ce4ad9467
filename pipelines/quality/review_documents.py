"""Decides by several raters which documents to keep, drop or review, for `tamis rate review`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.pipelines.quality.calibrate_signals import join_labels
from tamis.pipelines.quality.value_table import labels_of, numbers_and_labels, numbers_of, read_values
from tamis.transforms.assess.reject_option import Coverage, common_labels, common_numbers, coverage_curve, mean_score, verdicts
from tamis.transforms.core.errors import RunError
from tamis.transforms.select.quality.calibration import read_calibration

MARGINS = (0.0, 0.05, 0.1, 0.2, 0.3)
"""Margins whose coverage and precision are shown."""


@dataclass(frozen=True)
class Reviewed:
    """id, verdict and mean score of each document, documents by verdict, and coverage against precision given labels."""

    table: pa.Table
    counts: dict[str, int]
    curve: list[Coverage]


def review(
    sources: Sequence[str],
    raters: Sequence[str],
    limit: float,
    margin: float,
    disagreement: float,
    calibration: str,
    within: Sequence[str],
    reference: Sequence[str],
    labels: str,
    decision: str,
) -> Reviewed:
    """The verdict on each document by the mean of its raters' scores (see `verdicts`).

    `calibration`: a file that maps each rater to a score, and says which values it was fitted on; "" if the values
    are scores. `within`: columns, numbers or labels, whose values are reviewed where documents of `reference`, those that
    the raters know, hardly have them. `labels`: a file with id and label, for the curve. Raises RunError for what is not
    there.
    """
    if bool(within) != bool(reference):
        raise RunError("--within names values, and --reference the documents whose values they should be: give both")
    names = list(dict.fromkeys(raters))
    numbers, worded = numbers_and_labels(reference, within, "") if within else ([], [])
    table = read_values(sources, [*names, *numbers], ["id", *worded], decision)
    values = [numbers_of(table, name) for name in names]
    inside = np.ones(table.num_rows, bool)
    if within:
        known = read_values(reference, numbers, worded)
        try:
            for name in numbers:
                inside &= common_numbers(numbers_of(table, name), numbers_of(known, name))
        except ValueError as error:
            raise RunError(f"{', '.join(reference)}: '{name}': {error}") from None
        for name in worded:
            inside &= common_labels(labels_of(table, name, "none"), labels_of(known, name, "none"))
    if calibration:
        try:
            fitted = [read_calibration(calibration, name) for name in names]
        except ValueError as error:
            raise RunError(str(error)) from None
        for own, each in zip(values, fitted, strict=True):
            inside &= each.covers(own)
        values = [each.apply(own) for own, each in zip(values, fitted, strict=True)]
    scores = np.stack(values, axis=1)
    found = verdicts(scores, limit, margin, disagreement, inside)
    mean = mean_score(scores)
    columns = {"id": table["id"], "verdict": pa.array(found, pa.string()), "score": pa.array(mean, from_pandas=True)}
    try:
        good = join_labels(table["id"].combine_chunks(), labels) if labels else None
        curve = [] if good is None else coverage_curve(scores, good, limit, disagreement, inside, MARGINS)
    except ValueError as error:
        raise RunError(f"{labels}: {error}") from None
    return Reviewed(pa.table(columns), dict(sorted(Counter(found.tolist()).items())), curve)


def lines(found: Reviewed) -> Iterator[str]:
    """What a person reads."""
    for verdict, documents in found.counts.items():
        yield f"{verdict:<22} {documents:>10,} {documents / found.table.num_rows:>7.1%}"
    if found.curve:
        yield f"{'margin':>8} {'coverage':>9} {'precision':>10} {'accuracy':>9}"
    for point in found.curve:
        precision, accuracy = ("–" if value is None else f"{value:.1%}" for value in (point.precision, point.accuracy))
        yield f"{point.margin:>8g} {point.coverage:>9.1%} {precision:>10} {accuracy:>9}"
