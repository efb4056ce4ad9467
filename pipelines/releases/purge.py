"""`tamis purge`: removes documents from every release, part and cache of a run, and logs it.

This is the one exception to the immutability of releases. A purge that was interrupted is finished
by the same command. Statistics that were measured before it (histograms, quality along the order)
stay as they were.
"""

import getpass
import hashlib
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.decisions.part_summary import PURGED, cut_counts, decision_counts, group_counts, repeated_count, samples
from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.releases.retention import present_releases
from tamis.pipelines.releases.seal import reseal_release
from tamis.pipelines.run import receipts
from tamis.pipelines.run.finalize import count_characters, count_documents, curriculum_entry
from tamis.pipelines.run.run_lock import RunLock
from tamis.transforms import storage
from tamis.transforms.core.documents import doc_refs
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import File
from tamis.transforms.core.parts import FOLDERS, Part, PartWriter
from tamis.transforms.core.release import RELEASES, Release, numbers, open_release, release_folder
from tamis.transforms.core.shards import Output, read_shard, write_shard
from tamis.transforms.decontaminate.record import FILE as RECORD_FILE
from tamis.transforms.dedup.released.erase_documents import erase
from tamis.transforms.dedup.released.index_files import FOLDER as INDEX_FOLDER
from tamis.transforms.licences.licence_options import Licences
from tamis.transforms.provenance import purges
from tamis.transforms.provenance.purges import Purge, PurgedRelease
from tamis.transforms.provenance.takedown import FILE, PURGED_BYTES, Takedown, marked, read_takedown, without_texts

Rows = npt.NDArray[np.int64]

_CACHES = (".feed", ".spill", ".mend", "plans")  # they may hold texts, or describe shards that change


@dataclass(frozen=True)
class PurgeResult:
    """How many documents are purged, by their ids, and how many rows went from each release."""

    documents: int
    releases: dict[int, int]


def purge(run: str, ids: Sequence[str], hosts: Sequence[str], reason: str, dry_run: bool = False) -> PurgeResult:
    """Removes the documents with these ids, or from these hosts and their subdomains, and keeps them
    from coming back. Raises RunError if nothing in the run matches, or if a release is damaged."""
    with RunLock(run, "exclusive"):
        takedown = read_takedown(run).extended(list(ids), list(hosts))
        parts = _parts(run)
        rows, ids_purged = {}, set[str]()
        for part in parts:
            rows[part.name], own = _matching_rows(part, takedown)
            ids_purged |= own
        documents = len(ids_purged)
        if dry_run:
            return PurgeResult(documents, {})
        affected = [part for part in parts if len(rows[part.name]) or _hides_rejects(part, takedown)]
        if not affected:
            raise RunError(f"no document of '{run}' has these ids or hosts: nothing was purged")
        _check_releases(run)
        storage.write_bytes(storage.join(run, FILE), takedown.model_dump_json().encode())
        _remove_unfinished(run, parts)
        for part in affected:
            _rewrite_part(part, rows[part.name], takedown)
        changed = {}
        for number in present_releases(run):
            release = open_release(f"{run}@{number}")
            removed = _purge_release(release, rows)
            if removed is not None:
                changed[number] = removed
        for name in _CACHES:
            storage.remove_tree(storage.join(run, name))
        _log(run, takedown, reason, documents, changed)
        return PurgeResult(documents, changed)


def _parts(run: str) -> list[Part]:
    names = (name for name in storage.names(storage.join(run, "rated")) if name.endswith(".json"))
    return [Part(run, name.removesuffix(".json")) for name in names]


def _check_releases(run: str) -> None:
    """Raises RunError if there are files of a release that cannot be opened, and so not be purged."""
    present = present_releases(run)
    for number in numbers(run):
        if number not in present and storage.names(release_folder(run, number)):
            raise RunError(
                f"release {number} of '{run}' cannot be opened, so its documents cannot be purged: restore it from a copy "
                f"(tamis verify {run} says what is damaged), or delete {release_folder(run, number)}"
            )


