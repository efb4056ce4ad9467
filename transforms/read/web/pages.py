"""Extracts the text of web pages in a child process, so that a bad page loses only itself.

A worker has one child, which lives as long as the worker; a page that kills it causes a new one.
The child imports the extractor and nothing else of this package.
"""

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

CPU_SECONDS = 10
"""Processor time for one page (mean: a few ms). Wall time would depend on the machine's load."""

MEMORY = 4 << 30
"""Address space of the child, in bytes."""

COMMAND = [sys.executable, "-P", "-m", __name__]
children: dict[int, subprocess.Popen[bytes]] = {}  # by process id, because a fork must not use the pipes of its parent

_READY = b"ready"
_TEXT, _ERROR = 0, 1
_HEADER = struct.Struct("<BQ")
_EXTERNAL_SIGNALS = (signal.SIGKILL, signal.SIGTERM)  # no page causes these: a person sent one, or the memory ran out

_lock = threading.Lock()


def extract_text(page: bytes, charset: str | None) -> str:
    """The main text of an HTML page; `charset` is the one that its server declared. Raises
    InvalidRecord if the page has no readable text or kills the child."""
    from tamis.transforms.read.batch_builder import InvalidRecord  # not at the top, so that the child need not import it

    with _lock:
        for attempt in (1, 2):
            child = _child()
            try:
                _send(child.stdin, 0, (charset or "").encode("utf-8", "replace")[:100].ljust(100) + page)
                kind, answer = _receive(child.stdout)
            except (EOFError, BrokenPipeError):
                del children[os.getpid()]
                code = child.wait()
                if attempt == 1 and -code in _EXTERNAL_SIGNALS:
                    continue
                raise InvalidRecord(_cause_of_death(-code)) from None
            if kind == _ERROR:
                raise InvalidRecord(f"cannot extract text from the page: {answer.decode()}")
            return answer.decode("utf-8", "surrogatepass")
    raise AssertionError


def _cause_of_death(number: int) -> str:
    if number == signal.SIGXCPU:
        return f"the page kept the extractor busy for more than {CPU_SECONDS} seconds"
    name = signal.Signals(number).name if number > 0 else f"exit code {-number}"
    return f"the page crashed the extractor ({name})"


def _child() -> subprocess.Popen[bytes]:
    child = children.get(os.getpid())
    if child is None:
        child = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            ready = _receive(child.stdout)[1] == _READY
        except EOFError:
            ready = False
        if not ready:
            raise RuntimeError(f"the extractor of web pages does not start: {' '.join(COMMAND)} ended with {child.wait()}")
        children[os.getpid()] = child
    return child


def _send(pipe: IO[bytes] | None, kind: int, data: bytes) -> None:
    assert pipe is not None
    pipe.write(_HEADER.pack(kind, len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> tuple[int, bytes]:
    assert pipe is not None
    header = pipe.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise EOFError
    kind, size = _HEADER.unpack(header)
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return kind, data


def serve() -> None:
    """The loop of the child: reads pages and writes their texts until the parent ends."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    _, hard_limit = resource.getrlimit(resource.RLIMIT_CPU)
    _send(sys.stdout.buffer, 0, _READY)
    while True:
        try:
            _, request = _receive(sys.stdin.buffer)
        except EOFError:
            return
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + CPU_SECONDS, hard_limit))
        charset, page = request[:100].decode().strip(), request[100:]
        try:
            tree = HTMLTree.parse_from_bytes(page, _encoding(page, charset), errors="replace")
            text = extract_plain_text(tree, main_content=True).encode("utf-8", "surrogatepass")
        except Exception as error:  # any error concerns this page only: the next one gets a fresh tree
            _send(sys.stdout.buffer, _ERROR, f"{type(error).__name__}: {error}"[:500].encode("utf-8", "replace"))
        else:
            _send(sys.stdout.buffer, _TEXT, text)


def _encoding(page: bytes, declared: str) -> str:
    """UTF-8 if valid; else the charset of the server, of the page, or a guess from the bytes."""
    from resiliparse.parse.encoding import detect_encoding

    try:
        page.decode()
    except UnicodeDecodeError:
        return declared if declared and _is_codec(declared) else str(detect_encoding(page, from_html_meta=True))
    return "utf-8"


def _is_codec(name: str) -> bool:
    try:
        codecs.lookup(name)
    except (LookupError, ValueError):  # ValueError: the name has a null character
        return False
    return True


if __name__ == "__main__":
    serve()
