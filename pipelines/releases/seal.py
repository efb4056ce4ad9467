"""Seals a release, makes one the current one, and mends one that is damaged.

A release is finished once its record exists; before, no command opens it. It becomes the current
one when its manifest replaces RUN/manifest.json: one rename, or one conditional put.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from tamis.pipelines.run.work_plan import REPORT
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import File, Manifest, release_path
from tamis.transforms.core.release import LATEST, MANIFEST, RELEASES, Release, from_manifest, numbers, release_folder
from tamis.transforms.curriculum.training_plan import PLAN_FILE, make_plan
from tamis.transforms.provenance import purges, release_chain
from tamis.transforms.provenance.release_chain import ReleaseRecord, record_uri
from tamis.transforms.provenance.verify import seal


def seal_release(run: str, number: int, body: Mapping[str, Any], shared: Sequence[File], own: Sequence[File]) -> Release:
    """Writes report, plan, manifest and record of a release, and makes it the current one.
    `shared` are the files of its parts, `own` those in its folder, by their paths there."""
    files = [*shared, *(replace(file, path=f"{RELEASES}/{number:06d}/{file.path}") for file in own)]
    release = Release(run, number, release_folder(run, number), cast(Manifest, body))
    release, content = _write_manifest(release, files)
    release_chain.record(release, content)
    make_current(release)
    return release


def reseal_release(release: Release, files: Sequence[File]) -> None:
    """Writes report, plan and manifest of a release again after a purge. The log of purges has the
    checksum of the new manifest; the record keeps the old one."""
    top = storage.join(release.run, MANIFEST)
    current = _read(top) == _read(release.manifest_uri)
    derived = {release.path(name) for name in _DERIVED}
    release, _ = _write_manifest(release, [file for file in files if file.path not in derived])
    if current:
        make_current(release)


def _write_manifest(release: Release, files: Sequence[File]) -> tuple[Release, bytes]:
    """The release with its sealed manifest, and the bytes of the file. `files`: all but the report
    and the plan, which are written here. The manifest has the shards by their paths in the folder
    of the release, and gets those in the run."""
    body = release.manifest
    shards = [{**shard, "path": release.path(shard["path"])} for shard in body["curriculum"]["shards"]]
    body = cast(Manifest, {**body, "curriculum": {**body["curriculum"], "shards": shards}})
    release = replace(release, manifest=seal(body, files))
    written = [name for name, write in _DERIVED.items() if write(release, release.uri(name))]
    for name in _DERIVED.keys() - set(written):
        storage.remove(release.uri(name))
    covered = [File.read(release.run, release.path(name)) for name in written if not release.is_early]
    release = replace(release, manifest=seal(body, [*files, *covered]))
    content = json.dumps(release.manifest, indent=1, ensure_ascii=False).encode()
    storage.write_bytes(release.manifest_uri, content)
    return release, content


def write_own_plan(release: Release, uri: str) -> bool:
    """Writes the training plan for the recipe's own schedule; not if there are no tokens."""
    if not release.manifest["curriculum"]["tokens"]:
        return False
    plan = make_plan(release.manifest)
    storage.write_bytes(uri, (plan.model_dump_json(indent=1) + "\n").encode())
    return True


def _write_report(release: Release, uri: str) -> bool:
    from tamis.pipelines.report.page import write_report  # which imports the template engine

    write_report(release, uri)
    return True


_DERIVED = {REPORT: _write_report, PLAN_FILE: write_own_plan}
"""Files of a release that follow from its manifest and receipts."""


def make_current(release: Release) -> None:
    """Makes a finished release the current one, in one step. Raises RunError if another run was
    first, which can only be one that took over the lease."""
    uri = storage.join(release.run, MANIFEST)
    content = storage.read_bytes(_copy_uri(release.run, release.number))
    if storage.local_path(uri) is not None:
        if not storage.exists(uri) or storage.read_bytes(uri) != content:
            storage.write_bytes(uri, content)
        _link(release)
        return
    version = storage.entry(uri).version if storage.exists(uri) else None
    if version is not None and storage.read_bytes(uri) == content:
        return
    if storage.swap(uri, content, version) is None:
        raise RunError(f"another run has changed {uri} meanwhile; release {release.number} is finished but not current")


