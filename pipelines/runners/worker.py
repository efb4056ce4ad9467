"""A worker process: Beam's harness, quiet, holding the run directory, and gone when nobody wants it.

A local run starts its workers itself (`command`). On a cluster the node that needs one starts `tamis-worker` (`serve`), as
Beam's portability API has it; what it must know of the run is in its environment.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from uuid import uuid4

from tamis.pipelines.run.run_lock import RunLock
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError

ENVIRONMENT = {
    # Kernels run single-threaded inside a worker: there is one worker a core.
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Beam takes a new thread for each bundle. With an arena each, and a pool of Arrow's own, no stage can use what another has
    # freed: on 1 GB of text two workers peak at 1.3 GiB instead of 1.6.
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""What has to be in the environment before a worker starts."""

RUN, WANTED, FOLDER = "TAMIS_RUN", "TAMIS_WANTED", "TAMIS_FOLDER"
"""The variables by which a worker on a cluster knows its run, the file that wants it, and its driver's working directory."""

NOT_SHARED, BUSY = 78, 75
"""Exit codes of a worker that does not see the run directory, or may not touch it (EX_CONFIG and EX_TEMPFAIL of sysexits.h)."""

_EVERY = 0.5
"""Seconds between looks at whether a worker is still wanted."""

_EVERY_ON_A_STORE = 10.0


class Wanted:
    """The driver's word, to workers on any machine, that it lives and wants them: a file that it holds locked, and removes.

    An object store, or a file system without locks, knows no locks: there workers outlive a driver that was killed, until the
    next one clears its file away.
    """

    def __init__(self, spill: str) -> None:
        # A name of its own: the workers of a killed driver must not take the next one for theirs.
        self.uri = storage.join(spill, f"driver-{uuid4().hex}")
        self._lock: int | None = None

    def __enter__(self) -> Wanted:
        storage.write_bytes(self.uri, b"")
        path = storage.local_path(self.uri)
        if path is not None:
            self._lock = os.open(path, os.O_RDWR)
            if _locks(self._lock, fcntl.LOCK_EX):
                os.write(self._lock, b"locked")
        return self

    def __exit__(self, *_: object) -> None:
        storage.remove(self.uri)
        if self._lock is not None:
            os.close(self._lock)


def _wanted(uri: str) -> bool:
    path = storage.local_path(uri)
    if path is None:
        return storage.exists(uri)
    try:
        with path.open("rb") as file:
            return file.read() != b"locked" or not _locks(file.fileno(), fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _locks(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def command(run: str, wanted: str) -> str:
    """The shell command of a worker of this process."""
    return shlex.join(["exec", sys.executable, "-P", "-m", __name__, str(os.getpid()), run, wanted])


def main(driver: int, run: str, wanted: str) -> None:
    """Serves the process `driver` as long as it lives and wants this worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver, which then wants no workers
    logging.disable()  # what goes wrong reaches the driver as an exception, and the person once
    path = storage.local_path(wanted)
    with RunLock(run, "shared"), open(os.devnull, "w") as sys.stderr:
        _end_unless(lambda: os.getppid() == driver and (path is None or path.exists()), 0.1)
        from apache_beam.runners.worker import sdk_worker_main

        sdk_worker_main.main(sys.argv)


def serve() -> None:
    """The command `tamis-worker`: a worker that a node of a cluster starts, and which ends with it."""
    parser = ArgumentParser(prog="tamis-worker", description="A worker of `tamis run`; a node of the cluster starts it.")
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    asked, _ = parser.parse_known_args()
    logging.disable(logging.INFO)  # the node's log keeps the rest
    node, run, wanted, folder = os.getppid(), os.environ[RUN], os.environ[WANTED], os.environ[FOLDER]
    try:
        os.chdir(folder)  # the recipe's paths are seen from there
    except OSError:
        sys.exit(NOT_SHARED)
    if not _wanted(wanted):
        sys.exit(NOT_SHARED)
    try:
        claim = RunLock(run, "shared").__enter__()
    except RunError:
        sys.exit(BUSY)
    with claim:
        _end_unless(
            lambda: os.getppid() == node and _wanted(wanted), _EVERY if storage.local_path(wanted) else _EVERY_ON_A_STORE
        )
        _provision(asked.id.strip("'"), asked.provision_endpoint)  # Prism quotes the id for a shell that is not there
        from apache_beam.runners.worker import sdk_worker_main

        sdk_worker_main.main(sys.argv)


def _provision(id: str, endpoint: str) -> None:
    """Asks the runner what the harness has to know, which reads it from the environment."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2 as provision
    from apache_beam.portability.api import beam_provision_api_pb2_grpc
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = provision.GetProvisionInfoRequest()
        info = service.GetProvisionInfo(request, metadata=(("worker_id", id),), timeout=60).info
    os.environ |= {
        "WORKER_ID": id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


def _end_unless(wanted: Callable[[], bool], every: float) -> None:
    """Ends this process, whatever it is doing, when it is wanted no more: all it writes is safe to lose."""

    def look() -> None:
        while wanted():
            time.sleep(every)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:4])
