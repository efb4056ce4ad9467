"""Decides by several raters which documents to keep, drop or review, for `tamis rate review`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.pipelines.quality.calibrate_signals import join_labels
from tamis.pipelines.quality.value_table import numbers_of, read_values
from tamis.transforms.assess.reject_option import Coverage, coverage_curve, mean_score, verdicts
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
    labels: str,
    decision: str,
) -> Reviewed:
    """The verdict on each document by the mean of its raters' scores (see `verdicts`).

    `calibration`: a file that maps each rater to a score, and says which values it was fitted on; "" if the values
    are scores. `labels`: a file with id and label, for the curve. Raises RunError for what is not there.
    """
    names = list(dict.fromkeys(raters))
    table = read_values(sources, names, ["id"], decision)
    values = [numbers_of(table, name) for name in names]
    inside = np.ones(table.num_rows, bool)
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
        curve = [] if good is None else coverage_curve(mean, good, limit, MARGINS)
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
