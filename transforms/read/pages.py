"""Takes the text out of web pages in a child process: a page that crashes the extractor, or never ends, costs itself only.

A worker has one child, which lives from its first page to its worker's end and is started again when a page has killed it. It
imports the extractor and nothing else of ours.
"""

from __future__ import annotations

import codecs
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import IO

SECONDS = 10
"""Processor time for one page; the mean page takes some milliseconds. Wall time would depend on the machine's load."""

MEMORY = 4 << 30
"""Address space of the child."""

COMMAND = [sys.executable, "-P", "-m", __name__]

_READY = b"ready"
_TEXT, _ERROR = 0, 1
_HEAD = struct.Struct("<BQ")
_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)  # no page does that: somebody, or a machine without memory

_lock = threading.Lock()
_children: dict[int, subprocess.Popen[bytes]] = {}  # by process: a pipe must not cross a fork


def text_of(page: bytes, charset: str | None) -> str:
    """The main content of an HTML page; `charset` is what its server declared. Raises Unfit, also for what kills the child."""
    from tamis.transforms.read.batch_builder import Unfit  # here, because the child would import all that it needs

    with _lock:
        for attempt in (1, 2):
            child = _child()
            try:
                _send(child.stdin, 0, (charset or "").encode("utf-8", "replace")[:100].ljust(100) + page)
                kind, answer = _receive(child.stdout)
            except (EOFError, BrokenPipeError):
                del _children[os.getpid()]
                code = child.wait()
                if attempt == 1 and -code in _OUTSIDE:
                    continue
                raise Unfit(_death(-code)) from None
            if kind == _ERROR:
                raise Unfit(f"no text can be taken out of the page: {answer.decode()}")
            return answer.decode("utf-8", "surrogatepass")
    raise AssertionError


def _death(number: int) -> str:
    if number == signal.SIGXCPU:
        return f"the page kept the extractor busy for more than {SECONDS} seconds"
    name = signal.Signals(number).name if number > 0 else f"exit code {-number}"
    return f"the page crashed the extractor ({name})"


def _child() -> subprocess.Popen[bytes]:
    child = _children.get(os.getpid())
    if child is None:
        child = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            ready = _receive(child.stdout)[1] == _READY
        except EOFError:
            ready = False
        if not ready:
            raise RuntimeError(f"the extractor of web pages does not start: {' '.join(COMMAND)} ended with {child.wait()}")
        _children[os.getpid()] = child
    return child


def _send(pipe: IO[bytes] | None, kind: int, data: bytes) -> None:
    assert pipe is not None
    pipe.write(_HEAD.pack(kind, len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> tuple[int, bytes]:
    assert pipe is not None
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError
    kind, size = _HEAD.unpack(head)
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return kind, data


def serve() -> None:
    """The child: pages in, texts out, until the parent has ended."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    _send(sys.stdout.buffer, 0, _READY)
    while True:
        try:
            _, request = _receive(sys.stdin.buffer)
        except EOFError:
            return
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + SECONDS, most))
        charset, page = request[:100].decode().strip(), request[100:]
        try:
            tree = HTMLTree.parse_from_bytes(page, _encoding(page, charset), errors="replace")
            answer = extract_plain_text(tree, main_content=True).encode("utf-8", "surrogatepass")
        except Exception as error:  # whatever it is, it is this page's: the next one gets a fresh tree
            _send(sys.stdout.buffer, _ERROR, f"{type(error).__name__}: {error}"[:500].encode("utf-8", "replace"))
        else:
            _send(sys.stdout.buffer, _TEXT, answer)


def _encoding(page: bytes, declared: str) -> str:
    """UTF-8 where the bytes are that; else what the server declares, the page declares, or its bytes suggest."""
    from resiliparse.parse.encoding import detect_encoding

    try:
        page.decode()
    except UnicodeDecodeError:
        return declared if declared and _is_codec(declared) else str(detect_encoding(page, from_html_meta=True))
    return "utf-8"


def _is_codec(name: str) -> bool:
    try:
        codecs.lookup(name)
    except (LookupError, ValueError):  # ValueError: a null character in it
        return False
    return True


if __name__ == "__main__":
    serve()
