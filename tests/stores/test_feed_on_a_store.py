"""A run in an object store is loaded like one on disk, and exported to a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.dataset import CurriculumDataset
from tamis.transforms.feed.export import export
from tests.transforms.feed.releases import release

TEXTS = [[f"{shard}.{number} né\n" * (number % 5) for number in range(40)] for shard in range(3)]


def rows(run: str, **options: object) -> list[list[int]]:
    return [row for batch in CurriculumDataset(run, "bytes", 64, 6, **options) for row in batch.tokens.tolist()]


@pytest.mark.parametrize("folder", ["moto", "gcs", "azure"], indirect=True)
def test_a_run_in_a_store_is_fed_and_exported_as_one_on_disk(folder: str, tmp_path: Path) -> None:
    run = Path(release(tmp_path / "run", TEXTS))
    for path in run.rglob("*"):
        if path.is_file():
            storage.write_bytes(f"{folder}/run/{path.relative_to(run)}", path.read_bytes())
    expected = rows(str(run), packing="best_fit")
    assert rows(f"{folder}/run", packing="best_fit") == expected
    assert len(storage.names(f"{folder}/run/.feed")) == 3
    assert rows(f"{folder}/run", packing="best_fit") == expected
    there = export(f"{folder}/run", "mds", f"{folder}/mds")
    here = export(str(run), "mds", str(tmp_path / "mds"))
    assert [storage.read_bytes(uri) for uri in there.files] == [Path(uri).read_bytes() for uri in here.files]
    with pytest.raises(RunError, match="is not empty"):
        export(f"{folder}/run", "jsonl", f"{folder}/mds")
    shard = next(path for path in run.rglob("*00001.parquet"))
    altered = bytearray(shard.read_bytes())
    altered[-20] ^= 1
    storage.write_bytes(f"{folder}/run/{shard.relative_to(run)}", bytes(altered))
    with pytest.raises(RunError, match="does not have the SHA-256"):
        rows(f"{folder}/run")
