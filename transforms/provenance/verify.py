"""Seals a run's manifest with roots over its files, and checks a finished run against it.

The roots are Merkle trees over (path, SHA-256): equal roots mean equal bytes under equal names.
`root` covers every file of the run; `corpus_root` data/, however the input was split into files.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, cast

from tamis.transforms import storage
from tamis.transforms.core.manifest import MANIFEST, FileEntry, Manifest, read_manifest, record_counts
from tamis.transforms.provenance import release_chain


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


def seal(body: dict[str, Any], files: Sequence[FileEntry]) -> Manifest:
    """`body` with its files and their roots. Raises AssertionError if documents are missing."""
    manifest = cast(
        Manifest,
        {
            **body,
            "files": sorted(files, key=lambda file: file["path"]),
            "root": merkle_root(files),
            "corpus_root": merkle_root(file for file in files if file["path"].startswith("data/")),
        },
    )
    problems = conservation(manifest)
    if problems:
        raise AssertionError("; ".join(problems))
    return manifest


def conservation(manifest: Manifest) -> list[str]:
    """Counts that do not add up: in total, by reason, by source, and in the shards."""
    counts = manifest["counts"]
    problems = []

    def equal(what: str, left: int, right: int) -> None:
        if left != right:
            problems.append(f"{what}: {left:,} against {right:,}")

    by_decision = record_counts(counts)
    records = by_decision.pop("records")
    equal("records read against kept + dropped + review + rejected", records, sum(by_decision.values()))
    equal("records by input file", sum(i["documents"] + i["rejected"] for i in manifest["inputs"]), records)
    equal("dropped and review by reason", sum(r["documents"] for r in counts["reasons"]), counts["dropped"] + counts["review"])
    for decision in ("kept", "dropped", "review"):
        equal(f"{decision} by source", sum(source[decision] for source in counts["sources"].values()), by_decision[decision])
    shards = manifest["curriculum"]["shards"]
    repeated = counts.get("repeated", {"documents": 0, "tokens": 0})
    documents, tokens = sum(shard["documents"] for shard in shards), sum(shard["tokens"] for shard in shards)
    equal("documents in the shards against kept and repeated", documents, counts["kept"] + repeated["documents"])
    equal("tokens in the shards against kept and repeated", tokens, counts["tokens"]["kept"] + repeated["tokens"])
    return problems


def verify(run: str) -> list[str]:
    """The problems of a run: missing or changed files, roots, counts, the release chain."""
    manifest = read_manifest(run)
    problems = []
    for file in manifest["files"]:
        uri = storage.join(run, file["path"])
        if not storage.exists(uri):
            problems.append(f"{file['path']}: missing")
        elif storage.entry(uri).size != file["bytes"]:
            problems.append(f"{file['path']}: {storage.entry(uri).size:,} bytes, not {file['bytes']:,}")
        elif storage.sha256(uri) != file["sha256"]:
            problems.append(f"{file['path']}: its bytes have changed (SHA-256 differs)")
    if merkle_root(manifest["files"]) != manifest["root"]:
        problems.append(f"{MANIFEST}: its root does not match its list of files")
    problems += [f"{MANIFEST}: {problem}" for problem in conservation(manifest)]
    return problems + release_chain.problems(run, manifest)
