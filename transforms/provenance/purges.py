"""The log of purges, the one exception to the immutability of releases.

Each entry `releases/purges/000001.json` says when who removed how many documents, which manifests
that changed, and contains the SHA-256 of the entry before it.
"""

import hashlib

from tamis.transforms import storage
from tamis.transforms.core.json_model import JsonModel
from tamis.transforms.core.release import RELEASES

FOLDER = "purges"


class PurgedRelease(JsonModel):
    """A release after a purge: the SHA-256 of its manifest, and its roots."""

    release: int
    documents: int
    manifest: str
    release_root: str
    corpus_root: str


class Purge(JsonModel):
    """One purge. `parent` is the SHA-256 of the purge before, `takedown` that of the list of all
    that must not come back, `check` that of this entry without it. `documents`: in the parts."""

    number: int
    parent: str | None
    when: str
    who: str
    reason: str
    documents: int
    takedown: str
    releases: list[PurgedRelease]
    check: str = ""

    def sealed(self) -> "Purge":
        """The entry with its checksum."""
        content = self.model_dump_json(exclude={"check"}).encode()
        return self.model_copy(update={"check": hashlib.sha256(content).hexdigest()})


def purge_uri(run: str, number: int) -> str:
    return storage.join(run, RELEASES, FOLDER, f"{number:06d}.json")


def purges(run: str) -> list[Purge]:
    """The readable entries, oldest first."""
    return [entry for name in _names(run) if (entry := Purge.read(_uri(run, name))) is not None]


def manifest_digest(run: str, number: int) -> str | None:
    """The SHA-256 of the manifest of a release after the last purge that changed it."""
    digests = [changed.manifest for entry in purges(run) for changed in entry.releases if changed.release == number]
    return digests[-1] if digests else None


def last_digest(run: str) -> str | None:
    """The SHA-256 of the last entry, None before the first."""
    names = _names(run)
    return hashlib.sha256(storage.read_bytes(_uri(run, names[-1]))).hexdigest() if names else None


def problems(run: str) -> list[tuple[str, str]]:
    """What is wrong with the log, as (path, problem)."""
    wrong: list[tuple[str, str]] = []
    parent = takedown = None
    for expected, name in enumerate(_names(run), 1):
        path, content = f"{RELEASES}/{FOLDER}/{name}", storage.read_bytes(_uri(run, name))
        entry = Purge.read(_uri(run, name))
        if name != f"{expected:06d}.json":
            return [*wrong, (f"{RELEASES}/{FOLDER}/{expected:06d}.json", "missing")]
        if entry is None or entry.sealed() != entry or entry.model_dump_json().encode() != content:
            wrong.append((path, "its bytes have changed"))
            break
        if entry.parent != parent:
            wrong.append((path, "it names another entry before it"))
        parent, takedown = hashlib.sha256(content).hexdigest(), entry.takedown
    uri = storage.join(run, "takedown.json")
    actual = hashlib.sha256(storage.read_bytes(uri)).hexdigest() if storage.exists(uri) else None
    if not wrong and actual != takedown:
        wrong.append(("takedown.json", "it is not the list that the last purge wrote"))
        if actual is not None:
            following = len(_names(run)) + 1
            wrong.append((f"{RELEASES}/{FOLDER}/{following:06d}.json", "missing, unless takedown.json has changed"))
    return wrong


def _names(run: str) -> list[str]:
    return storage.names(storage.join(run, RELEASES, FOLDER))


def _uri(run: str, name: str) -> str:
    return storage.join(run, RELEASES, FOLDER, name)
