"""Questions of marks and numbers are found as a whole and no other way; questions of prose, and short ones, are not."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import zstandard

from tamis.transforms.decontaminate.contamination_rater import Decontaminate
from tamis.transforms.decontaminate.matching.index import load_or_build
from tests.transforms.decontaminate.matching.small_benchmarks import candidates_of, index_of, scores

BRACKETS = "Complete the sequence. Input: [ < { } ( [ ] ) > ( { < >"
SUM = "((-1 + 2 + 9 * 5) - (-2 + -4 + -4 * -7)) ="
ITEMS = [
    *(BRACKETS.replace("{ }", "{ }" * k) for k in range(1, 30)),
    *(SUM.replace("9", str(k)) for k in range(10, 40)),
    *(
        f"not ( {a} ) and {b} or ( {c} and not {d} ) or {e} and not {f} or {g} is"
        for a, b, c, d, e, f, g in product(("True", "False"), repeat=7)
    ),
    "2 + 2 =",
]


def test_every_item_with_enough_marks_is_found_in_its_place_and_none_of_its_siblings(tmp_path: Path) -> None:
    index = index_of(tmp_path, ITEMS)
    assert index.unmatchable.tolist() == [len(ITEMS) - 1]
    for number, found in enumerate(scores([f"é An example:\n{item}\nThe end." for item in ITEMS], index)):
        assert found == ({str(number): ("copied", 1.0)} if number < len(ITEMS) - 1 else {})


def test_prose_that_many_items_have_is_not_looked_for(tmp_path: Path) -> None:
    prose = [f"Which of these statements about it is true{mark}" for mark in "?!.:,;" * 4]
    assert len(index_of(tmp_path, prose).unmatchable) == len(prose)


def test_a_copy_says_where_it_is_and_that_nothing_is_changed(tmp_path: Path) -> None:
    text = f"Before ({ITEMS[35]} 14)"
    found = candidates_of(["", text], index_of(tmp_path, ITEMS))
    assert found.document.tolist() == [1]
    assert text[found.start[0] : found.stop[0]] == ITEMS[35]
    assert found.matched.all()
    assert found.joined.all()
    assert not found.changed.any()


@pytest.mark.parametrize(
    "other", [SUM, SUM.replace("9", "12").replace("-4", "4"), SUM.replace("9", "12 +"), SUM.replace("=", "")]
)
def test_another_number_or_mark_is_another_question(tmp_path: Path, other: str) -> None:
    found = scores([other], index_of(tmp_path, [*ITEMS[:31], SUM.replace("9", "12"), *ITEMS[33:]]))
    assert found == [{}]


def test_spacing_and_case_make_no_difference(tmp_path: Path) -> None:
    index = index_of(tmp_path, ITEMS)
    (found,) = scores([ITEMS[63].upper().replace(" )", ")").replace("( ", "(\n")], index)
    assert found == {"63": ("copied", 1.0)}


def test_nearly_all_items_of_big_bench_hard_are_matchable_and_no_page_has_one(shared: Path) -> None:
    index = load_or_build(Decontaminate(benchmarks=[{"name": "bbh", "path": str(shared / "benchmarks" / "bbh.jsonl.zst")}]))
    assert len(index.unmatchable) <= 0.03 * len(index.benchmark)
    with zstandard.open(shared / "web" / "weborganizer-00.jsonl.zst", "rt", encoding="utf-8") as lines:
        pages = [json.loads(line)["text"] for line in lines]
    found = candidates_of(pages, index)
    assert not np.isin(found.text, index.whole_text).any()
