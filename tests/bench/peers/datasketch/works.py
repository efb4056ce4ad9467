"""datasketch: MinHash 14 × 8 over word 5-grams. The shingles are made in Python: it takes no texts."""

from __future__ import annotations

import re
from pathlib import Path

from datasketch import MinHash, MinHashLSH
from measure import Task, main, megabytes, texts

BANDS, ROWS, WORDS = 14, 8, 5
_WORD = re.compile(r"\w+")


def shingles(text: str) -> list[bytes]:
    words = _WORD.findall(text.lower())
    return [" ".join(words[at : at + WORDS]).encode() for at in range(max(1, len(words) - WORDS + 1))]


def sketches(documents: list[str]) -> list[MinHash]:
    return MinHash.bulk(map(shingles, documents), num_perm=BANDS * ROWS)


def minhash(corpus: Path) -> Task:
    documents = texts(corpus)
    return Task(megabytes(corpus), lambda: sketches(documents).clear())


def duplicates(corpus: Path) -> Task:
    """Each document that shares a band with an earlier one."""
    documents = texts(corpus)

    def run() -> dict[str, object]:
        index = MinHashLSH(params=(BANDS, ROWS), num_perm=BANDS * ROWS)
        removed = []
        for row, sketch in enumerate(sketches(documents)):
            if index.query(sketch):
                removed.append(row)
            else:
                index.insert(row, sketch)
        return {"removed": removed}

    return Task(megabytes(corpus), run)


main("datasketch", {"minhash": minhash, "duplicates": duplicates})
