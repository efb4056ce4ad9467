"""Files are listed once and in order, appear only when complete, and a store works like a disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.transforms import storage
from tamis.transforms.storage import connection
from tamis.transforms.storage.object_store import RangedStore

OBJECTS: dict[str, bytes] = {}


class MemoryStore(RangedStore):
    """An object store in a dict."""

    def entry(self, uri):
        return storage.Entry(uri, len(OBJECTS[uri]), f"0-{hashlib.md5(OBJECTS[uri]).hexdigest()}") if uri in OBJECTS else None

    def entries(self, prefix):
        return [self.entry(uri) for uri in sorted(OBJECTS) if uri.startswith(prefix)]

    def children(self, folder):
        return sorted({uri.removeprefix(folder).split("/")[0] for uri in OBJECTS if uri.startswith(folder)})

    def read(self, entry, start, stop):
        assert entry == self.entry(entry.uri)
        return OBJECTS[entry.uri][start:stop]

    def put(self, uri, file, size):
        OBJECTS[uri] = file.read()
        assert len(OBJECTS[uri]) == size

    def swap(self, uri, data, version):
        entry = self.entry(uri)
        if (entry and entry.version) != version:
            return False
        OBJECTS[uri] = data
        return True

    def delete(self, uris):
        for uri in uris:
            OBJECTS.pop(uri, None)


@pytest.fixture(params=["disk", "store"])
def base(request, tmp_path, monkeypatch):
    """The same folder tree on disk and on a store."""
    if request.param == "disk":
        return str(tmp_path)
    OBJECTS.clear()
    monkeypatch.setitem(connection.STORES, "mem", MemoryStore)
    return "mem://bucket/run"


def write_files(base, *names):
    for name in names:
        storage.write_bytes(storage.join(base, *name.split("/")), name.encode())


def find(base, *patterns):
    entries = storage.expand([storage.join(base, *pattern.split("/")) for pattern in patterns])
    return [entry.uri.removeprefix(base).lstrip("/") for entry in entries]


def test_a_folder_is_searched_recursively_for_data_without_hidden_files(base):
    write_files(
        base, "b/2.jsonl.zst", "a.parquet", "b/1.jsonl", "README.md", "_tmp/x.jsonl", ".hid/y.jsonl", "_SUCCESS", ".z.jsonl"
    )
    assert find(base, "") == ["a.parquet", "b/1.jsonl", "b/2.jsonl.zst"]
    assert find(base, "b") == ["b/1.jsonl", "b/2.jsonl.zst"]


def test_a_link_to_a_parent_is_not_followed(tmp_path):
    write_files(str(tmp_path), "in/a/1.jsonl", "other/2.jsonl")
    (tmp_path / "in/a/back").symlink_to("..")
    (tmp_path / "in/link").symlink_to(tmp_path / "other")
    (tmp_path / "other/link").symlink_to(tmp_path / "in")
    assert find(str(tmp_path), "in") == ["in/a/1.jsonl", "in/link/2.jsonl"]


def test_globs(base):
    write_files(base, "a/1.jsonl", "a/b/2.jsonl", "a/b/c/3.txt", "4.jsonl")
    assert find(base, "*.jsonl") == ["4.jsonl"]
    assert find(base, "**/*.jsonl") == ["4.jsonl", "a/1.jsonl", "a/b/2.jsonl"]
    assert find(base, "a/**/[0-3].*") == ["a/1.jsonl", "a/b/2.jsonl", "a/b/c/3.txt"]
    assert find(base, "a/[!0]?jsonl") == ["a/1.jsonl"]


def test_each_file_once_and_sorted(base):
    write_files(base, "b.txt", "a.txt")
    assert find(base, "b.txt", "*.txt", "a.txt", "") == ["a.txt", "b.txt"]


def test_a_name_with_brackets_is_a_name(base):
    write_files(base, "part[1].txt")
    assert find(base, "part[1].txt") == ["part[1].txt"]


def test_list_file(base):
    write_files(base, "in/a.txt", "in/b.txt", "c.txt")
    storage.write_bytes(storage.join(base, "list"), f"# ours\nin/*.txt\n\n{storage.join(base, 'c.txt')}\n".encode())
    entries = storage.expand(["@" + storage.join(base, "list")])
    assert [entry.uri.removeprefix(base) for entry in entries] == ["/c.txt", "/in/a.txt", "/in/b.txt"]


@pytest.mark.parametrize("pattern", ["nothing.jsonl", "nothing*", "docs"])
def test_a_pattern_without_matches_is_an_error_that_names_it(base, pattern):
    write_files(base, "docs/readme.md")
    with pytest.raises(FileNotFoundError, match=pattern.replace("*", r"\*")):
        find(base, pattern)


def test_empty_folder_and_empty_list(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list").write_text("# nothing\n")
    with pytest.raises(FileNotFoundError, match="empty"):
        storage.expand([str(tmp_path / "empty")])
    with pytest.raises(FileNotFoundError, match="list"):
        storage.expand([f"@{tmp_path / 'list'}"])


def test_an_unknown_scheme_is_an_error_that_names_it():
    with pytest.raises(ValueError, match="gopher://"):
        storage.expand(["gopher://host/x"])


def test_the_version_changes_with_the_bytes(base):
    uri = storage.join(base, "x.txt")
    storage.write_bytes(uri, b"one")
    first = storage.entry(uri)
    assert first == storage.entry(uri) == storage.expand([uri])[0]
    storage.write_bytes(uri, b"two")
    second = storage.entry(uri)
    assert (second.size, second.version != first.version) == (3, True)


def test_commit_gives_size_and_checksum(base):
    uri = storage.join(base, "deep", "x.bin")
    with storage.commit(uri) as sink:
        sink.write(b"abc")
        sink.write(memoryview(b"def"))
        assert not storage.exists(uri)
    assert storage.read_bytes(uri) == b"abcdef"
    assert sink.size == 6
    assert sink.sha256 == hashlib.sha256(b"abcdef").hexdigest() == storage.sha256(uri)


def test_no_file_appears_after_an_error(base):
    uri = storage.join(base, "x.bin")
    storage.write_bytes(uri, b"before")

    def fail():
        with storage.commit(uri) as sink:
            sink.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert storage.read_bytes(uri) == b"before"
    assert storage.names(base) == ["x.bin"]
    assert not storage.sweep(base)


def test_two_names_of_a_file_do_not_share_what_is_written_later(base):
    one, other = storage.join(base, "one.bin"), storage.join(base, "deep", "other.bin")
    storage.write_bytes(one, b"abc")
    storage.duplicate(one, other)
    assert storage.read_bytes(other) == b"abc"
    if (path := storage.local_path(one)) is not None:
        assert os.path.samefile(path, storage.local_path(other))
    storage.write_bytes(one, b"changed")
    assert storage.read_bytes(other) == b"abc"


def test_parquet_can_be_written_to_a_commit(base):
    uri = storage.join(base, "t.parquet")
    table = pa.table({"x": range(1000)})
    with storage.commit(uri) as sink:
        pq.write_table(table, sink)
    with storage.open_binary(uri) as file:
        assert pq.read_table(file).equals(table)
    assert sink.size == storage.entry(uri).size


def test_names_and_removal(base):
    assert storage.names(storage.join(base, "none")) == []
    write_files(base, "d/b.txt", "d/a.txt", "d/e/c.txt")
    folder = storage.join(base, "d")
    assert storage.names(folder) == ["a.txt", "b.txt", "e"]
    storage.remove(storage.join(folder, "a.txt"))
    storage.remove(storage.join(folder, "a.txt"))
    assert not storage.exists(storage.join(folder, "a.txt"))
    storage.remove_tree(folder)
    storage.remove_tree(folder)
    assert storage.names(folder) == []


def test_the_file_of_a_killed_writer_is_never_listed(tmp_path):
    code = (
        "import os, signal, sys; from tamis.transforms import storage\n"
        "with storage.commit(sys.argv[1]) as sink:\n"
        "    sink.write(b'x' * 10_000_000); os.kill(os.getpid(), signal.SIGKILL)"
    )
    target = tmp_path / "part-00000.parquet"
    killed = subprocess.run([sys.executable, "-c", code, str(target)], cwd=Path(__file__).parents[3], check=False)
    assert killed.returncode == -9
    assert len(os.listdir(tmp_path)) == 1
    assert storage.names(str(tmp_path)) == []
    assert len(storage.sweep(str(tmp_path))) == 1
    assert os.listdir(tmp_path) == []


def test_an_unwritable_path_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"), storage.commit(str(tmp_path / "file" / "x")):
        pass


def test_suffixes():
    assert storage.suffixes("s3://b/k.d/Part.JSONL.gz") == [".jsonl", ".gz"]
    assert storage.suffixes("https://h/a.txt?x=1.gz") == [".txt"]
