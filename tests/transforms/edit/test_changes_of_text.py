"""Differences turn one text into the other, are small where texts differ a little, and compose."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.edit.changes_of_text import Change, changed, composed, difference

TEXTS = st.text(st.sampled_from("ab é漢\n"), max_size=40)


def ordered(changes: list[Change]) -> bool:
    places = [place for change in changes for place in (change.start, change.stop)]
    return places == sorted(places)


@given(TEXTS, TEXTS)
def test_a_difference_turns_one_text_into_the_other(before: str, after: str) -> None:
    changes = difference(before, after)
    assert changed(before, changes) == after
    assert ordered(changes)
    assert (not changes) == (before == after)


def test_a_difference_is_small() -> None:
    assert difference("it â€™ s and Ã© too, yes", "it ’ s and é too, yes") == [Change(3, 6, "’"), Change(13, 15, "é")]
    assert difference("same", "same") == []


def test_a_long_text_takes_no_long_time() -> None:
    begun = time.process_time()
    before, after = "x" * 1_000_000 + "y" * 1_000_000, "z" * 1_000_000
    assert changed(before, difference(before, after)) == after
    many = "some words, and then é; " * 40_000
    assert len(difference(many, many.replace("é", "e"))) == 40_000
    assert time.process_time() - begun < 20


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_changes_compose(first: str, second: str, third: str, fourth: str) -> None:
    changes = difference(first, second, 1)
    for number, (before, after) in enumerate(((second, third), (third, fourth)), 2):
        changes = composed(first, changes, difference(before, after, number))
        assert changed(first, changes) == after
        assert ordered(changes)


def test_changes_that_overlap_have_the_first_reason() -> None:
    assert composed("abcdef", [Change(1, 2, "XY", 1)], [Change(2, 4, "", 2)]) == [Change(1, 3, "X", 1)]
    assert composed("abcdef", [Change(1, 2, "XY", 1)], [Change(4, 5, "", 2)]) == [Change(1, 2, "XY", 1), Change(3, 4, "", 2)]
    assert composed("abcdef", [Change(1, 2, "", 1)], [Change(1, 1, "b", 2)]) == [Change(1, 2, "", 1), Change(2, 2, "b", 2)]
