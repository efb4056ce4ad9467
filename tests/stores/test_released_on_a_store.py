"""Nights whose runs, and so the indices of what they released, are in an object store."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import Release
from tamis.transforms.dedup.released import merge_indices
from tests.pipelines.test_released_documents import FIRST, SECOND, THIRD, save, text


def released(release: Release) -> dict[str, str]:
    """What is said of the documents that were released before."""
    files = [release.uri("decisions", name) for name in storage.names(release.uri("decisions"))]
    rows = [row for file in files for row in pq.read_table(BytesIO(storage.read_bytes(file))).to_pylist()]
    return {row["id"]: row["detail"] for row in rows if row["reason"] == "dedup.released"}


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["moto"], indirect=True)
def test_nights_in_a_store_are_against_those_before(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third merges the indices of the first two, and the fourth finds what that has."""
    monkeypatch.setattr(merge_indices, "EACH_TIER", 0)

    def night(name: str, texts: dict[str, str], *against: str) -> Release:
        recipe = tmp_path / "night.yaml"
        named = ", ".join(f"'{folder}/{other}'" for other in against)
        recipe.write_text(f"dedup: {{minhash: {{}}, index: extend, against: [{named}]}}\n")
        source = save(tmp_path / f"{name}.jsonl", texts)
        return launch(load_recipe(str(recipe), [], [str(source)]), f"{folder}/{name}", workers=1).release

    night("one", FIRST)
    night("two", SECOND, "one")
    three = night("three", THIRD, "two")
    assert storage.exists(three.uri("dedup-index", "merged", "index.json"))
    assert released(three) == {"c0": f"equal to a11 of {folder}/one@1", "c1": f"Jaccard 0.8361 with b22 of {folder}/two@1"}
    four = night("four", {"d1": text(22, edits=1), "d2": text(30), "d9": text(40)}, "three")
    assert released(four) == {"d1": f"Jaccard 0.8361 with b22 of {folder}/two@1", "d2": f"equal to c2 of {folder}/three@1"}
    with pytest.raises(RunError, match=r"neither a folder with an index\.json nor a release"):
        night("five", THIRD, "nowhere")
