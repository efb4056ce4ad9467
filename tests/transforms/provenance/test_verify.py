"""A manifest that is sealed adds up, and one changed byte is named."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tamis.transforms import storage
from tamis.transforms.core.manifest import File
from tamis.transforms.core.release import from_manifest, open_release
from tamis.transforms.provenance import release_chain
from tamis.transforms.provenance import verify as module

BODY: dict[str, Any] = {
    "release": 1,
    "recipe": {},
    "fingerprint": "f",
    "environment": {},
    "inputs": [{"uri": "a", "stamp": "1", "documents": 5, "rejected": 1, "skipped": 2}],
    "counts": {
        "records": 8,
        "kept": 3,
        "dropped": 1,
        "review": 1,
        "rejected": 1,
        "skipped": 2,
        "skipped_reasons": {"status 404": 2},
        "tokens": {"in": 50, "kept": 30, "dropped": 10, "review": 10},
        "reasons": [{"decision": "drop", "reason": "r", "documents": 1}, {"decision": "review", "reason": "s", "documents": 1}],
        "sources": {"web": {"kept": 3, "dropped": 1, "review": 1}},
    },
    "curriculum": {"shards": [{"path": "releases/000001/data/p/shard-00000.parquet", "documents": 3, "tokens": 30}]},
}

CONTENTS = {
    "releases/000001/data/p/shard-00000.parquet": b"corpus",
    "releases/000001/decisions/part-00000.parquet": b"why",
    "rated/0123456789abcdef-0.parquet": b"rated",
}


@pytest.fixture
def run(tmp_path) -> str:
    """A release of these files, as a run leaves it."""
    run = str(tmp_path / "run")
    for path, content in CONTENTS.items():
        storage.write_bytes(storage.join(run, path), content)
    manifest = module.seal(BODY, [File.read(run, path) for path in CONTENTS])
    content = json.dumps(manifest).encode()
    for path in ("manifest.json", "releases/000001/manifest.json"):
        storage.write_bytes(storage.join(run, path), content)
    release_chain.record(from_manifest(run, 1, content, "manifest.json"), content)
    return run


def named(run: str) -> list[str]:
    return [problem.path for problem in module.verify(run)]


def test_a_sound_run_verifies(run):
    assert named(run) == named(f"{run}@1") == []
    assert open_release(run).manifest == open_release(f"{run}@1").manifest


@pytest.mark.parametrize("path", [*CONTENTS, "manifest.json", "releases/000001/manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_changed_file_is_named_with_a_cure(run, path, damage):
    uri = storage.join(run, path)
    content = bytearray(storage.read_bytes(uri))
    if damage == "remove":
        storage.remove(uri)
    else:
        content[0] ^= 1
        storage.write_bytes(uri, bytes(content) if damage == "flip" else bytes(content[:-1]))
    problems = module.verify(run)
    assert path in [problem.path for problem in problems]
    assert all(problem.cure for problem in problems)


@pytest.mark.parametrize("path", ["manifest.json", "releases/000001/manifest.json", "releases/000001.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"files": 1, "counts": 2, "recipe": 3, "fingerprint": 4}'])
def test_what_is_no_manifest_and_no_record_is_named(run, path, content):
    storage.write_bytes(storage.join(run, path), content)
    assert path in named(run)


@pytest.mark.parametrize("changed", [{"release": None}, {"release": "1"}, {"release": None, "root": "ab"}])
def test_a_manifest_that_passes_for_one_of_an_early_version_is_named(run, changed):
    manifest = json.loads(storage.read_bytes(storage.join(run, "manifest.json"))) | changed
    storage.write_bytes(storage.join(run, "manifest.json"), json.dumps(manifest).encode())
    assert "manifest.json" in named(run)


@pytest.mark.parametrize(
    "path", ["stray.txt", "data/x.parquet", "releases/000001/data/p/x.parquet", "rated/x.parquet", "releases/x"]
)
def test_a_foreign_file_is_named(run, path):
    storage.write_bytes(storage.join(run, path), b"foreign")
    assert any(path.startswith(name) for name in named(run))


@pytest.mark.parametrize(("field", "change"), [("kept", 2), ("dropped", 2), ("records", 7), ("rejected", 0), ("skipped", 1)])
def test_a_lost_document_is_never_sealed(field, change):
    body = copy.deepcopy(BODY)
    body["counts"][field] = change
    with pytest.raises(AssertionError, match="against"):
        module.seal(body, [])


def test_the_corpus_root_depends_on_data_alone_and_not_on_the_number_of_the_release():
    files = [File(path, 1, f"{index:064x}") for index, path in enumerate(CONTENTS)]
    root = module.seal(BODY, files)["corpus_root"]
    later = [File(file.path.replace("000001", "000042"), file.bytes, file.sha256) for file in files]
    assert module.seal(BODY, later)["corpus_root"] == root
    assert module.seal(BODY, later)["release_root"] != module.seal(BODY, files)["release_root"]
    other = [files[0], *(File(file.path, 1, "ff" * 32) for file in files[1:])]
    assert module.seal(BODY, other)["corpus_root"] == root


def test_the_root_depends_on_every_name_and_byte_but_not_on_their_order():
    files: list[Any] = [{"path": f"f{i}", "sha256": f"{i:064x}"} for i in range(5)]
    root = module.merkle_root(files)
    assert module.merkle_root(files[::-1]) == root
    assert module.merkle_root(files[:4]) != root
    assert module.merkle_root([*files[:4], {"path": "f4", "sha256": f"{9:064x}"}]) != root
    assert module.merkle_root([*files[:4], {"path": "g4", "sha256": files[4]["sha256"]}]) != root


def test_a_release_that_is_not_there_says_so(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="has no release yet"):
        module.verify(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="has no release 3; it has 1"):
        module.verify(f"{run}@3")
