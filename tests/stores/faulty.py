"""An HTTP proxy in front of a store that disturbs a seeded share of the requests."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KINDS = ("500", "503", "reset", "timeout", "slow", "truncated", "lost")
"""What happens to a request: it is refused (500, 503), its connection is reset, it gets no
response, or the response is slow, is cut in the middle, or is lost after the store has acted."""


class Faults:
    """The kinds and share of faults, and the counts so far."""

    def __init__(self, share: float, seed: int = 0, kinds: tuple[str, ...] = KINDS, stall: float = 3.0) -> None:
        self.share, self.kinds, self.stall = share, kinds, stall
        self.counts: Counter[str] = Counter()
        self.requests = 0
        self._draw = random.Random(seed)
        self._lock = threading.Lock()

    def next(self) -> str:
        with self._lock:
            self.requests += 1
            kind = self._draw.choice(self.kinds) if self._draw.random() < self.share else ""
            if kind:
                self.counts[kind] += 1
            return kind


@contextmanager
def proxy(target: int, faults: Faults) -> Iterator[int]:
    """The port of a proxy for the server at the port `target`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

        def _handle(self) -> None:
            fault = faults.next()
            body = self._body()
            if fault in ("500", "503"):
                self.send_response(int(fault))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if fault == "reset":
                self._reset()
                return
            if fault == "timeout":
                time.sleep(faults.stall)
                self._reset()
                return
            upstream = http.client.HTTPConnection("127.0.0.1", target, timeout=60)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection", "transfer-encoding", "content-length"):
                    upstream.putheader(name, value)
            if body or self.command in ("PUT", "POST"):
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            response = upstream.getresponse()
            data = response.read()
            upstream.close()
            if fault == "lost":
                self._reset()
                return
            if fault == "slow":
                time.sleep(faults.stall / 4)
            self.send_response(response.status, response.reason)
            for name, value in response.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            length = response.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            if response.status not in (204, 304):
                self.send_header("Content-Length", length)
            self.end_headers()
            if self.command == "HEAD":
                return
            if fault == "truncated" and data:
                self.wfile.write(data[: len(data) // 2])
                self._reset()
            elif fault == "slow":
                half = len(data) // 2
                self.wfile.write(data[:half])
                self.wfile.flush()
                time.sleep(faults.stall / 4)
                self.wfile.write(data[half:])
            else:
                self.wfile.write(data)

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body

        def _reset(self) -> None:
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    class Proxy(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # a client that gave up

    server = Proxy(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
