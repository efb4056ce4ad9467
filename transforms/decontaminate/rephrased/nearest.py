"""Keeps the nearest passages of each benchmark item while the documents of a corpus go by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.decontaminate.rephrased.windows import Windows, changes, windows
from tamis.transforms.text.words import DEFAULT_WORDS, Words

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Encode = Callable[[list[str]], npt.ArrayLike]
"""Embeds n texts: [n, dimensions]."""


class Scorer(Protocol):
    """Compares passages with n items."""

    def limit(self, bound: Floats) -> None:
        """Sets the score of each item, [n], that a passage must exceed. It never falls."""

    def scores(self, cut: Windows) -> tuple[Ints, Ints, Floats]:
        """(window, item, score) of every pair above the bound of the item."""


class Embedded:
    """Compares by the cosine of embeddings, so that translations are found, too."""

    def __init__(self, texts: Sequence[str], encode: Encode) -> None:
        self.encode = encode
        self.vectors = self._embed(texts)
        self.bound = np.zeros(len(texts))

    def limit(self, bound: Floats) -> None:
        self.bound = bound

    def scores(self, cut: Windows) -> tuple[Ints, Ints, Floats]:
        cosine = self._embed([cut.text(window) for window in range(len(cut))]) @ self.vectors.T
        window, item = np.nonzero(cosine > self.bound)
        return window, item, cosine[window, item]

    def _embed(self, texts: Sequence[str]) -> Floats:
        """[n, dimensions] of length 1. Raises ValueError if these are not embeddings."""
        if not texts:
            return np.empty((0, self.vectors.shape[1]))
        vectors = np.asarray(self.encode(list(texts)), np.float64)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise ValueError(
                f"the embeddings of {len(texts):,} texts have the shape {vectors.shape}, or values that are not finite"
            )
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True, slots=True)
class Near:
    """A passage near an item: the best window of a document."""

    score: float
    document: int
    """Its number among all that went by."""
    id: str
    start: int
    """First byte in the text of the document."""
    stop: int
    text: str


class Nearest:
    """The `top` nearest documents of each of n items, with their best windows, the nearest first.

    Of equal scores, the earlier document and window come first, so the result does not depend on how
    the documents are cut into batches. Memory: n · `top` passages, beside the scorer.
    """

    def __init__(self, scorer: Scorer, items: int, top: int, least: float, size: int, words: Words = DEFAULT_WORDS) -> None:
        """`least`: passages must be nearer than this. `size`: words in a window."""
        self.scorer, self.top, self.least, self.size, self.words = scorer, top, least, size, words
        self.found: list[list[Near]] = [[] for _ in range(items)]
        self.bound = np.full(items, least)
        self.documents = self.passages = 0
        scorer.limit(self.bound)

    def add(self, texts: pa.Array, ids: pa.Array) -> None:
        """Looks at the next documents. `texts`: a string or large_string array without nulls. A document that
        comes again, with the same id, counts once."""
        cut = windows(texts, self.size, self.words)
        window, item, score = self.scorer.scores(cut)
        document = cut.document[window]
        order = np.lexsort((window, -score, document, item))
        order = order[changes(item[order], document[order])]  # the best window of each document
        order = order[np.lexsort((document[order], -score[order], item[order]))]
        changed = False
        for k in order[_rank(item[order]) < self.top]:
            changed |= self._insert(item[k], score[k], cut, window[k], ids[int(document[k])].as_py())
        self.documents += len(texts)
        self.passages += len(cut)
        if changed:
            self.scorer.limit(self.bound)

    def _insert(self, item: int, score: float, cut: Windows, window: int, identifier: str) -> bool:
        """Keeps a passage of an item if it is among the nearest. Returns whether it is."""
        near = self.found[item]
        if score <= self.bound[item] or any(each.id == identifier and each.score >= score for each in near):
            return False
        document = int(cut.document[window])
        begin = cut.text_start[document]
        start, stop = (int(place - begin) for place in (cut.start[window], cut.stop[window]))
        near[:] = [each for each in near if each.id != identifier]
        near.append(Near(float(score), self.documents + document, identifier, start, stop, cut.text(window)))
        near.sort(key=lambda each: (-each.score, each.document))
        del near[self.top :]
        if len(near) == self.top:
            self.bound[item] = max(self.least, near[-1].score)
        return True


def _rank(ascending: npt.NDArray[np.int64]) -> Ints:
    """The place of each row in its run of equal values."""
    first = np.flatnonzero(changes(ascending))
    return np.arange(len(ascending)) - np.repeat(first, np.diff(np.append(first, len(ascending))))
