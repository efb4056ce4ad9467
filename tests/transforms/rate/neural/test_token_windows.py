"""Windows hold the tokens that the plain tokenizer gives, and batches hold each window once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.rate.neural.token_batches import bucket_lengths, plan_batches
from tamis.transforms.rate.neural.token_windows import cut_windows, spans
from tamis.transforms.text.segment import Texts, unsegmented
from tests.transforms.rate.neural.random_models import tokenizer


def texts_of(*texts: str) -> Texts:
    return unsegmented(pa.array(texts, pa.large_string()))


@given(st.integers(0, 300), st.integers(1, 40), st.sets(st.sampled_from(["begin", "middle", "end"]), min_size=1))
def test_spans_are_where_they_say(tokens: int, size: int, places: set[str]) -> None:
    cut = spans(tokens, size, places)  # type: ignore[arg-type]
    if tokens <= size:
        assert cut == ([(0, tokens)] if tokens else [])
        return
    assert all(last - first == size for first, last in cut)
    assert ((0, size) in cut) >= ("begin" in places)
    assert ((tokens - size, tokens) in cut) >= ("end" in places)
    if "middle" in places:
        assert any(abs((first + last) - tokens) <= 1 for first, last in cut)
    assert len(cut) <= len(places)


def test_a_window_is_what_the_tokenizer_gives_with_truncation() -> None:
    plain = tokenizer()
    plain.enable_truncation(10)
    text = "The proof shows a symmetry, of numbers! Click here now: buy cheap shoes"
    windows = cut_windows(texts_of(text, "", "proof"), tokenizer(), 10, ("begin",))
    assert [window.tolist() for window in windows.tokens] == [plain.encode(text).ids, plain.encode("proof").ids]
    assert windows.document.tolist() == [0, 2]


def test_judged_is_the_share_of_bytes_in_windows() -> None:
    text = "й й a b c d e f é é"  # ten tokens
    begin = cut_windows(texts_of(text), tokenizer(), 5, ("begin",)).judged
    assert begin == len("й й a".encode()) / len(text.encode())
    ends = cut_windows(texts_of(text), tokenizer(), 5, ("end", "begin")).judged
    assert ends == len("й й af é é".encode()) / len(text.encode())
    overlapping = cut_windows(texts_of(text), tokenizer(), 8, ("begin", "end"))
    assert overlapping.judged == 1
    assert len(overlapping.tokens) == 2
    whole = cut_windows(texts_of(text, " \n", " a\n"), tokenizer(), 12, ("begin", "middle", "end")).judged
    assert whole[0] == whole[2] == 1
    assert np.isnan(whole[1])


def test_special_tokens_that_leave_no_room_are_an_error() -> None:
    with pytest.raises(ValueError, match="max_tokens is 2, of which 2 are special tokens"):
        cut_windows(texts_of("a"), tokenizer(), 2, ("begin",))


def test_means_are_of_the_windows_of_a_document() -> None:
    windows = cut_windows(texts_of("a b c d e f", " ", "a"), tokenizer(), 5, ("begin", "end"))
    means = windows.mean(np.array([[1.0, 10], [3, 30], [7, 70]]))
    np.testing.assert_array_equal(means, [[2, 20], [np.nan, np.nan], [7, 70]])


Lengths = st.lists(st.integers(1, 100), min_size=1, max_size=60)


@given(Lengths, st.integers(1, 500))
def test_batches_hold_each_window_once_in_the_shape_of_its_bucket(lengths: list[int], budget: int) -> None:
    tokens = np.array(lengths)
    batches = plan_batches(tokens, 100, budget)
    assert sorted(place for batch in batches for place in batch.windows.tolist()) == list(range(len(lengths)))
    for batch in batches:
        own = tokens[batch.windows]
        assert np.all(bucket_lengths(own, 100) == batch.length)
        assert batch.rows == max(1, budget // batch.length)
        assert 1 <= len(own) <= batch.rows
        assert len({bool(each == batch.length) for each in own}) == 1  # padded ones stay apart


def test_buckets_pad_less_than_an_eighth() -> None:
    tokens = np.arange(1, 9000)
    length = bucket_lengths(tokens, 8192)
    assert np.all((length >= np.minimum(tokens, 8192)) & (length <= 8192))
    long = tokens[(tokens >= 64) & (tokens <= 8192)]
    assert np.all((length[long - 1] - long) / long < 1 / 8)
    assert len(set(length.tolist())) <= 8 * 8
