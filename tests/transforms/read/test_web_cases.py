"""Small web archives that once went wrong, where they lie beside the checkout: all are read right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tamis.transforms.read import inputs
from tamis.transforms.read.input_options import Input, Reject, Skipped, Split

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def cases() -> Path:
    folder = Path(__file__).resolve().parents[4] / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip("needs the cases in ../shared/cases")
    return folder


def read(path: Path, **options: object) -> tuple[list[dict], list[Reject], dict[str, int]]:
    split = Split(str(path), "warc", 0, -1, path.stat().st_size, "")
    rows, losses = [], []
    for batch, batch_losses in inputs.read(split, Input(paths=(str(path),), **options)):
        rows += batch.to_pylist()
        losses += batch_losses
    skipped = {loss.reason: loss.count for loss in losses if isinstance(loss, Skipped)}
    return rows, [loss for loss in losses if isinstance(loss, Reject)], skipped


@pytest.mark.parametrize("folder", ["01-charsets", "02-one-bad-byte", "03-http-headers"])
def test_texts_that_are_known(cases: Path, folder: str) -> None:
    rows, rejects, skipped = read(cases / folder / "in" / "a.warc")
    assert (rejects, skipped) == ([], {})
    texts = {row["url"]: row["text"] for row in rows}
    wrong = []
    for line in (cases / folder / "expected.jsonl").read_text().splitlines():
        case = json.loads(line)
        text = texts.get(case["url"], "")
        if text.strip() != case["text"] if "text" in case else case["text_contains"] not in text:
            wrong.append((case["url"], text))
    assert not wrong


def test_files_of_which_one_record_is_damaged(cases: Path) -> None:
    rows, rejects, _ = read(cases / "06-whole-file-lost" / "bad.warc.gz")
    sound, _, _ = read(cases / "06-whole-file-lost" / "good.warc.gz")
    assert len(rows) + sum(reject.records for reject in rejects) == 300
    assert len(rows) == 299
    assert len(sound) == 300


LOST = {  # the records of a file that are lost, of those that it has
    "garbage-between": ("abc", ""),
    "gz-bad-middle": ("ac", "b"),
    "gz-empty-member": ("ac", ""),
    "gz-garbage-member": ("acd", ""),
    "gz-len-huge": ("acd", "b"),
    "gz-len-long": ("acd", "b"),
    "gz-len-short": ("acd", "b"),
    "len-huge": ("acd", "b"),
    "len-long": ("acd", "b"),
    "len-short": ("ac", "b"),
    "dup-length-header": ("ab", ""),
    "folded": ("ab", ""),
    "lowercase-names": ("ab", ""),
    "text-with-warc-line": ("ab", ""),
}


def test_records_around_damage(cases: Path) -> None:
    for path in sorted((cases / "07-warc-records").iterdir()):
        name = path.name.split("-a.warc")[0]
        found, lost = LOST.get(name, ("abc", ""))
        rows, rejects, skipped = read(path)
        assert "".join(row["id"].removeprefix("urn:uuid:") for row in rows) == found, name
        assert (len(rejects), skipped) == (1 if lost or "garbage" in name else 0, {}), name


def test_heads_charsets_and_bodies(cases: Path) -> None:
    for folder in ("08-pages-charset", "09-http-heads", "10-bodies"):
        for path in sorted((cases / folder).iterdir()):
            rows, rejects, skipped = read(path, warc_records=["response", "resource"])
            assert (rejects, skipped) == ([], {}), path.name
            assert len(rows) == path.read_bytes().count(b"WARC/1.1\r\n"), path.name
            for row in rows:
                assert row["text"], path.name
                assert "\ufffd" not in row["text"], path.name
                assert json.loads(row["metadata"])["page"].get("cut", "chunked") == "chunked"


def test_dictionaries(cases: Path) -> None:
    plain = read(cases / "11-compression" / "nodict.warc.zst")
    assert len(plain[0]) == 8
    for name in ("dict-raw", "dict-compressed"):
        assert read(cases / "11-compression" / f"{name}.warc.zst") == plain
