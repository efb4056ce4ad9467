"""The JSON files in receipts/ of a release: receipts of its shards, summaries of its parts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AliasChoices, Field

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.json_model import JsonModel
from tamis.transforms.core.manifest import File
from tamis.transforms.core.rater import Signal
from tamis.transforms.select.score_files import ScoreCounts

FOLDER = "receipts"  # of a release; the manifest and the report are made from its files
BINS = 40  # of a signal's histogram, over its useful range and its thresholds
WIDE_RANGE = 1000  # if a signal goes beyond this, its bins widen from 1 by a constant factor
QUALITY_BINS = 100
CLUSTERS, MATCH_SAMPLES = 10, 2  # in the report: clusters, matches of a benchmark with one class and action
SAMPLES = 3  # in the report: documents for each reason
GROUPS = 100  # of a part that are counted: the largest hosts, licences and languages

DocRef = Annotated[int, Field(validation_alias=AliasChoices("doc_ref", "ticket"))]  # `ticket` in older runs


@dataclass(frozen=True)
class ShardSegment:
    """A stretch of a shard: its tokens, in all and by bin of quality, by source and by guard."""

    tokens: int
    quality: dict[int, int]
    sources: dict[str, int]
    guarded: dict[str, int]


class ShardReceipt(JsonModel):
    """A finished shard. `destination` is its number in training order, over all phases. `characters`
    and `bytes`: of its texts, counted as they are written (0 in older runs)."""

    fingerprint: str
    destination: int
    phase: str
    file: File
    documents: int
    tokens: int
    characters: int = 0
    bytes: int = 0
    segments: list[ShardSegment]


@dataclass(frozen=True)
class DecisionCount:
    """The documents of one source with one decision and reason (None: kept). `bytes` and `chars`: of
    their texts as they end (`chars` is 0 in older runs)."""

    source: str
    decision: str
    reason: str | None
    tokens: int
    bytes: int
    documents: int
    chars: int = 0


@dataclass(frozen=True)
class RepeatedCount:
    """Copies beyond the first of each document, their tokens and their characters."""

    documents: int
    tokens: int
    chars: int = 0


@dataclass(frozen=True)
class CutCount:
    """Characters that were cut for one reason, and the documents that they were cut out of."""

    documents: int
    chars: int


@dataclass(frozen=True)
class SignalCounts:
    """Documents by bin of a signal, and those without a value."""

    counts: list[int]
    missing: int


@dataclass(frozen=True)
class ClusterSize:
    """A document, and how many documents it stands for, itself included; and their sources, if asked for."""

    doc_ref: DocRef
    id: str
    copies: int
    sources: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SampledMatch:
    """A match of a benchmark item, as the record has it. The smaller its `key`, the sooner it is chosen.
    `text`: that part of the item, in the sample of a release."""

    doc_ref: DocRef
    key: int
    benchmark: str
    item: str
    number: int
    part: str
    kind: str
    action: str
    score: float
    id: str
    start: int
    stop: int
    decision: str
    reason: str | None
    text: str = ""


@dataclass(frozen=True)
class NamedColumn:
    """A column in which the recipe names something: documents with a value, and labels that they
    have, in the alphabet's order: those that the recipe names, and the first of all."""

    values: int
    labels: list[str]


@dataclass(frozen=True)
class SampledDocument:
    """A document of the sample of a part. The smaller its `key`, the sooner it is chosen."""

    doc_ref: DocRef
    key: int
    id: str
    decision: str
    reason: str | None
    detail: str | None
    quality: float | None


@dataclass(frozen=True)
class GroupCount:
    """Documents of one host, year, licence or language by decision, and the tokens of the kept ones."""

    kept: int = 0
    review: int = 0
    dropped: int = 0
    kept_tokens: int = 0


class PartSummary(JsonModel):
    """What was decided about the documents of a part. `real_tokens`: of kept documents that are not
    synthetic, each counted once. `closest`: fewest tokens between two copies of a document.
    `lengths`: kept documents by bin of quality and bin of length. `clusters`: the largest.
    `matches`: rows of the record of contamination. `renamed`: documents whose id one with another text had. `cut`:
    what was cut out of documents, whatever became of them later, by reason. `hostless`: documents
    without a host, if their lines are compared within one. `named`: what there is in the columns in
    which the recipe names something. `samples`: up to `SAMPLES` documents for each decision and
    reason, and one kept document in each bin of quality; `sampled_matches`: up to `MATCH_SAMPLES` for
    each benchmark, class and action. `groups`: by `host`, `year`, `licence` and `language`, the
    largest `GROUPS`; `uncounted`: the documents in smaller ones. `aligned`: whether limits are edges
    of the bins of histograms, as they were not in older runs."""

    fingerprint: str
    file: File
    counts: list[DecisionCount]
    real_tokens: int
    repeated: RepeatedCount
    closest: int | None
    histograms: dict[str, SignalCounts]
    lengths: dict[int, dict[int, int]]
    clusters: list[ClusterSize]
    matches: int = 0
    sampled_matches: list[SampledMatch] = Field(default_factory=list)
    renamed: int
    cut: dict[str, CutCount] = Field(default_factory=dict)
    hostless: int = 0
    named: dict[str, NamedColumn] = Field(default_factory=dict)
    samples: list[SampledDocument] = Field(default_factory=list)
    groups: dict[str, dict[str, GroupCount]] = Field(default_factory=dict)
    uncounted: dict[str, int] = Field(default_factory=dict)
    aligned: bool = False


