"""A worker process of a local run: Beam's harness, quiet, holding the run directory, and gone when its driver is."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
import time

from pipelines.claim import Claim
from transforms import storage


def command(run: str, wanted: str) -> str:
    """The shell command of a worker of this process; a local run's worker ends when the file `wanted` is gone."""
    return shlex.join(["exec", sys.executable, "-m", __name__, str(os.getpid()), run, wanted])


def main(driver: int, run: str, wanted: str) -> None:
    """Serves the process `driver` as long as it lives and wants this worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver, which then wants no workers
    logging.disable()  # what goes wrong reaches the driver as an exception, and the person once
    with Claim(run, "shared"), open(os.devnull, "w") as sys.stderr:
        threading.Thread(target=_end_with, args=(driver, wanted), daemon=True).start()
        from apache_beam.runners.worker import sdk_worker_main

        sdk_worker_main.main(sys.argv)


def _end_with(driver: int, wanted: str) -> None:
    """Ends this process, whatever it is doing, when its driver is gone or wants it no more: all it writes is safe to lose."""
    local = storage.local_path(wanted)
    while os.getppid() == driver and (local is None or local.exists()):
        time.sleep(0.1)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:4])
