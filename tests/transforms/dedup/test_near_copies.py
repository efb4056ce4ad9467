"""Copies of given documents are those that a comparison of all pairs finds among the pairs that share a band."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.parts import Part, PartWriter
from tamis.transforms.dedup.minhash import MinHash, sketch
from tamis.transforms.dedup.near_copies import copies_in, joined, originals
from tamis.transforms.text.hashing import hash128
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import DEFAULT_WORDS

OPTIONS = MinHash(bands=4, rows=1, ngram=2, threshold=0.5)
TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=7).map(" ".join), max_size=12)


def part_of(folder: str, texts: list[str]) -> Part:
    """A rated part of these texts."""
    part, column = Part(folder, "part"), pa.array(texts, pa.large_string())
    rated = pa.RecordBatch.from_pylist(
        [{"id": str(number), "text": text, "source": "s"} for number, text in enumerate(texts)], schema=SCHEMA
    )
    hashes = hash128(column)
    columns = {"text_hash_0": hashes[:, 0].copy(), "text_hash_1": hashes[:, 1].copy()}
    compared = pa.record_batch({**columns, "bands": sketch(segment(column), OPTIONS)})
    with PartWriter(part) as writer:
        writer.write(rated, compared)
        writer.finish((rated.schema, compared.schema), "", [])
    return part


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[first : first + 2]) for first in range(max(1, len(words) - 1))} if words else set()


def every_pair(texts: list[str], wanted: list[str]) -> list[tuple[int, int, float]]:
    """The slow reference: (row, original, similarity)."""
    bands = [
        [set(row or ()) for row in sketch(segment(pa.array(each, pa.large_string())), OPTIONS).to_pylist()]
        for each in (texts, wanted)
    ]
    found = []
    for row, text in enumerate(texts):
        if text in wanted:
            found.append((row, wanted.index(text), 1.0))
            continue
        similar = [
            (len(shingles(text) & shingles(other)) / len(shingles(text) | shingles(other)), -number)
            for number, other in enumerate(wanted)
            if bands[0][row] & bands[1][number]
        ]
        if similar and max(similar)[0] >= OPTIONS.threshold:
            found.append((row, -max(similar)[1], max(similar)[0]))
    return found


@settings(deadline=None, max_examples=60)
@given(TEXTS, TEXTS, st.integers(0, 12))
def test_they_are_those_of_a_comparison_of_all_pairs(texts: list[str], wanted: list[str], cut: int) -> None:
    with TemporaryDirectory() as folder:
        part = part_of(folder, texts)
        groups = [originals(pa.array(each, pa.large_string()), OPTIONS, DEFAULT_WORDS) for each in (wanted[:cut], wanted[cut:])]
        found = copies_in(part, joined(groups), OPTIONS, DEFAULT_WORDS, folder)
        rows = list(zip(found.rows.tolist(), found.original.tolist(), found.jaccard.tolist(), strict=True))
        assert rows == every_pair(texts, wanted)


def test_without_minhash_only_equal_texts_are_copies(tmp_path: Path) -> None:
    part = part_of(str(tmp_path), ["a b c d", "a b c", "", "a b c d"])
    wanted = originals(pa.array(["a b c d e", "a b c d", ""], pa.large_string()), None, DEFAULT_WORDS)
    found = copies_in(part, wanted, None, DEFAULT_WORDS, str(tmp_path))
    assert (found.rows.tolist(), found.original.tolist()) == ([0, 2, 3], [1, 2, 1])
    assert np.array_equal(found.jaccard, [1.0, 1.0, 1.0])
