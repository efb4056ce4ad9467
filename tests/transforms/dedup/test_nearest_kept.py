"""Documents compared with those that are kept whatever comes, and what follows: nights keep what one run over all keeps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.dedup import survivors
from tamis.transforms.dedup.drop_rule import DropRule, DropRules
from tamis.transforms.dedup.survivors import nearest_kept, spans

Document = tuple[frozenset[int], frozenset[int]]
"""Bands and shingles."""

DOCUMENTS = st.lists(
    st.tuples(st.frozensets(st.integers(0, 5), max_size=3), st.frozensets(st.integers(0, 9), min_size=1)), max_size=30
)
THRESHOLDS = st.sampled_from([0.3, 0.5, 0.7, 1.0])


def nearest(documents: Sequence[Document], threshold: float, fixed: int, crowding: int) -> list[tuple[int, float]]:
    """(representative, similarity) of each document."""
    bands, shingles = (
        spans(pa.chunked_array([pa.array([sorted(document[place]) for document in documents], pa.list_(pa.uint64()))]))
        for place in (0, 1)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survivors, "CROWDING", crowding)
        rules = DropRules(DropRule(threshold), DropRule(threshold))
        representative, similarity = nearest_kept(bands, shingles, rules, np.zeros(len(documents), np.bool_), fixed)
    return list(zip(representative.tolist(), similarity.tolist(), strict=True))


def reference(documents: Sequence[Document], threshold: float, fixed: int) -> list[tuple[int, float]]:
    """The same with Python sets, one pair at a time."""
    results: list[tuple[int, float]] = []
    for place, (bands, shingles) in enumerate(documents):
        others = range(fixed) if fixed else [other for other, (of, _) in enumerate(results) if of == other]
        shared = [other for other in others if place >= fixed and bands & documents[other][0]]
        similar = [(len(shingles & documents[other][1]) / len(shingles | documents[other][1]), -other) for other in shared]
        best, other = max(similar, default=(0.0, 0))
        results.append((-other, best) if similar and best >= threshold else (place, 0.0))
    return results


@settings(max_examples=100)
@given(DOCUMENTS, THRESHOLDS, st.integers(0, 30), st.sampled_from([1, 3, 200]))
def test_it_is_what_sets_say(documents, threshold, fixed, crowding) -> None:
    fixed = min(fixed, len(documents))
    assert nearest(documents, threshold, fixed, crowding) == reference(documents, threshold, fixed)


@settings(max_examples=100)
@given(DOCUMENTS, THRESHOLDS, st.lists(st.integers(0, 30), max_size=9), st.sampled_from([1, 200]))
def test_any_split_over_ten_nights_keeps_what_one_run_keeps_if_the_oldest_stays(documents, threshold, cuts, crowding) -> None:
    """The documents are in the order of their dates. Each night is compared with all that was released, then with itself."""
    released: list[Document] = []
    limits = [0, *sorted(min(cut, len(documents)) for cut in cuts), len(documents)]
    for start, stop in pairwise(limits):
        both = nearest([*released, *documents[start:stop]], threshold, len(released), crowding)
        new = [documents[start + place] for place, (of, _) in enumerate(both[len(released) :]) if of == len(released) + place]
        within = nearest(new, threshold, 0, crowding)
        released += [document for place, (document, (of, _)) in enumerate(zip(new, within, strict=True)) if of == place]
    whole = nearest(documents, threshold, 0, crowding)
    assert released == [document for place, (document, (of, _)) in enumerate(zip(documents, whole, strict=True)) if of == place]
