"""The rule keeps to numbers and names; a failure is suspicious."""

from __future__ import annotations

import pytest

from tamis.transforms.decontaminate.rephrased.judges import Rule, Verdict, names, numbers
from tamis.transforms.decontaminate.rephrased.nearest import Near

ITEM = "Yesterday Janet and Omar sold 16 eggs for $2.50 each. How much did Janet earn in 3 days?"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,000 and 2.50, 007", {"1000", "2.5", "7"}),
        ("twenty hens, TWICE a day", {"20", "2"}),
        ("one of them", set()),
        ("16 eggs, 16 hens", {"16"}),
        ("3.", {"3"}),
        ("", set()),
    ],
)
def test_numbers(text: str, found: set[str]) -> None:
    assert numbers(text) == found


def test_names_begin_no_sentence() -> None:
    assert names(ITEM) == {"janet", "omar"}
    assert names("Two hens. She fed them! Élise did too") == set()
    assert names("then Élise came") == {"élise"}


@pytest.mark.parametrize(
    ("score", "passage", "verdict"),
    [
        (0.5, "Janet sells sixteen eggs a day with Omar. An egg costs $2.5. What do 3 days bring?", "rephrased"),
        (0.1, "Janet sells sixteen eggs a day with Omar. An egg costs $2.5. What do 3 days bring?", "different"),
        (0.5, "Janet sells 15 eggs a day with Omar. An egg costs $2.6. What do 4 days bring?", "different"),
        (0.5, "Lena sells 16 eggs a day with Tom. An egg costs $2.5. What do 3 days bring?", "different"),
        (0.5, "珍妮特卖了 16 个鸡蛋，每个 2.50 美元。3 天赚多少？", "rephrased"),
    ],
)
def test_the_rule(score: float, passage: str, verdict: str) -> None:
    assert Rule(0.2).judge(ITEM, Near(score, 0, "a", 0, 1, passage)).verdict == verdict


def test_an_item_without_numbers_and_names_is_judged_by_its_score() -> None:
    near = Near(0.5, 0, "a", 0, 1, "why does ice float")
    assert Rule(0.2).judge("what makes ice float?", near).suspicious
    assert not Rule(0.6).judge("what makes ice float?", near).suspicious


def test_only_what_is_different_is_not_suspicious() -> None:
    verdicts = [Verdict("rephrased", ""), Verdict("failed", ""), Verdict("different", "")]
    assert [verdict.suspicious for verdict in verdicts] == [True, True, False]
