"""Extracts the text of web pages in a child process, so that a bad page loses only itself.

A worker has one child, which lives as long as the worker; a page that kills it causes a new one.
The child imports the extractors and nothing that computes on documents.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from functools import cache
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, NamedTuple

from tamis.transforms.core.errors import RunError, missing_package

if TYPE_CHECKING:
    from tamis.transforms.read.input_options import Extractor  # not in the child, where pydantic has no use

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


class Extraction(NamedTuple):
    """The main text of a page, and how it was read, which becomes `page` in a document's metadata:

    encoding            the encoding that the page was decoded with
    encoding_conflict   the declared one, if the bytes contradict it
    replaced            the share of characters of the text that are U+FFFD, if any
    extractor           what found the text
    fallback            true if that found nothing, and the text is all that the page shows
    """

    text: str
    page: dict[str, str | float | bool]


def extract_text(
    page: bytes | str, charset: str | None = None, extractor: Extractor = "resiliparse", url: str | None = None
) -> Extraction:
    """The main text of an HTML page; `charset` is the label that its server declared. Raises
    InvalidRecord if the page kills the child, and RunError if the extractor is not installed."""
    from tamis.transforms.read.batch_builder import InvalidRecord  # not at the top, so that the child need not import it

    check_extractor(extractor)
    decoded = isinstance(page, str)
    data = page.encode("utf-8", "replace") if isinstance(page, str) else page
    request = json.dumps([charset and charset[:100], extractor, url and url[:1000], decoded]).encode()
    with _lock:
        for attempt in (1, 2):
            child = _child()
            try:
                _send(child.stdin, _TEXT, request, data)
                kind, answer = _receive(child.stdout)
            except (EOFError, BrokenPipeError):
                del children[os.getpid()]
                code = child.wait()
                if attempt == 1 and -code in _EXTERNAL_SIGNALS:
                    continue
                raise InvalidRecord(_cause_of_death(-code)) from None
            if kind == _ERROR:
                raise InvalidRecord(f"cannot extract text from the page: {answer.decode().rstrip()}")
            facts, _, text = answer.partition(b"\n")
            return Extraction(text.decode("utf-8", "surrogatepass"), json.loads(facts))
    raise AssertionError


@cache
def check_extractor(extractor: Extractor) -> None:
    """Raises RunError if the extractor is not installed."""
    if find_spec(extractor) is None:
        raise RunError(missing_package(f"input.extractor: {extractor}", extractor))


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
            ready = _receive(child.stdout)[1].rstrip() == _READY
        except EOFError:
            ready = False
        if not ready:
            raise RuntimeError(f"the extractor of web pages does not start: {' '.join(COMMAND)} ended with {child.wait()}")
        children[os.getpid()] = child
    return child


def _send(pipe: IO[bytes] | None, kind: int, line: bytes, data: bytes = b"") -> None:
    """Sends a line, and data that may have lines."""
    assert pipe is not None
    pipe.write(_HEADER.pack(kind, len(line) + 1 + len(data)) + line + b"\n")
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
    from tamis.transforms.read.web.extractors import extract

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    _, hard_limit = resource.getrlimit(resource.RLIMIT_CPU)
    _send(sys.stdout.buffer, _TEXT, _READY)
    while True:
        try:
            _, request = _receive(sys.stdin.buffer)
        except EOFError:
            return
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + CPU_SECONDS, hard_limit))
        options, _, page = request.partition(b"\n")
        charset, extractor, url, decoded = json.loads(options)
        try:
            text, facts = extract(page, charset, extractor, url, decoded)
        except Exception as error:  # any error concerns this page only: the next one gets a fresh tree
            message = f"{type(error).__name__}: {error}".replace("\n", " ")[:500]
            _send(sys.stdout.buffer, _ERROR, message.encode("utf-8", "replace"))
        else:
            _send(sys.stdout.buffer, _TEXT, json.dumps(facts).encode(), text.encode("utf-8", "surrogatepass"))


if __name__ == "__main__":
    serve()
