"""Loads a tokenizer by name. It treats special tokens as text, and neither truncates nor pads."""

from functools import cache
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
