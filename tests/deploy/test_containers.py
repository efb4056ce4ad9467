"""The images are linted and pinned, contain the whole package, and obey their command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tamis.pipelines.runners import worker
from tests.deploy.linters import DEPLOY, ROOT, lint

IMAGES = [DEPLOY / "Dockerfile", DEPLOY / "dataflow" / "Dockerfile"]


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_lint(image: Path) -> None:
    lint("hadolint", "--failure-threshold", "info", image)


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_base_image_is_pinned(image: Path) -> None:
    bases = re.findall(r"^FROM (\S+)", image.read_text(), re.M)
    assert bases
    for name in bases:
        assert name == "${TAMIS}" or re.search(r":\d+[.\d]*\d", name), f"{name} has no version"


def test_the_cluster_lock_extends_the_laptop_lock() -> None:
    """The image of a cluster only adds what the stores and Dataflow need."""

    def pins(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^\s;\\]+)", path.read_text(), re.M))

    cluster = pins(DEPLOY / "requirements.lock")
    assert pins(ROOT / "requirements.lock").items() <= cluster.items()
    assert {"boto3", "google-cloud-storage", "azure-storage-blob", "google-apitools"} <= cluster.keys()


def test_workers_start_with_their_environment() -> None:
    """In an image, nothing else can set it before Python starts."""
    text = (DEPLOY / "Dockerfile").read_text()
    for name, value in worker.ENVIRONMENT.items():
        assert re.search(rf"^(ENV )? *{name}={value}( \\)?$", text, re.M), name


def test_the_image_has_every_file_of_the_package(tmp_path: Path) -> None:
    for line in re.findall(r"^COPY --chown=tamis (.+)", (DEPLOY / "Dockerfile").read_text(), re.M):
        *sources, target = line.split()
        for source in map(ROOT.joinpath, sources):
            if source.is_dir():
                shutil.copytree(source, tmp_path / target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (tmp_path / target).mkdir(exist_ok=True)
                shutil.copy(source, tmp_path / target)
    assert (tmp_path / "pyproject.toml").is_file()
    for module in ("__init__.py", "pipelines/curate.py", "transforms/core/errors.py"):
        assert (tmp_path / "tamis" / module).is_file(), module


@pytest.mark.parametrize(
    ("arguments", "program"),
    [
        (["run", "gopher"], "tamis"),
        ([], "tamis"),
        (["--help"], "tamis"),
        (["run", "mine.yaml", "--option", "a=b"], "tamis"),
        (["--worker_pool"], "boot"),
        (["--id=1", "--logging_endpoint=a:1", "--control_endpoint=a:2", "--artifact_endpoint=a:3"], "boot"),
        (["--id=1", "--provision_endpoint=a:1"], "boot"),
    ],
)
def test_entrypoint(arguments: list[str], program: str, tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    entry = tmp_path / "entrypoint"
    entry.write_text((DEPLOY / "entrypoint").read_text().replace("/opt/apache/beam/boot", str(boot)))
    for name in ("boot", "tamis"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", entry, *arguments], capture_output=True, text=True, check=True, env=path)
    assert done.stdout.split() == [program, *arguments]
