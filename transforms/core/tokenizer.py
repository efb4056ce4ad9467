"""Loads a tokenizer by name. What looks like a special token in a text is text to it, and it cuts and pads nothing."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, TypedDict

TIKTOKEN: Final = "tiktoken:"
"""How the name of an encoding of tiktoken begins; any other name is the path of a `tokenizer.json`."""


class TokenizerId(TypedDict):
    """A tokenizer as manifests name it. Two are the same when what `tokenizer_key` gives of them is."""

    name: str
    sha256: str | None
    """Of the `tokenizer.json`, whose name says nothing; else None."""


def tokenizer_key(of: TokenizerId) -> str:
    """What tells tokenizers apart: the bytes of the file, or the name."""
    return of["sha256"] or of["name"]


@cache
def load_tokenizer_json(path: str) -> Any:
    """The `tokenizers.Tokenizer` of a `tokenizer.json`. Raises ValueError for another file."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{path}: not a tokenizer.json: {error}") from error
    # A file saved for inference may cut or pad what it counts.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # "<|endoftext|>" in a document is text
    return tokenizer


@cache
def tiktoken_encoding(name: str) -> Any:
    """The `tiktoken.Encoding` of this name, without the prefix; call `encode_ordinary`. Raises ImportError without tiktoken."""
    try:
        import tiktoken
    except ImportError as error:
        raise ImportError(f"tokenizer {TIKTOKEN}{name} needs the package tiktoken: pip install 'tamis[tiktoken]'") from error
    return tiktoken.get_encoding(name)
