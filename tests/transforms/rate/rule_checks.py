"""Texts and checks for the tests of rule-based raters: every value must equal that of a plain reference."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard
from hypothesis import strategies as st

from tamis.transforms.core.rater import Rater
from tamis.transforms.text.segment import segment

Reference = Callable[[str], list[float | None]]

words = ["the", "The", "be", "of", "and", "a", "b", "ab", "c", "é", "語", "x9", "J", "[1]", "[edit]", "JavaScript"]
phrases = ["[citation needed]", "Lorem ipsum", "Use Cookies", "privacy policy"]
pieces = st.sampled_from([*words, *phrases, *"#…•-.?!\"'”){[]\n\t\u00a0\u2028", "...", *"    ", "\n\n", "\r\n"])
sentences = st.sampled_from(["The cat sat on a mat.\n", "a b c d e f. G h!\n", "- item\n", "see it (now.) Then go on...\n"])
documents = st.lists(st.one_of(pieces, sentences, st.characters(exclude_categories=["Cs"])), max_size=60).map("".join)
batches = st.lists(documents, max_size=4)


def rows(rater: Rater[Any], texts: Sequence[str]) -> list[list[Any]]:
    batch = rater.rate(segment(pa.array(texts, pa.large_string())))
    assert batch.schema.names == [signal.name for signal in rater.signals]
    assert batch.num_rows == len(texts)
    return [list(row) for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]


def symbol(word: str) -> bool:
    """Whether a word is of punctuation marks only."""
    return all(not c.isalnum() and unicodedata.category(c)[0] != "M" for c in word)


def check(rater: Rater[Any], reference: Reference, texts: Sequence[str]) -> None:
    """Every value equals the reference: total numbers and nulls exactly, shares except for rounding."""
    for text, measured in zip(texts, rows(rater, texts), strict=True):
        for signal, value, expected in zip(rater.signals, measured, reference(text), strict=True):
            same = value is expected is None or (
                value is not None and expected is not None and math.isclose(value, expected, rel_tol=1e-12)
            )
            assert same, f"{signal.name} of {text[:200]!r}: {value}, reference {expected}"


def real_texts(shared: Path, count: int = 150) -> list[str]:
    with (shared / "web/weborganizer-00.jsonl.zst").open("rb") as file:
        lines = zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()
    return [json.loads(line)["text"] for line in lines[:count]]


def ratio(part: float, total: float) -> float | None:
    return part / total if total else None
