"""A manifest that is sealed adds up, and one changed byte is named."""

from __future__ import annotations

import copy

import pytest

from tamis.transforms import storage
from tamis.transforms.core.manifest import read_manifest, write_manifest
from tamis.transforms.provenance import verify as module

BODY = {
    "inputs": [{"uri": "a", "documents": 5, "rejected": 1}],
    "counts": {
        "records": 6,
        "kept": 3,
        "dropped": 1,
        "review": 1,
        "rejected": 1,
        "tokens": {"in": 50, "kept": 30, "dropped": 10, "review": 10},
        "reasons": [{"decision": "drop", "reason": "r", "documents": 1}, {"decision": "review", "reason": "s", "documents": 1}],
        "sources": {"web": {"kept": 3, "dropped": 1, "review": 1}},
    },
    "curriculum": {"shards": [{"path": "data/p/shard-00000.parquet", "documents": 3, "tokens": 30}]},
}


def sealed(run, contents: dict[str, bytes]) -> dict:
    files = []
    for path, content in contents.items():
        uri = storage.join(str(run), path)
        storage.write_bytes(uri, content)
        files.append({"path": path, "bytes": len(content), "sha256": storage.sha256(uri)})
    manifest = module.seal(BODY, files)
    write_manifest(str(run), manifest)
    return manifest


CONTENTS = {
    "data/p/shard-00000.parquet": b"corpus",
    "rated/part-00000.parquet": b"rated",
    "decisions/part-00000.parquet": b"why",
}


def test_a_sound_run_verifies(tmp_path):
    manifest = sealed(tmp_path, CONTENTS)
    assert module.verify(str(tmp_path)) == []
    assert read_manifest(str(tmp_path)) == manifest


@pytest.mark.parametrize("path", CONTENTS)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_changed_file_is_named(tmp_path, path, damage):
    sealed(tmp_path, CONTENTS)
    file = tmp_path / path
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    {"flip": lambda: file.write_bytes(content), "cut": lambda: file.write_bytes(content[:-1]), "remove": file.unlink}[damage]()
    problems = module.verify(str(tmp_path))
    assert len(problems) == 1
    assert path in problems[0]


@pytest.mark.parametrize(("field", "change"), [("kept", 2), ("dropped", 2), ("records", 7), ("rejected", 0)])
def test_a_lost_document_is_never_sealed(field, change):
    body = copy.deepcopy(BODY)
    body["counts"][field] = change
    with pytest.raises(AssertionError, match="against"):
        module.seal(body, [])


def test_the_root_depends_on_every_name_and_byte_but_not_on_their_order():
    files = [{"path": f"f{i}", "sha256": f"{i:064x}"} for i in range(5)]
    root = module.merkle_root(files)
    assert module.merkle_root(files[::-1]) == root
    assert module.merkle_root(files[:4]) != root
    assert module.merkle_root([*files[:4], {"path": "f4", "sha256": f"{9:064x}"}]) != root
    assert module.merkle_root([*files[:4], {"path": "g4", "sha256": files[4]["sha256"]}]) != root


def test_an_unfinished_run_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a finished one"):
        module.verify(str(tmp_path))
