"""Packing puts every token in one place, in order; best fit cuts only documents longer than a sequence."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.feed.packing import best_fit, concatenate, cut, fill_batch

LENGTHS = st.lists(st.integers(0, 40), max_size=30).map(lambda lengths: np.array(lengths, np.int64))
SIZES = st.integers(1, 16)


def places(pieces):
    """(sequence, document, token) of every token, piece by piece."""
    rows = zip(pieces.sequence, pieces.document, pieces.start, pieces.length, strict=True)
    return [(int(s), int(d), int(t)) for s, d, start, length in rows for t in range(start, start + length)]


@given(LENGTHS, SIZES, st.integers(0, 50), st.data())
def test_cut_yields_the_stream_in_pieces(lengths, size, before, data):
    offsets = before + np.cumsum(np.append(0, lengths))
    stream = [(d, t) for d, length in enumerate(lengths) for t in range(length)]
    first = data.draw(st.integers(0, int(offsets[-1]) + 5))
    stop = data.draw(st.integers(first, int(offsets[-1]) + 9))
    expected = [((before + i) // size, d, t) for i, (d, t) in enumerate(stream) if first <= before + i < stop]
    pieces = cut(offsets, first, stop, size)
    assert places(pieces) == expected
    assert (pieces.length > 0).all()


@given(LENGTHS, SIZES)
def test_best_fit_loses_no_token_and_cuts_only_long_documents(lengths, size):
    packed = best_fit(lengths, size)
    assert sorted((d, t) for _, d, t in places(packed)) == [(d, t) for d, length in enumerate(lengths) for t in range(length)]
    used = np.bincount(packed.sequence, packed.length)
    assert (used > 0).all()
    assert (used <= size).all()
    pieces = np.bincount(packed.document, minlength=len(lengths))
    assert (pieces == -(-lengths // size)).all()
    # No two sequences would fit into one.
    assert (np.sort(used)[:2].sum() > size) or len(used) < 2
    assert len(used) <= max(1, int(np.ceil(11 / 9 * lengths.sum() / size)) + 1) or (lengths > size // 2).any()


@given(LENGTHS, SIZES)
def test_best_fit_orders_sequences_and_pieces(lengths, size):
    packed = best_fit(lengths, size)
    keys = list(zip(packed.sequence.tolist(), packed.document.tolist(), packed.start.tolist(), strict=True))
    assert keys == sorted(keys)
    firsts = [min(d for s, d, _ in keys if s == n) for n in sorted({s for s, _, _ in keys})]
    assert firsts == sorted(firsts)


def test_best_fit_takes_the_tightest_room():
    packed = best_fit(np.array([6, 3, 4, 7]), 10)
    assert places(packed)[-1][:2] == (1, 3)
    assert [(int(s), int(d)) for s, d in zip(packed.sequence, packed.document, strict=True)] == [(0, 0), (0, 2), (1, 1), (1, 3)]


def fill_slowly(pieces, ids, at, sequences, size):
    tokens, segments, positions = (np.zeros((sequences, size), int) for _ in range(3))
    column, segment = [0] * sequences, [0] * sequences
    for start, length, row in zip(at, pieces.length, pieces.sequence, strict=True):
        segment[row] += 1
        for position in range(length):
            tokens[row, column[row]] = ids[start + position]
            segments[row, column[row]] = segment[row]
            positions[row, column[row]] = position
            column[row] += 1
    return tokens, segments, positions


@given(LENGTHS, SIZES, st.booleans())
def test_filling_a_batch_copies_piece_by_piece(lengths, size, fit):
    offsets = np.cumsum(np.append(0, lengths))
    pieces = best_fit(lengths, size) if fit else cut(offsets, 0, int(offsets[-1]), size)
    ids = np.arange(1, offsets[-1] + 1, dtype=np.int32)
    sequences = int(pieces.sequence.max(initial=-1)) + 2
    at = offsets[pieces.document] + pieces.start
    batch = fill_batch(pieces, ids, at, sequences, size)
    tokens, segments, positions = fill_slowly(pieces, ids, at, sequences, size)
    assert (batch.tokens == tokens).all()
    assert (batch.segments == segments).all()
    assert (batch.positions == positions).all()


def test_concatenating_no_parts_gives_no_pieces():
    assert places(concatenate([])) == []
