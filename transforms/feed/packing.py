"""Packs documents into sequences of one length, from their token counts alone.

`cut` concatenates the documents and cuts the stream every `size` tokens. Best fit (arXiv
2404.10830) cuts only documents longer than a sequence, and leaves padding where nothing fits. It
works on windows of the stream, so that no document moves far from its place in the order; the
packing of a window depends on that window alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Ints


@dataclass(frozen=True)
class Pieces:
    """Pieces in packed order: tokens [start, start + length) of `document`, in `sequence`."""

    document: Ints
    start: Ints
    length: Ints
    sequence: Ints

    def take(self, index: npt.NDArray[Any]) -> Pieces:
        """Some of the pieces, by mask or by index."""
        return Pieces(self.document[index], self.start[index], self.length[index], self.sequence[index])

    def shifted(self, documents: int, sequences: int) -> Pieces:
        """The same pieces with these amounts added to their document and sequence numbers."""
        return Pieces(self.document + documents, self.start, self.length, self.sequence + sequences)


def concatenate(parts: Sequence[Pieces]) -> Pieces:
    """The pieces of all parts, in their order."""
    if not parts:
        empty = np.zeros(0, np.int64)
        return Pieces(empty, empty, empty, empty)
    fields = ("document", "start", "length", "sequence")
    return Pieces(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def cut(offsets: Ints, first: int, stop: int, size: int) -> Pieces:
    """Tokens [first, stop) of a stream, cut into sequences: sequence n starts at token n·size.
    Document d is tokens [offsets[d], offsets[d + 1]). Tokens outside all documents are left out."""
    first, stop = max(first, int(offsets[0])), min(stop, int(offsets[-1]))
    if first >= stop:
        return concatenate([])
    low, high = np.searchsorted(offsets, [first, stop], side="right")
    # A piece begins where a document or a sequence does.
    sequence_starts = np.arange(-(-first // size) * size, stop, size)
    starts = np.unique(np.concatenate([[first], offsets[low:high], sequence_starts]))
    starts = starts[starts < stop]
    document = np.searchsorted(offsets, starts, side="right") - 1
    return Pieces(document, starts - offsets[document], np.diff(starts, append=stop), starts // size)


def best_fit(lengths: Ints, size: int) -> Pieces:
    """Packs documents of these lengths by best-fit-decreasing; documents without tokens have no
    piece. A document longer than a sequence fills whole sequences from its start. Sequences are
    ordered by the first document of each, pieces within a sequence by document."""
    documents = np.repeat(np.arange(len(lengths)), -(-lengths // size))
    first = np.cumsum(np.append(0, -(-lengths // size)))[documents]
    start = (np.arange(len(documents)) - first) * size
    length = np.minimum(lengths[documents] - start, size)
    bins = np.zeros(len(documents), np.int64)
    room: list[tuple[int, int]] = []  # (tokens left, bin) of each bin that is not full
    opened = 0
    for piece in np.argsort(-length, kind="stable").tolist():
        tokens = int(length[piece])
        at = bisect_left(room, (tokens, 0))
        left, best = room.pop(at) if at < len(room) else (size, opened)
        opened += best == opened
        bins[piece] = best
        if left > tokens:
            insort(room, (left - tokens, best))
    _, firsts, of_bin = np.unique(bins, return_index=True, return_inverse=True)
    rank = np.empty(len(firsts), np.int64)
    rank[np.argsort(firsts)] = np.arange(len(firsts))
    sequence = rank[of_bin]
    return Pieces(documents, start, length, sequence).take(np.argsort(sequence, kind="stable"))


@dataclass(frozen=True)
class PackedBatch:
    """Arrays of (sequences, size): ids, segments from 1, positions in segments; 0 is padding."""

    tokens: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]


def fill_batch(pieces: Pieces, ids: npt.NDArray[np.int32], at: Ints, sequences: int, size: int) -> PackedBatch:
    """Fills `sequences` sequences; ids of piece i start at `ids[at[i]]`. A piece is a segment. Where
    `at[i]` is negative the piece has no ids: its place stays padding, and its segment is left out."""
    tokens = np.zeros(sequences * size, np.int64)
    segments, positions = np.zeros(len(tokens), np.int32), np.zeros(len(tokens), np.int32)
    count_up = np.arange(size, dtype=np.int32)
    last, to, segment = -1, 0, 0
    # One copy per piece takes a sixth of the time of one index over all tokens.
    for start, count, sequence in zip(at.tolist(), pieces.length.tolist(), pieces.sequence.tolist(), strict=True):
        if sequence != last:
            last, to, segment = sequence, sequence * size, 0
        segment += 1
        span = slice(to, to + count)
        to += count
        if start < 0:
            continue
        tokens[span] = ids[start : start + count]
        segments[span] = segment
        positions[span] = count_up[:count]
    shape = (sequences, size)
    return PackedBatch(tokens.reshape(shape), segments.reshape(shape), positions.reshape(shape))
