"""`storage` keeps its promises on real S3, GCS and Azure servers, also when requests fail."""

from __future__ import annotations

import hashlib
import io
import logging
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.storage import connection, retry, s3
from tests.stores.faulty import KINDS, Faults, proxy
from tests.stores.servers import KEY, SECRET

every_store = pytest.mark.parametrize("folder", ["seaweed", "moto", "gcs", "azure"], indirect=True)
on_s3 = pytest.mark.parametrize("folder", ["seaweed", "moto"], indirect=True)


def noise(size: int) -> bytes:
    return b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(size // 32 + 1))[:size]


@every_store
def test_written_read_listed_removed(folder):
    data = noise(100_000)
    for name in ("a.jsonl", "d/b.jsonl", "d/e/c.txt", "d.x"):
        storage.write_bytes(f"{folder}/{name}", data)
    assert storage.names(folder) == ["a.jsonl", "d", "d.x"]
    data_files = [f"{folder}/{name}" for name in ("a.jsonl", "d/b.jsonl", "d/e/c.txt")]
    assert [entry.uri for entry in storage.expand([folder])] == data_files
    assert [entry.uri for entry in storage.expand([f"{folder}/**/*.txt"])] == [f"{folder}/d/e/c.txt"]
    entry = storage.entry(f"{folder}/a.jsonl")
    assert (entry.size, entry) == (100_000, storage.expand([f"{folder}/a.jsonl"])[0])
    assert storage.read_bytes(f"{folder}/a.jsonl") == data
    assert storage.sha256(f"{folder}/a.jsonl") == hashlib.sha256(data).hexdigest()
    assert not storage.exists(f"{folder}/a")
    assert not storage.exists(f"{folder}/d")
    storage.remove_tree(f"{folder}/d")
    storage.remove(f"{folder}/nothing")
    assert {"a.jsonl", "d.x"} <= set(storage.names(folder)) <= {"a.jsonl", "d", "d.x"}  # SeaweedFS keeps the empty folder
    assert not storage.files(f"{folder}/d")
    storage.write_bytes(f"{folder}/a.jsonl", b"")
    assert storage.read_bytes(f"{folder}/a.jsonl") == b""
    with pytest.raises(FileNotFoundError, match=r"gone\.txt"):
        storage.read_bytes(f"{folder}/gone.txt")
    with pytest.raises(FileNotFoundError, match="nothing"):
        storage.expand([f"{folder}/nothing*"])


@every_store
def test_ranges(folder):
    data = noise(10_000_000)
    storage.write_bytes(f"{folder}/x", data)
    with storage.open_binary(f"{folder}/x") as file:
        for offset, size in ((0, 10), (9_999_990, 100), (5_000_000, 4_500_000), (4_194_300, 10), (10_000_000, 5), (3, 0)):
            file.seek(offset)
            assert file.read(size) == data[offset : offset + size]
        file.seek(-7, io.SEEK_END)
        assert file.read() == data[-7:]
    table = pa.table({"x": range(100_000)})
    with storage.commit(f"{folder}/t.parquet") as sink:
        pq.write_table(table, sink, row_group_size=10_000)
    with storage.open_binary(f"{folder}/t.parquet") as file:
        assert pq.ParquetFile(file).read_row_group(3).equals(table.slice(30_000, 10_000))


@every_store
def test_nothing_is_visible_before_it_is_complete(folder):
    uri = f"{folder}/x"
    storage.write_bytes(uri, b"before")
    with storage.commit(uri) as sink:
        sink.write(noise(1_000_000))
        assert storage.read_bytes(uri) == b"before"
    assert storage.entry(uri).size == 1_000_000

    def fail():
        with storage.commit(uri) as sink:
            sink.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert storage.entry(uri).size == 1_000_000


@pytest.mark.slow
@every_store
def test_more_keys_than_one_page_lists(folder):
    names = [f"{number:04d}.txt" for number in range(1100)]

    def write(part):
        for name in part:
            storage.write_bytes(f"{folder}/{name}", b"x")

    threads = [threading.Thread(target=write, args=(names[k::8],)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.names(folder) == names
    assert len(storage.expand([f"{folder}/*.txt"])) == 1100
    storage.remove_tree(folder)
    assert storage.names(folder) == []


@every_store
def test_of_concurrent_swaps_one_succeeds(folder):
    uri = f"{folder}/lease"
    storage.exists(uri)  # makes the client before the threads start
    versions: list[str | None] = []
    threads = [threading.Thread(target=lambda n=n: versions.append(storage.swap(uri, b"%d" % n, None))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (first,) = [version for version in versions if version]
    assert storage.swap(uri, b"other", None) is None
    second = storage.swap(uri, b"next", first)
    assert second
    assert storage.swap(uri, b"late", first) is None
    assert storage.read_bytes(uri) == b"next"
    storage.remove(uri)
    assert storage.swap(uri, b"back", second) is None


@every_store
def test_replacing_an_object_while_it_is_read_is_an_error_of_the_reader(folder):
    uri = f"{folder}/x"
    storage.write_bytes(uri, noise(9_000_000))
    with storage.open_binary(uri) as file:
        file.read(10)
        storage.write_bytes(uri, bytes(9_000_000))
        file.seek(8_000_000)
        with pytest.raises(OSError, match=uri):
            file.read(10)


@on_s3
def test_multipart(folder, monkeypatch):
    monkeypatch.setattr(s3, "PART", 5 << 20)
    data = noise(12 << 20)
    storage.write_bytes(f"{folder}/x", data)
    assert storage.entry(f"{folder}/x").version.endswith("-3")
    assert storage.read_bytes(f"{folder}/x") == data
    client = connection.connect(folder).client
    real = client.upload_part
    monkeypatch.setattr(client, "upload_part", lambda **part: real(**part) if part["PartNumber"] < 3 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        storage.write_bytes(f"{folder}/y", data)
    assert not storage.exists(f"{folder}/y")
    assert not client.list_multipart_uploads(Bucket="bucket").get("Uploads")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["seaweed", "gcs", "azure"])
def test_every_fault_is_survived(servers, connect, monkeypatch, name, kind):
    monkeypatch.setattr(s3, "PART", 5 << 20)
    server, faults = servers(name), Faults(0.25, seed=3, kinds=(kind,), stall=2.5)
    data = noise(11 << 20)
    with proxy(server.port, faults) as port:
        folder = f"{connect(server.through(port))}/{kind}"
        for number in range(4):
            storage.write_bytes(f"{folder}/{number}", b"%d" % number)
        storage.write_bytes(f"{folder}/large", data)
        assert storage.names(folder) == ["0", "1", "2", "3", "large"]
        assert storage.read_bytes(f"{folder}/large") == data
        version = storage.swap(f"{folder}/lease", b"mine", None)
        assert version
        assert storage.swap(f"{folder}/lease", b"mine too", version)
        storage.remove_tree(folder)
        assert storage.names(folder) == []
    assert faults.counts[kind] > 1


def test_a_store_that_stays_down_is_an_error_with_advice(servers, connect, monkeypatch):
    monkeypatch.setattr(retry, "ATTEMPTS", 2)
    server = servers("seaweed")
    with proxy(server.port, Faults(1.0, kinds=("503",))) as port:
        uri = f"{connect(server.through(port))}/x"
        with pytest.raises(OSError, match=r"\[Errno 5\].*s3://bucket/x.*503") as error:
            storage.write_bytes(uri, b"x")
    run_error = RunError.from_traceback(f"OSError: {error.value} [while running 'Rate']")
    assert run_error is not None
    assert "Once that is fixed, run the same command again: it continues where it stopped" in str(run_error)


def test_wrong_credentials_are_an_error_without_them(servers, connect, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    uri = f"{connect(servers('seaweed'))}/x"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-of-a-person")
    with pytest.raises(OSError, match=r"\[Errno 13\].*s3://bucket/x") as error:
        storage.write_bytes(uri, b"x")
    printed = f"{error.value} {caplog.text}"
    assert "wrong-secret-of-a-person" not in printed
    assert SECRET not in printed
    assert KEY not in printed
