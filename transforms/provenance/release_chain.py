"""The chain of a run's releases: each record contains the SHA-256 of the record before it.

A record `releases/000041.json` has the SHA-256 of the release's manifest, and lists the input files
added and removed since the release before. Records stay when the files of a release are removed.
"""

import hashlib
from collections.abc import Iterator

from pydantic import AliasChoices, Field, ValidationError

from tamis.transforms import storage
from tamis.transforms.core.json_model import JsonModel
from tamis.transforms.core.manifest import Manifest
from tamis.transforms.core.release import RELEASES, Release, numbers

InputFiles = set[tuple[str, str]]
"""(URI, version) of each input file: a file whose bytes may have changed counts as another file."""


class ReleaseRecord(JsonModel):
    """The record of a release. `before` is the number of the record before, and `parent` its
    SHA-256; `manifest` is the SHA-256 of the manifest, and `bytes` the size of all files. `tokens`: of
    the kept documents. `reasons`: (decision, reason, documents) of those that were not kept. `patch_of`:
    the release that it is a patch of. Records of early versions have neither `before`, `manifest`,
    `bytes`, `tokens` nor `reasons`."""

    release: int
    before: int | None = None
    parent: str | None
    manifest: str | None = None
    finished: str | None
    release_root: str = Field(validation_alias=AliasChoices("release_root", "root"))
    corpus_root: str
    fingerprint: str
    records: int
    kept: int
    tokens: int | None = None
    real_tokens: int | None = None
    reasons: list[tuple[str, str, int]] | None = None
    bytes: int | None = None
    patch_of: int | None = None
    added: list[tuple[str, str]]
    removed: list[tuple[str, str]]

    def apply(self, files: InputFiles) -> InputFiles:
        """The input files of this release, given those of the release before."""
        return (files - set(self.removed)) | set(self.added)


def record_uri(run: str, number: int) -> str:
    return storage.join(run, RELEASES, f"{number:06d}.json")


def records(run: str) -> list[ReleaseRecord]:
    """The readable records of all releases, oldest first."""
    return [record for _, _, record in _chain(run) if record is not None]


def latest(run: str) -> ReleaseRecord | None:
    """The record of the last release, None before the first."""
    return next(reversed(records(run)), None)


def before(release: Release) -> ReleaseRecord | None:
    """The record of the release before this one."""
    return next((record for record in reversed(records(release.run)) if record.release < release.number), None)


def record(release: Release, content: bytes) -> None:
    """Writes the record of a release whose manifest has the bytes `content`. This finishes it."""
    uri, data = record_uri(release.run, release.number), _next_record(release, content).model_dump_json().encode()
    if not storage.exists(uri) or storage.read_bytes(uri) != data:
        storage.write_bytes(uri, data)


def is_record_of(record: ReleaseRecord, release: Release, content: bytes) -> bool:
    """Whether a record says of a release all that it should. Those of early versions say less."""
    expected = _next_record(release, content)
    if record.manifest is None:
        expected = expected.model_copy(update={"before": None, "manifest": None, "bytes": None})
    if record.reasons is None:
        expected = expected.model_copy(update={"tokens": None, "reasons": None})
    return record == expected


def problems(run: str) -> Iterator[tuple[str, str]]:
    """What is wrong with the chain, as (path, problem): a record that is missing or has changed."""
    files: InputFiles = set()
    parent, last = None, 0
    for number, content, record in _chain(run):
        path = f"{RELEASES}/{number:06d}.json"
        if record is None or record.release != number:
            yield path, "it is not a readable record of its release"
            return
        before_number = record.before if record.before is not None else number - 1
        if before_number != last:
            yield f"{RELEASES}/{before_number:06d}.json", "missing"
            return
        if record.parent != parent:
            before = f"{RELEASES}/{last:06d}.json"
            yield before if parent else path, f"its bytes have changed, or {path} names another parent"
        if set(record.added) & files or set(record.removed) - files:
            yield path, "it adds input files that were there, or removes files that were not"
        files, parent, last = record.apply(files), hashlib.sha256(content).hexdigest(), number


def outcomes(manifest: Manifest) -> list[tuple[str, str, int]]:
    """(decision, reason, documents) of the records that were not kept, sorted."""
    counts = manifest["counts"]
    reasons = [(row["decision"], row["reason"], row["documents"]) for row in counts["reasons"]]
    reasons += [("skip", kind, records) for kind, records in counts.get("skipped_reasons", {}).items()]
    return sorted([*reasons, *([("reject", "", counts["rejected"])] if counts["rejected"] else [])])


def _next_record(release: Release, content: bytes) -> ReleaseRecord:
    """The record of a release that follows the records before it."""
    parent, before_number = None, 0
    for number, written, earlier in _chain(release.run):
        if number < release.number and earlier is not None:
            parent, before_number = hashlib.sha256(written).hexdigest(), number
    manifest = release.manifest
    added, removed = input_changes(release)
    return ReleaseRecord(
        release=release.number,
        before=before_number,
        parent=parent,
        manifest=hashlib.sha256(content).hexdigest(),
        finished=manifest["environment"].get("finished"),
        release_root=manifest["release_root"] if "release_root" in manifest else manifest["root"],
        corpus_root=manifest["corpus_root"],
        fingerprint=manifest["fingerprint"],
        records=manifest["counts"]["records"],
        kept=manifest["counts"]["kept"],
        tokens=manifest["counts"]["tokens"]["kept"],
        real_tokens=manifest.get("guards", {}).get("real_tokens"),
        reasons=outcomes(manifest),
        bytes=sum(file["bytes"] for file in manifest["files"]),
        patch_of=manifest["patch"]["of"] if "patch" in manifest else None,
        added=sorted(added),
        removed=sorted(removed),
    )


def _chain(run: str) -> Iterator[tuple[int, bytes, ReleaseRecord | None]]:
    """(number, bytes, record) of each release, oldest first; None if the record is unreadable."""
    for number in numbers(run):
        content = storage.read_bytes(record_uri(run, number))
        try:
            yield number, content, ReleaseRecord.model_validate_json(content)
        except ValidationError:
            yield number, content, None


def input_changes(release: Release) -> tuple[InputFiles, InputFiles]:
    """(added, removed): the input files of a release that the one before did not have, and the reverse."""
    files: InputFiles = set()
    for earlier in records(release.run):
        if earlier.release < release.number:
            files = earlier.apply(files)
    inputs = {(entry["uri"], entry["stamp"]) for entry in release.manifest["inputs"]}
    return inputs - files, files - inputs
