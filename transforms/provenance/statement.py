"""What is signed of a release: an in-toto statement of its files, with the predicate of SLSA's provenance 1.0."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from tamis.transforms import storage
from tamis.transforms.core.release import Release
from tamis.transforms.provenance.release_chain import record_uri

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
BUILD: Final = "urn:x-tamis:run:v1"
BUILDER: Final = "urn:x-tamis"


def statement(release: Release) -> bytes:
    """The statement about a release: the same bytes each time. Its subjects are the manifest, which has the
    SHA-256 of all other files, the record, which has that of the record before, and the shards."""
    manifest = release.manifest
    files = {name: _sha256(content) for name, content in covering_files(release).items()}
    files |= {file["path"]: file["sha256"] for file in manifest["files"] if file["path"].startswith(release.path("data/"))}
    recipe = _canonical(manifest["recipe"])
    inputs = {entry["uri"]: entry["stamp"] for entry in manifest["inputs"]}
    value = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in files.items()],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {"recipe": manifest["recipe"].get("name", ""), "recipeSha256": _sha256(recipe)},
                "internalParameters": {"fingerprint": manifest["fingerprint"]},
                "resolvedDependencies": [{"uri": uri, "annotations": {"version": inputs[uri]}} for uri in sorted(inputs)],
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": {"tamis": manifest["tamis"], **manifest["environment"].get("packages", {})},
                },
                "metadata": {
                    "invocationId": f"release {release.number}",
                    "finishedOn": manifest["environment"].get("finished"),
                },
                "byproducts": [
                    {"name": name, "annotations": {"merkleSha256": manifest[name]}} for name in ("release_root", "corpus_root")
                ],
            },
        },
    }
    return _canonical(value)


def covering_files(release: Release) -> dict[str, bytes]:
    """The files of a release that name all others, by their paths in the run: its manifest and its record."""
    uris = {
        release.path("manifest.json"): release.manifest_uri,
        f"{release.path('')[:-1]}.json": record_uri(release.run, release.number),
    }
    return {path: storage.read_bytes(uri) for path, uri in uris.items()}


def subjects(payload: bytes) -> dict[str, str]:
    """The SHA-256 of the files that a statement is about, by their paths. Raises ValueError if it is none."""
    try:
        value: dict[str, Any] = json.loads(payload)
        if (value["_type"], value["predicateType"]) != (STATEMENT, PREDICATE):
            raise ValueError("it is a statement of another kind")
        return {subject["name"]: subject["digest"]["sha256"] for subject in value["subject"]}
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError("it is no in-toto statement") from None


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
