"""Uploads input to a store, and compares a run there with one on a disk."""

from __future__ import annotations

from pathlib import Path

from tamis.transforms import storage
from tamis.transforms.core.release import open_release
from tests.pipelines.running import left


def upload(source: Path, bucket: str) -> str:
    """Uploads the files of a folder to a bucket and returns their URI."""
    for path in source.iterdir():
        storage.write_bytes(f"{bucket}/in/{path.name}", path.read_bytes())
    return f"{bucket}/in"


def same(output: str, undisturbed: Path) -> None:
    """Asserts that data/ and decisions/ of the current releases have the same bytes. (Other files name the input.)"""
    expected, release = left(undisturbed), open_release(output)
    for folder in ("data/phase-1", "decisions"):
        names = sorted(Path(name).name for name in expected if name.startswith(f"{folder}/"))
        assert storage.names(release.uri(folder)) == names
        assert all(storage.read_bytes(release.uri(folder, name)) == expected[f"{folder}/{name}"] for name in names)
