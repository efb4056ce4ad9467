"""The wheel contains the package `tamis`, all of it, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.deploy.linters import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without the network, by the setuptools of the dev dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("tamis", "pipelines", "transforms"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    done = subprocess.run(pip, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = (folder / "dist").iterdir()
    return file


@pytest.mark.slow
def test_the_wheel_is_the_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"tamis", next(top for top in tops if top.startswith("tamis-") and top.endswith(".dist-info"))}
    for folder in ("pipelines", "transforms"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"tamis/{path.relative_to(ROOT)}" in names


@pytest.mark.slow
def test_what_is_in_the_wheel_works(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import tamis; from tamis.pipelines.cli.main import main; print(tamis.__file__); main()"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    argv = [sys.executable, "-P", "-c", code, "recipes"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment, cwd="/").stdout.splitlines()
    assert lines[0] == str(tmp_path / "tamis" / "__init__.py")
    assert any(line.startswith("gopher ") for line in lines[1:])
