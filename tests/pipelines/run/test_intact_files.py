"""A file whose version is known is not read again; one that changed in any way is."""

from __future__ import annotations

import os

import pytest

from tamis.pipelines.run.intact_files import IntactFiles
from tamis.transforms import storage
from tamis.transforms.core.manifest import File


@pytest.fixture
def run(tmp_path):
    for path in ("rated/a.parquet", "releases/000001/data/b.parquet"):
        storage.write_bytes(str(tmp_path / path), path.encode() * 10)
    return tmp_path


def files(run):
    return [File.read(str(run), path) for path in ("rated/a.parquet", "releases/000001/data/b.parquet")]


def test_what_was_checked_is_not_read_again(run, monkeypatch):
    known = files(run)
    intact = IntactFiles(str(run), ("rated", "releases/000001"))
    assert all(file in intact for file in known)
    intact.save()
    storage.write_bytes(str(run / "rated/new.parquet"), b"new")
    parts = IntactFiles(str(run), ("rated",))
    assert known[0] in parts
    assert File.read(str(run), "rated/new.parquet") in parts
    parts.save()  # and forgets nothing of other folders
    monkeypatch.setattr(storage, "sha256", lambda uri: pytest.fail(f"read {uri}"))
    again = IntactFiles(str(run), ("rated", "releases/000001"))
    assert all(file in again for file in known)


@pytest.mark.parametrize("change", ["flip", "cut", "remove", "same size and time"])
def test_a_changed_file_is_not_intact(run, change):
    known = files(run)
    intact = IntactFiles(str(run), ("rated", "releases/000001"))
    assert all(file in intact for file in known)
    intact.save()
    path = run / "rated/a.parquet"
    content, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    if change == "remove":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if change == "cut" else b"x" + content[1:])
        if change == "same size and time":
            os.utime(path, ns=times)
    changed = IntactFiles(str(run), ("rated", "releases/000001"))
    assert known[0] not in changed
    assert known[1] in changed


def test_a_torn_record_of_what_was_checked_only_costs_time(run):
    known = files(run)
    intact = IntactFiles(str(run), ("rated", "releases/000001"))
    assert all(file in intact for file in known)
    intact.save()
    record = run / ".state/checked.parquet"
    record.write_bytes(record.read_bytes()[:-9])
    assert all(file in IntactFiles(str(run), ("rated", "releases/000001")) for file in known)