def _remove_unfinished(run: str, parts: Sequence[Part]) -> None:
    """Removes the release and the parts that a run did not finish: they may hold the texts."""
    sealed, names = numbers(run), {part.name for part in parts}
    for name in storage.names(storage.join(run, RELEASES)):
        if name.isdigit() and int(name) not in sealed:
            storage.remove_tree(storage.join(run, RELEASES, name))
    for folder, suffix in FOLDERS:
        storage.sweep(storage.join(run, folder))
        for file in storage.names(storage.join(run, folder)):
            if file.removesuffix(f".{suffix}") not in names and file.endswith(f".{suffix}"):
                storage.remove(storage.join(run, folder, file))


def _matching_rows(part: Part, takedown: Takedown) -> tuple[Rows, set[str]]:
    """The rows that are purged already, or match the list, and their ids."""
    columns = part.columns(["id", "url"]).combine_chunks()
    matches = takedown.matches(columns["id"].combine_chunks(), columns["url"].combine_chunks())
    purged = part.sketch(["bytes"])["bytes"].to_numpy() == PURGED_BYTES
    rows = np.flatnonzero(matches | purged)
    return rows, set(columns["id"].take(pa.array(rows)).to_pylist())


def _hides_rejects(part: Part, takedown: Takedown) -> bool:
    return any(takedown.hides(line) for line in _reject_lines(part))


def _reject_lines(part: Part) -> list[str]:
    return [line.decode() for line in storage.read_bytes(part.uri("rejects", "jsonl")).splitlines()]


def _rewrite_part(part: Part, rows: Rows, takedown: Takedown) -> None:
    """Writes a part again, without the texts of some rows. Rows keep their places."""
    receipt = part.receipt()
    if receipt is None:
        raise RunError(f"{part.uri('rated', 'json')} is damaged; run the same `tamis run` again first")
    columns = pq.ParquetFile(storage.open_binary(part.uri("rated", "parquet"))).schema_arrow
    with storage.open_binary(part.uri("sketches", "arrow")) as file, pa.ipc.open_file(file) as reader:
        sketches = reader.read_all()
    rejects, first = _reject_lines(part), 0
    batches: list[tuple[pa.RecordBatch, pa.RecordBatch]] = []
    for read, batch in part.read(np.arange(sketches.num_rows), columns.names):
        sketch = sketches.slice(first, len(read)).combine_chunks().to_batches()[0]
        purged = np.isin(read, rows)
        batches.append((without_texts(batch, purged), marked(sketch, purged)))
        first += len(read)
    with PartWriter(part) as writer:
        for line in rejects:
            writer.reject(takedown.redacted(json.loads(line)))
        for name, count in receipt.skipped.items():
            writer.skip(name, count)
        for batch, sketch in batches:
            writer.write(batch, sketch)
        writer.finish((columns, sketches.schema), receipt.fingerprint, receipt.inputs, receipt.number, receipt.last)


def _purge_release(release: Release, rows: Mapping[str, Rows]) -> int | None:
    """Removes the documents of a release; returns how many it kept, None if it does not change."""
    ids: set[str] = set()
    changed = False
    for name in storage.names(release.uri("decisions")):
        ordinal = int(name.split("-")[1].split(".")[0])
        purged = rows.get(release.part(ordinal).name, np.zeros(0, np.int64))
        if not len(purged):
            continue
        changed = True
        uri = release.uri("decisions", name)
        with storage.open_binary(uri) as file:
            table = pq.ParquetFile(file).read(use_threads=False)
        ids.update(table["id"].take(pa.array(purged)).to_pylist())
        mask = np.zeros(table.num_rows, bool)
        mask[purged] = True
        table = _purged_decisions(table, pa.array(mask))
        with storage.commit(uri) as sink:
            pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        _update_summary(release, ordinal, name, table)
    if not changed:
        return None
    _purge_record(release, ids)
    erase(release.uri(INDEX_FOLDER), ids)
    removed = sum(_purge_shard(release, receipt, ids) for receipt in receipts.shards(release.receipts))
    _update_manifest(release)
    return removed


def _purge_record(release: Release, ids: set[str]) -> None:
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


