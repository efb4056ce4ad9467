"""gaoya: MinHash 14 × 8 over word 5-grams, tokenised in Rust; its index verifies what it finds by the estimate."""

from __future__ import annotations

from pathlib import Path

from gaoya.minhash import MinHashStringIndex
from measure import Task, main, megabytes, texts

BANDS, ROWS, WORDS = 14, 8, 5


def indexed(documents: list[str]) -> MinHashStringIndex:
    index = MinHashStringIndex(32, 0.7, BANDS, ROWS, BANDS * ROWS, "word", True, (WORDS, WORDS), "vec")
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
