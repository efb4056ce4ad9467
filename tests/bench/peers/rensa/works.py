"""rensa: R-MinHash over word 5-grams, 112 hashes in 14 bands. Its tokens are made in Python: it takes no texts."""

from __future__ import annotations

import re
from pathlib import Path

from measure import Task, main, megabytes, texts
from rensa import RMinHash, RMinHashDeduplicator

BANDS, ROWS, WORDS = 14, 8, 5
_WORD = re.compile(r"\w+")


def tokens(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return [" ".join(words[at : at + WORDS]) for at in range(max(1, len(words) - WORDS + 1))]


def minhash(corpus: Path) -> Task:
    documents = texts(corpus)

    def run() -> None:
        RMinHash.digest_matrix_from_token_sets(list(map(tokens, documents)), BANDS * ROWS, 1)

    return Task(megabytes(corpus), run)


def duplicates(corpus: Path) -> Task:
    """Each document that its deduplicator, which verifies by the estimate, finds like an earlier one."""
    documents = texts(corpus)

    def run() -> dict[str, object]:
        seen = RMinHashDeduplicator(0.7, BANDS * ROWS, True, BANDS, 1)
        added = seen.add_pairs([(str(row), tokens(text)) for row, text in enumerate(documents)])
        return {"removed": [row for row, fresh in enumerate(added) if not fresh]}

    return Task(megabytes(corpus), run)


main("rensa", {"minhash": minhash, "duplicates": duplicates})
