"""A prefix equals Python's slice of the text, and the flag says whether the slice has a letter."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.text.characters import characters, prefix
from tamis.transforms.text.segment import unsegmented


@given(st.lists(st.text(max_size=30), max_size=6), st.integers(1, 31), st.integers(0, 3))
def test_is_the_slice(texts: list[str], chars: int, skipped: int) -> None:
    texts = [*["é人🙂"] * skipped, *texts]
    cut = unsegmented(pa.array(texts, pa.large_string()).slice(skipped))
    ends, lettered = prefix(cut.data, cut.text_start, cut.text_chars, chars, characters().flags)
    for text, start, end, letter in zip(texts[skipped:], cut.text_start[:-1], ends, lettered, strict=True):
        assert cut.data[start:end].tobytes().decode() == text[:chars]
        assert letter == any(map(str.isalpha, text[:chars]))


def test_a_long_text_is_not_walked_through() -> None:
    cut = unsegmented(pa.array(["漢" * 1_000_000, "1" * 1_000_000], pa.large_string()))
    ends, lettered = prefix(cut.data, cut.text_start, cut.text_chars, 2000, characters().flags)
    assert ends.tolist() == [6000, 3_002_000]
    assert lettered.tolist() == [True, False]
