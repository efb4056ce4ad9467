"""Removes documents from the files of a release: decisions, summaries, record, index and shards.

For a purge, which changes finished releases, and a takedown, which changes a copy of one. In a patch,
the places of removed documents become gaps. Statistics that were measured before (histograms, quality
along the order) stay as they were.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.decisions.part_summary import cut_counts, decision_counts, group_counts, repeated_count, samples
from tamis.pipelines.decisions.rated_decisions import REMOVED
from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.run import receipts
from tamis.pipelines.run.finalize import count_characters, count_documents, curriculum_entry
from tamis.transforms import storage
from tamis.transforms.core.documents import doc_refs
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import CurriculumEntry, File, Manifest, ShardEntry, release_path, shard_places
from tamis.transforms.core.release import Release
from tamis.transforms.core.shards import Output, read_shard, write_shard
from tamis.transforms.decontaminate.record import FILE as RECORD_FILE
from tamis.transforms.dedup.released.erase_documents import erase
from tamis.transforms.dedup.released.index_files import FOLDER as INDEX_FOLDER
from tamis.transforms.feed import gaps
from tamis.transforms.licences.licence_options import Licences
from tamis.transforms.provenance import ledger

Rows = npt.NDArray[np.int64]

Ended = Callable[[int, pa.Table, Rows], pa.Table]
"""The decisions about a part, by its ordinal, after some of its rows were removed."""


def remove_documents(
    release: Release, rows: Mapping[int, Rows], ended: Ended, shards: Collection[str] | None = None
) -> int | None:
    """Removes the documents in `rows` of parts, by ordinal; returns how many rows of shards that were,
    None if there is nothing to remove. `shards`: the paths of those that may hold them; None: all. If
    it is interrupted, doing it again finishes it."""
    ids: set[str] = set()
    for ordinal in ledger.decided_parts(release):
        removed = rows.get(ordinal, np.zeros(0, np.int64))
        if not len(removed):
            continue
        table = ledger.decisions(release, ordinal)
        ids.update(table["id"].take(pa.array(removed)).to_pylist())
        table = ended(ordinal, table, removed)
        name = f"decisions/part-{ordinal:05d}.parquet"
        with storage.commit(release.uri(name)) as sink:
            pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        _update_summary(release, ordinal, name, table)
    if not ids:
        return None
    _remove_matches(release, ids)
    erase(release.uri(INDEX_FOLDER), ids)
    held = (receipt for receipt in receipts.shards(release.receipts) if shards is None or receipt.file.path in shards)
    return sum(_remove_from_shard(release, receipt, ids) for receipt in held)


def recounted(release: Release) -> Manifest:
    """The manifest of a release with counts and curriculum again, from the receipts. The paths of its
    shards are those in the folder of the release."""
    manifest = release.manifest
    shards, counts = receipts.shards(release.receipts), manifest["counts"]
    summaries = receipts.summaries(release.receipts)
    recounts = count_documents(summaries, counts["rejected"], counts.get("skipped_reasons", {}))
    if "characters" in counts:
        parts = [release.part(number).receipt() for number in range(len(manifest["parts"]))]
        parts_left = [receipt for receipt in parts if receipt is not None]
        recounts["characters"] = count_characters(parts_left, summaries, shards, counts["characters"]["editors"])
    if "patch" in manifest:
        curriculum = _same_places(release, shards)
    else:
        curriculum = curriculum_entry(finished_recipe(manifest), shards, receipts.segments(shards))
    return cast(Manifest, {**manifest, "counts": recounts, "curriculum": curriculum})


def masked(table: pa.Table, rows: Rows, values: Mapping[str, object]) -> pa.Table:
    """A table with other values in some rows, where it has such columns: scalars, or arrays of the
    length of the table."""
    mask = np.zeros(table.num_rows, bool)
    mask[rows] = True
    for name, value in values.items():
        if name in table.column_names:
            column = table[name].combine_chunks()
            new = value if isinstance(value, pa.Array) else pa.scalar(value, column.type)
            table = table.set_column(table.schema.get_field_index(name), name, pc.if_else(pa.array(mask), new, column))
    return table


def _remove_matches(release: Release, ids: set[str]) -> None:
    """Removes the matches of the documents, where the release has a record of contamination."""
    uri, receipt_uri = release.uri(RECORD_FILE), receipts.contamination_uri(release.folder)
    receipt = receipts.ContaminationReceipt.read(receipt_uri)
    if receipt is None or not storage.exists(uri):
        return
    with storage.open_binary(uri) as file:
        table = pq.ParquetFile(file).read(use_threads=False)
    left = table.filter(pc.invert(pc.is_in(table["id"], value_set=pa.array(sorted(ids), pa.string()))))
    with storage.commit(uri) as sink:
        pq.write_table(left, sink, compression="zstd", write_page_checksum=True)
    benchmarks = [
        replace(benchmark, samples=[sample for sample in benchmark.samples if sample.id not in ids])
        for benchmark in receipt.benchmarks
    ]
    receipts.ContaminationReceipt(benchmarks=benchmarks).write(receipt_uri)


def _update_summary(release: Release, ordinal: int, name: str, table: pa.Table) -> None:
    uri = storage.join(release.receipts, f"part-{ordinal:05d}.json")
    summary = receipts.PartSummary.read(uri)
    if summary is None:
        raise RunError(f"{uri} is damaged; run the same `tamis run` again first")
    kept = table.filter(pc.equal(table["decision"], "keep"))
    gone = pc.fill_null(pc.is_in(table["reason"], value_set=pa.array(REMOVED)), False)
    removed = set(table["id"].filter(gone).to_pylist())
    update: dict[str, object] = {
        "file": File.read(release.folder, name),
        "counts": decision_counts(table),
        "repeated": repeated_count(table),
        "sampled_matches": [sample for sample in summary.sampled_matches if sample.id not in removed],
        "real_tokens": min(summary.real_tokens, pc.sum(kept["tokens"], min_count=0).as_py()),
    }
    if "cuts" in table.column_names:  # not in early releases
        update["cut"] = cut_counts(table)
    if summary.samples:  # as above
        options = release.manifest["recipe"].get("licences")
        licences = options and Licences.model_validate(options)
        update["groups"], update["uncounted"] = group_counts(table, release.part(ordinal), licences)
        table = table.append_column("doc_ref", pa.array(doc_refs(ordinal, len(table))))
        update["samples"] = samples(table, release.manifest["recipe"]["seed"])
    summary.model_copy(update=update).write(uri)


def _remove_from_shard(release: Release, receipt: receipts.ShardReceipt, ids: set[str]) -> int:
    uri = release.uri(receipt.file.path)
    table = read_shard(uri)
    kept = pc.invert(pc.is_in(table["id"], value_set=pa.array(sorted(ids), table["id"].type)))
    shard = table.filter(kept)
    if len(shard) < len(table):
        if "patch" in release.manifest:
            _leave_gaps(release, receipt.file.path, table["tokens"], np.flatnonzero(pc.invert(kept).to_numpy()))
        write_shard(shard, uri, Output.model_validate(release.manifest["recipe"]["output"]))
    tokens = pc.sum(shard["tokens"], min_count=0).as_py()
    file = File.read(release.folder, receipt.file.path)
    characters, text_bytes = receipts.text_size(shard)
    update = {"file": file, "documents": len(shard), "tokens": tokens, "characters": characters, "bytes": text_bytes}
    receipt.model_copy(update=update).write(storage.join(release.receipts, f"shard-{receipt.destination:05d}.json"))
    return len(table) - len(shard)


def _leave_gaps(release: Release, path: str, tokens: pa.ChunkedArray, rows: Rows) -> None:
    """Adds the places of rows that a shard loses, before it does. The manifest, which is written last,
    tells how many places the shard has, and so whether that was done already."""
    written = gaps.read_gaps(release.uri(gaps.FILE))
    before, _ = gaps.gaps_in(written, path)
    if len(before) + len(tokens) != shard_places(_entries(release)[path])[0]:
        return
    new = {"row": gaps.places(before, len(tokens))[rows], "tokens": tokens.to_numpy()[rows]}
    table = pa.table({"shard": pa.repeat(pa.scalar(path), len(rows)), **new}, schema=gaps.SCHEMA)
    gaps.write_gaps(pa.concat_tables([written, table]), release.uri(gaps.FILE))


def _entries(release: Release) -> dict[str, ShardEntry]:
    return {release_path(shard["path"]): shard for shard in release.manifest["curriculum"]["shards"]}


def _same_places(release: Release, shards: list[receipts.ShardReceipt]) -> CurriculumEntry:
    """The curriculum of a patch: first tokens and rates stay, and shards have gaps."""
    entries, written = _entries(release), gaps.read_gaps(release.uri(gaps.FILE))
    changed: list[ShardEntry] = []
    for receipt in shards:
        entry = {**entries[receipt.file.path], "path": receipt.file.path}
        entry |= {"documents": receipt.documents, "tokens": receipt.tokens}
        rows, tokens = gaps.gaps_in(written, receipt.file.path)
        if len(rows):
            entry |= {"taken_documents": len(rows), "taken_tokens": int(tokens.sum())}
        changed.append(cast(ShardEntry, entry))
    return cast(CurriculumEntry, {**release.manifest["curriculum"], "shards": changed})
