"""The collected inputs that went wrong beside this checkout: what each must give."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from test_inputs import documents_of

from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import input_files

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="needs the cases in ../shared/cases")

FIELDS = {"nested-binary-text": {"text": "doc.t"}, "bin-meta-nested-text": {"text": ["text", "doc.text"]}}
REJECTED = {"bin-meta-nested-text": [1], "nested-binary-text": [1, 2], "nested-string-bad-utf8": [1], "url-binary-bad": [0]}
"""The rows that are rejected; of all other files every row is a document."""
IDS = {
    "id-binary": ["a", "62ff", "c"],
    "id-decimal": ["1", "2", None],
    "id-double": ["1", "2", None],
    "id-fixed16": ["0" * 32, "31" * 16, "32" * 16],
    "uuid": [f"{'0' * 8}-0000-0000-0000-{'0' * 12}", "31313131-3131-3131-3131-313131313131", None],
    "dup-id": ["p", "q", "r"],
}


def files(folder: str, suffix: str = "*.parquet") -> list[Path]:
    return sorted((CASES / folder).rglob(suffix))


@pytest.mark.parametrize("path", files("04-parquet-values"), ids=lambda path: path.stem)
def test_parquet_values(path):
    rows, rejects = documents_of([path], fields=FIELDS.get(path.stem, {}))
    assert [reject.offset for reject in rejects] == REJECTED.get(path.stem, [])
    assert len(rows) == 3 - len(rejects)
    assert all(row["metadata"] is None or json.loads(row["metadata"]) for row in rows)
    for row, expected in zip(rows, IDS.get(path.stem, []), strict=False):
        assert row["id"] == expected if expected is not None else len(row["id"]) in (32, 36)


@pytest.mark.parametrize("path", files("05-nested-utf8"), ids=lambda path: path.stem)
def test_one_bad_nested_string_costs_its_row(path):
    rows, rejects = documents_of([path])
    assert (len(rows), [reject.records for reject in rejects]) == (999, [1])


@pytest.mark.parametrize(
    ("folder", "documents", "lost", "estimated"),
    [("one-shard-misnamed", 1000, 200, False), ("damaged-row-group", 750, 250, False), ("cut-gzip", 1813, 1487, True)],
)
def test_a_loss_counts_as_what_it_was(folder, documents, lost, estimated):
    rows, rejects = documents_of([CASES / "06-whole-file-lost" / folder])
    assert len(rows) == documents
    records = sum(reject.records for reject in rejects)
    assert records == pytest.approx(lost, rel=0.1 if estimated else 0)
    assert any(reject.estimated for reject in rejects) is estimated


@pytest.mark.parametrize("name", ["flip.jsonl.gz", "flip.jsonl.zst"])
def test_what_a_wrong_checksum_covers_is_rejected(name):
    rows, (reject,) = documents_of([CASES / "11-compression" / name])
    assert (rows, reject.records) == ([], 5)
    assert "wrong checksum" in reject.error


@pytest.mark.parametrize("name", ["dict-raw", "dict-compressed"])
def test_dictionaries_of_zstd(name):
    (plain, _), (packed, rejects) = (documents_of([CASES / "11-compression" / f"{file}.warc.zst"]) for file in ("nodict", name))
    assert len(packed) == 8
    assert [row["text"] for row in packed] == [row["text"] for row in plain]
    assert not rejects


def test_every_file_of_a_folder_is_read_or_named():
    chosen, unread = input_files(Input(paths=(str(CASES / "12-folder"),)))
    names = {Path(entry.uri).name: kind for entry, kind in chosen}
    assert names == {
        "a.jsonl.gz": "jsonl",
        "b.jsonl.xz": "jsonl",
        "d.md": "text",
        "e.parq": "parquet",
        "f.jsonl.lz4": "jsonl",
        "part-00000": "jsonl",
    }
    assert [(Path(file.uri).name, file.reason) for file in unread] == [("_c.jsonl", "its name begins with '_'")]
    rows, rejects = documents_of([CASES / "12-folder"])
    assert len(rows) == 4
    assert sorted(Path(reject.uri).name for reject in rejects) == ["e.parq", "f.jsonl.lz4"]


def test_blank_lines_take_no_time():
    start = time.process_time()
    rows, rejects = documents_of([CASES / "13-blank-lines" / "blank.jsonl"])
    assert (len(rows), rejects) == (9362, [])
    assert time.process_time() - start < 2
