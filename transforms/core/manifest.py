"""A run as its readers see it: files with their checksums, and the manifest that promises them all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tamis.transforms import storage

MANIFEST = "manifest.json"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class File:
    """A finished file of a run, `path` relative to its directory."""

    path: str
    bytes: int
    sha256: str


def read_manifest(run: str) -> Manifest:
    """The manifest of a finished run. Raises FileNotFoundError for a run that is not finished."""
    uri = storage.join(run, MANIFEST)
    if not storage.exists(uri):
        raise FileNotFoundError(f"'{run}' has no {MANIFEST}: no run, or one that has not finished; start it again to finish it")
    manifest: Manifest = json.loads(storage.read_bytes(uri))
    return manifest
