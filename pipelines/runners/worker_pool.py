"""Worker processes of this machine, which take the next elements when they have finished the last."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tamis.pipelines.runners import worker
from tamis.pipelines.runners.worker_failure import explain_death

if TYPE_CHECKING:
    from tamis.pipelines.runners.executor import Chain

_MESSAGES = 16  # that a worker gets in one chain, if there are so many elements: the fewer, the longer the last one
_SECONDS = 10.0  # for processes that have nothing left to do


class WorkerPool:
    """Runs chains on `workers` processes for the run directory `run`. They start when the pool is
    entered, and are ready once they have imported the DAG. `alive` is the URI of the driver's
    `DriverAlive` file."""

    def __init__(self, workers: int, run: str, alive: str) -> None:
        self._workers, self._command = workers, worker.command(run, alive)

    def __enter__(self) -> WorkerPool:
        pairs = [socket.socketpair() for _ in range(self._workers)]
        theirs = [end.fileno() for _, end in pairs]
        self._process = subprocess.Popen([*self._command, *map(str, theirs)], pass_fds=theirs, stdin=subprocess.DEVNULL)
        for _, end in pairs:
            end.close()
        self._connections = [Connection(end.detach()) for end, _ in pairs]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for connection in self._connections:
            connection.close()
        if kind is not None:
            self._process.kill()  # the workers see it, and end
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def apply(self, chain: Chain, elements: Sequence[Any]) -> list[Any]:
        """The outputs of `chain`, in the order of the elements. Raises RunError if a worker died, and
        RuntimeError with the worker's traceback if the chain failed."""
        size = max(1, len(elements) // (_MESSAGES * self._workers))
        pieces = [elements[start : start + size] for start in range(0, len(elements), size)]
        encoded, unsent = worker.dumps(chain), enumerate(pieces)
        outputs: list[list[Any]] = [[] for _ in pieces]
        ready, busy = list(self._connections), dict[Connection, int]()
        informed: set[Connection] = set()
        try:
            while True:
                for connection, (number, piece) in zip(ready, unsent, strict=False):
                    connection.send_bytes(b"" if connection in informed else encoded)
                    connection.send_bytes(worker.dumps(piece))
                    informed.add(connection)
                    busy[connection] = number
                if not busy:
                    return [output for piece in outputs for output in piece]
                ready = [connection for connection in wait(list(busy)) if isinstance(connection, Connection)]
                for connection in ready:
                    outputs[busy.pop(connection)] = _outputs(connection.recv_bytes())
        except (EOFError, ConnectionError):
            raise explain_death(self._process.wait()) from None


def _outputs(message: bytes) -> list[Any]:
    outputs = worker.loads(message)
    if isinstance(outputs, str):
        raise RuntimeError(outputs)
    return list(outputs)
