"""What Emit leaves beside a run's files: the room of its receipts, how to read them, the bins of their histograms."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypedDict

import numpy as np

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core.rater import Signal

Json = dict[str, Any]

STATE = ".state"
"""The room of the receipts: what is finished, and the numbers the manifest and the report are made of."""

BINS = 40
"""Bins of a signal's histogram, over its useful range and its thresholds."""

WIDE = 1000
"""A signal that reaches beyond this is a count over orders of magnitude: its bins widen from 1 by a constant factor."""

QUALITY_BINS = 100

CLUSTERS, EXAMPLES = 10, 5
"""Clusters, and contaminated documents of a benchmark, that the report shows."""


class Repeats(TypedDict):
    """Tokens between two neighbouring copies of a document, at least: as measured (None: no copies), and as asked for."""

    closest: int | None
    asked: int


def shards(run: str) -> list[Json]:
    """The receipts of the emitted shards, in training order."""
    room = storage.join(run, STATE)
    names = [name for name in storage.names(room) if name.startswith("shard-")]
    found = [storage.read_json(storage.join(room, name)) for name in names]
    return [receipt for receipt in found if receipt is not None]


def summaries(run: str) -> list[Json]:
    """The summaries of the decided parts, by part."""
    room = storage.join(run, STATE)
    names = [name for name in storage.names(room) if name.startswith("part-")]
    return [json.loads(storage.read_bytes(storage.join(room, name))) for name in names]


def segments(shards: list[Json]) -> Iterator[Json]:
    """The segments of all shards in training order, each with its first token."""
    first = 0
    for shard in shards:
        for segment in shard["segments"]:
            yield {"first_token": first, **segment}
            first += segment["tokens"]


def tokens_by_phase(shards: list[Json]) -> Counter[str]:
    """Tokens of each phase."""
    of_phase: Counter[str] = Counter()
    for shard in shards:
        of_phase[shard["phase"]] += shard["tokens"]
    return of_phase


def repeats(recipe: Recipe, summaries: list[Json], shards: list[Json]) -> Repeats:
    """How near copies of a document are to each other, and how far apart they should be."""
    asked = recipe.select.distance
    gaps = [summary["closest"] for summary in summaries if summary["closest"] is not None]
    return {
        "closest": min(gaps, default=None),
        "asked": asked if isinstance(asked, int) else int(asked * min(tokens_by_phase(shards).values(), default=0)),
    }


def edges(signal: Signal, recipe: Recipe) -> list[float] | None:
    """Histogram bin edges of a numeric signal: its useful range, its thresholds, a margin. None for labels and bare facts."""
    limits = [signal.low, signal.high]
    threshold = recipe.thresholds.get(signal.name)
    if threshold is not None:
        limits += [threshold.min, threshold.max]
    known = [float(limit) for limit in limits if limit is not None]
    if signal.kind == "string" or not known:
        return None
    low, high = min(0.0, *known), 1.5 * max(known)
    if signal.unit.startswith("share"):
        high = min(high, 1.0)  # there is nothing beyond
    if high > WIDE:
        return [float(edge) for edge in np.geomspace(1.0, high, BINS + 1)]
    return [float(edge) for edge in np.linspace(low, high if high > low else low + 1.0, BINS + 1)]
