"""A part is there when its receipt is, holds what was written, and finds any row again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tamis.transforms.core import parts as module
from tamis.transforms.core.documents import doc_refs, part_of, row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import Part, PartReceipt, PartWriter, SplitCounts


def batches(first: int, n: int) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    numbers = range(first, first + n)
    rated = pa.record_batch(
        {
            "id": [f"d{i}" for i in numbers],
            "text": pa.array([f"text {i} " * 50 for i in numbers], pa.large_string()),
            "source": ["s"] * n,
        }
    )
    return rated, pa.record_batch({"id": [f"d{i}" for i in numbers], "n": list(numbers)})


def _interrupted(part: Part) -> None:
    with PartWriter(part) as writer:
        writer.write(*batches(0, 3))
        raise OSError("disk full")


SPLIT = SplitCounts(
    fingerprint="f", uri="in.jsonl", format="jsonl", start=0, stop=9, size=9, stamp="s", documents=4, rejected=1, skipped=2
)
EMPTY = tuple(batch.schema for batch in batches(0, 1))


def write(part: Part, counts: list[int]) -> None:
    with PartWriter(part) as writer:
        first = 0
        for count in counts:
            writer.write(*batches(first, count))
            first += count
        writer.reject({"offset": 7, "error": "broken \ud800 record"})
        writer.skip("robots", 2)
        writer.finish(EMPTY, "fingerprint", [SPLIT], number=1, last=False)


def test_rows_are_found_again_across_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROW_GROUP_BYTES", 5_000)
    part = Part(str(tmp_path), "0f-0", 3)
    write(part, [10, 20, 5, 30])
    rows = np.array([0, 9, 10, 33, 34, 64])
    read = [
        (int(row), text)
        for where, batch in part.read(rows, ["text"])
        for row, text in zip(where, batch["text"].to_pylist(), strict=True)
    ]
    assert read == [(int(row), f"text {row} " * 50) for row in rows]
    assert part.sketch(["n"])["n"].to_pylist() == list(range(65))
    assert part.columns(["id"])["id"].to_pylist() == [f"d{i}" for i in range(65)]
    place = part.sketch([])["doc_ref"].to_numpy()
    assert (part_of(place) == 3).all()
    assert row_of(place).tolist() == list(range(65))


def test_the_receipt_counts_and_names_every_file(tmp_path):
    part = Part(str(tmp_path), "0f-0")
    write(part, [4])
    receipt = part.receipt()
    assert receipt is not None
    assert (receipt.documents, receipt.rejected, receipt.skipped, receipt.fingerprint) == (4, 1, {"robots": 2}, "fingerprint")
    assert (receipt.inputs, receipt.number, receipt.last) == ([SPLIT], 1, False)
    assert [file.path for file in receipt.files] == ["rated/0f-0.parquet", "sketches/0f-0.arrow", "rejects/0f-0.jsonl"]
    assert all((tmp_path / file.path).stat().st_size == file.bytes for file in receipt.files)


def test_the_receipt_of_an_early_version_is_read_as_that_of_one_split(tmp_path):
    split = {
        key: value for key, value in SPLIT.model_dump().items() if key in ("uri", "format", "start", "stop", "size", "stamp")
    }
    counts = {"documents": 4, "rejected": 1, "fingerprint": "f"}
    receipt = PartReceipt.model_validate({**counts, "input": split, "text_bytes": 7, "files": []})
    assert receipt.inputs == [SPLIT.model_copy(update={"skipped": 0})]
    assert (receipt.number, receipt.last, receipt.skipped) == (0, True, {})


def test_an_interrupted_part_leaves_nothing(tmp_path):
    part = Part(str(tmp_path), "0f-0")
    with pytest.raises(OSError, match="disk"):
        _interrupted(part)
    assert part.receipt() is None
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_part_without_documents_has_its_columns(tmp_path):
    part = Part(str(tmp_path), "0f-0")
    write(part, [])
    assert part.columns(["id", "text"]).num_rows == 0
    assert part.sketch(["n"]).num_rows == 0
    assert list(part.read(np.array([], np.int64), ["text"])) == []


def test_a_removed_part_is_gone(tmp_path):
    part = Part(str(tmp_path), "0f-0")
    write(part, [2])
    part.remove()
    assert part.receipt() is None
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_doc_refs_hold_part_and_row():
    assert doc_refs(70_000, 2, 5).tolist() == [(70_000 << 32) + 5, (70_000 << 32) + 6]


@pytest.mark.parametrize("place", [0.5, 0.9, 0.999])
def test_a_damaged_part_says_what_to_do(tmp_path, place):
    part = Part(str(tmp_path), "0f-0", 3)
    write(part, [200])
    path = tmp_path / "rated" / "0f-0.parquet"
    data = bytearray(path.read_bytes())
    middle = int(len(data) * place)
    data[middle : middle + 40] = bytes(byte ^ 0xFF for byte in data[middle : middle + 40])
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"0f-0.parquet is damaged .* remove .*0f-0.json"):
        part.columns(["id", "text"])
