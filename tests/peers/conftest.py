"""Runs the peers in the Python that TAMIS_PEERS names; without one, the tests that need them are skipped."""

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
    """`datatrove(mode, texts, words)`: a row for each text; datatrove_values.py says of what."""
    interpreter = os.environ.get("TAMIS_PEERS")
    if not interpreter:
        pytest.skip("TAMIS_PEERS names no Python that has datatrove; `make peers` makes one and runs these tests")

    def values(mode: str, texts: list[str] | None = None, words: Words = DEFAULT_WORDS) -> list[dict[str, Any]]:
        done = subprocess.run(
            [interpreter, "-W", "ignore", str(Path(__file__).with_name("datatrove_values.py")), mode, pattern(words).pattern],
            input="".join(json.dumps(text) + "\n" for text in texts or []),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        about, *rows = map(json.loads, done.stdout.splitlines())
        assert about == {"datatrove": DATATROVE, "unicode": unicodedata.unidata_version}, "another peer, or another Unicode"
        assert texts is None or len(rows) == len(texts)
        return rows

    return values
