"""Files are read from the web by their URL; a request is repeated while the server is busy."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tamis.transforms import storage
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read

PAGES = {"/pages.jsonl.gz": gzip.compress(b'{"text": "one"}\n{"text": "two"}\n')}


class Web(ThreadingHTTPServer):
    """Responds 503 to the first `busy` requests, and then with the page."""

    busy = 0


class Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        page = PAGES.get(self.path)
        if self.server.busy:
            self.server.busy -= 1
            page = None
            self.send_response(503)
        else:
            self.send_response(200 if page is not None else 404)
        self.send_header("Content-Length", str(len(page or b"")))
        self.end_headers()
        if page is not None and self.command == "GET":
            self.wfile.write(page)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    with Web(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def url(web: Web, path: str) -> str:
    return f"http://127.0.0.1:{web.server_address[1]}{path}"


def test_documents_of_a_busy_server(web):
    uri = url(web, "/pages.jsonl.gz")
    web.busy = 2
    assert storage.entry(uri).size == len(PAGES["/pages.jsonl.gz"])
    web.busy = 2
    assert storage.read_bytes(uri) == PAGES["/pages.jsonl.gz"]
    options = Input(paths=[uri])
    texts = [text for split in plan(options)[0] for batch, _ in read(split, options) for text in batch["text"].to_pylist()]
    assert texts == ["one", "two"]


def test_a_missing_file_is_an_error_at_once(web):
    with pytest.raises(OSError, match="/nothing"):
        storage.entry(url(web, "/nothing"))
    with pytest.raises(OSError, match="/nothing"):
        storage.read_bytes(url(web, "/nothing"))
    with pytest.raises(PermissionError, match="read only"):
        storage.write_bytes(url(web, "/pages.jsonl.gz"), b"")
