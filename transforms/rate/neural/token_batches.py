"""Puts windows of similar length into batches of a fixed shape, so that what else is in a batch changes no value.

A library of linear algebra may add up in another order for another shape, and chooses another kernel
where nothing is masked. So the length of a batch is that of its bucket, its number of rows follows from
the length alone, and windows that fill their bucket stay apart from those that are padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_LEAST: Final = 8
"""Tokens between the lengths of the shortest buckets."""


@dataclass(frozen=True)
class TokenBatch:
    """Some windows, and the shape in which they are computed."""

    windows: Ints
    """[at most `rows`]: their numbers; other rows are filled up."""
    rows: int
    length: int

    def filled(self, windows: Sequence[Ints], padding: int) -> tuple[Ints, Ints]:
        """[rows, length] each: the tokens of its windows, of all `windows`, and 1 where they are. A row
        without a window repeats the first one."""
        tokens = np.full((self.rows, self.length), padding, np.int64)
        mask = np.zeros_like(tokens)
        for row in range(self.rows):
            window = windows[self.windows[row if row < len(self.windows) else 0]]
            tokens[row, : len(window)] = window
            mask[row, : len(window)] = 1
        return tokens, mask


def bucket_lengths(tokens: Ints, most: int) -> Ints:
    """[w]: the length of the bucket of each window of so many tokens, at most `most`: eight to an octave,
    so less than an eighth is padding in long ones."""
    octave = np.maximum(_LEAST, 2 ** np.maximum(0, np.ceil(np.log2(np.maximum(tokens, 1))).astype(np.int64) - 4))
    return np.minimum(-(-tokens // octave) * octave, most)


def plan_batches(tokens: Ints, most: int, budget: int) -> list[TokenBatch]:
    """Batches of w windows of `tokens` tokens each (at most `most`), of `budget` tokens with padding, but at least one
    row. Windows of one bucket keep their order."""
    length = bucket_lengths(tokens, most)
    padded = tokens < length
    batches = []
    for size in np.unique(length).tolist():
        rows = max(1, budget // size)
        for kind in (False, True):
            members = np.flatnonzero((length == size) & (padded == kind))
            batches += [TokenBatch(members[first : first + rows], rows, size) for first in range(0, len(members), rows)]
    return batches
