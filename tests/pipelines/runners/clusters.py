"""Starts real clusters with deploy/cluster; tests are skipped without Java or Maven."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).resolve().parents[3] / "deploy/cluster"


@dataclass(frozen=True)
class Cluster:
    """A running cluster. With `arguments`, `tamis run` submits to it."""

    engine: str
    folder: Path
    arguments: tuple[str, ...]

    def do(self, action: str, *more: str) -> str:
        done = subprocess.run(
            [sys.executable, _SCRIPT, self.engine, action, "--folder", self.folder, *more], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def processes(self) -> dict[str, int]:
        """{name: process id} of the cluster's own processes."""
        lines = (line.split() for line in self.do("status").splitlines())
        return {words[0]: int(words[1]) for words in lines if words[-1].isdigit()}


@contextmanager
def started(engine: str, folder: Path, nodes: int = 2, slots: int = 2) -> Iterator[Cluster]:
    """A job server and nodes of some slots each, on free ports."""
    needs("java", "mvn")
    web, jobs = free_port(), free_port()
    options = ("--runner", engine, "--option", f"job_endpoint=localhost:{jobs}")
    if engine == "flink":
        options += ("--option", f"flink_master=localhost:{web}")
    cluster = Cluster(engine, folder, options)
    cluster.do("start", "--nodes", str(nodes), "--slots", str(slots), "--web", str(web), "--jobs", str(jobs))
    try:
        yield cluster
    finally:
        cluster.do("stop")


def needs(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as server:
        return int(server.getsockname()[1])
