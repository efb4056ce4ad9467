"""CorpusReader to token ids, a batch at a time: bytes, tiktoken, a tokenizer.json, or the caller's own function."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

import numpy as np
import numpy.typing as npt

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.tokenizer import TIKTOKEN, TokenizerId, load_tokenizer_json, tiktoken_encoding

if TYPE_CHECKING:
    import pyarrow as pa

Ids = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int64]


class Tokenizer(Protocol):
    """Gives every text its ids, the same ones for the same text each time. Travels to worker processes by pickle."""

    @property
    def name(self) -> str | None:
        """Equal names give equal ids; None: nobody knows, so that no index is kept."""
        ...

    @property
    def end(self) -> int | None:
        """The id that ends a document, where the tokenizer has one."""
        ...

    @property
    def vocabulary(self) -> int | None:
        """One more than the highest id, where that is known."""
        ...

    def encode(self, texts: pa.Array) -> tuple[Ids, Lengths]:
        """The ids of all texts (`large_string`, no nulls) behind each other, and how many each has; no end is added."""
        ...


@dataclass(frozen=True)
class Bytes:
    """UTF-8 bytes are the ids; 256 ends a document."""

    name: ClassVar[str] = "bytes"
    end: ClassVar[int] = 256
    vocabulary: ClassVar[int] = 257

    def encode(self, texts: pa.Array) -> tuple[Ids, Lengths]:
        _, offsets, data = texts.buffers()
        at = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        if len(texts) == 0 or at[0] == at[-1]:
            return np.zeros(0, np.int32), np.zeros(len(texts), np.int64)
        return np.frombuffer(data, np.uint8)[at[0] : at[-1]].astype(np.int32), np.diff(at)


@dataclass(frozen=True)
class Tiktoken:
    """An encoding of tiktoken, by its name without prefix."""

    encoding: str

    @property
    def name(self) -> str:
        return TIKTOKEN + self.encoding

    @property
    def end(self) -> int:
        return int(tiktoken_encoding(self.encoding).eot_token)

    @property
    def vocabulary(self) -> int:
        return int(tiktoken_encoding(self.encoding).n_vocab)

    def encode(self, texts: pa.Array) -> tuple[Ids, Lengths]:
        encode = tiktoken_encoding(self.encoding).encode_to_numpy
        return _joined([encode(text, disallowed_special=()) for text in texts.to_pylist()])


@dataclass(frozen=True)
class File:
    """A `tokenizer.json`. It does not say which id ends a document: the caller does, or none is put."""

    path: str
    end: ClassVar[None] = None

    @cached_property
    def name(self) -> str:
        return storage.sha256(self.path)

    @property
    def vocabulary(self) -> int:
        return int(load_tokenizer_json(self.path).get_vocab_size(with_added_tokens=True))

    def encode(self, texts: pa.Array) -> tuple[Ids, Lengths]:
        found = load_tokenizer_json(self.path).encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        return _joined([each.ids for each in found])


@dataclass(frozen=True)
class Function:
    """The caller's own function of a text."""

    function: Callable[[str], Sequence[int]]
    name: str | None = None
    end: int | None = None
    vocabulary: int | None = None

    def encode(self, texts: pa.Array) -> tuple[Ids, Lengths]:
        return _joined([self.function(text) for text in texts.to_pylist()])


def load_tokenizer(given: str | Callable[[str], Sequence[int]] | Tokenizer) -> Tokenizer:
    """`bytes`, `tiktoken:NAME`, the path of a `tokenizer.json`, a function of a text, or what is a tokenizer already.

    Raises FileNotFoundError for a path where nothing is, RunError for what is no tokenizer, ImportError without tiktoken.
    """
    if not isinstance(given, str):
        return cast(Tokenizer, given) if hasattr(given, "encode") else Function(given)
    if given == Bytes.name:
        return Bytes()
    if not given.startswith(TIKTOKEN) and not os.path.isfile(given):
        raise FileNotFoundError(f"{given}: no tokenizer there; give `bytes`, `{TIKTOKEN}NAME` or the path of a tokenizer.json")
    try:
        if given.startswith(TIKTOKEN):
            tiktoken_encoding(given.removeprefix(TIKTOKEN))
            return Tiktoken(given.removeprefix(TIKTOKEN))
        load_tokenizer_json(given)
    except ValueError as error:
        raise RunError(str(error)) from None
    return File(given)


def tokenizer_id(tokenizer: Tokenizer) -> TokenizerId | None:
    """A tokenizer as manifests name it; None when nobody knows which it is."""
    if isinstance(tokenizer, File):
        return {"name": os.path.basename(tokenizer.path), "sha256": tokenizer.name}
    return None if tokenizer.name is None else {"name": tokenizer.name, "sha256": None}


def _joined(found: Sequence[Sequence[int]]) -> tuple[Ids, Lengths]:
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    ids = np.empty(int(lengths.sum()), np.int32)
    start = 0
    for each, length in zip(found, lengths.tolist(), strict=True):
        ids[start : start + length] = each
        start += length
    return ids, lengths
