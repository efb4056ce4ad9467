"""Collects the report's data beside the manifest, from a run's receipts and a few documents."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from tamis.pipelines.contamination.recorded_items import find_record
from tamis.pipelines.formatting import signal_value
from tamis.pipelines.lookup.explanation import undeclared_values
from tamis.pipelines.lookup.failed_rules import failed_rules
from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.releases.comparison import comparison, lines
from tamis.pipelines.report.benchmark_sections import BenchmarkSection, benchmark_sections, sampled_documents
from tamis.pipelines.report.near_pairs import REASON, NearPair, near_pairs, sampled_pairs
from tamis.pipelines.report.quality_diversity import Measured, measured_steps
from tamis.pipelines.run import receipts
from tamis.pipelines.run.receipts import (
    CLUSTERS,
    QUALITY_BINS,
    SAMPLES,
    ClusterSize,
    CopyDistance,
    PartSummary,
    SampledDocument,
    ShardReceipt,
    edges,
)
from tamis.transforms.core.documents import part_of, row_of
from tamis.transforms.core.parts import Part
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import release_chain

EXCERPT = 300  # characters of a document in the report
REASONS = 20  # with examples
GROUP_ROWS = 15  # languages, licences, hosts, years
_COUNTS = ("kept", "review", "dropped", "kept_tokens")


class Histogram(TypedDict):
    """Documents by value of a signal. The outermost bins include all values beyond them."""

    unit: str
    edges: list[float]
    counts: list[int]
    missing: int


class Cluster(TypedDict):
    """Duplicates: the document that was kept, and the number of copies including it; its source, or theirs."""

    id: str
    copies: int
    source: str
    excerpt: str


class Value(TypedDict):
    """A signal with a threshold: its value as text, the rule that it fails, if it does."""

    name: str
    value: str
    fails: str


class Example(TypedDict):
    """A document of a sample. `detail`: of its decision, unless `values` say it. `excerpt`: the beginning
    of its text as it was rated."""

    id: str
    source: str
    url: str
    detail: str
    quality: float | None
    values: list[Value]
    excerpt: str


class SampledReason(TypedDict):
    """Examples of the documents with one reason."""

    decision: str
    reason: str
    examples: list[Example]


class QualityRange(TypedDict):
    """A tenth of the kept documents by quality, with examples, or all if they have one quality."""

    low: float | None
    high: float | None
    documents: int
    examples: list[Example]


class Group(TypedDict):
    """Documents of one host, year or language by decision, and the tokens of the kept ones."""

    name: str
    kept: int
    review: int
    dropped: int
    kept_tokens: int


class Groups(TypedDict):
    """The largest groups of one kind. `uncounted`: documents of groups that are not among the largest of
    their part, so that the numbers of a group may be too low; `others`: groups that are not shown."""

    rows: list[Group]
    others: int
    uncounted: int


class OrderSegment(TypedDict):
    """A range of the order: tokens, mean quality (None: unknown), tokens by source and guard."""

    tokens: int
    quality: float | None
    sources: dict[str, int]
    guarded: dict[str, int]


class ReportData(TypedDict):
    """The data of the report beside the manifest. `clusters` are sorted by size, `segments` by
    training order. `real_before`: real tokens of the last release, if a guard compares with it.
    `changes`: against the release before, as lines. `groups`: by language, licence, host and year."""

    changes: list[str]
    reasons: list[SampledReason]
    kept: list[QualityRange]
    groups: dict[str, Groups]
    histograms: dict[str, Histogram]
    clusters: list[Cluster]
    pairs: list[NearPair]
    measured: Measured
    contamination: list[BenchmarkSection]
    segments: list[OrderSegment]
    repeats: CopyDistance
    real_before: int | None


def load_report_data(release: Release) -> ReportData:
    """The report's data about a release, which need not be finished yet."""
    recipe = finished_recipe(release.manifest)
    summaries, shards = receipts.summaries(release.receipts), receipts.shards(release.receipts)
    before = release_chain.before(release) if recipe.guards.real_tokens else None
    clusters, recorded = _clusters(summaries), find_record(release)
    matched = sampled_documents(recorded)
    reasons, kept = _reasons(summaries), _kept(summaries)
    pairs = sampled_pairs(release, reasons.get(("drop", REASON), []))
    compared_texts = {ref for pair in pairs for ref in (pair.document, pair.kept)} | matched
    sampled = [*chain.from_iterable(reasons.values()), *chain.from_iterable(rows for *_, rows in kept)]
    refs = [*(row.doc_ref for row in clusters), *(row.doc_ref for row in sampled), *compared_texts]
    documents = _documents(release, recipe, refs, compared_texts)
    texts = {ref: documents[ref].text for ref in compared_texts}
    compared = comparison(release)
    return {
        "changes": [] if compared is None else list(lines(compared)),
        "reasons": [
            {"decision": decision, "reason": reason, "examples": [_example(row, documents, recipe) for row in rows]}
            for (decision, reason), rows in reasons.items()
        ],
        "kept": [
            {"low": low, "high": high, "documents": count, "examples": [_example(row, documents, recipe) for row in rows]}
            for low, high, count, rows in kept
        ],
        "groups": _groups(summaries),
        "histograms": _histograms(recipe, summaries),
        "clusters": [
            {
                "id": row.id,
                "copies": row.copies,
                "source": ", ".join(row.sources) or documents[row.doc_ref].source,
                "excerpt": documents[row.doc_ref].excerpt,
            }
            for row in clusters
        ],
        "pairs": near_pairs(pairs, texts, recipe.words),
        "measured": measured_steps(release, recipe),
        "contamination": benchmark_sections(recorded, texts, recipe.words),
        "segments": _segments(shards),
        "repeats": receipts.copy_distance(recipe, summaries, shards),
        "real_before": before.real_tokens if before is not None else None,
    }


