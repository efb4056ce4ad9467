"""Emit: the ledger of every document, and the kept text moved once into its final place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.decisions.copies import emitted
from tamis.pipelines.decisions.state import GUARDED, explained, rated_part
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.receipts import (
    CLUSTERS,
    EXAMPLES,
    QUALITY_BINS,
    STATE,
    BenchmarkCount,
    ClusterSize,
    ContaminatedDocument,
    DecisionCount,
    PartSummary,
    RepeatedCount,
    ShardReceipt,
    ShardSegment,
    SignalCounts,
    edges,
    shard_receipt_uri,
)
from tamis.transforms import storage
from tamis.transforms.beam import unique_ids
from tamis.transforms.beam.exchange import Gathered, PartState, addressed
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.manifest import File
from tamis.transforms.core.parts import Part
from tamis.transforms.core.shards import write_shard
from tamis.transforms.dedup import deduplicate

SEGMENTS = 16
"""Segments of a shard whose quality and sources the report draws along the order."""

SCATTER_BYTES = 24 << 20
"""Kept text that waits for one spill file."""

LEDGER = (
    "id",
    "source",
    "decision",
    "reason",
    "detail",
    "quality",
    "tokens",
    "bytes",
    "representative",
    "jaccard",
    "copies",
    "epochs",
    "phase",
    "place",
    "shard",
)


@dataclass(frozen=True)
class Layout:
    """How many shards, and tokens, each phase has. Destinations number the shards of all phases in training order."""

    shards: tuple[int, ...]
    tokens: tuple[int, ...]
    names: tuple[str, ...]
    suffix: str

    def destination(self, phase: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Shard of each document: places are even in tokens, so equal stretches of place are equal shards."""
        size = np.array(self.shards, np.int64)[phase]
        within = np.clip(np.ceil(place * size).astype(np.int64) - 1, 0, size - 1)
        return np.concatenate([[0], np.cumsum(self.shards)])[phase] + within

    def path(self, destination: int) -> str:
        """Path of a shard below the run directory."""
        first = 0
        for name, size in zip(self.names, self.shards, strict=True):
            if destination < first + size:
                return f"data/{name}/shard-{destination - first:05d}.{self.suffix}"
            first += size
        raise IndexError(f"shard {destination} of {first}")


def layout(totals: Iterable[dict[int, tuple[int, int]]], recipe: Recipe) -> Layout:
    """The layout for the emitted bytes and tokens of each phase, summed over the parts."""
    stretches = recipe.curriculum.effective_phases
    size: Counter[int] = Counter()
    tokens: Counter[int] = Counter()
    for total in totals:
        for phase, (text, counted) in total.items():
            size[phase] += text
            tokens[phase] += counted
    # A phase whose documents are all empty has no bytes, yet a shard.
    shards = tuple(
        max(1, math.ceil(size[phase] / recipe.output.shard_bytes)) if phase in size else 0 for phase in range(len(stretches))
    )
    names = tuple(stretch.name for stretch in stretches)
    return Layout(shards, tuple(tokens[phase] for phase in range(len(stretches))), names, recipe.output.format)


def emitted_sizes(part_state: PartState, recipe: Recipe) -> dict[int, tuple[int, int]]:
    """Bytes and tokens of emitted text by phase."""
    sums = emitted(part_state, recipe).group_by("phase").aggregate([("bytes", "sum"), ("tokens", "sum")])
    return {row["phase"]: (row["bytes_sum"], row["tokens_sum"]) for row in sums.to_pylist()}


def write_ledger(part_state: PartState, recipe: Recipe, layout: Layout, fingerprint: str) -> None:
    """Writes decisions/part-N.parquet, one row for every document of the part, and the part's summary."""
    part = rated_part(part_state)
    table = _with_shard(explained(part_state, recipe), layout)
    uri = part.uri("decisions", "parquet")
    with storage.commit(uri) as sink:
        pq.write_table(table.select(list(LEDGER)), sink, compression="zstd", write_page_checksum=True)
    summary = PartSummary(
        fingerprint=fingerprint,
        file=File(part.path("decisions", "parquet"), sink.size, sink.sha256),
        counts=_counts(table),
        real_tokens=_real_tokens(table),
        repeated=_repeated(table),
        closest=_closest(part_state, recipe, layout),
        histograms=_histograms(part, recipe),
        lengths=_lengths(table),
        clusters=_largest(table),
        contamination=_contaminated(table),
        renamed=_answers(part_state, unique_ids.TAG),
        capped=_capped(part_state),
    )
    summary.write(part.uri(STATE, "json"))


