"""Files of the web: read whole by their URL, asked for again while the server is out of breath."""

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
    """Answers 503 to the first `tired` requests, then what there is."""

    tired = 0


class Answer(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        page = PAGES.get(self.path)
        if self.server.tired:
            self.server.tired -= 1
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
    with Web(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def at(web: Web, path: str) -> str:
    return f"http://127.0.0.1:{web.server_address[1]}{path}"


def test_documents_of_a_server_that_is_out_of_breath(web):
    uri = at(web, "/pages.jsonl.gz")
    web.tired = 2
    assert storage.entry(uri).size == len(PAGES["/pages.jsonl.gz"])
    web.tired = 2
    assert storage.read_bytes(uri) == PAGES["/pages.jsonl.gz"]
    options = Input(paths=[uri])
    found = [text for split in plan(options) for batch, _ in read(split, options) for text in batch["text"].to_pylist()]
    assert found == ["one", "two"]


def test_what_is_not_there_is_said_at_once(web):
    with pytest.raises(OSError, match="/nothing"):
        storage.entry(at(web, "/nothing"))
    with pytest.raises(OSError, match="/nothing"):
        storage.read_bytes(at(web, "/nothing"))
    with pytest.raises(PermissionError, match="read only"):
        storage.write_bytes(at(web, "/pages.jsonl.gz"), b"")
