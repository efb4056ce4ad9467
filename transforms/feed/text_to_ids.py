"""Turns texts into token ids: bytes, tiktoken, a tokenizer.json, or the caller's function."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

import numpy as np
import numpy.typing as npt

from tamis.transforms import storage
from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.errors import RunError
from tamis.transforms.text.tokenizer import TIKTOKEN, TokenizerId, open_tokenizer

if TYPE_CHECKING:
    import pyarrow as pa

Ids = npt.NDArray[np.int32]


class Tokenizer(Protocol):
    """Encodes texts; the same text always gets the same ids. Must be picklable."""

    @property
    def name(self) -> str | None:
        """Equal names mean equal ids. None: unknown, so that token counts are not cached."""

    @property
    def end(self) -> int | None:
        """The id that ends a document, if the tokenizer has one."""

    @property
    def vocabulary(self) -> int | None:
        """The highest id plus one, if known."""

    def encode(self, texts: pa.Array) -> tuple[Ids, Ints]:
        """(concatenated ids, lengths) of texts (`large_string`, no nulls), without end ids."""


@dataclass(frozen=True)
class ByteTokenizer:
    """The ids are UTF-8 bytes; 256 ends a document."""

    name: ClassVar[str] = "bytes"
    end: ClassVar[int] = 256
    vocabulary: ClassVar[int] = 257

    def encode(self, texts: pa.Array) -> tuple[Ids, Ints]:
        _, offsets, data = texts.buffers()
        at = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        if len(texts) == 0 or at[0] == at[-1]:
            return np.zeros(0, np.int32), np.zeros(len(texts), np.int64)
        return np.frombuffer(data, np.uint8)[at[0] : at[-1]].astype(np.int32), np.diff(at)


@dataclass(frozen=True)
class NamedTokenizer:
    """One of tiktoken's encodings (`tiktoken:NAME`), or the path of a `tokenizer.json`, which does not
    name the id that ends a document."""

    tokenizer: str

    @cached_property
    def name(self) -> str:
        return self.tokenizer if self.tokenizer.startswith(TIKTOKEN) else storage.sha256(self.tokenizer)

    @property
    def end(self) -> int | None:
        return open_tokenizer(self.tokenizer).end

    @property
    def vocabulary(self) -> int:
        return open_tokenizer(self.tokenizer).vocabulary

    def encode(self, texts: pa.Array) -> tuple[Ids, Ints]:
        return _concatenate(open_tokenizer(self.tokenizer).encode(texts.to_pylist()))

    def count(self, texts: pa.Array) -> Ints:
        """The lengths that `encode` gives, in less time."""
        return np.array(open_tokenizer(self.tokenizer).count(texts.to_pylist()), np.int64)


@dataclass(frozen=True)
class FunctionTokenizer:
    """The caller's own function from a text to its ids."""

    function: Callable[[str], Sequence[int]]
    name: str | None = None
    end: int | None = None
    vocabulary: int | None = None

    def encode(self, texts: pa.Array) -> tuple[Ids, Ints]:
        return _concatenate(map(self.function, texts.to_pylist()))


def load_tokenizer(tokenizer: str | Callable[[str], Sequence[int]] | Tokenizer) -> Tokenizer:
    """The tokenizer for `bytes`, `tiktoken:NAME`, the path of a `tokenizer.json`, a function or a
    `Tokenizer`. Raises FileNotFoundError if there is no such file, RunError if it is not a
    tokenizer, ImportError without tiktoken."""
    if not isinstance(tokenizer, str):
        return cast(Tokenizer, tokenizer) if hasattr(tokenizer, "encode") else FunctionTokenizer(tokenizer)
    if tokenizer == ByteTokenizer.name:
        return ByteTokenizer()
    if not tokenizer.startswith(TIKTOKEN) and not os.path.isfile(tokenizer):
        example = "NAME" if {"/", "."} & set(tokenizer) else tokenizer
        raise FileNotFoundError(
            f"{tokenizer}: no such tokenizer; give `bytes`, `{TIKTOKEN}{example}` or the path of a tokenizer.json"
        )
    try:
        open_tokenizer(tokenizer)
    except ValueError as error:
        raise RunError(str(error)) from None
    return NamedTokenizer(tokenizer)


def token_counts(tokenizer: Tokenizer, texts: pa.Array) -> Ints:
    """The number of tokens of each text."""
    return tokenizer.count(texts) if isinstance(tokenizer, NamedTokenizer) else tokenizer.encode(texts)[1]


def tokenizer_id(tokenizer: Tokenizer) -> TokenizerId | None:
    """A tokenizer as manifests record it; None if it has no name."""
    if isinstance(tokenizer, NamedTokenizer) and not tokenizer.tokenizer.startswith(TIKTOKEN):
        return {"name": os.path.basename(tokenizer.tokenizer), "sha256": tokenizer.name}
    return None if tokenizer.name is None else {"name": tokenizer.name, "sha256": None}


def _concatenate(texts: Iterable[Sequence[int]]) -> tuple[Ids, Ints]:
    """A list becomes an array before the next one is made, while its numbers are still in the processor's cache."""
    arrays = [np.fromiter(ids, np.int32, len(ids)) if isinstance(ids, list) else np.asarray(ids, np.int32) for ids in texts]
    return np.concatenate([np.zeros(0, np.int32), *arrays]), np.fromiter(map(len, arrays), np.int64, len(arrays))
