"""Runs datatrove and TensorFlow Datasets in the Python named by TAMIS_PEERS; without it, their tests are skipped."""

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

Versions = dict[str, str]

DATATROVE: Versions = {"datatrove": "0.10.1", "unicode": unicodedata.unidata_version}
TFDS: Versions = {"tensorflow-datasets": "4.9.10", "unicode": unicodedata.unidata_version}


@pytest.fixture(scope="session")
def peer() -> Callable[..., list[dict[str, Any]]]:
    """`peer(script, versions, arguments, texts)`: the rows that a script beside this file prints after those versions. Another
    Python than that of most peers may be the last argument."""
    interpreter = os.environ.get("TAMIS_PEERS")
    if not interpreter:
        pytest.skip("TAMIS_PEERS names no Python with the peers; `make peers` installs one and runs these tests")

    def values(
        script: str, versions: Versions, arguments: list[str], texts: list[str] | None, python: str = interpreter
    ) -> list[dict[str, Any]]:
        process = subprocess.run(
            [python, "-W", "ignore", str(Path(__file__).with_name(script)), *arguments],
            input="".join(json.dumps(text) + "\n" for text in texts or []),
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        own, *rows = map(json.loads, process.stdout.splitlines())
        assert own == versions, "another version of the peer or of Unicode"
        assert texts is None or len(rows) == len(texts)
        return rows

    return values


@pytest.fixture(scope="session")
def datatrove(peer: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    """`datatrove(mode, texts, words, model)`: one row per text, for a mode of datatrove_values.py."""

    def values(
        mode: str, texts: list[str] | None = None, words: Words = DEFAULT_WORDS, model: str = ""
    ) -> list[dict[str, Any]]:
        return peer("datatrove_values.py", DATATROVE, [mode, pattern(words).pattern, model], texts)

    return values


@pytest.fixture(scope="session")
def tfds(peer: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    """`tfds(texts, bad_words)`: one row per text, of tfds_values.py."""

    def values(texts: list[str], bad_words: list[str]) -> list[dict[str, Any]]:
        return peer("tfds_values.py", TFDS, bad_words, texts)

    return values
