"""Which releases and parts stay: pins, rollback, retention, cleaning, and the disk they use."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tamis.pipelines.releases.seal import make_current
from tamis.pipelines.run import progress
from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.run.work_plan import MEND, current_release, rollback_uri
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import FOLDERS
from tamis.transforms.core.release import EARLY_FILES, RELEASES, Release, numbers, open_release
from tamis.transforms.core.shards import Retain
from tamis.transforms.provenance import release_chain
from tamis.transforms.provenance.verify import is_removed, removed_uri

_SHARED = tuple(dict.fromkeys(folder for folder, _ in FOLDERS))


@dataclass(frozen=True)
class Removal:
    """A file or folder of a run that can go, with its size in bytes, and why."""

    path: str
    bytes: int
    why: str


def pin(run: str, number: int, note: str) -> None:
    """Keeps a release from being removed until `unpin`."""
    release = open_release(f"{run}@{number}")
    content = {"release": release.number, "pinned": _now(), "note": note}
    storage.write_bytes(_pin_uri(run, number), json.dumps(content).encode())


def unpin(run: str, number: int) -> None:
    storage.remove(_pin_uri(run, number))


def is_pinned(run: str, number: int) -> bool:
    return storage.exists(_pin_uri(run, number))


def rollback(run: str, number: int) -> Release:
    """Makes another release the current one, until a run makes a new one."""
    with RunLock(run, "exclusive"):
        release = open_release(f"{run}@{number}")
        last = max(numbers(run))
        if number == last:
            storage.remove(rollback_uri(run))
        else:
            storage.write_bytes(rollback_uri(run), json.dumps({"release": number, "last": last}).encode())
        make_current(release)
        return release


def retain(run: str, options: Retain) -> list[Removal]:
    """Removes the releases that `options` do not keep, then the parts that no release needs."""
    now = datetime.now(UTC)
    removed = []
    for record in release_chain.records(run)[: -options.releases]:
        finished = datetime.fromisoformat(record.finished) if record.finished else None
        young = options.days is not None and finished is not None and (now - finished).days < options.days
        if not young and not is_removed(run, record.release) and not _needed_for(run, record.release):
            removed += remove_release(run, record.release, "output.retain")
    if removed:
        removed += [_remove(run, removal) for removal in _unneeded_parts(run)]
    return removed


def remove_release(run: str, number: int, why: str) -> list[Removal]:
    """Removes the files of a release that only it has. Raises RunError if it is needed."""
    if reason := _needed_for(run, number):
        raise RunError(f"release {number} of '{run}' stays: {reason}")
    removals = _release_files(run, number)
    note = {"release": number, "removed": _now(), "why": why}
    storage.write_bytes(removed_uri(run, number), json.dumps(note).encode())
    return [_remove(run, removal) for removal in removals]


def clean(run: str, releases: Sequence[int] = (), dry_run: bool = False) -> list[Removal]:
    """Removes the given releases, and what no release needs: parts, unfinished releases, temporary
    files. Only says so if `dry_run`. Keeps the parts that an unfinished run may still use."""
    with RunLock(run, "exclusive"):
        removals = []
        for number in releases:
            if reason := _needed_for(run, number):
                raise RunError(f"release {number} of '{run}' stays: {reason}")
            removals += _release_files(run, number) if dry_run else remove_release(run, number, "tamis clean")
        remains = list(_remains(run, releases))
        return [*removals, *(remains if dry_run else [_remove(run, removal) for removal in remains])]


def disk_usage(run: str) -> dict[str, Any]:
    """Bytes of a run: of the files that only one release has, by release; of parts; of the rest. Raises
    RunError if there is no run."""
    if not any(storage.names(storage.join(run, folder)) for folder in (RELEASES, *_SHARED)):
        raise RunError(f"'{run}' is not a run: it has neither parts nor releases")
    sizes = {folder: _size(storage.join(run, folder)) for folder in _SHARED}
    own = {number: sum(removal.bytes for removal in _release_files(run, number)) for number in present_releases(run)}
    unneeded = sum(removal.bytes for removal in _unneeded_parts(run))
    rest = {name: _size(storage.join(run, name)) for name in (".feed", ".spill", ".state", "plans", "columns")}
    total = sum(sizes.values()) + sum(own.values()) + sum(rest.values())
    return {"releases": own, "parts": sizes, "parts_of_no_release": unneeded, "other": rest, "total": total}


def _needed_for(run: str, number: int) -> str | None:
    """Why a release must stay; None if it can go."""
    if number not in numbers(run):
        raise RunError(f"'{run}' has no release {number}")
    current = current_release(run)
    if current is None or current.number == number:
        return "it is the current one"
    if is_pinned(run, number):
        return f"it is pinned; unpin it with: tamis pin {run}@{number} --remove"
    record = next((record for record in release_chain.records(run) if record.release == number), None)
    index = storage.read_json(storage.join(run, ".feed", "index.json")) or {}
    if record is not None and index.get("corpus") == record.corpus_root != current.manifest["corpus_root"]:
        return "its tokens are indexed for a training job (.feed/index.json)"
    return None


def _release_files(run: str, number: int) -> list[Removal]:
    """The files that only this release has."""
    folder = f"{RELEASES}/{number:06d}"
    removals = [Removal(folder, _size(storage.join(run, folder)), f"release {number}")]
    if number in present_releases(run) and open_release(f"{run}@{number}").is_early:
        removals += [Removal(name, _size(storage.join(run, name)), f"release {number}") for name in EARLY_FILES]
    return [removal for removal in removals if removal.bytes]


def present_releases(run: str) -> list[int]:
    """The releases whose files are there."""
    return [number for number in numbers(run) if not is_removed(run, number) and _opens(run, number)]


def _opens(run: str, number: int) -> bool:
    try:
        open_release(f"{run}@{number}")
    except (FileNotFoundError, RunError):
        return False
    return True


def _unneeded_parts(run: str, without: Sequence[int] = ()) -> list[Removal]:
    """The files in the shared folders that no release has in its manifest, except in `without`."""
    needed = {
        file["path"]
        for number in present_releases(run)
        if number not in without
        for file in open_release(f"{run}@{number}").manifest["files"]
    }
    # Early versions list no receipts.
    needed |= {path.replace(".parquet", ".json") for path in needed if path.startswith("rated/")}
    return [
        Removal(f"{folder}/{name}", entry.size, "no release needs it")
        for folder in _SHARED
        for name, entry in storage.files(storage.join(run, folder)).items()
        if f"{folder}/{name}" not in needed
    ]


def _remains(run: str, without: Sequence[int]) -> Iterator[Removal]:
    unfinished = progress.read_attempt(run) is not None
    sealed = numbers(run)
    for name in storage.names(storage.join(run, RELEASES)):
        if name.isdigit() and int(name) not in sealed and not unfinished:
            yield Removal(f"{RELEASES}/{name}", _size(storage.join(run, RELEASES, name)), "an unfinished release")
    if not unfinished:
        yield from _unneeded_parts(run, without)
    for name in (".spill", MEND):
        if size := _size(storage.join(run, name)):
            yield Removal(name, size, "left by a run that was killed")
    if not any(open_release(f"{run}@{number}").is_early for number in present_releases(run)):
        for name in EARLY_FILES:
            if size := _size(storage.join(run, name)):
                yield Removal(name, size, "left by an early version")


def _remove(run: str, removal: Removal) -> Removal:
    storage.remove_tree(storage.join(run, removal.path))
    return removal


def _size(uri: str) -> int:
    files = storage.files(uri)
    if not files and storage.exists(uri):
        path = storage.local_path(uri)
        return 0 if path is not None and path.is_dir() else storage.entry(uri).size
    return sum(entry.size for entry in files.values())


def _pin_uri(run: str, number: int) -> str:
    return storage.join(run, RELEASES, f"{number:06d}.pin.json")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
