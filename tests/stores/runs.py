"""What a run in a store is held to: input that is uploaded, and the bytes of a run on a disk."""

from __future__ import annotations

from pathlib import Path

from tamis.transforms import storage
from tests.pipelines.running import left


def upload(source: Path, bucket: str) -> str:
    """Puts the files of a folder into a bucket; returns where."""
    for path in source.iterdir():
        storage.write_bytes(f"{bucket}/in/{path.name}", path.read_bytes())
    return f"{bucket}/in"


def same(output: str, undisturbed: Path) -> None:
    """Corpus and ledger are the same bytes. (Other files name the input, which is elsewhere.)"""
    expected = left(undisturbed)
    for room in ("data/phase-1", "decisions"):
        names = sorted(Path(name).name for name in expected if name.startswith(f"{room}/"))
        assert storage.names(f"{output}/{room}") == names
        assert all(storage.read_bytes(f"{output}/{room}/{name}") == expected[f"{room}/{name}"] for name in names)
