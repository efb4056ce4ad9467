"""`tamis export` writes a run for another loader, `tamis index` counts its tokens, and both say what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tests.transforms.feed.releases import release


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def run(tmp_path: Path) -> str:
    return release(tmp_path / "run", [["one", "two"], ["three"]])


def test_a_run_is_written_for_another_loader(run: str, tmp_path: Path) -> None:
    result = invoke("export", run, "--format", "jsonl", "--output", tmp_path / "lines")
    assert (result.exit_code, "3 documents in 2 files in" in result.stdout) == (0, True)
    result = invoke("export", run, "--format", "megatron", "--tokenizer", "bytes", "--output", tmp_path / "ids", "--json")
    assert json.loads(result.stdout)["documents"] == 3
    assert len((tmp_path / "ids" / "corpus.bin").read_bytes()) == 2 * len("one|two|three|")
    result = invoke("export", run, "--format", "megatron", "--tokenizer", "bytes", "--end", 0, "--output", tmp_path / "zero")
    assert (tmp_path / "zero" / "corpus.bin").read_bytes()[6:8] == b"\0\0"


def test_what_is_wrong_is_named(run: str, tmp_path: Path) -> None:
    assert invoke("export", run, "--format", "csv", "--output", tmp_path / "new").exit_code == 2
    for arguments, message in [
        (("--format", "mds", "--output", tmp_path), "is not empty"),
        (("--format", "megatron", "--output", tmp_path / "new"), "megatron needs a tokenizer"),
        (("--format", "megatron", "--tokenizer", "none.json", "--output", tmp_path / "new"), "no such tokenizer"),
    ]:
        result = invoke("export", run, *arguments)
        assert (result.exit_code, message in result.stderr) == (1, True)
    assert "no manifest.json" in invoke("export", tmp_path / "none", "--format", "mds", "--output", tmp_path / "new").stderr


def test_the_tokens_are_counted_once_for_all_loaders(run: str) -> None:
    assert invoke("index", run, "--tokenizer", "bytes", "--workers", 2).stdout == "11 tokens\n"
    assert len(list(Path(run, ".feed").glob("*.npy"))) == 2
    assert "no such tokenizer" in invoke("index", run, "--tokenizer", "none").stderr
