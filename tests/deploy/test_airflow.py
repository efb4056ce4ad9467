"""The DAG works under Airflow, which has an environment of its own (`.venv-airflow`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.linters import DEPLOY, ROOT

REQUIREMENTS = DEPLOY / "airflow" / "requirements.txt"


@pytest.fixture(scope="module")
def python() -> Path:
    """Airflow's Python; skips where it cannot be installed."""
    home = ROOT / ".venv-airflow"
    ready = home / ".ready"
    if not ready.exists() or ready.read_text() != REQUIREMENTS.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [home / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", REQUIREMENTS]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"Airflow could not be installed: {done.stderr.strip().splitlines()[-1]}")
        ready.write_text(REQUIREMENTS.read_text())
    return home / "bin" / "python"


def describe(python: Path, folder: Path, code: int) -> Any:
    """The DAG, and what its tasks do if `tamis` exits with `code`."""
    program = folder / "tamis"
    program.write_text(f'#!/bin/sh\necho "{{\\"did\\": \\"$*\\"}}"\nexit {code}\n')
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "AIRFLOW_HOME": str(folder / "airflow")}
    argv = [python, Path(__file__).with_name("dag_check.py"), DEPLOY / "airflow" / "tamis_nightly.py"]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_dag(python: Path, tmp_path: Path) -> None:
    dag = describe(python, tmp_path, code=0)
    assert (dag["id"], dag["schedule"], dag["at once"]) == ("tamis_nightly", "30 2 * * *", 1)
    assert dag["downstream"] == {"run": ["verify"], "verify": []}
    assert dag["retries"] == {"run": 3, "verify": 0}
    assert dag["done"] == {
        "run": {"did": "run /etc/tamis/recipe.yaml --output /srv/tamis/run --allow-empty --json"},
        "verify": {"did": "verify /srv/tamis/run --json"},
    }


@pytest.mark.slow
@pytest.mark.parametrize(("code", "becomes"), [(1, "failed"), (2, "failed"), (137, "again")])
def test_retries(python: Path, tmp_path: Path, code: int, becomes: str) -> None:
    """A killed run is tried again; a problem that needs a person is not."""
    assert describe(python, tmp_path, code)["done"]["run"].startswith(becomes)
