"""The chain of releases: each names its parent, the files added and removed add up to the input, and changes are detected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tamis.transforms.core.manifest import MANIFEST, read_manifest
from tamis.transforms.provenance import release_chain
from tamis.transforms.provenance.release_chain import Release


def finish(run: Path, number: int, *inputs: tuple[str, str]) -> dict[str, Any]:
    """Leaves the manifest of a release of these inputs, and its record."""
    manifest = {
        **dict.fromkeys(("root", "corpus_root"), f"{number:064x}"),
        "fingerprint": f"{number:04x}",
        "environment": {"finished": f"2026-01-{number:02d}T02:30:00Z"},
        "counts": {"records": 10 * number, "kept": number},
        "inputs": [{"uri": uri, "stamp": stamp} for uri, stamp in inputs],
    }
    run.mkdir(exist_ok=True)
    (run / MANIFEST).write_text(json.dumps(manifest))
    release_chain.record(str(run))
    return manifest


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three nights: a file, another one, the first replaced and the second gone."""
    run = tmp_path / "run"
    finish(run, 1, ("a", "1"))
    finish(run, 2, ("a", "1"), ("b", "1"), ("b", "1"))  # two splits of b
    finish(run, 3, ("a", "2"))
    return run


def problems(run: Path) -> list[str]:
    return release_chain.problems(str(run), read_manifest(str(run)))


def test_a_record_says_what_came_and_went(run: Path) -> None:
    assert not problems(run)
    records = [json.loads(path.read_text()) for path in sorted((run / "releases").iterdir())]
    assert [(entry["release"], entry["added"], entry["removed"]) for entry in records] == [
        (1, [["a", "1"]], []),
        (2, [["b", "1"]], []),
        (3, [["a", "2"]], [["a", "1"], ["b", "1"]]),
    ]
    assert records[0]["parent"] is None
    assert release_chain.latest(str(run)) == Release.model_validate(records[2])


def test_the_same_release_is_recorded_once_and_none_without_a_manifest(run: Path, tmp_path: Path) -> None:
    release_chain.record(str(run))
    assert len(list((run / "releases").iterdir())) == 3
    release_chain.record(str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()
    assert release_chain.latest(str(tmp_path / "nowhere")) is None


def test_a_run_from_before_there_were_records_is_sound(run: Path) -> None:
    for path in (run / "releases").iterdir():
        path.unlink()
    assert not problems(run)


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (1, {"kept": 7}, "000002.json: names another parent"),
        (2, {"added": []}, "000003.json: names another parent"),
        (3, {"parent": None}, "000003.json: names another parent"),
        (3, {"root": "00"}, "the last release is not that of manifest.json"),
        (3, {"added": [["c", "1"]]}, "the files added and removed do not add up"),
        (3, {"removed": [["z", "1"]]}, "removes files that were not"),
        (2, {"added": [["a", "1"]]}, "adds files that were there"),
        (3, {"release": 4}, "is not release 3"),
    ],
)
def test_a_changed_record_is_named(run: Path, number: int, change: dict[str, Any], message: str) -> None:
    path = run / "releases" / f"{number:06d}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change, indent=1, ensure_ascii=False))
    assert any(message in problem for problem in problems(run)), problems(run)


def test_a_missing_record_is_named(run: Path) -> None:
    (run / "releases" / "000002.json").unlink()
    assert problems(run) == ["releases/000003.json: is not release 2; the one before it is missing"]


def test_a_release_that_was_not_recorded_is_named_and_recorded_later(run: Path) -> None:
    (run / "releases" / "000003.json").unlink()
    assert problems(run) == ["releases: the last release is not that of manifest.json; run the same command again to record it"]
    release_chain.record(str(run))
    assert not problems(run)