def _purged_decisions(table: pa.Table, mask: pa.Array) -> pa.Table:
    new = {"decision": "drop", "reason": "purged", "epochs": 0, "chars": 0, "cut_chars": 0}
    cleared = ("detail", "representative", "jaccard", "place", "shard", "url", "text_hash", "record_hash", "cuts")
    for name in table.column_names:
        if name in new or name in cleared:
            column = table[name].combine_chunks()
            value = pa.scalar(new.get(name), column.type)
            table = table.set_column(table.schema.get_field_index(name), name, pc.if_else(mask, value, column))
    return table


def _update_summary(release: Release, ordinal: int, name: str, table: pa.Table) -> None:
    uri = storage.join(release.receipts, f"part-{ordinal:05d}.json")
    summary = receipts.PartSummary.read(uri)
    if summary is None:
        raise RunError(f"{uri} is damaged; run the same `tamis run` again first")
    kept = table.filter(pc.equal(table["decision"], "keep"))
    purged = set(table["id"].filter(pc.fill_null(pc.equal(table["reason"], PURGED), False)).to_pylist())
    update: dict[str, object] = {
        "file": File.read(release.folder, f"decisions/{name}"),
        "counts": decision_counts(table),
        "repeated": repeated_count(table),
        "sampled_matches": [sample for sample in summary.sampled_matches if sample.id not in purged],
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


def _purge_shard(release: Release, receipt: receipts.ShardReceipt, ids: set[str]) -> int:
    uri = release.uri(receipt.file.path)
    table = read_shard(uri)
    kept = pc.invert(pc.is_in(table["id"], value_set=pa.array(sorted(ids), table["id"].type)))
    shard = table.filter(kept)
    if len(shard) < len(table):
        output = Output.model_validate(release.manifest["recipe"]["output"])
        write_shard(shard, uri, output)
    tokens = pc.sum(shard["tokens"], min_count=0).as_py()
    file = File.read(release.folder, receipt.file.path)
    characters, text_bytes = receipts.text_size(shard)
    update = {"file": file, "documents": len(shard), "tokens": tokens, "characters": characters, "bytes": text_bytes}
    receipt.model_copy(update=update).write(storage.join(release.receipts, f"shard-{receipt.destination:05d}.json"))
    return len(table) - len(shard)


def _update_manifest(release: Release) -> None:
    """Counts and checksums again, from the receipts and the files."""
    manifest = release.manifest
    shards, counts = receipts.shards(release.receipts), manifest["counts"]
    recounted = count_documents(receipts.summaries(release.receipts), counts["rejected"], counts.get("skipped_reasons", {}))
    if "characters" in counts:
        parts = [release.part(number).receipt() for number in range(len(manifest["parts"]))]
        parts_left = [receipt for receipt in parts if receipt is not None]
        summaries, editors = receipts.summaries(release.receipts), counts["characters"]["editors"]
        recounted["characters"] = count_characters(parts_left, summaries, shards, editors)
    files = [
        File.read(release.run, file["path"])
        for file in manifest["files"]
        if storage.exists(storage.join(release.run, file["path"]))
    ]
    curriculum = curriculum_entry(finished_recipe(manifest), shards, receipts.segments(shards))
    reseal_release(replace(release, manifest={**manifest, "counts": recounted, "curriculum": curriculum}), files)


def _log(run: str, takedown: Takedown, reason: str, documents: int, changed: Mapping[int, int]) -> None:
    entries = []
    for number, removed in changed.items():
        release = open_release(f"{run}@{number}")
        manifest = release.manifest
        entries.append(
            PurgedRelease(
                release=number,
                documents=removed,
                manifest=hashlib.sha256(storage.read_bytes(release.manifest_uri)).hexdigest(),
                release_root=manifest["root"] if release.is_early else manifest["release_root"],
                corpus_root=manifest["corpus_root"],
            )
        )
    number = len(purges.purges(run)) + 1
    Purge(
        number=number,
        parent=purges.last_digest(run),
        when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        who=f"{_user()}@{socket.gethostname()}",
        reason=reason,
        documents=documents,
        takedown=takedown.digest,
        releases=entries,
    ).sealed().write(purges.purge_uri(run, number))


def _user() -> str:
    """The name of the user; a container may know none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
