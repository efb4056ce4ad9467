"""Datasets of the Hugging Face Hub are listed and read; what a person can mend is said. The Hub is a server on the loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import constants

from tamis.transforms import storage
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read
from tamis.transforms.storage import connection

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"# A dataset",
    "data/train-0.jsonl": b'{"text": "one"}\n{"text": "two"}\n',
    "data/train-1.jsonl": b'{"text": "three"}\n',
    "data/test.jsonl": b'{"text": "four"}\n',
}
TOKEN = "hf_for_tests"


class Hub(ThreadingHTTPServer):
    """Serves owner/open; owner/gated to nobody, owner/private to those who have the token. The first
    `busy` requests fail."""

    busy = 0
    requests: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).replace("refs/convert/parquet", "converted")
        self.server.requests += (f"{self.command} {path}",)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.server.busy:
            self.server.busy -= 1
            return self.respond(503, b"busy")
        if "owner/gated" in path:
            return self.respond(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        private = "owner/private" in path and self.headers.get("Authorization") != f"Bearer {TOKEN}"
        if private or "owner/" not in path:
            return self.respond(401, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if "/none" in path:
            return self.respond(404, b"{}", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id: none"})
        if "/tree/" in path:
            return self.tree(path.split("/tree/")[1].partition("/")[2])
        if "/paths-info/" in path:
            return self.json([item(name) for name in parse_qs(body.decode())["paths"] if name in FILES])
        name = path.split("/resolve/")[1].partition("/")[2]
        if name not in FILES:
            return self.respond(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
        return self.respond(200, FILES[name], {"ETag": f'"{item(name)["oid"]}"', "X-Repo-Commit": COMMIT})

    do_HEAD = do_POST = do_GET

    def tree(self, folder: str) -> None:
        inside = [name for name in FILES if name.startswith(f"{folder}/" if folder else "")]
        if not inside:
            return self.respond(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Error-Message": f"{folder} does not exist"})
        folders = [] if folder else [{"type": "directory", "path": "data", "oid": "f" * 40}]
        return self.json([*folders, *map(item, inside)])

    def json(self, value: object) -> None:
        self.respond(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def respond(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def item(name: str) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(FILES[name]), "oid": f"{list(FILES).index(name):040d}"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(connection, "connected", {})
        monkeypatch.setenv("HF_TOKEN", "")
        yield server
        server.shutdown()


def names(*patterns: str) -> list[str]:
    return [entry.uri.removeprefix("hf://datasets/owner/") for entry in storage.expand(patterns)]


def test_files_are_named_by_path_glob_or_folder(hub: Hub) -> None:
    train = ["open/data/train-0.jsonl", "open/data/train-1.jsonl"]
    assert names("hf://datasets/owner/open/data/train-*.jsonl") == train
    assert names("hf://datasets/owner/open/data/train-0.jsonl") == train[:1]
    assert names("hf://datasets/owner/open") == ["open/data/test.jsonl", *train] == names("hf://datasets/owner/open/data/")
    assert names("hf://datasets/owner/open@v1/**/test.jsonl") == ["open@v1/data/test.jsonl"]
    assert any("/tree/v1" in request for request in hub.requests)
    parquet = "hf://datasets/owner/open@refs/convert/parquet"
    assert [entry.uri for entry in storage.expand([f"{parquet}/data/test.jsonl"])] == [f"{parquet}/data/test.jsonl"]
    assert storage.names("hf://datasets/owner/open/data") == ["test.jsonl", "train-0.jsonl", "train-1.jsonl"]


def test_documents_are_read_once_per_cache_and_a_busy_hub_is_asked_again(hub: Hub) -> None:
    options = Input(paths=("hf://datasets/owner/open/data/train-*.jsonl",))

    def texts() -> list[str]:
        splits, _ = plan(options)
        return [text for split in splits for batch, _ in read(split, options) for text in batch["text"].to_pylist()]

    hub.busy = 2
    assert texts() == ["one", "two", "three"]
    fetched = [request for request in hub.requests if request.startswith("GET") and "/resolve/" in request]
    assert texts() == ["one", "two", "three"]
    assert [request for request in hub.requests if request.startswith("GET") and "/resolve/" in request] == fetched
    assert storage.entry("hf://datasets/owner/open/data/test.jsonl").size == len(FILES["data/test.jsonl"])


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("owner/gated/data/a.jsonl", PermissionError, "is gated: ask for access at .*/datasets/owner/gated, and log in"),
        ("owner/private/data/test.jsonl", FileNotFoundError, "no dataset owner/private, or it is private: .* set HF_TOKEN"),
        ("nobody/there/a.jsonl", FileNotFoundError, "there is no dataset nobody/there"),
        ("owner/open@none/data/test.jsonl", FileNotFoundError, "owner/open has no revision 'none'"),
        ("owner/open/data/no.jsonl", FileNotFoundError, "no such"),
        ("owner/open/no/", FileNotFoundError, "no such object or folder"),
        ("squad", ValueError, r"should be hf://datasets/OWNER/NAME/PATH"),
    ],
)
def test_an_error_says_what_to_do(hub: Hub, uri: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        storage.expand([f"hf://datasets/{uri}"])


def test_a_token_opens_what_is_private(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert storage.read_bytes("hf://datasets/owner/private/data/test.jsonl") == FILES["data/test.jsonl"]


def test_nothing_is_written(hub: Hub) -> None:
    with pytest.raises(PermissionError, match="hf is read only"):
        storage.write_bytes("hf://datasets/owner/open/new.jsonl", b"")
