"""Prism, Beam's runner for one machine: a server that is started for the run, and one worker in this process."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import Plan
from tamis.pipelines.runners import job_server, worker
from tamis.transforms.core.errors import RunError

_PATIENCE = 20.0
"""Seconds for the server to listen."""

_WITH_US = '"$@" & trap "kill -9 $!" EXIT; read -r _'
"""The shell that starts the server ends it when its input closes, which it does however this process ends."""


def run(recipe: Recipe, todo: Plan, options: Mapping[str, str]) -> None:
    """Runs the DAG on the Prism at `job_endpoint`, or on one of its own, the program `prism`."""
    os.environ.update(worker.ENVIRONMENT)
    asked = dict(options)
    binary = asked.pop("prism", "")
    # Prism does not notice that a worker process has died; a worker in this process cannot die alone.
    asked.setdefault("environment_type", "LOOPBACK")
    if "job_endpoint" in asked:
        job_server.run(recipe, todo, asked)
    else:
        with _server(binary) as endpoint:
            job_server.run(recipe, todo, asked | {"job_endpoint": endpoint})


@contextmanager
def _server(binary: str) -> Iterator[str]:
    with socket.create_server(("localhost", 0)) as found:
        port = found.getsockname()[1]
    command = [binary, f"--job_port={port}", "--serve_http=false", "--log_level=error"]
    with subprocess.Popen(
        ["sh", "-c", _WITH_US, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        until = time.monotonic() + _PATIENCE
        while not _listens(port):
            if server.poll() is not None or time.monotonic() > until:
                raise RunError(f"{binary} does not start: try `{' '.join(command)}`")
            time.sleep(0.05)
        yield f"localhost:{port}"


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True
