"""A worker process, which holds the run directory's lock and ends with its driver.

A local run starts its workers itself (worker_pool.py). On a cluster, the node that needs a worker
starts `tamis-worker` (`serve`); its environment names the run.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn
from uuid import uuid4

from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.runners.plain_beam import import_plain_beam
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError

ENVIRONMENT = {  # variables that must be set before a worker starts
    # Kernels are single-threaded inside a worker: there is one worker per core.
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Beam starts a new thread for each bundle. If each had its own arena, and Arrow its own pool,
    # no stage could reuse the memory that another has freed: on 1 GB of text, two workers peak at
    # 1.3 GiB with these settings and at 1.6 without.
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}

RUN, DRIVER, FOLDER = "TAMIS_RUN", "TAMIS_DRIVER", "TAMIS_FOLDER"
"""The variables that tell a worker on a cluster its run, its driver's `DriverAlive` and folder."""

NOT_SHARED, BUSY = 78, 75
"""Exit codes: the run is not visible, or is in use (EX_CONFIG, EX_TEMPFAIL of sysexits.h)."""

_INTERVAL, _STORE_INTERVAL = 0.5, 10.0  # seconds between a worker's checks of its driver


class DriverAlive:
    """A file that tells workers on any machine whether their driver lives. The driver locks it.
    Object stores, and some file systems, have no locks. There, the workers of a killed driver live
    on until the next driver removes the file."""

    def __init__(self, spill: str) -> None:
        # A unique name: workers of a killed driver must not take the next driver for theirs.
        self.uri = storage.join(spill, f"driver-{uuid4().hex}")
        self._lock: int | None = None

    def __enter__(self) -> DriverAlive:
        storage.write_bytes(self.uri, b"")
        path = storage.local_path(self.uri)
        if path is not None:
            self._lock = os.open(path, os.O_RDWR)
            if _try_lock(self._lock, fcntl.LOCK_EX):
                os.write(self._lock, b"locked")
        return self

    def __exit__(self, *_: object) -> None:
        storage.remove(self.uri)
        if self._lock is not None:
            os.close(self._lock)


def is_driver_alive(uri: str) -> bool:
    """Whether the driver whose `DriverAlive` file this is still runs."""
    path = storage.local_path(uri)
    if path is None:
        return storage.exists(uri)
    try:
        with path.open("rb") as file:
            return file.read() != b"locked" or not _try_lock(file.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def command(run: str, alive: str) -> list[str]:
    """The command of the workers of this process, but for their sockets; `alive` is the URI of its
    `DriverAlive` file."""
    return [sys.executable, "-P", "-m", __name__, str(os.getpid()), run, alive]


def main(driver: int, run: str, alive: str, sockets: Sequence[int]) -> NoReturn:
    """Imports the DAG once, and forks into a worker for each socket. They serve the process `driver`
    until it ends or removes its `DriverAlive` file. Ends as the first worker does that fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the driver ends it
    logging.disable()  # errors reach the driver as text
    on_store = storage.local_path(alive) is None

    def end_with(parent: int) -> None:
        _end_unless(lambda: os.getppid() == parent and (on_store or is_driver_alive(alive)), 0.1)

    with RunLock(run, "shared"), open(os.devnull, "w") as sys.stderr:
        gc.disable()  # what is imported stays
        import_plain_beam()
        import tamis.pipelines.curate  # noqa: F401 - for all workers; it starts no threads, which a fork would lose

        gc.freeze()  # so that no collection of a worker writes to the memory that they share
        gc.enable()
        this = os.getpid()
        for socket in sockets:
            if not os.fork():
                for other in sockets:  # a dead worker's socket closes only if no other worker has it open
                    if other > socket:
                        os.close(other)
                end_with(this)
                _serve_driver(Connection(socket))
                os._exit(0)
            os.close(socket)
        end_with(driver)
        for _ in sockets:
            _, status = os.wait()
            if status:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
        os._exit(0)


def _serve_driver(connection: Connection) -> None:
    """Applies chains to elements until the driver closes the connection. An empty chain is the one before."""
    chain: Callable[[Any], Iterable[Any]] | None = None
    while True:
        try:
            encoded, elements = connection.recv_bytes(), loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            chain = loads(encoded) if encoded else chain
            assert chain is not None
            answer = dumps(list(chain(elements)))
        except Exception:
            answer = dumps(traceback.format_exc())
        with suppress(BrokenPipeError):  # the driver has ended
            connection.send_bytes(answer)


def dumps(value: object) -> bytes:
    """Pickles what a pool sends or a worker answers; functions without a name by value."""
    from apache_beam.internal.cloudpickle import cloudpickle

    return bytes(cloudpickle.dumps(value))


def loads(data: bytes) -> Any:
    """The value of `dumps`."""
    return pickle.loads(data)


def serve() -> None:
    """The command `tamis-worker`: a node of a cluster starts this worker, which ends with it."""
    parser = ArgumentParser(prog="tamis-worker", description="A worker of `tamis run`; a node of the cluster starts it.")
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    arguments, _ = parser.parse_known_args()
    logging.disable(logging.INFO)  # warnings and errors go into the node's log
    node, run, alive, folder = os.getppid(), os.environ[RUN], os.environ[DRIVER], os.environ[FOLDER]
    try:
        os.chdir(folder)  # the recipe's relative paths start there
    except OSError:
        sys.exit(NOT_SHARED)
    if not is_driver_alive(alive):
        sys.exit(NOT_SHARED)
    try:
        lock = RunLock(run, "shared").__enter__()
    except RunError:
        sys.exit(BUSY)
    with lock:
        interval = _STORE_INTERVAL if storage.local_path(alive) is None else _INTERVAL
        _end_unless(lambda: os.getppid() == node and is_driver_alive(alive), interval)
        _fetch_settings(arguments.id, arguments.provision_endpoint)
        from apache_beam.runners.worker import sdk_worker_main

        sdk_worker_main.main(sys.argv)


def _fetch_settings(worker_id: str, endpoint: str) -> None:
    """Sets the variables from which Beam's harness reads its settings, by asking the runner."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as provision
    from apache_beam.portability.api import beam_provision_api_pb2_grpc
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = provision.GetProvisionInfoRequest()
        info = service.GetProvisionInfo(request, metadata=(("worker_id", worker_id),), timeout=60).info
    os.environ |= {
        "WORKER_ID": worker_id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


def _end_unless(is_needed: Callable[[], bool], interval: float) -> None:
    """Kills this process once it is not needed. That is safe at any moment."""

    def check() -> None:
        while is_needed():
            time.sleep(interval)
        os._exit(1)

    threading.Thread(target=check, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], [int(socket) for socket in sys.argv[4:]])
