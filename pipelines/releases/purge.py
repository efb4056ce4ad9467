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
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.pipelines.releases.remove_documents import Rows, masked, recounted, remove_documents
from tamis.pipelines.releases.retention import present_releases
from tamis.pipelines.releases.seal import reseal_release
from tamis.pipelines.run.run_lock import RunLock
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import File
from tamis.transforms.core.parts import FOLDERS, Part, PartWriter
from tamis.transforms.core.release import RELEASES, Release, numbers, open_release, release_folder
from tamis.transforms.dedup.released.erase_documents import erase, indexed
from tamis.transforms.dedup.released.index_files import FOLDER as INDEX_FOLDER
from tamis.transforms.dedup.released.index_files import MERGED as MERGED_INDEX
from tamis.transforms.provenance import ledger, purges
from tamis.transforms.provenance.purges import Purge, PurgedRelease
from tamis.transforms.provenance.takedown import FILE, PURGED, PURGED_BYTES, Takedown, marked, read_takedown, without_texts

_CACHES = (".spill", ".mend", "plans")  # they may hold texts, or describe shards that change


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
        merged = {number: indexed(_merged_index(run, number), set(takedown.ids)) for number in present_releases(run)}
        documents = len(ids_purged.union(*merged.values()))
        if dry_run:
            return PurgeResult(documents, {})
        affected = [part for part in parts if len(rows[part.name]) or _hides_rejects(part, takedown)]
        if not affected and not any(merged.values()):
            raise RunError(f"no document of '{run}' has these ids or hosts: nothing was purged")
        _check_releases(run)
        storage.write_bytes(storage.join(run, FILE), takedown.model_dump_json().encode())
        _remove_unfinished(run, parts)
        for part in affected:
            _rewrite_part(part, rows[part.name], takedown)
        changed = {}
        for number in present_releases(run):
            release = open_release(f"{run}@{number}")
            removed = _purge_release(release, rows, merged[number])
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


def _merged_index(run: str, number: int) -> str:
    """Where a release has an index of earlier ones, which may be of other runs."""
    return storage.join(release_folder(run, number), INDEX_FOLDER, MERGED_INDEX)


def _purge_release(release: Release, rows: Mapping[str, Rows], merged: set[str]) -> int | None:
    """Removes the documents of a release, and those with the ids `merged` from the index of earlier ones;
    returns how many it kept, None if it does not change."""
    by_ordinal = {
        ordinal: rows[name] for ordinal in ledger.decided_parts(release) if (name := release.part(ordinal).name) in rows
    }
    removed = remove_documents(release, by_ordinal, _purged_decisions)
    if removed is None and not merged:
        return None
    erase(_merged_index(release.run, release.number), merged)
    release = replace(release, manifest=recounted(release))
    files = [
        File.read(release.run, file["path"])
        for file in release.manifest["files"]
        if storage.exists(storage.join(release.run, file["path"]))
    ]
    reseal_release(release, files)
    return removed or 0


def _purged_decisions(_: int, table: pa.Table, rows: Rows) -> pa.Table:
    cleared = (
        "detail",
        "representative",
        "jaccard",
        "copy_sources",
        "place",
        "shard",
        "url",
        "text_hash",
        "record_hash",
        "cuts",
    )
    new = {"decision": "drop", "reason": PURGED, "epochs": 0, "chars": 0, "cut_chars": 0}
    return masked(table, rows, new | dict.fromkeys(cleared))


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