def scatter(part_state: PartState, recipe: Recipe, layout: Layout, finished: frozenset[int]) -> Iterator[pa.RecordBatch]:
    """The kept documents of the part, addressed to their shards. Shards that an earlier attempt finished get nothing."""
    part = rated_part(part_state)
    table = emitted(part_state, recipe)
    more = [name for name in table.column_names if name == "epoch" or name.startswith(GUARDED)]
    to = layout.destination(table["phase"].to_numpy(), table["place"].to_numpy())
    wanted = ~np.isin(to, list(finished))
    table, to = table.filter(pa.array(wanted)), to[wanted]
    rows = row_of(table["doc_ref"].to_numpy())
    pending: list[pa.RecordBatch] = []
    size = first = 0
    for read, batch in part.read(rows, ["text", "url", "licence", "date", "metadata"]):
        chosen = np.arange(first, first + len(read))
        first += len(read)
        decided = table.take(pa.array(chosen)).combine_chunks()
        columns = {"id": decided["id"], "text": batch["text"], "source": decided["source"]}
        columns |= {name: batch[name] for name in ("url", "licence", "date", "metadata")}
        columns |= {name: decided[name] for name in ("quality", "tokens", "copies", "place", "tie_break", *more)}
        pending.append(addressed(pa.table(columns).combine_chunks().to_batches()[0], to[chosen]))
        size += int(batch["text"].nbytes)
        if size >= SCATTER_BYTES:
            yield _one(pending)
            pending, size = [], 0
    if pending:
        yield _one(pending)


def emit_shard(gathered: Gathered, recipe: Recipe, layout: Layout, run: str, fingerprint: str) -> None:
    """Writes one shard in curriculum order, then its receipt."""
    rows = gathered.table().combine_chunks()  # what the pieces were read into goes before the sorted rows come
    keys = [name for name in ("place", "tie_break", "id", "epoch") if name in rows.column_names]
    rows = rows.sort_by([(name, "ascending") for name in keys])
    path = layout.path(gathered.destination)
    inner = ["place", "tie_break", *(name for name in rows.column_names if name.startswith(GUARDED))]
    written = write_shard(rows.drop_columns(inner), storage.join(run, path), recipe.output)
    receipt = ShardReceipt(
        fingerprint=fingerprint,
        destination=gathered.destination,
        phase=path.split("/")[1],
        file=File(path, written.bytes, written.sha256),
        documents=rows.num_rows,
        tokens=int(pc.sum(rows["tokens"]).as_py()),
        segments=_segments(rows),
    )
    receipt.write(shard_receipt_uri(run, gathered.destination))


def _with_shard(table: pa.Table, layout: Layout) -> pa.Table:
    """Adds the path of the shard each kept document goes to."""
    inside = pc.equal(table["decision"], "keep").to_numpy(zero_copy_only=False)
    to = np.zeros(len(table), np.int64)
    to[inside] = layout.destination(table["phase"].to_numpy()[inside], table["place"].to_numpy()[inside])
    paths = pa.array([layout.path(index) for index in range(sum(layout.shards))], pa.string())
    return table.append_column("shard", paths.take(pa.array(to, mask=~inside)))


def _histograms(part: Part, recipe: Recipe) -> dict[str, SignalCounts]:
    """Documents by bin of each numeric signal; what lies outside its edges is counted in the outermost bins."""
    bins = {name: np.array(found) for name, signal in recipe.signals.items() if (found := edges(signal, recipe))}
    columns = part.columns(list(bins))
    histograms: dict[str, SignalCounts] = {}
    for name, edge in bins.items():
        values = columns[name].drop_null().cast(pa.float64()).to_numpy()
        counts, _ = np.histogram(np.clip(values, edge[0], edge[-1]), edge)
        histograms[name] = SignalCounts(counts.tolist(), columns[name].null_count)
    return histograms


def _lengths(table: pa.Table) -> dict[int, dict[int, int]]:
    """Documents kept by bin of quality, and in each by length: a step of it is a quarter of an octave of tokens, in order."""
    table = table.filter(pc.and_(pc.equal(table["decision"], "keep"), pc.is_finite(table["quality"])))
    fraction, octave = np.frexp(table["tokens"].to_numpy().astype(np.float64))
    lengths = 4 * octave.astype(np.int64) + (8 * fraction).astype(np.int64) - 4  # 0 tokens: -4
    counted: dict[int, dict[int, int]] = {}
    cells, times = np.unique(np.stack([_quality_bins(table), lengths]), axis=1, return_counts=True)
    for quality, length, documents in zip(*cells.tolist(), times.tolist(), strict=True):
        counted.setdefault(quality, {})[length] = documents
    return counted


def _quality_bins(table: pa.Table) -> np.ndarray:
    quality = np.nan_to_num(table["quality"].to_numpy(), nan=0.0)
    return np.minimum((quality * QUALITY_BINS).astype(np.int64), QUALITY_BINS - 1)


