"""Orders sort by quality, sources keep their shares along the run, and phases are bands of quality."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.curriculum.order import Curriculum, Ordering, Phase, phase_of, place, sort_value
from tamis.transforms.text.hashing import mix

UP = Ordering(order="ascending")
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@dataclass(frozen=True)
class Document:
    id: int
    source: str
    quality: float
    tokens: int


@st.composite
def corpora(draw: st.DrawFn) -> list[Document]:
    size = draw(st.integers(1, 40))
    return [
        Document(
            index, draw(st.sampled_from("ABC")), draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])), draw(st.integers(1, 50))
        )
        for index in range(size)
    ]


def slow_order(corpus: list[Document], order: str, folds: int = 1) -> list[Document]:
    """A slow reference: sort each source by sort value and tie break, then all by place and tie break."""
    tie_breaks = mix(np.array([document.id for document in corpus], np.uint64), 0)
    quality = np.array([document.quality for document in corpus], np.float32)
    values = sort_value(Ordering(order=order, folds=folds), quality, tie_breaks)
    rows = sorted(
        zip(corpus, values.tolist(), tie_breaks.tolist(), strict=True), key=lambda row: (row[0].source, row[1], row[2])
    )
    places = []
    for _, group in groupby(rows, key=lambda row: row[0].source):
        members = list(group)
        through = np.cumsum([document.tokens for document, _, _ in members])
        where = place(through, np.full(len(members), through[-1]))
        places += [(at, tie_break, document) for (document, _, tie_break), at in zip(members, where.tolist(), strict=True)]
    return [document for _, _, document in sorted(places, key=lambda row: row[:2])]


@given(st.lists(FLOATS, min_size=2))
def test_ascending_keeps_the_order_of_float32_and_puts_missing_lowest(values: list[float]) -> None:
    quality = np.array(values, np.float32)
    key = sort_value(UP, quality, np.zeros(len(values), np.uint64)).astype(object)
    for i, one in enumerate(quality):
        for j, other in enumerate(quality):
            if np.isnan(one) or np.isnan(other):
                assert (key[i] < key[j]) == bool(np.isnan(one) and not np.isnan(other))
            else:
                assert (key[i] < key[j]) == bool(one < other)


@given(st.lists(FLOATS))
def test_descending_is_the_reverse_of_ascending(values: list[float]) -> None:
    quality, ties = np.array(values, np.float32), np.zeros(len(values), np.uint64)
    up, down = (sort_value(order, quality, ties) for order in (UP, Ordering(order="descending")))
    np.testing.assert_array_equal(up + down, np.full(len(values), 2**32 - 1, np.uint64))


def test_uniform_orders_by_tie_break_alone() -> None:
    assert not sort_value(Ordering(), np.array([0.1, np.nan], np.float32), np.array([3, 4], np.uint64)).any()


@given(st.lists(FLOATS), st.integers(0, 2**63))
def test_one_fold_is_ascending(values: list[float], seed: int) -> None:
    quality = np.array(values, np.float32)
    ties = mix(np.arange(len(values), dtype=np.uint64), seed)
    once = sort_value(Ordering(order="folded", folds=1), quality, ties)
    np.testing.assert_array_equal(once, sort_value(UP, quality, ties))


def test_folds_are_even_and_each_has_the_whole_range() -> None:
    ties = mix(np.arange(30_000, dtype=np.uint64), 5)
    quality = np.linspace(0, 1, 30_000, dtype=np.float32)
    key = sort_value(Ordering(order="folded", folds=3), quality, ties)
    fold = (key >> np.uint64(32)).astype(int)
    assert set(fold.tolist()) == {0, 1, 2}
    for index in range(3):
        inside = quality[fold == index]
        assert len(inside) == pytest.approx(10_000, rel=0.05)
        assert inside.mean() == pytest.approx(0.5, abs=0.02)
    in_order = quality[np.argsort(key, kind="stable")]
    assert int((np.diff(in_order) < 0).sum()) == 2


def test_three_and_two_documents_interleave() -> None:
    a, b = place([1, 2, 3], 3), place([1, 2], 2)
    order = sorted([*zip(a, ["A1", "A2", "A3"], strict=True), *zip(b, ["B1", "B2"], strict=True)])
    assert [name for _, name in order][:3] == ["A1", "B1", "A2"]
    assert a[2] == b[1] == 1


def test_places_without_rank_or_tokens() -> None:
    np.testing.assert_array_equal(place([0, np.nan, 5], [0, np.nan, 10]), [1, np.nan, 0.5])


@settings(max_examples=60)
@given(corpora())
def test_every_prefix_keeps_each_sources_share_within_one_document(corpus: list[Document]) -> None:
    order = slow_order(corpus, "ascending")
    totals = {source: sum(d.tokens for d in corpus if d.source == source) for source in "ABC"}
    longest = {source: max((d.tokens for d in corpus if d.source == source), default=0) for source in "ABC"}
    used = dict.fromkeys("ABC", 0)
    for document in order:
        used[document.source] += document.tokens
        # The share of its tokens that the source of this document has used.
        clock = used[document.source] / totals[document.source]
        for source in "ABC":
            assert abs(used[source] - clock * totals[source]) <= longest[source] + 1e-6


@settings(max_examples=60)
@given(corpora())
def test_with_two_sources_a_prefix_of_tokens_holds_both_in_proportion(corpus: list[Document]) -> None:
    corpus = [d for d in corpus if d.source != "C"]
    total = sum(d.tokens for d in corpus)
    longest = max((d.tokens for d in corpus), default=0)
    used, through = dict.fromkeys("AB", 0), 0
    for document in slow_order(corpus, "ascending"):
        used[document.source] += document.tokens
        through += document.tokens
        for source in "AB":
            source_tokens = sum(d.tokens for d in corpus if d.source == source)
            assert abs(used[source] - through / total * source_tokens) <= longest + 1e-6


@settings(max_examples=60)
@given(corpora(), st.sampled_from(["ascending", "descending", "uniform", "folded"]), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_rows(corpus: list[Document], order: str, shuffle: object) -> None:
    moved = list(corpus)
    shuffle.shuffle(moved)  # type: ignore[attr-defined]
    assert slow_order(moved, order, 3) == slow_order(corpus, order, 3)


@settings(max_examples=60)
@given(corpora())
def test_each_source_is_sorted(corpus: list[Document]) -> None:
    for source in "ABC":
        up = [d.quality for d in slow_order(corpus, "ascending") if d.source == source]
        down = [d.quality for d in slow_order(corpus, "descending") if d.source == source]
        assert up == sorted(up)
        assert down == up[::-1]


def test_phases_hold_their_shares_and_the_last_the_best() -> None:
    phase = phase_of(place(np.arange(1, 11), 10), [0.7, 0.2, 0.1])
    assert phase.tolist() == [0] * 7 + [1] * 2 + [2]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_phases_never_go_back_and_miss_their_share_by_less_than_a_document(shares: list[int], tokens: list[int]) -> None:
    weights = [share / sum(shares) for share in shares]
    through = np.cumsum(tokens)
    phase = phase_of(place(through, through[-1]), weights)
    assert (np.diff(phase) >= 0).all()
    assert phase.max() < len(shares)
    for index, boundary in enumerate(np.cumsum(weights)):
        until = sum(t for t, p in zip(tokens, phase, strict=True) if p <= index)
        assert boundary * through[-1] - max(tokens) < until + 1e-6
        assert until <= boundary * through[-1] + 1e-6


def test_the_run_is_one_phase_unless_phases_are_given() -> None:
    (phase,) = Curriculum(order="folded", folds=7).effective_phases
    assert (phase.name, phase.share, phase.order, phase.folds) == ("phase-1", 1.0, "folded", 7)
    phases = (Phase(name="web", share=0.8), Phase(name="best", share=0.2, order="ascending"))
    assert Curriculum(phases=phases).effective_phases == phases


def test_a_curriculum_reads_back_from_its_own_dump() -> None:
    phases = (Phase(name="web", share=0.8), Phase(name="best", share=0.2, order="folded", folds=2))
    for curriculum in (Curriculum(phases=phases), Curriculum(order="folded", folds=7)):
        assert Curriculum.model_validate(curriculum.model_dump(mode="json")) == curriculum


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"phases": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.4}]}, "sum to 0.9, not 1"),
        ({"phases": [{"name": "a", "share": 0.5}, {"name": "a", "share": 0.5}]}, "two phases have the same name"),
        ({"phases": [{"name": "../a"}]}, "pattern"),
        ({"phases": [{"name": "a"}], "order": "ascending"}, "order: set it in each phase"),
        ({"order": "upwards"}, "ascending"),
        ({"folds": 0}, "greater than or equal to 1"),
    ],
)
def test_an_impossible_curriculum_says_why(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Curriculum.model_validate(options)
