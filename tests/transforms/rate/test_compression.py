"""Redundant text compresses, prose compresses by half, noise does not; short texts have no ratio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.rate.compression import Compression, CompressionRater
from tamis.transforms.text.segment import segment


def rated(texts: Sequence[str], **options: int) -> list[float | None]:
    batch = CompressionRater(Compression(**options)).rate(segment(pa.array(texts, pa.large_string())))
    batch.validate(full=True)
    return batch["compression.ratio"].to_pylist()


@given(st.lists(st.text(max_size=200), max_size=5), st.integers(1, 100))
def test_equals_zstd_of_each_text(texts: list[str], min_bytes: int) -> None:
    raw = [text.encode() for text in texts]
    expected = [len(zstandard.compress(r, 3)) / len(r) if len(r) >= min_bytes else None for r in raw]
    assert rated(texts, min_bytes=min_bytes) == expected


def test_bytes_not_characters_make_a_text_long_enough() -> None:
    short, long, wide = rated(["a" * 255, "a" * 256, "汉" * 86])
    assert short is None
    assert long is not None
    assert wide is not None


def test_awkward_texts() -> None:
    assert rated(["", " ", "word", "\x00"]) == [None] * 4
    (line,) = rated(["x" * 1_000_000])
    assert 0 < line < 0.001


def test_redundancy_prose_noise(shared: Path) -> None:
    prose = (shared / "quality" / "wikitext2_valid.txt").read_text()[:4000]
    noise = np.random.default_rng(0).integers(33, 127, 4000).astype(np.uint8).tobytes().decode()
    page, paragraph, random = rated([prose, prose[:300] * 13, noise])
    assert paragraph < 0.2 < 0.4 < page < 0.55 < 0.8 < random
    (signal,) = CompressionRater(Compression()).signals
    assert signal.low is not None
    assert signal.high is not None
    assert paragraph < signal.low < page < signal.high


def test_identity() -> None:
    assert CompressionRater(Compression()).fingerprint == CompressionRater(Compression()).fingerprint
    assert CompressionRater(Compression(min_bytes=1)).fingerprint != CompressionRater(Compression()).fingerprint
    with pytest.raises(ValueError, match="min_bytes"):
        Compression(min_bytes=0)
