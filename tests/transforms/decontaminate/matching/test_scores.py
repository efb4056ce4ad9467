"""Scores have the published values of Singh et al., and are monotone; the weighted one tells copies from templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.decontaminate.matching.scores import Metric, score
from tests.transforms.decontaminate.matching.small_benchmarks import index_of, scores

QUESTION = (
    "A baker makes 12 trays of rye rolls every morning and sells each roll for 3 dollars at the harbour market. "
    "How much does she earn on a Saturday when two trays burn?"
)
OTHER = "Why do copper pipes in old greenhouses turn green after several humid summers?"


def bitmaps(words: int, copied: list[range]) -> tuple[np.ndarray, np.ndarray]:
    matched, joined = np.zeros(words, bool), np.zeros(words, bool)
    for run in copied:
        matched[run.start : run.stop] = True
        joined[run.start + 1 : run.stop] = True
    joined[0] = matched[0]
    return matched, joined


@pytest.mark.parametrize(
    ("copied", "metric", "skip", "value"),
    [
        ([range(9), range(10, 15)], "ngram", 0, 6 / 16),
        ([range(9), range(10, 15)], "token", 0, 14 / 20),
        ([range(9), range(10, 15)], "longest", 0, 9 / 20),
        ([range(9), range(10, 15)], "extend", 0, 14 / 20),
        ([range(9), range(10, 15)], "longest", 1, 15 / 20),
        ([range(9), range(10, 15)], "extend", 1, 15 / 20),
        ([range(2, 7), range(12, 17)], "token", 0, 0.5),
        ([range(2, 7), range(12, 17)], "longest", 0, 0.25),
        ([range(4)], "token", 0, 0.0),
        ([range(20)], "ngram", 0, 1.0),
    ],
)
def test_a_copy_of_some_of_twenty_words(copied: list[range], metric: Metric, skip: int, value: float) -> None:
    assert score(*bitmaps(20, copied), metric, 5, skip) == pytest.approx(value)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40), st.integers(1, 8), st.integers(0, 3))
def test_scores_are_monotone(words: list[tuple[bool, bool]], n: int, skip: int) -> None:
    matched, follows = (np.array(column) for column in zip(*words, strict=True))
    joined = matched & follows
    longest, extend = (score(matched, joined, metric, n, skip) for metric in ("longest", "extend"))
    assert 0 <= longest <= extend <= 1
    assert score(matched, joined, "extend", n, skip + 1) >= extend
    if n < len(words):
        assert score(matched, joined, "token", n + 1) <= score(matched, joined, "token", n)
    assert score(matched, joined, "token", n) <= extend


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=30),
    st.integers(1, 6),
    st.integers(0, 2),
    st.sampled_from(["ngram", "token", "extend", "longest"]),
)
def test_a_larger_mincount_never_raises_a_score(words: list[tuple[bool, bool, int]], n: int, skip: int, metric: Metric) -> None:
    matched, follows, documents = (np.array(column) for column in zip(*words, strict=True))
    joined = matched & follows
    values = [score(matched, joined, metric, n, skip, documents >= mincount) for mincount in range(6)]
    assert values == sorted(values, reverse=True)
    assert values[0] == score(matched, joined, metric, n, skip)
    assert values[5] == 0


def test_an_ngram_counts_that_enough_documents_have(tmp_path: Path) -> None:
    """Two documents have the whole question, one its first half, whose words three have."""
    index = index_of(tmp_path, [QUESTION])
    half = QUESTION.index(" harbour")
    texts = [QUESTION, f"{QUESTION} {QUESTION}", QUESTION[:half], "Nothing of it."]
    for mincount, whole, first in ((1, 1.0, 0.6), (2, 1.0, 0.6), (3, 0.6, 0.6), (4, 0.0, 0.0)):
        found = scores(texts, index, score="token", ngram=5, mincount=mincount)
        values = [of_text.get("0", ("", 0.0))[1] for of_text in found]
        assert values == pytest.approx([whole, whole, first, 0], abs=0.08)


def test_a_copy_and_an_edited_copy_are_found_and_neither_half_nor_another_text(tmp_path: Path) -> None:
    index = index_of(tmp_path, [QUESTION, OTHER])
    edited = QUESTION.replace("rye ", "").replace("harbour market", "old harbour fair").replace("Saturday", "Sunday")
    copy, changed, half, clean = scores(
        [f"Before.\n{QUESTION}\nAfter.", f"Before. {edited} After.", QUESTION[:40], "Bakers sell rolls at the market."], index
    )
    assert copy == {"0": ("copied", pytest.approx(1, abs=0.15))}
    assert changed["0"][0] == "copied"
    assert 0.62 < changed["0"][1] < copy["0"][1]
    assert all(value < 0.62 for _, value in half.values())
    assert clean == {}


def test_other_numbers_are_a_class_of_their_own(tmp_path: Path) -> None:
    index = index_of(tmp_path, [QUESTION])
    other = QUESTION.replace("12 trays", "47 trays").replace("3 dollars", "19 dollars")
    (found,) = scores([other], index)
    assert found["0"][0] == "changed"
    assert found["0"][1] > 0.62


def test_the_end_of_a_question_tells_it_from_another_one_about_the_same_passage(tmp_path: Path) -> None:
    passage = " ".join(
        f"{word} river flooded the lower {word} meadows again" for word in ["Elbe", "Oder", "Weser", "Havel", "Spree"]
    )
    index = index_of(tmp_path, [f"{passage}. Which dyke was rebuilt by Dutch engineers afterwards?"])
    (found,) = scores([f"{passage}. Who paid for the seeds that farmers bought next spring?"], index)
    assert found["0"][0] == "part"


def test_a_question_of_a_template_needs_its_choices(tmp_path: Path) -> None:
    stem = "Which of the following is true?"
    items = [
        {"question": stem, "choices": [f"{noun} dissolve in water", f"{noun} conduct heat", f"{noun} are soluble salts"]}
        for noun in ("nitrates", "zeolites", "borates", "carbides", "halides", "sulfides")
    ]
    index = index_of(tmp_path, items)
    alone, other, own = scores(
        [
            f"{stem}",
            f"{stem}\nA. Whales sing at night\nB. Owls hunt by ear",
            f"{stem}\nA. borates conduct heat\nB. borates dissolve in water\nC. borates are soluble salts",
        ],
        index,
    )
    assert all(value < 0.62 for _, value in [*alone.values(), *other.values()])
    best = max(own, key=lambda item: own[item][1])
    assert (best, own[best][0]) == ("2", "copied")
    assert own[best][1] >= 0.62


def test_words_that_many_documents_have_of_an_item_count_less(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["is the San Fernando Valley larger than Pasadena?"])
    phrase = "He moved to the San Fernando Valley last year"
    text = "So is the San Fernando Valley larger than Burbank then"
    alone = scores([text], index)[0]["0"][1]
    among = scores([text, *[phrase] * 60], index)[0]["0"][1]
    assert among < alone


def test_a_question_with_other_choices_is_another_item(tmp_path: Path) -> None:
    stem, choices = "Which mineral gives old greenhouse pipes their colour?", ["verdigris", "malachite", "azurite", "cuprite"]
    index = index_of(tmp_path, [{"question": stem, "choices": choices}, OTHER])

    def found(*listed: str) -> tuple[str, float]:
        lines = [f"{letter}. {choice}" for letter, choice in zip("ABCD", listed, strict=False)]
        return scores(["\n".join(["Before.", stem, *lines, "After."])], index)[0]["0"]

    assert found("cuprite", "azurite", "malachite", "verdigris")[0] == "copied"
    assert found("cuprite", "azurite", "malachite", "chalk")[0] == "copied"
    assert found()[0] == "copied"  # the question alone
    kind, score = found("chalk", "gypsum", "quartz", "azurite")
    assert kind == "part"
    assert score < found()[1]


def test_what_several_questions_share_is_none_of_them(tmp_path: Path) -> None:
    shared = "A keeper opens the northern sluice of the flooded mill at dawn."
    ends = ["Then the heron flies off.", "Next a barge drifts closer.", "Later two anglers argue."]
    index = index_of(tmp_path, [f"{shared} {end}" for end in ends])
    alone, own = scores([f"Before.\n{shared}\nAfter.", f"Before.\n{shared} {ends[1]}\nAfter."], index)
    assert {kind for kind, _ in alone.values()} == {"passage"}
    assert own["1"][0] == "copied"
    assert {kind for item, (kind, _) in own.items() if item != "1"} <= {"passage"}


def test_a_short_question_with_one_other_word_is_found_as_a_line_and_not_within_a_sentence(tmp_path: Path) -> None:
    index = index_of(tmp_path, ["how do ants clean a walnut burrow?", OTHER])
    edited = "why do ants clean a walnut burrow?"
    line, within = scores([f"Before.\n{edited}\nAfter.", "She asked me why do ants clean a walnut burrow so often"], index)
    assert line["0"][0] == "copied"
    assert line["0"][1] >= 0.62
    assert within.get("0", ("part", 0.0))[0] == "part"


def test_a_question_of_which_half_the_words_stand_elsewhere_is_no_copy(tmp_path: Path) -> None:
    index = index_of(tmp_path, [OTHER])
    loose = "Why do old copper pipes in warm greenhouses often turn green well after many humid summers?"
    (found,) = scores([f"Before.\n{loose}\nAfter."], index)
    assert found["0"][0] == "part"