def _histograms(recipe: Recipe, summaries: list[PartSummary]) -> dict[str, Histogram]:
    histograms: dict[str, Histogram] = {}
    for name, signal in recipe.all_signals.items():
        bins = edges(signal, recipe)
        if bins is not None and summaries and all(summary.aligned for summary in summaries):
            parts = [summary.histograms[name] for summary in summaries]
            histograms[name] = {
                "unit": signal.unit,
                "edges": bins,
                "counts": np.sum([part.counts for part in parts], axis=0).tolist(),
                "missing": sum(part.missing for part in parts),
            }
    return histograms


def _clusters(summaries: list[PartSummary]) -> list[ClusterSize]:
    rows = [row for summary in summaries for row in summary.clusters]
    return sorted(rows, key=lambda row: (-row.copies, row.id))[:CLUSTERS]


def _reasons(summaries: list[PartSummary]) -> dict[tuple[str, str], list[SampledDocument]]:
    """The sample by decision and reason, the most frequent reasons first."""
    documents: Counter[tuple[str, str]] = Counter()
    for row in (row for summary in summaries for row in summary.counts):
        documents[row.decision, row.reason or ""] += row.documents
    rows = [row for summary in summaries for row in summary.samples if row.reason is not None]
    reasons = {(row.decision, row.reason or "") for row in rows}
    largest = sorted(reasons, key=lambda key: (-documents[key], key))[:REASONS]
    return {key: _first(SAMPLES, (row for row in rows if (row.decision, row.reason) == key)) for key in largest}


Tenth = tuple[float | None, float | None, int, list[SampledDocument]]
"""Lowest quality, highest quality, documents, sample."""


def _kept(summaries: list[PartSummary]) -> list[Tenth]:
    """Each tenth of the kept documents by quality, the best first; all of them if they differ in none.
    A bin of quality is in the tenth of its middle."""
    rows = [row for summary in summaries for row in summary.samples if row.decision == "keep"]
    counts = np.zeros(QUALITY_BINS, np.int64)
    for summary in summaries:
        for index, lengths in summary.lengths.items():
            counts[index] += sum(lengths.values())
    if not rows:
        return []
    if np.count_nonzero(counts) < 2:
        total = sum(row.documents for summary in summaries for row in summary.counts if row.decision == "keep")
        return [(None, None, total, _first(SAMPLES, rows))]
    tenth = np.minimum((np.cumsum(counts) - counts / 2) / counts.sum() * 10, 9).astype(np.int64)
    bins = [int(index) for index in receipts.quality_bins(np.array([row.quality or 0.0 for row in rows]))]
    kept: list[Tenth] = []
    for number in range(9, -1, -1):
        own = np.flatnonzero((tenth == number) & (counts > 0))
        if len(own):
            low, high = own[0] / QUALITY_BINS, (own[-1] + 1) / QUALITY_BINS
            sample = _first(1, (row for row, index in zip(rows, bins, strict=True) if index in own and row.quality is not None))
            kept.append((float(low), float(high), int(counts[own].sum()), sample))
    return kept


