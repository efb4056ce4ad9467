"""Runs datatrove in the Python named by TAMIS_PEERS; without it, the tests that need datatrove are skipped."""

from __future__ import annotations

import json
import os
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tamis.transforms.text.words import DEFAULT_WORDS, Words
from tests.transforms.text.word_reference import pattern

DATATROVE = "0.10.1"


@pytest.fixture(scope="session")
def datatrove() -> Callable[..., list[dict[str, Any]]]:
    """`datatrove(mode, texts, words)`: one row per text, for a mode of datatrove_values.py."""
    interpreter = os.environ.get("TAMIS_PEERS")
    if not interpreter:
        pytest.skip("TAMIS_PEERS names no Python with datatrove; `make peers` installs one and runs these tests")

    def values(mode: str, texts: list[str] | None = None, words: Words = DEFAULT_WORDS) -> list[dict[str, Any]]:
        process = subprocess.run(
            [interpreter, "-W", "ignore", str(Path(__file__).with_name("datatrove_values.py")), mode, pattern(words).pattern],
            input="".join(json.dumps(text) + "\n" for text in texts or []),
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        versions, *rows = map(json.loads, process.stdout.splitlines())
        assert versions == {"datatrove": DATATROVE, "unicode": unicodedata.unidata_version}, (
            "another version of datatrove or Unicode"
        )
        assert texts is None or len(rows) == len(texts)
        return rows

    return values
