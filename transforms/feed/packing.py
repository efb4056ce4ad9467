"""Lays documents into sequences of one length, from the numbers of their tokens alone.

Concatenate-and-cut is the stream itself, cut every so many tokens. Best fit (arXiv 2404.10830) cuts only documents longer than
a sequence, and leaves room where nothing fits; it works on windows of the stream, so that no document strays far from its
place in the order, and the layout of a window depends on that window alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """Stretches of documents in the order they are laid: tokens [start, start + length) of `document`, in `sequence`."""

    document: Ints
    start: Ints
    length: Ints
    sequence: Ints

    def where(self, chosen: npt.NDArray[Any]) -> Pieces:
        """Some of the pieces, by mask or by index."""
        return Pieces(self.document[chosen], self.start[chosen], self.length[chosen], self.sequence[chosen])

    def moved(self, documents: int, sequences: int) -> Pieces:
        """The same pieces under higher numbers."""
        return Pieces(self.document + documents, self.start, self.length, self.sequence + sequences)


def joined(parts: Sequence[Pieces]) -> Pieces:
    """The pieces of all parts, in their order."""
    if not parts:
        none = np.zeros(0, np.int64)
        return Pieces(none, none, none, none)
    fields = ("document", "start", "length", "sequence")
    return Pieces(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def cut(offsets: Ints, first: int, stop: int, size: int) -> Pieces:
    """Tokens [first, stop) of a stream in which document d holds [offsets[d], offsets[d + 1]); sequence n holds [n·size, …).

    What of [first, stop) lies outside the documents is left out.
    """
    first, stop = max(first, int(offsets[0])), min(stop, int(offsets[-1]))
    if first >= stop:
        return joined([])
    low, high = np.searchsorted(offsets, [first, stop], side="right")
    # A piece begins where a document or a sequence does.
    ends_of_sequences = np.arange(-(-first // size) * size, stop, size)
    begins = np.unique(np.concatenate([[first], offsets[low:high], ends_of_sequences]))
    begins = begins[begins < stop]
    document = np.searchsorted(offsets, begins, side="right") - 1
    return Pieces(document, begins - offsets[document], np.diff(begins, append=stop), begins // size)


def best_fit(lengths: Ints, size: int) -> Pieces:
    """Documents of these lengths laid into as few sequences as best-fit-decreasing finds; documents without tokens have none.

    A document longer than a sequence fills whole ones from its start. Sequences come in the order of the first document of
    each, pieces within one in the order of documents.
    """
    documents = np.repeat(np.arange(len(lengths)), -(-lengths // size))
    first = np.cumsum(np.append(0, -(-lengths // size)))[documents]
    start = (np.arange(len(documents)) - first) * size
    length = np.minimum(lengths[documents] - start, size)
    bins = np.zeros(len(documents), np.int64)
    room: list[tuple[int, int]] = []  # (tokens left, bin), of the bins that are not full
    opened = 0
    for piece in np.argsort(-length, kind="stable").tolist():
        tokens = int(length[piece])
        at = bisect_left(room, (tokens, 0))
        left, chosen = room.pop(at) if at < len(room) else (size, opened)
        opened += chosen == opened
        bins[piece] = chosen
        if left > tokens:
            insort(room, (left - tokens, chosen))
    _, firsts, of_bin = np.unique(bins, return_index=True, return_inverse=True)
    rank = np.empty(len(firsts), np.int64)
    rank[np.argsort(firsts)] = np.arange(len(firsts))
    sequence = rank[of_bin]
    return Pieces(documents, start, length, sequence).where(np.argsort(sequence, kind="stable"))


@dataclass(frozen=True)
class Laid:
    """Sequences as arrays of (sequences, size): ids, 0 where none; segments, 1 and up, 0 where none; places in the segment."""

    tokens: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]


def lay(pieces: Pieces, ids: npt.NDArray[np.int32], at: Ints, sequences: int, size: int) -> Laid:
    """Copies piece i from `ids[at[i]:]`. Sequences are numbered from 0 here; positions begin at 0 in each piece."""
    tokens = np.zeros(sequences * size, np.int64)
    segments, positions = np.zeros(len(tokens), np.int32), np.zeros(len(tokens), np.int32)
    place = np.arange(size, dtype=np.int32)
    last, to, segment = -1, 0, 0
    # A copy for each piece takes a sixth of the time of one index for all tokens.
    for start, count, sequence in zip(at.tolist(), pieces.length.tolist(), pieces.sequence.tolist(), strict=True):
        if sequence != last:
            last, to, segment = sequence, sequence * size, 0
        segment += 1
        there = slice(to, to + count)
        tokens[there] = ids[start : start + count]
        segments[there] = segment
        positions[there] = place[:count]
        to += count
    shape = (sequences, size)
    return Laid(tokens.reshape(shape), segments.reshape(shape), positions.reshape(shape))