def _first(count: int, rows: Iterable[SampledDocument]) -> list[SampledDocument]:
    return sorted(rows, key=lambda row: (row.key, row.id))[:count]


def _groups(summaries: list[PartSummary]) -> dict[str, Groups]:
    """The largest languages, licences, hosts and years of all parts, by documents; the years in their order."""
    groups: dict[str, Groups] = {}
    for kind in ("language", "licence", "host", "year"):
        sums: dict[str, Counter[str]] = {}
        for summary in summaries:
            for name, counts in summary.groups.get(kind, {}).items():
                sums.setdefault(name, Counter()).update(asdict(counts))
        rows = [Group(name=name, **{field: counts[field] for field in _COUNTS}) for name, counts in sums.items()]  # type: ignore[typeddict-item]
        rows.sort(key=lambda row: (-row["kept"] - row["review"] - row["dropped"], row["name"]))
        if rows:
            uncounted = sum(summary.uncounted.get(kind, 0) for summary in summaries)
            shown = sorted(rows[:GROUP_ROWS], key=lambda row: row["name"]) if kind == "year" else rows[:GROUP_ROWS]
            groups[kind] = {"rows": shown, "others": len(rows[GROUP_ROWS:]), "uncounted": uncounted}
    return groups


@dataclass(frozen=True)
class _Document:
    """What is read of a document for the report. `text`: its whole text, if it is compared with another."""

    source: str
    url: str
    excerpt: str
    values: list[Value]
    text: str


def _documents(release: Release, recipe: Recipe, doc_refs: Iterable[int], compared: Collection[int]) -> dict[int, _Document]:
    """Documents by doc_ref, with the whole texts of those that are compared. Reads each row group that holds one, once."""
    refs = np.unique(np.fromiter(doc_refs, np.uint64))
    parts = np.unique(part_of(refs)).tolist()

    def read(ordinal: int) -> dict[int, _Document]:
        return _documents_of_part(release.part(ordinal), recipe, refs[part_of(refs) == ordinal], compared)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:  # most of it is decompression
        return {ref: document for documents in pool.map(read, parts) for ref, document in documents.items()}


def _documents_of_part(
    part: Part, recipe: Recipe, refs: npt.NDArray[np.uint64], compared: Collection[int]
) -> dict[int, _Document]:
    measured = set(part.schema().names)
    signals = [name for name in recipe.rules.columns if name in measured]
    documents: dict[int, _Document] = {}
    for rows, batch in part.read(row_of(refs), ["source", "url", "text", "metadata", *signals]):
        row_refs = refs[np.searchsorted(row_of(refs), rows)].tolist()
        for ref, row in zip(row_refs, batch.to_pylist(), strict=True):
            text = row["text"] if ref in compared else ""
            documents[ref] = _Document(row["source"], row["url"] or "", _excerpt(row["text"]), _values(row, recipe), text)
    return documents


def _excerpt(text: str) -> str:
    """The beginning of a text, without empty lines."""
    beginning = re.sub(r"\s*\n\s*", "\n", text[:EXCERPT].strip())
    return f"{beginning}…" if len(text) > EXCERPT else beginning


def _values(row: Mapping[str, Any], recipe: Recipe) -> list[Value]:
    """The values of a document that have limits."""
    rule_set = recipe.rules.of_document(row["source"], {**row, **undeclared_values(row["metadata"], recipe)})
    failed = {rule.signal: rule.detail for rule in failed_rules(row, rule_set.rules)}
    names = [name for name in rule_set.rules if name in row]
    return [{"name": name, "value": signal_value(row[name]), "fails": failed.get(name, "")} for name in names]


def _example(row: SampledDocument, documents: Mapping[int, _Document], recipe: Recipe) -> Example:
    document = documents[row.doc_ref]
    return {
        "id": row.id,
        "source": document.source,
        "url": document.url,
        "detail": "" if any(value["name"] == row.reason for value in document.values) else row.detail or "",
        "quality": row.quality if recipe.fusion else None,
        "values": document.values,
        "excerpt": document.excerpt,
    }


def _segments(shards: list[ShardReceipt]) -> list[OrderSegment]:
    """The segments with their mean quality, from the centres of its bins."""
    segments: list[OrderSegment] = []
    for segment in receipts.segments(shards):
        total = sum((index + 0.5) / QUALITY_BINS * tokens for index, tokens in segment.quality.items())
        mean = total / segment.tokens if segment.tokens else None
        segments.append({"tokens": segment.tokens, "quality": mean, "sources": segment.sources, "guarded": segment.guarded})
    return segments
