"""A reader of another package reads its files by their suffix; its options are checked, and its version is noticed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.running import TAMIS

READER = '''
"""Reads texts whose documents are separated by a line."""

from pydantic import Field

from tamis import Options as Base
from tamis.transforms import storage
from tamis.transforms.read.batch_builder import BatchBuilder

SUFFIXES = (".pieces",)


class Options(Base):
    """Options of the format."""

    separator: str = Field("%%", min_length=1, description="the line between two documents")


def read(split, options, trust):
    own = Options.model_validate(options.options)
    builder = BatchBuilder(split.uri, options)
    data = storage.read_bytes(split.uri).decode()
    for piece in data.split(f"\\n{own.separator}\\n"):
        builder.add(piece, len(piece))
    yield builder.take()
'''


def install(folder: Path, version: str) -> Path:
    """The reader as an installed package: a module, and what pip writes about it."""
    site = folder / f"site-{version}"
    about = site / f"tamis_pieces-{version}.dist-info"
    about.mkdir(parents=True)
    (site / "tamis_pieces.py").write_text(READER)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tamis-pieces\nVersion: {version}\n")
    (about / "entry_points.txt").write_text("[tamis.readers]\npieces = tamis_pieces\n")
    return site


def tamis(site: Path | None, *words: str | Path, code: int = 0) -> str:
    path = [str(site)] if site is not None else []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run([TAMIS, *map(str, words)], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.pieces").write_text("one\n%%\ntwo\n--\nthree")
    return folder


@pytest.mark.slow
def test_files_are_read_by_suffix_and_again_by_a_new_version(tmp_path: Path, source: Path) -> None:
    site, plain, other = install(tmp_path, "1.0"), tmp_path / "plain.yaml", tmp_path / "other.yaml"
    plain.write_text("seed: 1\n")
    other.write_text("input:\n  paths: []\n  format: pieces\n  options: {separator: --}\n")

    def run(site: Path, recipe: Path) -> dict[str, Any]:
        output = tmp_path / recipe.stem
        return json.loads(tamis(site, "run", recipe, "--input", source, "--output", output, "--workers", "1", "--json"))

    assert run(site, plain)["counts"]["records"] == 2
    assert run(site, plain)["unchanged"]
    assert run(site, other)["counts"]["records"] == 2
    newer = run(install(tmp_path, "1.1"), plain)
    assert not newer["unchanged"]
    assert newer["shards"]["rated"] == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "input:\n  paths: [a]\n  format: pieces\n  options:\n    seperator: x\n",
            "r.yaml:5: input.options.seperator: no such field; did you mean 'separator'?",
        ),
        (
            "input:\n  paths: [a]\n  format: peces\n",
            "r.yaml:3: input.format: no installed package reads this format: did you mean",
        ),
        ("input:\n  paths: [a]\n  format: jsonl\n  options: {a: 1}\n", "r.yaml:4: input.options.a: no such field"),
    ],
)
def test_its_options_are_checked(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    message = tamis(install(tmp_path, "1.0"), "lint", tmp_path / "r.yaml", code=2).replace(f"{tmp_path}/", "")
    assert problem in message


def test_without_the_package_the_format_is_unknown(tmp_path: Path, source: Path) -> None:
    (tmp_path / "r.yaml").write_text("requires: [tamis-pieces]\ninput: {paths: [a], format: pieces}\n")
    message = tamis(None, "lint", tmp_path / "r.yaml", code=2)
    assert "the package tamis-pieces is not installed: pip install 'tamis-pieces'" in message
    assert "input.format: no installed package reads this format" in message
    assert (
        json.loads(tamis(install(tmp_path, "1.0"), "schema"))["$defs"]["Input"]["properties"]["format"]["enum"][-1] == "pieces"
    )
