"""marin-dupekit: MinHash 14 × 8 over 5-grams of characters, the only ones it has; Arrow goes in, and Rust works."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from dupekit import Transformation, transform
from measure import Task, main, megabytes, texts

BANDS, ROWS, CHARACTERS = 14, 8, 5
STEPS = [
    Transformation.CleanText("text", "clean"),
    Transformation.MinHash("clean", "signature", BANDS * ROWS, CHARACTERS, 1),
    Transformation.MinHashLSH("signature", "bands", BANDS),
]


def minhash(corpus: Path) -> Task:
    documents = pa.record_batch({"text": texts(corpus)})
    return Task(megabytes(corpus), lambda: transform(documents, STEPS).num_rows)


def duplicates(corpus: Path) -> Task:
    """Each document that shares a band with an earlier one; it has no index of its own."""
    documents = pa.record_batch({"text": texts(corpus)})

    def run() -> dict[str, object]:
        seen: set[int] = set()
        removed = []
        for row, bands in enumerate(transform(documents, STEPS)["bands"].to_pylist()):
            if seen.isdisjoint(bands):
                seen.update(bands)
            else:
                removed.append(row)
        return {"removed": removed}

    return Task(megabytes(corpus), run)


main("marin-dupekit", {"minhash": minhash, "duplicates": duplicates})
