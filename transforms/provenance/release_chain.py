"""The chain of a run directory's releases: one record a finished run, which names the record before it by its SHA-256.

A record says which input files came and went since the release before. From the first record on they add up to the inputs of
the manifest, which `verify` checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tamis.transforms import storage
from tamis.transforms.core.manifest import MANIFEST, Manifest

ROOM = "releases"

Files = set[tuple[str, str]]
"""Input files as (address, stamp): a file whose bytes may have changed is another one."""


def latest(run: str) -> dict[str, Any] | None:
    """The record of the last release, None before the first."""
    names = _names(run)
    return json.loads(_bytes(run, names[-1])) if names else None


def before(run: str, manifest: Manifest) -> dict[str, Any] | None:
    """The record of the release before the one that the manifest describes, whether that is recorded yet or not."""
    last = None
    for _, _, entry in _records(run):
        if _identity(entry) == _identity(manifest):
            break
        last = entry
    return last


def record(run: str) -> None:
    """Adds the record of the release that the manifest describes, unless it is there or there is none.

    A run calls it when it ends, and when it begins: a run that was killed in between has its record then.
    """
    manifest = storage.read_json(storage.join(run, MANIFEST))
    if manifest is None:
        return
    last = latest(run)
    if last is not None and _identity(last) == _identity(manifest):
        return
    before: Files = set()
    parent = None
    for _, content, entry in _records(run):
        before = _after(before, entry)
        parent = hashlib.sha256(content).hexdigest()
    now = _inputs(manifest)
    number = len(_names(run)) + 1
    entry = {
        "release": number,
        "parent": parent,
        "finished": manifest["environment"].get("finished"),
        **_identity(manifest),
        "records": manifest["counts"]["records"],
        "kept": manifest["counts"]["kept"],
        "real_tokens": manifest.get("guards", {}).get("real_tokens"),
        "added": sorted(now - before),
        "removed": sorted(before - now),
    }
    content = json.dumps(entry, ensure_ascii=False).encode()
    storage.write_bytes(storage.join(run, ROOM, f"{number:06d}.json"), content)


def problems(run: str, manifest: Manifest) -> list[str]:
    """What is wrong with the chain: a record that is missing or has changed, inputs that do not add up. A run from before
    there were records has none, and no problem."""
    found = []
    files: Files = set()
    parent = last = None
    for number, (name, content, entry) in enumerate(_records(run), 1):
        where = f"{ROOM}/{name}"
        if entry["release"] != number or name != f"{number:06d}.json":
            found.append(f"{where}: is not release {number}; the one before it is missing")
            return found
        if entry["parent"] != parent:
            found.append(f"{where}: names another parent than the release before it, which has changed")
        added, removed = _files(entry["added"]), _files(entry["removed"])
        if added & files or removed - files:
            found.append(f"{where}: adds files that were there, or removes files that were not")
        files, parent, last = _after(files, entry), hashlib.sha256(content).hexdigest(), entry
    if last is not None:
        if _identity(last) != _identity(manifest):
            found.append(f"{ROOM}: the last release is not that of {MANIFEST}; the same run again records it")
        elif files != _inputs(manifest):
            found.append(f"{ROOM}: what was added and removed is not the input of {MANIFEST}")
    return found


def _names(run: str) -> list[str]:
    return [name for name in storage.names(storage.join(run, ROOM)) if name.endswith(".json")]


def _bytes(run: str, name: str) -> bytes:
    return storage.read_bytes(storage.join(run, ROOM, name))


def _records(run: str) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    for name in _names(run):
        content = _bytes(run, name)
        yield name, content, json.loads(content)


def _identity(of: Manifest) -> Manifest:
    return {name: of[name] for name in ("root", "corpus_root", "fingerprint")}


def _inputs(manifest: Manifest) -> Files:
    return {(entry["uri"], entry["stamp"]) for entry in manifest["inputs"]}


def _files(pairs: list[list[str]]) -> Files:
    return {(uri, stamp) for uri, stamp in pairs}


def _after(files: Files, entry: dict[str, Any]) -> Files:
    return (files - _files(entry["removed"])) | _files(entry["added"])
