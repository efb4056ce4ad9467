"""text-dedup: the function that its MinHash command maps over a dataset, 14 bands of 8 over word 5-grams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from measure import Task, main, megabytes, texts
from text_dedup.minhash import RNG, embed_func
from text_dedup.utils import xxh3_32hash

BANDS, ROWS, WORDS = 14, 8, 5
_MASK, _PRIME = np.uint32((1 << 32) - 1), np.uint32((1 << 32) - 5)  # its configuration for 32 bits


def minhash(corpus: Path) -> Task:
    documents = texts(corpus)
    options = {
        "num_perm": BANDS * ROWS,
        "ngram_size": WORDS,
        "min_length": 1,
        "hashranges": [(band * ROWS, (band + 1) * ROWS) for band in range(BANDS)],
        "permutations": tuple(RNG.randint(least, _PRIME, BANDS * ROWS, dtype=np.uint32) for least in (1, 0)),
        "hash_func": xxh3_32hash,
        "dtype": np.uint32,
        "max_hash": _MASK,
        "modulo_prime": _PRIME,
    }

    def run() -> None:
        for row, text in enumerate(documents):
            embed_func(text, row, **options)

    return Task(megabytes(corpus), run)


main("text-dedup", {"minhash": minhash})
