"""Files of servers are read like files: whole, with a version, and an end that comes too soon is an error."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.transforms import storage
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read

pytest.importorskip("pyftpdlib", reason="an FTP server for tests")
pytest.importorskip("asyncssh", reason="an SFTP server for tests")
pytest.importorskip("paramiko", reason="smart-open reads SFTP with it")

FILES = {
    "a.jsonl": b'{"text": "one"}\n{"text": "two"}\n',
    "a.jsonl.gz": gzip.compress(b'{"text": "one"}\n{"text": "two"}\n'),
    "big.bin": os.urandom(3_000_000),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["one", "two"]}), sink)
    (folder / "a.parquet").write_bytes(sink.getvalue())
    return folder


def ftp_server(folder: Path) -> str:
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    class Handler(FTPHandler):
        authorizer = DummyAuthorizer()

    Handler.authorizer.add_anonymous(str(folder))
    Handler.authorizer.add_user("user", "p@ss", str(folder))
    server = ThreadedFTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"ftp://127.0.0.1:{server.address[1]}"


def sftp_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    import asyncssh

    ready: list[int] = []
    started = threading.Event()

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

    async def serve() -> None:
        server = await asyncssh.create_server(
            Server,
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda chan: asyncssh.SFTPServer(chan, chroot=str(folder)),
        )
        ready.append(server.sockets[0].getsockname()[1])
        started.set()
        await asyncio.Event().wait()

    threading.Thread(target=asyncio.run, args=(serve(),), daemon=True).start()
    assert started.wait(20)
    monkeypatch.setenv("HOME", str(folder))  # no keys and hosts of this machine
    return f"sftp://user:any@127.0.0.1:{ready[0]}"


class NameNode(BaseHTTPRequestHandler):
    folder: Path

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = self.folder / parts.path.removeprefix("/webhdfs/v1/")
        if not path.exists():
            self._answer(404, b"{}")
        elif parse_qs(parts.query)["op"] == ["GETFILESTATUS"]:
            status = {"length": path.stat().st_size, "modificationTime": path.stat().st_mtime_ns // 1_000_000}
            self._answer(200, json.dumps({"FileStatus": status}).encode())
        else:
            self._answer(200, path.read_bytes())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def webhdfs_server(folder: Path) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Node", (NameNode,), {"folder": folder}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"webhdfs://user@127.0.0.1:{server.server_address[1]}"


def hdfs_command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A command that answers as Hadoop's does."""
    script = tmp_path / "hdfs"
    script.write_text(
        "#!/bin/sh\n"
        f'for path; do :; done\nfile="{folder}${{path#hdfs://node}}"\n'
        '[ -e "$file" ] || { echo "stat: No such file or directory" >&2; exit 1; }\n'
        'if [ "$2" = -stat ]; then stat -c "%s %Y" "$file"; else cat "$file"; fi\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return "hdfs://node"


@pytest.fixture(params=["ftp", "ftp with a password", "sftp", "webhdfs", "hdfs"])
def server(request: pytest.FixtureRequest, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param.startswith("ftp"):
        uri = ftp_server(folder)
        yield uri.replace("://", "://user:p%40ss@") if "password" in request.param else uri
    elif request.param == "sftp":
        yield sftp_server(folder, monkeypatch)
    elif request.param == "webhdfs":
        yield webhdfs_server(folder)
    else:
        yield hdfs_command(folder, tmp_path, monkeypatch)


def test_the_bytes_and_the_size_are_those_of_the_file(server: str) -> None:
    for name, data in FILES.items():
        assert storage.read_bytes(f"{server}/{name}") == data
        entry = storage.entry(f"{server}/{name}")
        assert entry.size == len(data)
        assert str(len(data)) in entry.version
        assert storage.expand([f"{server}/{name}"]) == [entry]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_documents_are_read(server: str, name: str) -> None:
    options = Input(paths=(f"{server}/{name}",), split_bytes=4)
    texts = [text for split in plan(options)[0] for batch, _ in read(split, options) for text in batch["text"].to_pylist()]
    assert texts == ["one", "two"]


def test_what_is_missing_or_to_be_written_is_an_error_that_names_it(server: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.jsonl"):
        storage.entry(f"{server}/nothing.jsonl")
    with pytest.raises(FileNotFoundError, match=r"nothing\.jsonl"):
        storage.read_bytes(f"{server}/nothing.jsonl")
    with pytest.raises(PermissionError, match="is read only"):
        storage.write_bytes(f"{server}/new.jsonl", b"x")


def test_the_version_changes_with_the_file(server: str, folder: Path) -> None:
    before = storage.entry(f"{server}/a.jsonl").version
    os.utime(folder / "a.jsonl", (1_000_000_000, 1_000_000_000 + len(before)))
    after = storage.entry(f"{server}/a.jsonl").version
    os.utime(folder / "a.jsonl")
    assert before != after


def test_a_connection_that_breaks_off_is_an_error(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says a file is larger than what it sends."""
    server = hdfs_command(folder, tmp_path, monkeypatch)
    script = tmp_path / "hdfs"
    script.write_text(script.read_text().replace('cat "$file"', 'head -c 1000 "$file"'))
    with pytest.raises(OSError, match="broke off 2999000 bytes before the end"):
        storage.read_bytes(f"{server}/big.bin")


def test_a_host_that_is_not_there_is_an_error_that_names_it() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for scheme in ("ftp", "webhdfs"):
        with pytest.raises(OSError, match=rf"{scheme}://127\.0\.0\.1"):
            storage.entry(f"{scheme}://127.0.0.1:{port}/a.jsonl")
