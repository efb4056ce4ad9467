"""Writes what the record of contamination does not say: the benchmarks, and the texts of sampled items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.receipts import (
    MATCH_SAMPLES,
    BenchmarkItems,
    ContaminationReceipt,
    PartSummary,
    SampledMatch,
    contamination_uri,
)
from tamis.transforms.decontaminate.benchmarks import Benchmark, Item, items
from tamis.transforms.decontaminate.contamination_rater import Contamination

ITEM_CHARACTERS = 1200
"""Of the text of an item."""


def write_benchmark_receipt(recipe: Recipe, summaries: Sequence[PartSummary], release: str) -> None:
    """Writes the receipt into the folder `release`. Reads the files of benchmarks that have a match; texts of
    files that have gone meanwhile stay empty."""
    options = recipe.decontaminate
    assert options is not None
    (rater,) = (rater for rater in recipe.raters if isinstance(rater, Contamination))
    index, benchmarks = rater.index, []
    for number, benchmark in enumerate(options.benchmarks):
        drop, review = options.limits(benchmark.name)
        unmatchable = [index.labels[item].as_py() for item in index.unmatchable.tolist() if index.benchmark[item] == number]
        samples = _with_texts(benchmark, _samples(benchmark.name, summaries))
        count = int((index.benchmark == number).sum())
        benchmarks.append(BenchmarkItems(benchmark.name, count, unmatchable, drop, review, samples))
    ContaminationReceipt(benchmarks=benchmarks).write(contamination_uri(release))


def part_text(item: Item, part: str) -> str:
    """What an item has as this part: its question, passage, choices or answer."""
    text = "\n".join(getattr(item, part))
    return f"{text[:ITEM_CHARACTERS]}…" if len(text) > ITEM_CHARACTERS else text


def _samples(benchmark: str, summaries: Sequence[PartSummary]) -> list[SampledMatch]:
    """Those of all parts with the smallest keys, by class and action, the highest scores first."""
    groups: dict[tuple[str, str], list[SampledMatch]] = {}
    for match in (match for summary in summaries for match in summary.sampled_matches if match.benchmark == benchmark):
        groups.setdefault((match.kind, match.action), []).append(match)
    chosen = [
        match
        for group in groups.values()
        for match in sorted(group, key=lambda match: (match.key, match.id, match.number))[:MATCH_SAMPLES]
    ]
    return sorted(chosen, key=lambda match: (-match.score, match.number, match.id))


def _with_texts(benchmark: Benchmark, samples: list[SampledMatch]) -> list[SampledMatch]:
    if not samples:
        return []
    try:
        read = items(benchmark)
    except (OSError, ValueError):
        return samples
    return [
        replace(match, text=part_text(read[match.number], match.part)) if match.number < len(read) else match
        for match in samples
    ]
