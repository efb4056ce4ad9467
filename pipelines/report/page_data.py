"""Collects the report's data beside the manifest, from a run's receipts and a few documents."""

from collections.abc import Iterable
from typing import TypedDict

import numpy as np

from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import receipts
from tamis.pipelines.run.receipts import (
    CLUSTERS,
    EXAMPLES,
    QUALITY_BINS,
    ContaminatedDocument,
    CopyDistance,
    PartSummary,
    ShardReceipt,
    edges,
)
from tamis.transforms.core.documents import part_of, row_of
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import release_chain

EXCERPT = 240  # characters of a document in the report


class Histogram(TypedDict):
    """Documents by value of a signal. The outermost bins include all values beyond them."""

    unit: str
    edges: list[float]
    counts: list[int]
    missing: int


class Cluster(TypedDict):
    """Duplicates: the document that was kept, and the number of copies including it."""

    id: str
    copies: int
    source: str
    excerpt: str


class ContaminatedExample(TypedDict):
    """A document that contains items of a benchmark."""

    id: str
    decision: str
    detail: str
    excerpt: str


class BenchmarkMatches(TypedDict):
    """The documents that contain items of a benchmark: their number, and a few examples."""

    name: str
    documents: int
    examples: list[ContaminatedExample]


class OrderSegment(TypedDict):
    """A range of the order: tokens, mean quality (None: unknown), tokens by source and guard."""

    tokens: int
    quality: float | None
    sources: dict[str, int]
    guarded: dict[str, int]


class ReportData(TypedDict):
    """The data of the report beside the manifest. `clusters` are sorted by size, `segments` by
    training order. `real_before`: real tokens of the last release, if a guard compares with it."""

    histograms: dict[str, Histogram]
    clusters: list[Cluster]
    contamination: list[BenchmarkMatches]
    segments: list[OrderSegment]
    repeats: CopyDistance
    real_before: int | None


def load_report_data(release: Release) -> ReportData:
    """The report's data about a release, which need not be finished yet."""
    recipe = finished_recipe(release.manifest)
    summaries, shards = receipts.summaries(release.receipts), receipts.shards(release.receipts)
    before = release_chain.before(release) if recipe.guards.real_tokens else None
    return {
        "histograms": _histograms(recipe, summaries),
        "clusters": _clusters(release, summaries),
        "contamination": _contamination(release, recipe, summaries),
        "segments": _segments(shards),
        "repeats": receipts.copy_distance(recipe, summaries, shards),
        "real_before": before.real_tokens if before is not None else None,
    }


def _histograms(recipe: Recipe, summaries: list[PartSummary]) -> dict[str, Histogram]:
    histograms: dict[str, Histogram] = {}
    for name, signal in recipe.all_signals.items():
        bins = edges(signal, recipe)
        if bins is not None and summaries:
            parts = [summary.histograms[name] for summary in summaries]
            histograms[name] = {
                "unit": signal.unit,
                "edges": bins,
                "counts": np.sum([part.counts for part in parts], axis=0).tolist(),
                "missing": sum(part.missing for part in parts),
            }
    return histograms


def _clusters(release: Release, summaries: list[PartSummary]) -> list[Cluster]:
    rows = [row for summary in summaries for row in summary.clusters]
    rows = sorted(rows, key=lambda row: (-row.copies, row.id))[:CLUSTERS]
    excerpts = _excerpts(release, (row.doc_ref for row in rows))
    documents = [(row, *excerpts[row.doc_ref]) for row in rows]
    return [{"id": row.id, "copies": row.copies, "source": source, "excerpt": text} for row, source, text in documents]


def _contamination(release: Release, recipe: Recipe, summaries: list[PartSummary]) -> list[BenchmarkMatches]:

    names = [benchmark.name for benchmark in recipe.decontaminate.benchmarks] if recipe.decontaminate is not None else []
    documents: dict[str, int] = dict.fromkeys(names, 0)
    examples: dict[str, list[ContaminatedDocument]] = {name: [] for name in names}
    for name, counts in (item for summary in summaries for item in summary.contamination.items()):
        documents[name] += counts.documents
        examples[name] = sorted(examples[name] + counts.examples, key=lambda row: row.id)[:EXAMPLES]
    excerpts = _excerpts(release, (row.doc_ref for rows in examples.values() for row in rows))

    def example(row: ContaminatedDocument) -> ContaminatedExample:
        return {"id": row.id, "decision": row.decision, "detail": row.detail or "", "excerpt": excerpts[row.doc_ref][1]}

    return [{"name": name, "documents": documents[name], "examples": list(map(example, examples[name]))} for name in names]


def _excerpts(release: Release, doc_refs: Iterable[int]) -> dict[int, tuple[str, str]]:
    """(source, beginning of the text) of documents by doc_ref. Reads each row group once."""
    refs = np.unique(np.fromiter(doc_refs, np.uint64))
    excerpts: dict[int, tuple[str, str]] = {}
    for part in np.unique(part_of(refs)).tolist():
        part_refs = refs[part_of(refs) == part]
        for rows, batch in release.part(part).read(row_of(part_refs), ["source", "text"]):
            row_refs = part_refs[np.searchsorted(row_of(part_refs), rows)].tolist()
            texts = (text[:EXCERPT] for text in batch["text"].to_pylist())
            excerpts |= zip(row_refs, zip(batch["source"].to_pylist(), texts, strict=True), strict=True)
    return excerpts


def _segments(shards: list[ShardReceipt]) -> list[OrderSegment]:
    """The segments with their mean quality, from the centres of its bins."""
    segments: list[OrderSegment] = []
    for segment in receipts.segments(shards):
        total = sum((index + 0.5) / QUALITY_BINS * tokens for index, tokens in segment.quality.items())
        mean = total / segment.tokens if segment.tokens else None
        segments.append({"tokens": segment.tokens, "quality": mean, "sources": segment.sources, "guarded": segment.guarded})
    return segments
