"""Emit: the kept text moves once, into its final shard."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.document_states import GUARD_PREFIX, clear_cache, signal_columns
from tamis.pipelines.decisions.epoch_copies import emitted_copies
from tamis.pipelines.decisions.shard_layout import Layout
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.progress import Progress
from tamis.pipelines.run.receipts import QUALITY_BINS, ShardReceipt, ShardSegment, quality_bins, shard_receipt_uri, text_size
from tamis.transforms import storage
from tamis.transforms.beam.cuts import read_texts
from tamis.transforms.beam.exchange import Gathered, PartState, addressed
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.manifest import File
from tamis.transforms.core.shards import write_shard

SEGMENTS = 16  # of a shard: the report draws quality and sources along the order by them
SCATTER_BYTES = 24 << 20  # text that is collected before it is written to a spill file


def scatter(
    part_state: PartState, layout: Layout, recipe: Recipe, run: str, finished: frozenset[int]
) -> Iterator[pa.RecordBatch]:
    """The emitted copies of a part with their text, addressed to the unfinished shards."""
    table = emitted_copies(part_state, recipe)
    optional = [name for name in table.column_names if name in ("epoch", "copy_sources") or name.startswith(GUARD_PREFIX)]
    destination = layout.destination(table["phase"].to_numpy(), table["place"].to_numpy())
    unfinished = ~np.isin(destination, list(finished))
    table, destination = table.filter(pa.array(unfinished)), destination[unfinished]
    names = recipe.output.signals
    signals = signal_columns(part_state, names, recipe).combine_chunks() if names else pa.table({})
    progress = Progress(run, "emit")
    pending: list[pa.RecordBatch] = []
    size = first = 0

    def flush() -> pa.RecordBatch:
        batch = pa.Table.from_batches(pending).combine_chunks().to_batches()[0]
        progress.advance(batch.num_rows, int(batch["text"].nbytes))
        return batch

    fields = ("text", "url", "licence", "date", "metadata")
    for read, batch in read_texts(part_state, row_of(table["doc_ref"].to_numpy()), fields):
        rows = slice(first, first + len(read))
        first += len(read)
        decided = table.slice(rows.start, len(read)).combine_chunks()
        columns = {"id": decided["id"], "text": batch["text"], "source": decided["source"]}
        columns |= {name: batch[name] for name in ("url", "licence", "date", "metadata")}
        columns |= {name: decided[name] for name in ("quality", "tokens", "copies", "place", "tie_break", *optional)}
        columns |= {name: signals[name].take(pa.array(read)) for name in names}
        pending.append(addressed(pa.table(columns).combine_chunks().to_batches()[0], destination[rows]))
        size += int(batch["text"].nbytes)
        if size >= SCATTER_BYTES:
            yield flush()
            pending, size = [], 0
    if pending:
        yield flush()


def emit_shard(gathered: Gathered, layout: Layout, recipe: Recipe, run: str, release: str, fingerprint: str) -> str:
    """Writes one shard in curriculum order into the folder `release`, then its receipt. Returns its
    path there."""
    clear_cache()
    rows = gathered.table().combine_chunks()  # frees the pieces before the sorted copy is made
    keys = [name for name in ("place", "tie_break", "id", "epoch") if name in rows.column_names]
    rows = rows.sort_by([(name, "ascending") for name in keys])
    path = layout.path(gathered.destination)
    internal = ["place", "tie_break", *(name for name in rows.column_names if name.startswith(GUARD_PREFIX))]
    written = write_shard(rows.drop_columns(internal), storage.join(release, path), recipe.output)
    characters, text_bytes = text_size(rows)
    receipt = ShardReceipt(
        fingerprint=fingerprint,
        destination=gathered.destination,
        phase=path.split("/")[1],
        file=File(path, written.bytes, written.sha256),
        documents=rows.num_rows,
        tokens=pc.sum(rows["tokens"]).as_py(),
        characters=characters,
        bytes=text_bytes,
        segments=_segments(rows),
    )
    receipt.write(shard_receipt_uri(release, gathered.destination))
    Progress(run, "emit").finish()
    return path


def _segments(rows: pa.Table) -> list[ShardSegment]:
    """The shard in `SEGMENTS` stretches of about equal tokens."""
    tokens = rows["tokens"].to_numpy()
    end = np.cumsum(tokens)
    cuts = np.searchsorted(end, end[-1] * np.arange(1, SEGMENTS) / SEGMENTS, side="left") + 1
    bins = quality_bins(rows["quality"].to_numpy())
    segments = []
    for start, stop in pairwise(np.unique([0, *cuts, len(tokens)]).tolist()):
        segment = rows.slice(start, stop - start)
        by_source = segment.group_by("source").aggregate([("tokens", "sum")]).sort_by("source")
        by_bin = np.bincount(bins[start:stop], weights=tokens[start:stop].astype(np.float64), minlength=QUALITY_BINS)
        segments.append(
            ShardSegment(
                tokens=int(tokens[start:stop].sum()),
                quality={int(index): int(by_bin[index]) for index in np.flatnonzero(by_bin)},
                sources=dict(zip(by_source["source"].to_pylist(), by_source["tokens_sum"].to_pylist(), strict=True)),
                guarded={
                    name.removeprefix(GUARD_PREFIX): int(pc.sum(segment["tokens"].filter(segment[name]), min_count=0).as_py())
                    for name in segment.column_names
                    if name.startswith(GUARD_PREFIX)
                },
            )
        )
    return segments
