"""Seals a manifest with roots over its files, and checks every byte of finished releases.

The roots are Merkle trees over (path, SHA-256): equal roots mean equal bytes under equal names.
`release_root` covers every file of a release but its manifest, whose SHA-256 is in the record of
the release; `corpus_root` covers data/, whatever the release's number and however the input was
split into files.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import CharacterCounts, File, FileEntry, Manifest, record_counts, release_path, shard_places
from tamis.transforms.core.parts import FOLDERS, Part
from tamis.transforms.core.release import (
    EARLY_FILES,
    LATEST,
    MANIFEST,
    RELEASES,
    RUN_FILES,
    Release,
    from_manifest,
    numbers,
    parse_name,
)
from tamis.transforms.provenance import purges, release_chain, tombstones
from tamis.transforms.provenance.release_chain import ReleaseRecord, record_uri

RERUN = "run the same `tamis run` again: it makes the file again"
RESTORE = "restore it from a copy; the current release is not affected"
REMOVE = "remove it; it is not part of any release"

SIGNATURE = ".dsse.json"
"""How the name of the signatures of a release ends, beside its record."""

_MALFORMED = (KeyError, TypeError, AttributeError, ValueError, IndexError)
"""What reading a manifest raises if its bytes have changed."""


@dataclass(frozen=True)
class Problem:
    """A file that is not as it should be, and what to do about it."""

    path: str
    problem: str
    cure: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem} ({self.cure})"


def merkle_root(files: Iterable[FileEntry]) -> str:
    """SHA-256 Merkle root over the files in the order of their paths; an odd node moves up."""
    level = [
        hashlib.sha256(b"\0" + file["path"].encode() + b"\0" + bytes.fromhex(file["sha256"])).digest()
        for file in sorted(files, key=lambda file: file["path"])
    ]
    if not level:
        return hashlib.sha256(b"").hexdigest()
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0].hex()


def seal(body: Mapping[str, Any], files: Sequence[File]) -> Manifest:
    """`body` with its files and their roots. Raises AssertionError if documents are missing."""
    entries: list[FileEntry] = [
        {"path": file.path, "bytes": file.bytes, "sha256": file.sha256} for file in sorted(files, key=lambda file: file.path)
    ]
    root = "release_root" if "release" in body else "root"
    roots = {root: merkle_root(entries), "corpus_root": corpus_root(entries)}
    manifest = cast(Manifest, {**body, "files": entries, **roots})
    problems = conservation(manifest)
    if problems:
        raise AssertionError("; ".join(problems))
    return manifest


def corpus_root(files: Iterable[FileEntry]) -> str:
    """The root over the files in data/, by their paths in the release."""
    paths = ((release_path(file["path"]), file) for file in files)
    return merkle_root({**file, "path": path} for path, file in paths if path.startswith("data/"))


def conservation(manifest: Manifest) -> list[str]:
    """Counts that do not add up: in total, by reason, by source, and in the shards."""
    counts = manifest["counts"]
    problems = []

    def equal(what: str, left: int, right: int) -> None:
        if left != right:
            problems.append(f"{what}: {left:,} against {right:,}")

    by_decision = record_counts(counts)
    records = by_decision.pop("records")
    equal("records read against kept + dropped + review + rejected + skipped", records, sum(by_decision.values()))
    by_input = (entry["documents"] + entry["rejected"] + entry.get("skipped", 0) for entry in manifest["inputs"])
    equal("records by input file", sum(by_input), records)
    equal("skipped by reason", sum(counts.get("skipped_reasons", {}).values()), by_decision["skipped"])
    equal("dropped and review by reason", sum(r["documents"] for r in counts["reasons"]), counts["dropped"] + counts["review"])
    for decision in ("kept", "dropped", "review"):
        equal(f"{decision} by source", sum(source[decision] for source in counts["sources"].values()), by_decision[decision])
    shards = manifest["curriculum"]["shards"]
    repeated = counts.get("repeated", {"documents": 0, "tokens": 0})
    documents, tokens = sum(shard["documents"] for shard in shards), sum(shard["tokens"] for shard in shards)
    equal("documents in the shards against kept and repeated", documents, counts["kept"] + repeated["documents"])
    equal("tokens in the shards against kept and repeated", tokens, counts["tokens"]["kept"] + repeated["tokens"])
    if "patch" in manifest:
        total = sum(shard_places(shard)[1] for shard in shards)
        equal("tokens in the shards and taken down against the places of the corpus", total, manifest["curriculum"]["tokens"])
    if "characters" in counts:
        _compare_characters(counts["characters"], equal)
    return problems


def _compare_characters(characters: CharacterCounts, equal: Callable[[str, int, int], None]) -> None:
    editors = characters["editors"]
    rated = characters["read"] + sum(counts["inserted"] - counts["removed"] for counts in editors.values())
    equal("characters read, without those removed and with those inserted, against those rated", rated, characters["rated"])
    for name, counts in editors.items():
        for kind in ("removed", "inserted"):
            by_reason = sum(reason[kind] for reason in counts["reasons"].values())
            equal(f"characters {kind} by {name}, by reason", by_reason, counts[kind])
    cut = sum(counts["characters"] for counts in characters["cut"].values())
    ended = characters["kept"] + characters["dropped"] + characters["review"]
    equal("characters cut, kept, dropped and in review against those rated", cut + ended, characters["rated"])
    emitted = characters["kept"] + characters["repeated"]
    equal("characters in the shards against kept and repeated", characters["emitted"], emitted)


def verify(name: str) -> list[Problem]:
    """The problems of all releases of a run (`RUN`) or of one of them (`RUN@41`): missing, changed
    and foreign files, roots, counts, the chain of records. Raises FileNotFoundError if there is no
    such release. Cost: reads every file once, also those that releases share."""
    run, number = parse_name(name)
    sealed = numbers(run)
    if not storage.exists(storage.join(run, MANIFEST)) and not sealed:
        raise FileNotFoundError(f"'{run}' has no {MANIFEST}: it is not a run, or has no release yet")
    if number is not None and number not in sealed:
        raise FileNotFoundError(f"'{run}' has no release {number}; it has {', '.join(map(str, sealed)) or 'none'}")
    problems: list[Problem] = []
    releases = [
        release
        for each in (sealed if number is None else [number])
        if (release := _check_manifest(run, each, sealed, problems)) is not None
    ]
    digests: dict[str, tuple[int, str] | None] = {}
    for release in releases:
        made_by_run = release.number == max(sealed) and "patch" not in release.manifest
        problems += _check_files(release, digests, RERUN if made_by_run else RESTORE)
    if number is None:
        patches = [(each.number, each.manifest["patch"]["documents"]) for each in releases if "patch" in each.manifest]
        chain = [*release_chain.problems(run), *purges.problems(run), *tombstones.problems(run, patches)]
        problems += [
            Problem(path, problem, RERUN if path == _record(max(sealed, default=0)) else RESTORE) for path, problem in chain
        ]
        problems += _check_current(run)
        problems += _strays(run, sealed, releases)
    return list(dict.fromkeys(problems))


def _check_manifest(run: str, number: int, sealed: Sequence[int], problems: list[Problem]) -> Release | None:
    """A release, as its manifest or the copy in RUN/manifest.json describes it. None if its files
    were removed, or if neither can be read."""
    path = f"{RELEASES}/{number:06d}/{MANIFEST}"
    inner, top = _read(storage.join(run, path)), _read(storage.join(run, MANIFEST))
    record = ReleaseRecord.read(record_uri(run, number))
    early = record is not None and record.manifest is None
    if inner is None and (is_removed(run, number) or (early and number != max(sealed))):
        return None
    if inner is None and early:
        inner = top  # an early version made it, and no run has copied it since
    digest = purges.manifest_digest(run, number) or (record.manifest if record is not None else None)
    cure = RERUN if number == max(sealed) else RESTORE
    contents = [content for content in (inner, top) if content is not None and digest in (None, _sha256(content))]
    if inner is not None and inner == top and not contents:  # the two copies agree: it is the record
        problems.append(Problem(_record(number), "its bytes have changed: it names another manifest", cure))
        contents = [inner]
    elif inner is None:
        problems.append(Problem(path, "missing", cure))
    elif not contents or contents[0] != inner:
        problems.append(Problem(path, "its bytes have changed (its SHA-256 is not that in its record)", cure))
    for content in contents:  # files are not held against a manifest that has changed
        try:
            release = from_manifest(run, number, content, path)
            purged = purges.manifest_digest(run, number) is not None
            if record is not None and not purged and not release_chain.is_record_of(record, release, content):
                problems.append(Problem(_record(number), "it does not describe its release", cure))
        except (RunError, *_MALFORMED):
            problems.append(Problem(MANIFEST if early else path, "it is not a readable manifest", cure))
            continue
        return release
    return None


def _check_files(release: Release, digests: dict[str, tuple[int, str] | None], cure: str) -> list[Problem]:
    """Problems of the files of a release, of its roots and of its counts."""
    try:
        return list(_file_problems(release, digests, cure))
    except _MALFORMED:  # only of an early version, whose manifest has no checksum
        return [Problem(MANIFEST, "its bytes have changed: it is not a readable manifest", cure)]


def _file_problems(release: Release, digests: dict[str, tuple[int, str] | None], cure: str) -> Iterator[Problem]:
    manifest = release.manifest
    own = f"{RELEASES}/{release.number:06d}/{MANIFEST}"
    for file in manifest["files"]:
        path = file["path"]
        if path not in digests:
            uri = storage.join(release.run, path)
            digests[path] = (storage.entry(uri).size, storage.sha256(uri)) if storage.exists(uri) else None
        actual = digests[path]
        if actual is None:
            yield Problem(path, "missing", cure)
        elif actual[0] != file["bytes"]:
            yield Problem(path, f"{actual[0]:,} bytes, not {file['bytes']:,}", cure)
        elif actual[1] != file["sha256"]:
            yield Problem(path, "its bytes have changed (SHA-256 differs)", cure)
    root = manifest["root"] if release.is_early else manifest["release_root"]
    if merkle_root(manifest["files"]) != root or corpus_root(manifest["files"]) != manifest["corpus_root"]:
        yield Problem(own, "a root does not match its list of files", RESTORE)
    for problem in conservation(manifest):
        yield Problem(own, problem, RESTORE)


def _check_current(run: str) -> Iterator[Problem]:
    """Whether RUN/manifest.json is that of a release, and `latest` points to it."""
    content = _read(storage.join(run, MANIFEST))
    if content is None:
        yield Problem(MANIFEST, "missing", RERUN)
        return
    digest = _sha256(content)
    records = release_chain.records(run)
    try:
        current = from_manifest(run, None, content, MANIFEST)
    except RunError:
        current = None
    if current is not None and not current.is_early and current.number not in numbers(run):
        yield Problem(_record(current.number), "missing", RERUN)
        return
    known = any(digest in (record.manifest, purges.manifest_digest(run, record.release)) for record in records)
    if not known and current is not None and current.is_early:  # whose records have no checksum of it
        copies = (f"{RELEASES}/{record.release:06d}/{MANIFEST}" for record in records if record.manifest is None)
        known = not records or records[-1].manifest is None or any(_read(storage.join(run, copy)) == content for copy in copies)
    if current is None or not known:
        yield Problem(MANIFEST, "its bytes have changed: it is not the manifest of any release", RERUN)
        return
    link = storage.local_path(storage.join(run, LATEST))
    if link is not None and link.exists() and not link.is_symlink():
        yield Problem(LATEST, "it is no link, but a copy of a release", REMOVE)
        return
    if link is not None and link.exists() and link.resolve() != Path(current.folder).resolve():
        yield Problem(LATEST, f"it does not point to the current release, which is {current.number}", RERUN)


def _strays(run: str, sealed: Sequence[int], releases: Sequence[Release]) -> Iterator[Problem]:
    """Files that belong to no release. Parts that no release needs yet are not among them."""
    early = any(release.is_early for release in releases)
    listed = {file["path"] for release in releases for file in release.manifest["files"]}
    checked = {release.number for release in releases}
    for name in storage.names(run):
        if name not in RUN_FILES or (name in EARLY_FILES and not early):
            yield Problem(name, "it is not a file of a run", REMOVE)
    if early:
        for folder in ("data", "decisions"):
            for path in storage.files(storage.join(run, folder)):
                if f"{folder}/{path}" not in listed:
                    yield Problem(f"{folder}/{path}", "it is in no release", REMOVE)
    unfinished = (storage.read_json(storage.join(run, ".state", "plan.json")) or {}).get("release")
    for path in storage.files(storage.join(run, RELEASES)):
        folder, _, rest = path.partition("/")
        full = f"{RELEASES}/{path}"
        if rest and folder.isdigit():
            if int(folder) == unfinished and unfinished not in sealed:
                continue
            if int(folder) in sealed and int(folder) not in checked:
                continue  # its manifest is damaged, and says nothing of its files
            if full not in listed and not (rest == MANIFEST and int(folder) in sealed):
                yield Problem(full, "it is in no release", REMOVE)
        elif not re.fullmatch(rf"\d{{6,}}(\.removed|\.pin|\.dsse)?\.json|{purges.FOLDER}/\d{{6,}}\.json", path):
            yield Problem(full, "it is not a record of a release", REMOVE)
    if storage.names(storage.join(run, ".progress")):
        return  # a run is writing parts, or was killed while it did
    for folder, suffix in FOLDERS:
        for path in storage.files(storage.join(run, folder)):
            name = path.removesuffix(f".{suffix}")
            if f"{folder}/{path}" in listed or (folder, path.rpartition(".")[2]) not in FOLDERS:
                continue
            if path != name and not _is_part(Part(run, name)):
                yield Problem(f"{folder}/{path}", "it belongs to no finished part", REMOVE)
    for folder in {folder for folder, _ in FOLDERS}:
        for path in storage.files(storage.join(run, folder)):
            if (folder, path.rpartition(".")[2]) not in FOLDERS or "/" in path:
                yield Problem(f"{folder}/{path}", "it is not a file of a part", REMOVE)


def _is_part(part: Part) -> bool:
    """Whether a part has a receipt, and all files that it names."""
    receipt = part.receipt()
    own = {part.path(folder, suffix) for folder, suffix in FOLDERS[1:]}
    return receipt is not None and own == {file.path for file in receipt.files}


def removed_uri(run: str, number: int) -> str:
    """The note that says when and why the files of a release were removed."""
    return storage.join(run, RELEASES, f"{number:06d}.removed.json")


def is_removed(run: str, number: int) -> bool:
    """Whether the files of a release were removed on purpose."""
    return storage.exists(removed_uri(run, number))


def _record(number: int) -> str:
    return f"{RELEASES}/{number:06d}.json"


def _read(uri: str) -> bytes | None:
    return storage.read_bytes(uri) if storage.exists(uri) else None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
