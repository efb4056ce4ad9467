"""Receipts and summaries are read as they were written, also those of older versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.pipelines.run import receipts
from tamis.pipelines.run.receipts import FOLDER, ClusterSize, PartSummary, RepeatedCount
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import File

SUMMARY = PartSummary(
    fingerprint="f",
    file=File("decisions/part-00000.parquet", 1, "s"),
    counts=[],
    real_tokens=1,
    repeated=RepeatedCount(1, 2),
    closest=None,
    histograms={},
    lengths={7: {-4: 2}},
    clusters=[ClusterSize(1, "a", 2)],
    renamed=0,
)


def test_a_summary_is_read_as_it_was_written_and_with_its_older_keys(tmp_path: Path) -> None:
    path = tmp_path / FOLDER / "part-00000.json"
    SUMMARY.write(str(path))
    assert receipts.summaries(str(tmp_path / FOLDER)) == [SUMMARY]
    path.write_text(path.read_text().replace("doc_ref", "ticket"))
    assert receipts.summaries(str(tmp_path / FOLDER)) == [SUMMARY]


def test_a_shard_with_a_torn_receipt_is_unfinished_and_a_torn_summary_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    for content in ("", '{"fingerprint": "f", "dest', "{}"):
        (folder / "shard-00000.json").write_text(content)
        (folder / "part-00000.json").write_text(content)
        assert receipts.shards(str(tmp_path / FOLDER)) == []
        with pytest.raises(RunError, match=r"part-00000\.json is damaged"):
            receipts.summaries(str(tmp_path / FOLDER))