def _link(release: Release) -> None:
    """Points `latest` to the folder of the current release, where there are links."""
    run = storage.local_path(release.run)
    assert run is not None
    target = "." if release.is_early else f"{RELEASES}/{release.number:06d}"
    temporary = run / f".{LATEST}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    with suppress(OSError):
        if os.path.islink(run / LATEST) and os.readlink(run / LATEST) == target:
            return
        temporary.symlink_to(target)
        os.replace(temporary, run / LATEST)


def mend_release(release: Release, damaged: Sequence[File], folder: str) -> Release:
    """Replaces the damaged files of a release by those that were made again in `folder`. Raises
    RunError if one of them has other bytes; the others are replaced."""
    other = []
    for file in sorted(damaged, key=lambda file: release_path(file.path) in _DERIVED):  # these read the others
        path, uri = release_path(file.path), storage.join(release.run, file.path)
        copy = storage.join(folder, path)
        if path in _DERIVED:
            _DERIVED[path](release, copy)
        if storage.exists(copy) and storage.sha256(copy) == file.sha256:
            storage.write_bytes(uri, storage.read_bytes(copy))
        if not storage.exists(uri) or storage.sha256(uri) != file.sha256:
            other.append(file.path)
    if other:
        raise RunError(
            f"{', '.join(other[:3])} of release {release.number} cannot be made again with the same bytes: the versions of "
            f"Tamis or of its packages are others ({_versions(release.manifest)} made it). Restore the file from a copy, or "
            "make a new release with --fresh"
        )
    return release


def _versions(manifest: Manifest) -> str:
    packages = manifest["environment"].get("packages", {})
    return ", ".join(f"{name} {version}" for name, version in {"tamis": manifest["tamis"], **packages}.items())


def restore_manifests(run: str) -> None:
    """Makes the two copies of the last release's manifest and its record agree again: any of them
    follows from the others. Gives the release of an early version its record and its copy."""
    uri = storage.join(run, MANIFEST)
    top = _read(uri)
    number = max([*numbers(run), _number(top)], default=0)  # its record may be what is missing
    if top is not None and (early := _early_release(run, top)) is not None:
        number = early.number
        if not storage.exists(record_uri(run, number)):
            release_chain.record(early, top)
        if _read(_copy_uri(run, number)) is None:
            storage.write_bytes(_copy_uri(run, number), top)
    if not number:
        return
    inner, record = _read(_copy_uri(run, number)), ReleaseRecord.read(record_uri(run, number))
    sound = next((content for content in (inner, top) if content and record and _is_sealed(run, content)), None)
    if sound is None and inner == top:
        sound = inner  # it is the record that is damaged
    if sound is None:
        return
    release = from_manifest(run, number, sound, uri)
    if release.number != number:
        return  # another release was made the current one, and the copy of the last one is lost
    if inner != sound:
        storage.write_bytes(_copy_uri(run, number), sound)
    purged = purges.manifest_digest(run, number) is not None
    if record is None or not (purged or release_chain.is_record_of(record, release, sound)):
        release_chain.record(release, sound)
    if top is None or not _is_sealed(run, top):
        make_current(release)


def _early_release(run: str, top: bytes) -> Release | None:
    """The release of an early version that has the manifest `top`; None if it is of a later one."""
    try:
        release = from_manifest(run, None, top, MANIFEST)
    except RunError:
        return None
    if not release.is_early:
        return None
    last = release_chain.latest(run)
    described = last is not None and last.release_root == release.manifest["root"]
    number = 1 if last is None else last.release if described else last.release + 1
    return replace(release, number=number)


def _number(manifest: bytes | None) -> int:
    """The number in a manifest; 0 if there is none, or if it is damaged."""
    try:
        return 0 if manifest is None else from_manifest("", 0, manifest, MANIFEST).number
    except RunError:
        return 0


def _is_sealed(run: str, manifest: bytes) -> bool:
    """Whether a record names these bytes of a manifest."""
    digest = hashlib.sha256(manifest).hexdigest()
    return any(
        digest in (record.manifest, purges.manifest_digest(run, record.release)) for record in release_chain.records(run)
    )


def _copy_uri(run: str, number: int) -> str:
    return storage.join(release_folder(run, number), MANIFEST)


def _read(uri: str) -> bytes | None:
    return storage.read_bytes(uri) if storage.exists(uri) else None
