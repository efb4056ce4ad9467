"""The manifest of a run: every file with its checksum, every document accounted for, and the proof that both are so.

The roots are Merkle trees over (path, SHA-256): equal roots are equal bytes under equal names. `corpus_root` covers data/ alone
and does not depend on how the input was cut into files; `root` covers every file of the run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tamis.transforms import storage
from tamis.transforms.core.manifest import MANIFEST, Manifest, read_manifest
from tamis.transforms.provenance import release_chain

ENVIRONMENT = "environment"
"""The one field of a manifest that may differ between two runs of the same recipe on the same input."""


def merkle_root(files: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 Merkle root over the files in the order of their paths; an odd node moves up."""
    level = [
        hashlib.sha256(b"\0" + str(file["path"]).encode() + b"\0" + bytes.fromhex(str(file["sha256"]))).digest()
        for file in sorted(files, key=lambda file: str(file["path"]))
    ]
    if not level:
        return hashlib.sha256(b"").hexdigest()
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0].hex()


def seal(body: Manifest, files: Sequence[Mapping[str, Any]]) -> Manifest:
    """`body` with its files, their roots and the conservation check. Raises AssertionError when documents are missing."""
    manifest = {
        **body,
        "files": sorted(files, key=lambda file: str(file["path"])),
        "root": merkle_root(files),
        "corpus_root": merkle_root(file for file in files if str(file["path"]).startswith("data/")),
    }
    problems = conservation(manifest)
    if problems:
        raise AssertionError("; ".join(problems))
    return manifest


def conservation(manifest: Manifest) -> list[str]:
    """What does not add up: in = kept + dropped + review + rejected, by reason, by source, and down to the shards."""
    counts = manifest["counts"]
    problems = []

    def equal(what: str, left: int, right: int) -> None:
        if left != right:
            problems.append(f"{what}: {left:,} against {right:,}")

    parts = {name: counts[name] for name in ("kept", "dropped", "review", "rejected")}
    equal("records read against kept + dropped + review + rejected", counts["records"], sum(parts.values()))
    equal("records by input file", sum(i["documents"] + i["rejected"] for i in manifest["inputs"]), counts["records"])
    equal("dropped and review by reason", sum(r["documents"] for r in counts["reasons"]), counts["dropped"] + counts["review"])
    for decision in ("kept", "dropped", "review"):
        equal(f"{decision} by source", sum(source[decision] for source in counts["sources"].values()), counts[decision])
    shards = manifest["curriculum"]["shards"]
    again = counts.get("repeated", {"documents": 0, "tokens": 0})
    kept = {"documents": counts["kept"], "tokens": counts["tokens"]["kept"]}
    for what, once in kept.items():
        equal(f"{what} in the shards against kept and repeated", sum(shard[what] for shard in shards), once + again[what])
    return problems


def write(run: str, manifest: Manifest) -> None:
    """Writes the manifest, after which the run is finished."""
    storage.write_bytes(storage.join(run, MANIFEST), json.dumps(manifest, indent=1, ensure_ascii=False).encode())


def verify(run: str) -> list[str]:
    """Everything wrong with a finished run, by file: missing or changed bytes, roots, conservation. Empty means sound."""
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
