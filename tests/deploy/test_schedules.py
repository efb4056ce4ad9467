"""The nightly jobs of a single machine, and the scripts, are valid and do what they say."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.deploy.linters import DEPLOY, ROOT, lint

SHELL = [DEPLOY / "entrypoint", DEPLOY / "spark-submit.sh", ROOT / ".ci" / "run"]


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_shell(script: Path) -> None:
    lint("shellcheck", script)
    assert script == SHELL[-1] or os.access(script, os.X_OK)


def test_units(tmp_path: Path) -> None:
    """systemd accepts them if the program is where they say."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    program = tmp_path / "tamis"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = sorted(DEPLOY.glob("tamis-nightly.*r*"))
    assert {unit.suffix for unit in units} >= {".service", ".timer"}
    for unit in units:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/tamis/.venv/bin/tamis", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / unit.name for unit in units if unit.suffix != ".cron")],
        capture_output=True,
        text=True,
        env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"},
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_cron(tmp_path: Path) -> None:
    """One line: five fields of time, a user and a command for bash, without a percent sign, which would end it."""
    text = (DEPLOY / "tamis-nightly.cron").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]+=", line))
    (job,) = [line for line in lines if not re.match(r"[A-Z]+=", line)]
    assert text.endswith("\n")
    assert "%" not in job
    *when, user, command = job.split(None, 6)
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in when)
    assert user == "tamis"
    calls = tmp_path / "calls"
    for name in ("tamis", "logger"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\n')
        (tmp_path / name).chmod(0o755)
    command = command.replace("/opt/tamis", str(tmp_path))
    path = f"{tmp_path}:{settings['PATH']}"
    subprocess.run([settings["SHELL"], "-c", command], check=True, env={"PATH": path})
    assert sorted(calls.read_text().splitlines()) == [
        "logger -t tamis",
        "tamis run /etc/tamis/recipe.yaml --output /srv/tamis/run --allow-empty --json",
        "tamis verify /srv/tamis/run",
    ]


def stub(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
    (folder / name).chmod(0o755)


def submit(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"} | more
    return subprocess.run([DEPLOY / "spark-submit.sh", *arguments], capture_output=True, text=True, env=environment, timeout=60)


SERVER = "exec python3 -c \"import socket, time; s = socket.create_server(('localhost', $JOB_PORT)); time.sleep(60)\""


def free_port() -> str:
    with socket.create_server(("localhost", 0)) as server:
        return str(server.getsockname()[1])


def test_spark_submit(tmp_path: Path) -> None:
    """The run starts when the job server answers, and the job server ends when the run does."""
    port = free_port()
    stub(tmp_path, "spark-submit", f'echo "$@" > {tmp_path}/submitted; echo $$ > {tmp_path}/number; {SERVER}')
    stub(tmp_path, "tamis", 'echo tamis "$@"; exit 7')
    done = submit(tmp_path, "spark://master:7077", "run", "gopher", JOB_PORT=port, BEAM_JOB_SERVER="beam.jar")
    assert done.returncode == 7, done.stderr
    assert done.stdout.split() == ["tamis", "run", "gopher", "--runner", "spark", "--option", f"job_endpoint=localhost:{port}"]
    submitted = (tmp_path / "submitted").read_text().split()
    assert submitted[:2] == ["--master", "spark://master:7077"]
    assert f"--job-port={port}" in submitted
    process = Path("/proc", (tmp_path / "number").read_text().strip())
    until = time.monotonic() + 10
    while process.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not process.exists()


def test_spark_submit_that_fails(tmp_path: Path) -> None:
    stub(tmp_path, "spark-submit", "exit 3")
    stub(tmp_path, "tamis", "echo never")
    done = submit(tmp_path, "spark://master:7077", "run", "gopher", JOB_PORT=free_port())
    assert (done.returncode, done.stdout) == (1, "")
    assert "ended before" in done.stderr


def test_spark_submit_without_arguments_prints_its_usage(tmp_path: Path) -> None:
    done = submit(tmp_path)
    assert done.returncode == 2
    assert "deploy/spark-submit.sh spark://master:7077" in done.stderr


def test_every_file_is_named_by_another_one() -> None:
    """No file is left over: the README, another file of deploy/ or a test names it."""
    texts = {path: path.read_text() for home in (DEPLOY, Path(__file__).parent) for path in home.rglob("*") if is_text(path)}
    for path in DEPLOY.rglob("*"):
        if is_text(path) and path.name != "README.md":
            assert any(path.name in text for other, text in texts.items() if other != path), path


def is_text(path: Path) -> bool:
    return path.is_file() and path.suffix not in (".pyc", ".lock")
