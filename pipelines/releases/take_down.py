"""`tamis takedown`: a patch release without some documents, which no later release keeps either.

A patch is the release that it patches but for the taken documents: places and learning rates stay,
shards without such a document have the same bytes, and the others have gaps, which a loader pads. It
differs from a fresh run, which would order the documents that are left anew. What is killed on the way
leaves the current release as it is; the same command starts again.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.formatting import plural
from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.releases.purge import purge
from tamis.pipelines.releases.remove_documents import Ended, Rows, masked, recounted, remove_documents
from tamis.pipelines.releases.seal import restore_manifests, seal_release
from tamis.pipelines.releases.taken_documents import Cause, Place, Request, taken_documents
from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.run.work_plan import REPORT, plan_record, plan_uri
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import File, Manifest, PatchEntry, release_path
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.release import RELEASES, Release, numbers, open_release, parse_name, release_folder
from tamis.transforms.curriculum.training_plan import PLAN_FILE
from tamis.transforms.feed import gaps
from tamis.transforms.feed.dataset import carry_index
from tamis.transforms.provenance import ledger, tombstones
from tamis.transforms.provenance.tombstones import TAKEDOWN

PATCH = "patch"
"""The code of the warning that a release is a patch."""


@dataclass(frozen=True)
class TakenDocument:
    """A document that is taken down: its id, what was decided about it before, and why it is taken."""

    id: str
    decision: str
    cause: str


@dataclass(frozen=True)
class TakedownResult:
    """The documents; the release that was patched, and the patch (None: only listed); how many of its
    shards were written again, and how many rows they lost."""

    documents: list[TakenDocument]
    patched: int
    release: int | None = None
    shards: int = 0
    rows: int = 0


def take_down(name: str, request: Request, reason: str, dry_run: bool = False, erase: bool = False) -> TakedownResult:
    """Makes a patch of the current release of a run, without the documents of a request. `erase`: purges
    them, too. Raises RunError, and the current release stays, if the request finds nothing or all that
    is kept, or if another release is named."""
    run, number = parse_name(name)
    open_release(run)  # before a lock makes a directory
    with RunLock(run, "exclusive"):
        restore_manifests(run)
        release = open_release(run)
        _check(release, number)
        taken = taken_documents(release, finished_recipe(release.manifest), request)
        rows = _rows(taken)
        decided = {ordinal: ledger.decisions(release, ordinal).take(pa.array(own)) for ordinal, own in rows.items()}
        documents = _documents(decided, list(taken.values()))
        kept = sum(document.decision == "keep" for document in documents)
        if kept == release.manifest["counts"]["kept"]:
            raise RunError(f"this takes all {kept:,} documents of the corpus, and an empty corpus is not released")
        if dry_run:
            return TakedownResult(documents, release.number)
        stones = _tombstones(release, rows, documents, _next_number(run), reason)
        if erase and stones["id"].null_count:
            shared = stones["document"].filter(stones["id"].is_null())[0].as_py()
            raise RunError(
                f"a purge takes every document with the id of '{shared}' in the input, and others that stay have it, too"
            )
        patch = _patched(release, stones, Counter(cause.kind for cause in taken.values()), reason)
        result = replace(_write(patch, release, rows, decided, stones), documents=documents)
    if erase:
        purge(run, sorted(set(stones["id"].to_pylist())), [], reason)
    return result


def _check(release: Release, number: int | None) -> None:
    if number is not None and number != release.number:
        raise RunError(
            f"release {number} of '{release.run}' is not the current one, which is {release.number}, and only that is patched. "
            f"To patch another, make it the current one: tamis rollback {release.run}@{number}"
        )
    if release.is_early:
        raise RunError(f"an early version made '{release.run}', which cannot be patched: make a new release with `tamis run`")


def _rows(taken: Mapping[Place, Cause]) -> dict[int, Rows]:
    """The rows of the documents by part."""
    ordinals, rows = np.array(list(taken), np.int64).T
    return {ordinal: rows[ordinals == ordinal] for ordinal in np.unique(ordinals).tolist()}


def _documents(decided: Mapping[int, pa.Table], causes: Sequence[Cause]) -> list[TakenDocument]:
    rows = [row for table in decided.values() for row in table.select(["id", "decision"]).to_pylist()]
    return [TakenDocument(row["id"], row["decision"], cause.words) for row, cause in zip(rows, causes, strict=True)]


def _next_number(run: str) -> int:
    """The number of the patch. In a store, a worker that lost its driver's lease may still write into the
    folder of the release that an unfinished run was making."""
    number = max(numbers(run)) + 1
    unfinished = (storage.read_json(plan_uri(run)) or {}).get("release")
    return number + (storage.local_path(run) is None and unfinished == number)


def _tombstones(
    release: Release, rows: Mapping[int, Rows], documents: Sequence[TakenDocument], number: int, reason: str
) -> pa.Table:
    """The tombstones of documents. Neither an id nor a record that a document has which stays is among them."""
    sketches, described = [], []
    for ordinal, own in rows.items():
        part = release.part(ordinal)
        sketches.append(part.sketch([*tombstones.HASHED, "bytes"]).take(pa.array(own)))
        described += [batch for _, batch in part.read(own, ["url", "metadata"])]
    taken, fields = pa.concat_tables(sketches).combine_chunks(), pa.Table.from_batches(described)
    shared = {name: pa.array(_shared(release, rows, name, taken[name]), taken[name].type) for name in ("id", "record_hash")}
    without = {name: pc.is_in(taken[name], value_set=values) for name, values in shared.items()}
    bare = pc.and_(fields["url"].is_null(), pc.is_in(fields["metadata"].fill_null("{}"), value_set=pa.array(["{}", ""])))
    without["record_hash"] = pc.or_(without["record_hash"], bare)
    without |= dict.fromkeys(("text_hash_0", "text_hash_1"), pc.equal(taken["bytes"], 0))
    columns = {
        "release": pa.repeat(pa.scalar(number, pa.int64()), len(documents)),
        "day": pa.repeat(time.strftime("%Y-%m-%d", time.gmtime()), len(documents)),
        "reason": pa.repeat(reason, len(documents)),
        "document": [document.id for document in documents],
        "cause": [document.cause for document in documents],
    }
    columns |= {name: pc.if_else(without[name], pa.scalar(None, taken[name].type), taken[name]) for name in tombstones.HASHED}
    return pa.table(columns, schema=tombstones.SCHEMA)


def _shared(release: Release, rows: Mapping[int, Rows], name: str, values: pa.ChunkedArray) -> list[object]:
    """Those of the values of a column of sketches that a document has, too, which is not taken."""
    shared: set[object] = set()
    for ordinal in ledger.decided_parts(release):
        found = pc.is_in(release.part(ordinal).sketch([name])[name], value_set=values.combine_chunks()).to_numpy()
        found &= ~np.isin(np.arange(len(found)), rows.get(ordinal, []))
        found &= pc.not_equal(ledger.decisions(release, ordinal, ["reason"])["reason"].fill_null(""), TAKEDOWN).to_numpy()
        if found.any():
            shared |= set(release.part(ordinal).sketch([name])[name].filter(pa.array(found)).to_pylist())
    return sorted(shared, key=str)


def _patched(release: Release, stones: pa.Table, causes: Mapping[str, int], reason: str) -> Release:
    """The patch of a release, before anything is written. Its manifest has the counts of the release."""
    run, number, manifest = release.run, stones["release"][0].as_py(), release.manifest
    of = f"release {number} is release {release.number} without {plural(len(stones), 'document')} that were taken down"
    warning = {
        "code": PATCH,
        "message": f"{of}. All others keep their places and learning rates; a new run would order them anew.",
        "numbers": {"documents": len(stones)},
    }
    before = manifest["patch"]["corpora"] if "patch" in manifest else []
    patch: PatchEntry = {
        "of": release.number,
        "corpora": [*before, manifest["corpus_root"]],
        "documents": len(stones),
        "causes": dict(sorted(causes.items())),
        "reason": reason,
    }
    changed = {
        "release": number,
        "patch": patch,
        "fingerprint": fingerprint({"patched": manifest["fingerprint"], "documents": stones["document"].to_pylist()}),
        "warnings": [*(each for each in manifest["warnings"] if each["code"] != PATCH), warning],
        "environment": {**manifest["environment"], "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())},
    }
    return Release(run, number, release_folder(run, number), cast(Manifest, {**manifest, **changed}))


def _write(
    patch: Release, release: Release, rows: Mapping[int, Rows], decided: Mapping[int, pa.Table], stones: pa.Table
) -> TakedownResult:
    """Writes the files of a patch and the tombstones, and seals it."""
    run = patch.run
    storage.remove_tree(patch.folder)
    record = plan_record(patch.manifest["fingerprint"], patch.number)
    storage.write_bytes(plan_uri(run), json.dumps(record).encode())  # says that its folder is work in progress
    copied = _copied_files(patch, release)
    if gaps.FILE not in copied:
        gaps.write_gaps(gaps.SCHEMA.empty_table(), patch.uri(gaps.FILE))
    kept = pa.concat_tables([table.filter(pc.equal(table["decision"], "keep")) for table in decided.values()])
    repeated = (pc.max(kept["epochs"]).as_py() or 0) > 1  # the copies of a document may be in other shards
    removed = remove_documents(patch, rows, _ended(rows, stones), None if repeated else set(kept["shard"].to_pylist()))
    own = [
        copied[path][0] if path in copied and entry.version == copied[path][1] else File.read(patch.folder, path)
        for path, entry in sorted(storage.files(patch.folder).items())
    ]
    again = sum(file.path.startswith("data/") and file != copied[file.path][0] for file in own)
    tombstones.write_tombstones(run, stones)
    files = (File(**file) for file in release.manifest["files"])
    shared = [file for file in files if not file.path.startswith(f"{RELEASES}/")]
    seal_release(run, patch.number, recounted(patch), shared, own)
    carry_index(f"{run}@{release.number}", f"{run}@{patch.number}")
    return TakedownResult([], release.number, patch.number, again, removed or 0)


def _copied_files(patch: Release, release: Release) -> dict[str, tuple[File, str]]:
    """Gives a patch the files of the release, but for those that sealing writes. Returns each with its
    version, by its path in the folder."""
    copied: dict[str, tuple[File, str]] = {}
    for file in (File(**entry) for entry in release.manifest["files"]):
        path = release_path(file.path)
        if path != file.path and path not in (REPORT, PLAN_FILE):
            storage.duplicate(storage.join(release.run, file.path), patch.uri(path))
            copied[path] = replace(file, path=path), storage.entry(patch.uri(path)).version
    return copied


def _ended(rows: Mapping[int, Rows], stones: pa.Table) -> Ended:
    """Ends documents in decisions, with what their tombstones say. These are in the order of `rows`."""
    words = iter(tombstones.details(stones).to_pylist())
    details = {ordinal: [next(words) for _ in own] for ordinal, own in rows.items()}

    def ended(ordinal: int, table: pa.Table, own: Rows) -> pa.Table:
        detail = np.full(len(table), None, object)
        detail[own] = details[ordinal]
        new = {"decision": "drop", "reason": TAKEDOWN, "detail": pa.array(detail, pa.string()), "epochs": 0, "copies": 1}
        return masked(table, own, new | dict.fromkeys(("representative", "jaccard", "copy_sources", "place", "shard")))

    return ended
