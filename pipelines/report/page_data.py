"""What the report shows beyond the manifest: read from the receipts of a run, with the first words of a few documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

import numpy as np

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
from tamis.transforms.core.manifest import Manifest
from tamis.transforms.core.parts import Part
from tamis.transforms.provenance import release_chain

EXCERPT = 240
"""Characters of a document that the report shows."""


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


class Data(TypedDict):
    """What the report shows beyond the manifest. `clusters` largest first; `segments` in training order; `real_before`: real
    tokens of the release before, where a guard holds the run to them."""

    histograms: dict[str, Histogram]
    clusters: list[Cluster]
    contamination: list[Benchmark]
    segments: list[Segment]
    repeats: CopyDistance
    real_before: int | None


def gather(run: str, finished: Manifest) -> Data:
    """The facts about a finished run."""
    recipe = Recipe.model_validate(finished["recipe"])
    summaries, shards = receipts.summaries(run), receipts.shards(run)
    before = release_chain.before(run, finished) if recipe.guards.real_tokens else None
    return {
        "histograms": _histograms(recipe, summaries),
        "clusters": _clusters(run, summaries),
        "contamination": _contamination(run, recipe, summaries),
        "segments": _drawn(shards),
        "repeats": receipts.copy_distance(recipe, summaries, shards),
        "real_before": before.real_tokens if before is not None else None,
    }


def _histograms(recipe: Recipe, summaries: list[PartSummary]) -> dict[str, Histogram]:
    found: dict[str, Histogram] = {}
    for name, signal in recipe.signals.items():
        bins = edges(signal, recipe)
        if bins is not None and summaries:
            counted = [summary.histograms[name] for summary in summaries]
            found[name] = {
                "unit": signal.unit,
                "edges": bins,
                "counts": np.sum([each.counts for each in counted], axis=0).tolist(),
                "missing": sum(each.missing for each in counted),
            }
    return found


def _clusters(run: str, summaries: list[PartSummary]) -> list[Cluster]:
    rows = [row for summary in summaries for row in summary.clusters]
    rows = sorted(rows, key=lambda row: (-row.copies, row.id))[:CLUSTERS]
    seen = _glimpses(run, (row.doc_ref for row in rows))
    shown = [(row, *seen[row.doc_ref]) for row in rows]
    return [{"id": row.id, "copies": row.copies, "source": source, "excerpt": excerpt} for row, source, excerpt in shown]


def _contamination(run: str, recipe: Recipe, summaries: list[PartSummary]) -> list[Benchmark]:
    """Documents by the benchmark they hold items of; an item is named `benchmark item:field` in the detail."""
    names = [benchmark.name for benchmark in recipe.decontaminate.benchmarks] if recipe.decontaminate is not None else []
    documents: dict[str, int] = dict.fromkeys(names, 0)
    examples: dict[str, list[ContaminatedDocument]] = {name: [] for name in names}
    for name, found in ((name, found) for summary in summaries for name, found in summary.contamination.items()):
        documents[name] += found.documents
        examples[name] = sorted(examples[name] + found.examples, key=lambda row: row.id)[:EXAMPLES]
    seen = _glimpses(run, (row.doc_ref for of in examples.values() for row in of))

    def shown(row: ContaminatedDocument) -> Contaminated:
        return {"id": row.id, "decision": row.decision, "detail": row.detail or "", "excerpt": seen[row.doc_ref][1]}

    return [{"name": name, "documents": documents[name], "examples": list(map(shown, examples[name]))} for name in names]


def _glimpses(run: str, doc_refs: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Source and first words of documents, by doc_ref: a row group is read once however many of them it holds."""
    wanted = np.unique(np.fromiter(doc_refs, np.uint64))
    seen: dict[int, tuple[str, str]] = {}
    for part in np.unique(part_of(wanted)).tolist():
        here = wanted[part_of(wanted) == part]
        for read, batch in Part(run, part).read(row_of(here), ["source", "text"]):
            found = here[np.searchsorted(row_of(here), read)].tolist()
            texts = (text[:EXCERPT] for text in batch["text"].to_pylist())
            seen |= zip(found, zip(batch["source"].to_pylist(), texts, strict=True), strict=True)
    return seen


def _drawn(shards: list[ShardReceipt]) -> list[Segment]:
    """The segments with their mean quality, by the middles of its bins."""
    drawn: list[Segment] = []
    for segment in receipts.segments(shards):
        middle = sum((index + 0.5) / QUALITY_BINS * tokens for index, tokens in segment.quality.items())
        mean = middle / segment.tokens if segment.tokens else None
        drawn.append({"tokens": segment.tokens, "quality": mean, "sources": segment.sources, "guarded": segment.guarded})
    return drawn
