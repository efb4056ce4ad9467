"""The chain of a run's releases: each record contains the SHA-256 of the record before it.

A record lists the input files added and removed since the release before; all records together
must add up to the input in the manifest.
"""

import hashlib
from collections.abc import Iterator

from tamis.transforms import storage
from tamis.transforms.core.json_model import JsonModel
from tamis.transforms.core.manifest import MANIFEST, Manifest

FOLDER = "releases"

InputFiles = set[tuple[str, str]]
"""(URI, version) of each input file: a file whose bytes may have changed counts as another file."""


class Release(JsonModel):
    """The record of a release. `parent` is the SHA-256 of the record before."""

    release: int
    parent: str | None
    finished: str | None
    root: str
    corpus_root: str
    fingerprint: str
    records: int
    kept: int
    real_tokens: int | None = None
    added: list[tuple[str, str]]
    removed: list[tuple[str, str]]

    def describes(self, manifest: Manifest) -> bool:
        """Whether this is the record of the manifest's release."""
        own = self.root, self.corpus_root, self.fingerprint
        return own == (manifest["root"], manifest["corpus_root"], manifest["fingerprint"])

    def apply(self, files: InputFiles) -> InputFiles:
        """The input files of this release, given those of the release before."""
        return (files - set(self.removed)) | set(self.added)


def latest(run: str) -> Release | None:
    """The record of the last release, None before the first."""
    names = _names(run)
    return Release.read(storage.join(run, FOLDER, names[-1])) if names else None


def before(run: str, manifest: Manifest) -> Release | None:
    """The record of the release before the manifest's, which need not be recorded yet."""
    previous = None
    for _, _, release in _releases(run):
        if release.describes(manifest):
            break
        previous = release
    return previous


def record(run: str) -> None:
    """Adds the record of the manifest's release, unless it exists or there is no manifest. A run
    calls this at its end, and at its start: the last one may have been killed before its record."""
    manifest = storage.read_json(storage.join(run, MANIFEST))
    if manifest is None:
        return
    last = latest(run)
    if last is None or not last.describes(manifest):
        release = next_release(run, manifest)
        release.write(storage.join(run, FOLDER, _name(release.release)))


def next_release(run: str, manifest: Manifest) -> Release:
    """The record that the manifest's release gets when it follows the recorded ones."""
    files: InputFiles = set()
    parent, number = None, 1
    for _, content, release in _releases(run):
        files, parent, number = release.apply(files), hashlib.sha256(content).hexdigest(), number + 1
    inputs = _input_files(manifest)
    return Release(
        release=number,
        parent=parent,
        finished=manifest["environment"].get("finished"),
        root=manifest["root"],
        corpus_root=manifest["corpus_root"],
        fingerprint=manifest["fingerprint"],
        records=manifest["counts"]["records"],
        kept=manifest["counts"]["kept"],
        real_tokens=manifest.get("guards", {}).get("real_tokens"),
        added=sorted(inputs - files),
        removed=sorted(files - inputs),
    )


def problems(run: str, manifest: Manifest) -> list[str]:
    """What is wrong with the chain: a missing or changed record, or inputs that do not add up. A
    run without records was made by a version that had none, and has no problem."""
    wrong: list[str] = []
    files: InputFiles = set()
    parent = last = None
    for number, (name, content, release) in enumerate(_releases(run), 1):
        where = f"{FOLDER}/{name}"
        if release.release != number or name != _name(number):
            return [*wrong, f"{where}: is not release {number}; the one before it is missing"]
        if release.parent != parent:
            wrong.append(f"{where}: names another parent than the release before it, which has changed")
        if set(release.added) & files or set(release.removed) - files:
            wrong.append(f"{where}: adds files that were there, or removes files that were not")
        files, parent, last = release.apply(files), hashlib.sha256(content).hexdigest(), release
    if last is not None:
        if not last.describes(manifest):
            wrong.append(f"{FOLDER}: the last release is not that of {MANIFEST}; run the same command again to record it")
        elif files != _input_files(manifest):
            wrong.append(f"{FOLDER}: the files added and removed do not add up to the input of {MANIFEST}")
    return wrong


def _name(number: int) -> str:
    return f"{number:06d}.json"


def _names(run: str) -> list[str]:
    return [name for name in storage.names(storage.join(run, FOLDER)) if name.endswith(".json")]


def _releases(run: str) -> Iterator[tuple[str, bytes, Release]]:
    for name in _names(run):
        content = storage.read_bytes(storage.join(run, FOLDER, name))
        yield name, content, Release.model_validate_json(content)


def _input_files(manifest: Manifest) -> InputFiles:
    return {(entry["uri"], entry["stamp"]) for entry in manifest["inputs"]}
