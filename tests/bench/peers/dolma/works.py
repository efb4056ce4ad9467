"""dolma: its Gopher and C4 taggers. It has no rules of FineWeb, and words at white space."""

from __future__ import annotations

from pathlib import Path

from dolma.core.data_types import Document
from dolma.core.registry import TaggerRegistry
from measure import Task, main, megabytes, texts


def rules(corpus: Path) -> Task:
    taggers = [TaggerRegistry.get(name)() for name in ("gopher_v1", "c4_v2")]
    documents = [Document(source="", id="", version="", text=text) for text in texts(corpus)]

    def run() -> None:
        for document in documents:
            for tagger in taggers:
                tagger.predict(document)

    return Task(megabytes(corpus), run)


main("dolma", {"rules": rules})
