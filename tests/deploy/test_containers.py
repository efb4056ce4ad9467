"""The images: linted, pinned to what the locks say, and each does what its command line asks for."""

from __future__ import annotations

import os
import re
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
def test_every_foreign_image_is_pinned(image: Path) -> None:
    foreign = re.findall(r"^FROM (\S+)", image.read_text(), re.M)
    assert foreign
    for name in foreign:
        assert name == "${TAMIS}" or re.search(r":\d+[.\d]*\d", name), f"{name} has no version"


def test_cluster_lock_holds_what_the_other_locks_hold() -> None:
    """The image of a cluster differs from the laptop's by what the stores and Dataflow need."""

    def pins(path: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^\s;\\]+)", path.read_text(), re.M))

    cluster = pins(DEPLOY / "requirements.lock")
    assert pins(ROOT / "requirements.lock").items() <= cluster.items()
    assert {"boto3", "google-cloud-storage", "azure-storage-blob", "google-apitools"} <= cluster.keys()


def test_workers_start_with_their_environment() -> None:
    """In an image nobody else sets it before Python starts."""
    text = (DEPLOY / "Dockerfile").read_text()
    for name, value in worker.ENVIRONMENT.items():
        assert re.search(rf"^(ENV )? *{name}={value}( \\)?$", text, re.M), name


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
