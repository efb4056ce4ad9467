"""Loads a tokenizer by name. It treats special tokens as text, and neither truncates nor pads."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypedDict

from tamis.transforms.core.errors import RunError, missing_package, nearest

TIKTOKEN: Final = "tiktoken:"
"""Prefix of the names of tiktoken's encodings; other names are paths of a `tokenizer.json`."""


class TokenizerId(TypedDict):
    """A tokenizer as manifests record it. Two are the same if their `tokenizer_key` is."""

    name: str
    sha256: str | None
    """SHA-256 of a `tokenizer.json`, since its file name identifies nothing; else None."""


def tokenizer_key(tokenizer: TokenizerId) -> str:
    """The file's SHA-256, or the name of a tokenizer that has no file."""
    return tokenizer["sha256"] or tokenizer["name"]


@dataclass(frozen=True)
class TextTokenizer:
    """Encodes texts, perhaps only as their ids are taken, and counts their tokens. `end`: the id that ends a
    document, if it is known."""

    encode: Callable[[Sequence[str]], Iterable[Sequence[int]]]
    count: Callable[[Sequence[str]], Sequence[int]]
    end: int | None
    vocabulary: int


@cache
def open_tokenizer(name: str) -> TextTokenizer:
    """The tokenizer `tiktoken:NAME`, or that of the `tokenizer.json` at a path, by the fastest of the
    libraries that give its ids. Measured on web pages, MB/s of a core: bpe-openai 20 (counting 29),
    tiktoken 12, kitoken 11, tokenizers 2 to 3. Raises as `load_tokenizer_json` and `tiktoken_encoding`.
    """
    if name.startswith(TIKTOKEN):
        return _open_encoding(name.removeprefix(TIKTOKEN))
    tokenizer = load_tokenizer_json(name)

    def encode(texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_faster(texts: Sequence[str]) -> Sequence[Sequence[int]]:
        return list(kitoken.encode_all(list(texts)))

    kitoken = _load_kitoken(name)
    if kitoken is not None and encode_faster(_PROBES) == encode(_PROBES):
        encode = encode_faster
    vocabulary = tokenizer.get_vocab_size(with_added_tokens=True)
    return TextTokenizer(encode, lambda texts: [len(ids) for ids in encode(texts)], None, vocabulary)


def _open_encoding(name: str) -> TextTokenizer:
    check_encoding(name)
    if name in _IN_BPE_OPENAI and find_spec("bpe_openai") is not None:
        import bpe_openai
        from bpe_openai._bindings import tokenizer_for_encoding  # the public one refuses texts of a million characters

        facts, fast = bpe_openai.get_encoding(name), tokenizer_for_encoding(name)
        return TextTokenizer(
            lambda texts: map(fast.encode, texts),
            lambda texts: [fast.count(text) for text in texts],
            facts.eot_token,
            facts.n_vocab,
        )
    encoding = tiktoken_encoding(name)

    def encode(texts: Sequence[str]) -> Iterator[Sequence[int]]:
        return map(encoding.encode_ordinary, texts)

    return TextTokenizer(encode, lambda texts: [len(ids) for ids in encode(texts)], encoding.eot_token, encoding.n_vocab)


_IN_BPE_OPENAI = ("cl100k_base", "o200k_base")
"""The encodings whose tables are in the package, so that nothing is downloaded."""


def _load_kitoken(path: str) -> Any:
    """The `Kitoken` in a `tokenizer.json`, if it is a byte-level BPE, as those of GPT, Llama 3, Qwen and
    OLMo. Others, such as SentencePiece's, it encodes with other ids than `tokenizers`."""
    from kitoken import Kitoken

    definition = json.loads(Path(path).read_text("utf-8"))
    model, splits = definition["model"], definition.get("pre_tokenizer") or {}
    kinds = {split["type"] for split in splits.get("pretokenizers", [splits]) if split}
    byte_level = (
        model.get("type") == "BPE" and "ByteLevel" in kinds and not model.get("byte_fallback") and not model.get("dropout")
    )
    if not byte_level or not all(token["special"] for token in definition.get("added_tokens", [])):
        return None
    try:
        return Kitoken.from_tokenizers_file(path)
    except ValueError:  # of a kind that it does not know
        return None


_PROBES = [
    "",
    " ",
    "I'LL don't we'Re  a   b\t\tc \r\n\n d\n \n",
    "1 12 123 1234 12345 ١٢٣٤ ½ x²",
    "naïve e\u0301 Ａ ﬁ ǆ İ ß ΟΔΟΣ καί Привет שלום مرحبا नमस्ते ไทย 漢字かな한국어 \u1112\u1161\u11ab",
    "👩‍👩‍👧 🇩🇪 \u200b\u00a0\u2028\ufeff\ufffd\ue000\U0010ffff\x00\x1f",
    "https://example.org/a_b-c?d=%20#e <|endoftext|> </s> [UNK] {}();\n    if (a<=b) { return a+b; } // ---===***",
    "a" * 300 + "." * 99 + " " * 50 + "\n" * 40,
]
"""Texts on which libraries differ, if they do."""


@cache
def load_tokenizer_json(path: str) -> Any:
    """The `tokenizers.Tokenizer` in a `tokenizer.json`. Raises ValueError if it is not one."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{path}: not a tokenizer.json: {error}") from error
    # A file saved for inference may truncate or pad.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # "<|endoftext|>" in a document is text
    return tokenizer


@cache
def tiktoken_encoding(name: str) -> Any:
    """The `tiktoken.Encoding` with this name (no prefix). Raises ImportError without tiktoken,
    ValueError for an unknown name, RunError if it cannot be downloaded."""
    check_encoding(name)
    import tiktoken

    try:
        return tiktoken.get_encoding(name)
    except OSError as error:  # of the library that downloads, with the objects of a connection in its message
        raise RunError(
            f"tokenizer {TIKTOKEN}{name}: tiktoken downloads this encoding when it is first used, and that failed "
            f"({type(error).__name__}). Use it once on a machine with a network, with TIKTOKEN_CACHE_DIR set to a folder, and "
            "set the same here to a copy of the folder; or count with a tokenizer.json"
        ) from error


def check_encoding(name: str) -> None:
    """Raises ImportError without tiktoken, ValueError if it has no encoding of this name."""
    try:
        import tiktoken
    except ImportError as error:
        raise ImportError(missing_package(f"tokenizer {TIKTOKEN}{name}", "tiktoken")) from error
    names = tiktoken.list_encoding_names()
    if name in names:
        return
    try:
        hint = f"the encoding of the model {name} is '{tiktoken.encoding_name_for_model(name)}'"
    except KeyError:
        near = nearest(name, names)
        hint = (f"did you mean '{near}'? " if near else "") + f"It has {', '.join(sorted(names))}"
    raise ValueError(f"tiktoken has no encoding '{name}': {hint}")
