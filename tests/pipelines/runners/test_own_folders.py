"""Tamis works in a folder that has its own `pipelines/`, `transforms/` and `tamis.yaml`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import RECIPE, TAMIS

ROOT = Path(__file__).resolve().parents[3]

TRAIN = """
import pipelines, transforms
from tamis import CurriculumDataset

rows = [row for batch in CurriculumDataset("run", "bytes", 256, 4) for row in batch.tokens]
print(pipelines.OWNER, transforms.OWNER, len(rows) > 100)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A training project with a recipe, and with packages named like the folders of Tamis."""
    for name in ("pipelines", "transforms"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("OWNER = 'user'\n")
    (tmp_path / "tamis.yaml").write_text(yaml.safe_dump(RECIPE))
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def run(project: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_worker_processes_and_a_training_script(project: Path) -> None:
    save(project / "in", dealt(corpus(200), 2, seed=1))
    result = run(project, TAMIS, "run", "tamis.yaml", "--input", "in", "--output", "run", "--workers", "2", "--json")
    assert json.loads(result)["counts"]["records"] == 200
    assert run(project, sys.executable, "train.py") == "user user True\n"


@pytest.mark.slow
def test_web_pages(project: Path) -> None:
    with (project / "crawl.warc").open("wb") as file:
        for number, record in enumerate(corpus(20)):
            page = f"<html><body><p>{record['text']}</p></body></html>".encode()
            block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
            head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:{number}>\r\nContent-Length: {len(block)}\r\n\r\n"
            file.write(head.encode() + block + b"\r\n\r\n")
    result = run(project, TAMIS, "run", "tamis.yaml", "--input", "crawl.warc", "--output", "run", "--workers", "1", "--json")
    assert json.loads(result)["counts"]["records"] == 20


@pytest.mark.slow
def test_in_the_checkout_no_module_is_loaded_under_a_second_name() -> None:
    code = "import sys, tamis.pipelines.curate; print(*(name for name in sys.modules if name.split('.')[0] in sys.argv))"
    assert run(ROOT, sys.executable, "-c", code, "pipelines", "transforms").strip() == ""
