"""The chain of releases: each record names its parent and its manifest, and changes are detected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tamis.transforms.core.release import from_manifest, open_release
from tamis.transforms.provenance import release_chain
from tamis.transforms.provenance.release_chain import ReleaseRecord


def finish(run: Path, number: int, *inputs: tuple[str, str]) -> None:
    """Leaves the manifest of a release of these inputs, and its record."""
    manifest: dict[str, Any] = {
        "release": number,
        **dict.fromkeys(("release_root", "corpus_root"), f"{number:064x}"),
        "fingerprint": f"{number:04x}",
        "recipe": {},
        "files": [{"path": "f", "bytes": 7, "sha256": "00"}],
        "environment": {"finished": f"2026-01-{number:02d}T02:30:00Z"},
        "counts": {"records": 10 * number, "kept": number, "tokens": {"kept": 9 * number}, "reasons": [], "rejected": 0},
        "inputs": [{"uri": uri, "stamp": stamp} for uri, stamp in inputs],
    }
    content = json.dumps(manifest).encode()
    folder = run / "releases" / f"{number:06d}"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(content)
    release_chain.record(from_manifest(str(run), number, content, "manifest.json"), content)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three nights: a file, another one, the first replaced and the second gone."""
    run = tmp_path / "run"
    finish(run, 1, ("a", "1"))
    finish(run, 2, ("a", "1"), ("b", "1"), ("b", "1"))  # two splits of b
    finish(run, 3, ("a", "2"))
    return run


def named(run: Path) -> list[str]:
    return [path for path, _ in release_chain.problems(str(run))]


def record(run: Path, number: int) -> Path:
    return run / "releases" / f"{number:06d}.json"


def test_a_record_says_what_came_and_went(run: Path) -> None:
    assert not named(run)
    records = [json.loads(record(run, number).read_text()) for number in (1, 2, 3)]
    assert [(entry["release"], entry["before"], entry["added"], entry["removed"]) for entry in records] == [
        (1, 0, [["a", "1"]], []),
        (2, 1, [["b", "1"]], []),
        (3, 2, [["a", "2"]], [["a", "1"], ["b", "1"]]),
    ]
    assert records[0]["parent"] is None
    assert release_chain.latest(str(run)) == ReleaseRecord.model_validate(records[2])
    before = release_chain.before(open_release(f"{run}@3"))
    assert before is not None
    assert before.release == 2


def test_a_run_without_releases_has_none(tmp_path: Path) -> None:
    assert release_chain.latest(str(tmp_path / "nowhere")) is None
    assert not named(tmp_path / "nowhere")


def test_numbers_may_be_skipped(run: Path) -> None:
    finish(run, 5, ("a", "2"))
    assert not named(run)


@pytest.mark.parametrize(
    ("number", "change", "wrong"),
    [(1, {"kept": 7}, 1), (2, {"added": []}, 2), (2, {"parent": None}, 1), (3, {"added": [["c", "1"], ["a", "1"]]}, 3)],
)
def test_a_changed_record_is_named(run: Path, number: int, change: dict[str, Any], wrong: int) -> None:
    path = record(run, number)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert f"releases/{wrong:06d}.json" in named(run) or f"releases/{number:06d}.json" in named(run)


@pytest.mark.parametrize("change", [{"kept": 7}, {"manifest": "00"}, {"removed": []}, {"corpus_root": "00"}])
def test_a_record_that_does_not_describe_its_release_is_told_from_one_that_does(run: Path, change: dict[str, Any]) -> None:
    release, content = open_release(f"{run}@3"), (run / "releases/000003/manifest.json").read_bytes()
    good = ReleaseRecord.read(str(record(run, 3)))
    assert good is not None
    assert release_chain.is_record_of(good, release, content)
    assert not release_chain.is_record_of(good.model_copy(update=change), release, content)


@pytest.mark.parametrize("number", [1, 2])
def test_a_missing_record_is_named(run: Path, number: int) -> None:
    record(run, number).unlink()
    assert named(run) == [f"releases/{number:06d}.json"]


def test_a_record_that_was_lost_is_made_again_with_the_same_bytes(run: Path) -> None:
    content = record(run, 3).read_bytes()
    record(run, 3).unlink()
    manifest = (run / "releases/000003/manifest.json").read_bytes()
    release_chain.record(from_manifest(str(run), 3, manifest, "manifest.json"), manifest)
    assert record(run, 3).read_bytes() == content
