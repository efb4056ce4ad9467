"""What is published of `pii` on labelled documents is what the command prints, and good enough."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.labels import pii_rates


def test_every_document_is_labelled_once() -> None:
    documents = pii_rates.labelled()
    assert Counter(corpus for corpus, _ in documents) == {"enron1": 150, "web": 150, "enron1-2": 65, "web-2": 65}
    assert len({text_hash for _, text_hash in documents}) == len(documents)
    assert sum(map(len, documents.values())) > 250
    assert sum(not values for values in documents.values()) > 150


@pytest.mark.slow
def test_found_is_what_a_reader_finds(shared: Path) -> None:
    for kind in ("email", "phone"):
        labels, hit, ours, right = map(
            sum, zip(*(counts for (_, other), counts in pii_rates.rates(shared).items() if other == kind), strict=True)
        )
        assert hit / labels >= 0.95
        assert right / ours >= 0.98
    assert pii_rates.table(shared) + "\n\n" in pii_rates.PAGE.read_text(), "run `python -m tests.labels.pii_rates --write`"