@dataclass(frozen=True)
class CopyDistance:
    """Tokens between the closest copies of a document (None: no copies); the recipe's minimum."""

    closest: int | None
    minimum: int


class ScoreReceipt(JsonModel):
    """How scores from other files met the documents."""

    counts: ScoreCounts


def record_scores(counts: ScoreCounts, release: str, name: str) -> None:
    """Writes how the scores of this name met the documents."""
    ScoreReceipt(counts=counts).write(storage.join(release, FOLDER, f"scores-{name}.json"))


def read_scores(folder: str, name: str) -> ScoreCounts | None:
    """How the scores of this name met the documents, from the receipts folder of a release."""
    receipt = ScoreReceipt.read(storage.join(folder, f"scores-{name}.json"))
    return receipt.counts if receipt is not None else None


@dataclass(frozen=True)
class BenchmarkItems:
    """A benchmark that a release has looked for. `unmatchable`: ids of the items that nothing can find;
    `drop` and `review`: the limits."""

    name: str
    items: int
    unmatchable: list[str]
    drop: float
    review: float
    samples: list[SampledMatch]


class ContaminationReceipt(JsonModel):
    """What the record of contamination does not say by itself: its rows are matches of these benchmarks."""

    benchmarks: list[BenchmarkItems]


def contamination_uri(release: str) -> str:
    return storage.join(release, FOLDER, "contamination.json")


def shard_receipt_uri(release: str, destination: int) -> str:
    return storage.join(release, FOLDER, f"shard-{destination:05d}.json")


def summary_uri(release: str, ordinal: int) -> str:
    return storage.join(release, FOLDER, f"part-{ordinal:05d}.json")


def shards(folder: str) -> list[ShardReceipt]:
    """The receipts of the finished shards in the receipts folder of a release, in training order."""
    receipts = (ShardReceipt.read(uri) for uri in _uris(folder, "shard-"))
    return [receipt for receipt in receipts if receipt is not None]


def summaries(folder: str) -> list[PartSummary]:
    """The summaries of the decided parts in the receipts folder of a release, by part. Raises
    RunError if one is unreadable."""
    summaries = []
    for uri in _uris(folder, "part-"):
        summary = PartSummary.read(uri)
        if summary is None:
            raise RunError(f"{uri} is damaged: run the same command again to write it again")
        summaries.append(summary)
    return summaries


def _uris(folder: str, prefix: str) -> list[str]:
    return [storage.join(folder, name) for name in storage.names(folder) if name.startswith(prefix)]


def segments(shards: Sequence[ShardReceipt]) -> list[ShardSegment]:
    """The segments of all shards in training order."""
    return [segment for shard in shards for segment in shard.segments]


def tokens_by_phase(shards: Sequence[ShardReceipt]) -> Counter[str]:
    tokens: Counter[str] = Counter()
    for shard in shards:
        tokens[shard.phase] += shard.tokens
    return tokens


def copy_distance(recipe: Recipe, summaries: Sequence[PartSummary], shards: Sequence[ShardReceipt]) -> CopyDistance:
    """How close copies of a document are to each other, and how far apart they should be."""
    distance = recipe.select.distance
    shortest_phase = min(tokens_by_phase(shards).values(), default=0)
    return CopyDistance(
        min((summary.closest for summary in summaries if summary.closest is not None), default=None),
        distance if isinstance(distance, int) else int(distance * shortest_phase),
    )


def text_size(shard: pa.Table) -> tuple[int, int]:
    """(characters, bytes) of the texts of a shard."""
    counts = (count(shard["text"]) for count in (pc.utf8_length, pc.binary_length))
    characters, size = (int(pc.sum(each.cast(pa.int64()), min_count=0).as_py()) for each in counts)
    return characters, size


def edges(signal: Signal, recipe: Recipe) -> list[float] | None:
    """Histogram bin edges of a numeric signal: its useful range and its thresholds, those of blocks
    included, with a margin. Each limit is an edge, so that the documents of a bin all pass it, or all
    fail. None for a label, and for a signal that has neither."""
    bounds = [signal.low, signal.high]
    rules = [rule for rule in recipe.rules.of_signal(signal.name).values() if rule is not None]
    bounds += [bound for rule in rules for bound in (rule.min, rule.max)]
    limits = [float(bound) for bound in bounds if bound is not None]
    if signal.has_labels or not limits:
        return None
    low, high = min(0.0, *limits), 1.5 * max(limits)
    if signal.unit.startswith(("share", "probability")):
        high = min(high, 1.0)  # none is larger
    high = high if high > low else low + 1.0
    bins = np.geomspace(1.0, high, BINS + 1) if high > WIDE_RANGE else np.linspace(low, high, BINS + 1)
    # A value that equals a maximum passes, and is in the bin below this edge.
    inner = {rule.min for rule in rules} | {float(np.nextafter(rule.max, np.inf)) for rule in rules if rule.max is not None}
    free = 1
    for limit in sorted(limit for limit in inner if limit is not None and bins[0] < limit < bins[-1]):
        nearest = free + int(np.abs(bins[free:-1] - limit).argmin()) if free < BINS else BINS - 1
        bins[nearest] = limit
        free = nearest + 1
    return [float(edge) for edge in np.sort(bins)]


def quality_bins(quality: np.ndarray) -> np.ndarray:
    """Bin of each quality, 0 to 1 or NaN: i64[n] below `QUALITY_BINS`."""
    return np.minimum((np.nan_to_num(quality, nan=0.0) * QUALITY_BINS).astype(np.int64), QUALITY_BINS - 1)
