"""Spans of several steps are merged, every byte is cut once, for the first reason that covers it; and places in
what is left are found in the rated text."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.beam.cuts import MERGED, merge, rated_places

SIZE = 12  # bytes of each document; they adjoin in one buffer

SPANS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, SIZE), st.integers(0, SIZE), st.integers(0, 2)).map(
        lambda span: (span[0], *sorted(span[1:3]), span[3])
    ),
    max_size=12,
)


def by_bytes(spans: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """(document, start, stop, label) of the result, one byte after the other."""
    why: list[tuple[int, int] | None] = [None] * (3 * SIZE)
    for document, start, stop, label in reversed(spans):
        for place in range(document * SIZE + start, document * SIZE + stop):
            why[place] = document, label
    found, place = [], 0
    for label_of, run in groupby(why):
        length = len(list(run))
        if label_of is not None:
            found.append((label_of[0], place, place + length, label_of[1]))
        place += length
    return found


@given(SPANS)
def test_merged_spans_are_those_of_single_bytes(spans):
    document, start, stop, label = np.array(spans, np.int64).reshape(-1, 4).T
    span, first, last = merge(document, document * SIZE + start, document * SIZE + stop, label)
    result = list(zip(document[span].tolist(), first.tolist(), last.tolist(), label[span].tolist(), strict=True))
    assert result == by_bytes(spans)


def test_what_a_later_step_cuts_is_trimmed():
    spans = np.array([(0, 4, 6, 0), (0, 2, 9, 1), (0, 9, 10, 1), (1, 0, 3, 1)])
    span, start, stop = merge(spans[:, 0], 10 * spans[:, 0] + spans[:, 1], 10 * spans[:, 0] + spans[:, 2], spans[:, 3])
    assert (span.tolist(), start.tolist(), stop.tolist()) == ([1, 0, 1, 3], [2, 4, 6, 10], [4, 6, 10, 13])


def test_no_spans():
    none = np.empty(0, np.int64)
    assert [len(each) for each in merge(none, none, none, none)] == [0, 0, 0]


@settings(max_examples=100)
@given(data=st.data())
def test_places_in_what_is_left_are_found_in_the_rated_texts(data):
    """A byte that is left stands at its place in the rated text."""
    documents = [(data.draw(st.integers(0, 12)), number) for number in (3, 5, 2**63)]
    rows, places = [], []
    for size, doc_ref in documents:
        cut = data.draw(st.sets(st.integers(0, max(size - 1, 0)))) if size else set()
        for place in sorted(cut):
            rows.append({"doc_ref": doc_ref, "start": place, "stop": place + 1, "reason": "r", "detail": None, "chars": 1})
        left = [place for place in range(size) if place not in cut]
        places += [(doc_ref, number, place) for number, place in enumerate(left)]
    places.append((7, 4, 4))  # of a document that was not cut
    doc_ref, left, rated = (np.array(column) for column in zip(*places, strict=True))
    spans = pa.Table.from_pylist(rows, schema=MERGED) if rows else None
    assert rated_places(spans, doc_ref.astype(np.uint64), left).tolist() == rated.tolist()
