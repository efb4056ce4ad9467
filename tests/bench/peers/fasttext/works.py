"""The fastText binding with lid.176.ftz: one call a text, on the first 2,000 characters, as Tamis looks at them."""

from __future__ import annotations

from pathlib import Path

import fasttext
from measure import Task, main, texts

PREFIX = 2000


def language(corpus: Path) -> Task:
    model = fasttext.load_model(str(corpus / "lid.176.ftz"))
    lines = [text[:PREFIX].replace("\n", " ") for text in texts(corpus)]

    def run() -> None:
        for line in lines:
            model.predict(line, 1)

    return Task(sum(len(line.encode()) for line in lines) / 1e6, run)


main("fasttext-predict", {"language": language})
