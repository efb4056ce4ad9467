"""How many documents would fail a limit if it were another, from the histograms of signals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tamis.pipelines.report.page_data import Histogram
from tamis.transforms.select.rule_blocks import THRESHOLDS, Rules

STEPS = 2  # limits on either side


class OtherLimit(NamedTuple):
    """A limit, and the documents with a value that fail it, whatever other limits say. `step`: 0 for the recipe's, below
    it for looser ones, above it for stricter ones."""

    step: int
    value: float
    fails: int


class LimitRow(NamedTuple):
    """A limit of the recipe among others, the loosest first. `side`: min or max."""

    signal: str
    side: str
    limits: list[OtherLimit]


def other_limits(histograms: Mapping[str, Histogram], rules: Rules) -> Iterator[LimitRow]:
    """Each limit that no block overrides, with the nearest edges of bins that another number of documents fails. The edges
    of a histogram are its limits, so the counts are exact; of a maximum, those of documents from that value on."""
    for name, histogram in histograms.items():
        by_section = rules.of_signal(name)
        threshold = by_section.get(THRESHOLDS)
        if threshold is None or len(by_section) > 1:
            continue
        edges, counts = np.array(histogram["edges"]), np.array(histogram["counts"], np.int64)
        below = np.concatenate([[0], np.cumsum(counts)])  # documents below each edge
        for side, limit in (("min", threshold.min), ("max", threshold.max)):
            if limit is None:
                continue
            at = int(np.searchsorted(edges, limit, "left" if side == "min" else "right"))
            if not 0 < at < len(edges) - 1:
                continue  # beyond the bins, where nothing is counted
            fails = below if side == "min" else below[-1] - below
            inner = np.arange(1, len(edges) - 1)  # the outermost bins hold all values beyond them
            looser, stricter = inner[inner < at][::-1], inner[inner > at]
            if side == "max":
                looser, stricter = stricter, looser
            steps = [*reversed(list(_distinct(looser, fails, at))), at, *_distinct(stricter, fails, at)]
            here = steps.index(at)
            values = [limit if edge == at else float(edges[edge]) for edge in steps]
            row = [
                OtherLimit(n - here, value, int(fails[edge])) for n, (value, edge) in enumerate(zip(values, steps, strict=True))
            ]
            yield LimitRow(name, side, row)


def _distinct(edges: Sequence[int] | np.ndarray, fails: np.ndarray, at: int) -> Iterator[int]:
    """The first `STEPS` edges, each with another number of failures than the one before it."""
    last, found = int(fails[at]), 0
    for edge in edges:
        if int(fails[edge]) != last and found < STEPS:
            last, found = int(fails[edge]), found + 1
            yield int(edge)
