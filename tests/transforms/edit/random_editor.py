"""An editor that replaces random spans, and the same done to one text by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import tamis
from tamis.transforms.core.editor import Edits
from tamis.transforms.text.hashing import hash_texts

Change = tuple[int, int, str, str]  # first character, the one after the last, what replaces them, the reason


class RandomOptions(tamis.Options):
    name: str = "random"
    seed: int = 0
    density: float = 0.2


class RandomEditor(tamis.Editor[RandomOptions]):
    """Replaces spans that only the text and the seed determine."""

    VERSION = 1
    reasons = ("even", "odd")
    inserts = True
    repeatable = True

    def __init__(self, options: RandomOptions = RandomOptions()) -> None:  # noqa: B008 - frozen
        super().__init__(options)
        self.name = options.name

    def edit(self, texts: tamis.Texts) -> Edits:
        rows, starts, stops, reasons, inserted = [], [], [], [], []
        for row, text in enumerate(texts.strings()):
            first = int(texts.text_start[row])
            for start, stop, new, reason in random_changes(text, self.options):
                rows.append(row)
                starts.append(first + len(text[:start].encode()))
                stops.append(first + len(text[:stop].encode()))
                reasons.append(self.reasons.index(reason))
                inserted.append(new)
        columns = (np.array(column, np.int64) for column in (rows, starts, stops, reasons))
        return Edits(*columns, inserted=pa.array(inserted, pa.large_string()))


def random_changes(text: str, options: RandomOptions) -> list[Change]:
    """The changes of one text, in order."""
    digest = hash_texts(pa.array([text], pa.large_string()), options.seed)[0]
    draw = np.random.Generator(np.random.PCG64([int(digest), options.seed]))
    changes: list[Change] = []
    position = 0
    while position <= len(text):
        if draw.random() < options.density:
            size = min(int(draw.integers(0, 9)), len(text) - position)
            new = "".join(draw.choice(["", "é", "漢 ", "\n"], int(draw.integers(0, 3))))
            changes.append((position, position + size, new, ("even", "odd")[position % 2]))
            position += size
        position += 1 + int(draw.integers(0, 12))
    return changes


def changed(text: str, changes: list[Change]) -> str:
    """The text after its changes."""
    pieces, left = [], 0
    for start, stop, new, _ in changes:
        pieces += [text[left:start], new]
        left = stop
    return "".join([*pieces, text[left:]])
