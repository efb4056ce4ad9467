"""gaoya: MinHash 14 × 8 over word 5-grams, tokenised in Rust; its index verifies what it finds by the estimate.

    python works.py WORK CORPUS [64]

Hashes have 32 bits, its default, or the 64 that ours have. Its words are lower-cased and end at ASCII white space and
punctuation; other spaces and marks, accents and digits stay as they are. A text of fewer than five words has no shingle
and is like every other such text.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gaoya.minhash import MinHashStringIndex
from measure import Task, main, megabytes, texts

BANDS, ROWS, WORDS = 14, 8, 5
BITS = 64 if "64" in sys.argv else 32


def indexed(documents: list[str]) -> MinHashStringIndex:
    index = MinHashStringIndex(BITS, 0.7, BANDS, ROWS, BANDS * ROWS, "word", True, (WORDS, WORDS), "vec")
    index.par_bulk_insert_docs(list(range(len(documents))), documents)
    return index


def minhash(corpus: Path) -> Task:
    documents = texts(corpus)
    return Task(megabytes(corpus), lambda: indexed(documents).size())


def duplicates(corpus: Path) -> Task:
    """Each document with an earlier one among those found like it."""
    documents = texts(corpus)

    def run() -> dict[str, object]:
        found = indexed(documents).par_bulk_query(documents)
        return {"removed": [row for row, alike in enumerate(found) if any(other < row for other in alike)]}

    return Task(megabytes(corpus), run)


main("gaoya", {"minhash": minhash, "duplicates": duplicates})