def _counts(table: pa.Table) -> list[DecisionCount]:
    keys = ["source", "decision", "reason"]
    sums = (
        table.group_by(keys)
        .aggregate([("tokens", "sum"), ("bytes", "sum"), ("id", "count")])
        .sort_by([(key, "ascending") for key in keys])
    )
    names = {"id_count": "documents", "tokens_sum": "tokens", "bytes_sum": "bytes"}
    return [DecisionCount(**{names.get(name, name): value for name, value in row.items()}) for row in sums.to_pylist()]


def _largest(table: pa.Table) -> list[ClusterSize]:
    clusters = table.filter(pc.greater(table["copies"], 1)).select(["doc_ref", "id", "copies"])
    largest = clusters.sort_by([("copies", "descending"), ("id", "ascending")]).slice(0, CLUSTERS)
    return [ClusterSize(**row) for row in largest.to_pylist()]


def _contaminated(table: pa.Table) -> dict[str, BenchmarkCount]:
    """By benchmark: how many documents hold items of it, and the first of them."""
    found = table.filter(pc.equal(table["reason"], "contamination")).sort_by("id")
    of_benchmark: dict[str, BenchmarkCount] = {}
    for name in pc.unique(found["benchmark"]).to_pylist():
        here = found.filter(pc.equal(found["benchmark"], name))
        examples = here.slice(0, EXAMPLES).select(["doc_ref", "id", "decision", "detail"])
        of_benchmark[name] = BenchmarkCount(len(here), [ContaminatedDocument(**row) for row in examples.to_pylist()])
    return of_benchmark


def _answers(part_state: PartState, tag: str) -> int:
    results = part_state.result(tag)
    return 0 if results is None else len(results)


def _capped(part_state: PartState) -> int:
    results = part_state.result(deduplicate.TAG)
    return 0 if results is None else int(pc.sum(results["capped"]).as_py())


def _real_tokens(table: pa.Table) -> int:
    """Tokens of the documents kept that are not synthetic, each counted once."""
    real = pc.equal(table["decision"], "keep")
    if GUARDED + "synthetic" in table.column_names:
        real = pc.and_(real, pc.invert(table[GUARDED + "synthetic"]))
    return int(pc.sum(table["tokens"].filter(real), min_count=0).as_py())


def _repeated(table: pa.Table) -> RepeatedCount:
    """Copies beyond the first: documents and tokens."""
    again = np.maximum(table["epochs"].to_numpy() - 1, 0) * pc.equal(table["decision"], "keep").to_numpy()
    return RepeatedCount(int(again.sum()), int(again @ table["tokens"].to_numpy()))


def _closest(part_state: PartState, recipe: Recipe, layout: Layout) -> int | None:
    """Least number of tokens from the end of a copy to the start of the next, about; None without copies."""
    if not recipe.select.repeats:
        return None
    table = emitted(part_state, recipe)
    phase, place, tokens, epoch = (table[name].to_numpy() for name in ("phase", "place", "tokens", "epoch"))
    end = np.concatenate([[0], np.cumsum(layout.tokens)])[phase] + place * np.array(layout.tokens)[phase]
    again = np.flatnonzero(epoch > 1)  # the row before is the copy before
    return int((end[again] - tokens[again] - end[again - 1]).min()) if len(again) else None


def _segments(rows: pa.Table) -> list[ShardSegment]:
    """The shard in `SEGMENTS` stretches of about equal tokens: tokens, tokens by quality bin, tokens by source."""
    tokens = rows["tokens"].to_numpy()
    end = np.cumsum(tokens)
    cut = (
        np.searchsorted(end, end[-1] * np.arange(1, SEGMENTS + 1) / SEGMENTS, side="left") + 1
        if len(end)
        else np.array([], int)
    )
    starts = np.unique(np.concatenate([[0], cut[:-1]]))
    bins = _quality_bins(rows)
    segments = []
    for start, stop in pairwise((*starts, len(tokens))):
        if stop <= start:
            continue
        part = rows.slice(start, stop - start)
        sums = part.group_by("source").aggregate([("tokens", "sum")]).sort_by("source")
        by_bin = np.bincount(bins[start:stop], weights=tokens[start:stop].astype(np.float64), minlength=QUALITY_BINS)
        segments.append(
            ShardSegment(
                tokens=int(tokens[start:stop].sum()),
                quality={int(index): int(by_bin[index]) for index in np.flatnonzero(by_bin)},
                sources=dict(zip(sums["source"].to_pylist(), sums["tokens_sum"].to_pylist(), strict=True)),
                guarded={
                    name.removeprefix(GUARDED): int(pc.sum(part["tokens"].filter(part[name]), min_count=0).as_py())
                    for name in part.column_names
                    if name.startswith(GUARDED)
                },
            )
        )
    return segments


def _one(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
