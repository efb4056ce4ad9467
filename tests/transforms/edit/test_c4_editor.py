"""The editor c4_lines leaves what a plain reading of TFDS `clean_page` leaves, and tells what the rater c4 would."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.testing import EDGES, check_editor
from tamis.transforms.edit.apply import Edited, apply
from tamis.transforms.edit.c4_editor import C4Lines, C4LinesEditor
from tamis.transforms.rate.c4 import C4, C4Rater
from tamis.transforms.text.c4.c4_lines import REASONS
from tamis.transforms.text.segment import segment, unsegmented
from tests.transforms.rate.rule_checks import batches, real_texts

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
FINEWEB = C4Lines(end_marks=(), min_words=3)
BREAKS = ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
"""All that str.splitlines takes for the end of a line."""


def judged(line: str, options: C4Lines) -> tuple[str, str]:
    """What is left of a stripped line, and the reason why nothing is; in the order of TFDS."""
    bare = CITATION.sub("", line)
    lower = bare.encode().lower()
    if not line:
        return "", "space"
    if max(map(len, line.split())) > options.max_word_length:
        return "", "long_word"
    if options.end_marks and (not bare.endswith(options.end_marks) or bare.endswith("...")):
        return "", "end_mark"
    if len(bare.split()) < options.min_words:
        return "", "few_words"
    if b"javascript" in lower:
        return "", "javascript"
    if any(phrase.encode() in lower for phrase in options.policy_phrases):
        return "", "policy"
    return bare, ""


def cleaned(text: str, options: C4Lines = C4Lines()) -> str:  # noqa: B008 - frozen
    return "\n".join(bare for line in text.splitlines() if (bare := judged(line.strip(), options)[0])).strip()


def edited(texts: list[str], options: C4Lines = C4Lines()) -> Edited:  # noqa: B008 - frozen
    array = pa.array(["before.\n", *texts, "\nafter"], pa.large_string()).slice(1, len(texts))
    return apply(C4LinesEditor(options), unsegmented(array), array)


def check(texts: list[str], options: C4Lines) -> None:
    result = edited(texts, options)
    assert result.texts.to_pylist() == [cleaned(text, options) for text in texts]
    for text, row in zip(texts, result.signals.to_pylist(), strict=True):
        lines = [(line, *judged(line.strip(), options)) for line in text.splitlines(keepends=True)]
        for reason in REASONS[:5]:
            removed = sum(len(line) for line, _, why in lines if why == reason)
            assert row[f"edit.c4_lines.{reason}.removed_chars"] == removed
        citations = sum(len(line.strip()) - len(bare) for line, bare, _ in lines if bare)
        assert row["edit.c4_lines.citation.removed_chars"] == citations
        removed, inserted = (row[f"edit.c4_lines.{kind}_chars"] for kind in ("removed", "inserted"))
        assert len(cleaned(text, options)) == len(text) - removed + inserted


sentence = st.sampled_from(
    ["One two three four five.", "six words are in this line!", "no end mark is here", "Use Cookies is a policy phrase.",
     "Please turn on your JavaScript now.", "It goes on and on and on...", "[1] a cited line of words.", "a line of words. [2]"]
)  # fmt: skip
piece = st.sampled_from(
    ["[1]", "[edit]", "[citation needed]", "[", "]", "1", "a", " ", "\x1f", "\u00a0", "\u3000", ".", '"', "é", "漢"]
)
line = st.lists(st.one_of(sentence, piece), max_size=4).map("".join)
pages = st.lists(st.tuples(line, st.sampled_from(BREAKS)).map("".join), max_size=8).map("".join)


@settings(max_examples=300)
@given(st.lists(pages, max_size=4), st.sampled_from([C4Lines(), FINEWEB]))
def test_equals_the_reference(texts: list[str], options: C4Lines) -> None:
    check(texts, options)


@settings(max_examples=200)
@given(batches, st.sampled_from([C4Lines(min_words=1), C4Lines(end_marks=("。", "a"), policy_phrases=()), FINEWEB]))
def test_equals_the_reference_on_random_texts(texts: list[str], options: C4Lines) -> None:
    check(texts, options)


@pytest.mark.parametrize("options", [C4Lines(), FINEWEB, C4Lines(end_marks=(), min_words=1)])
def test_edges(options: C4Lines) -> None:
    check(EDGES, options)


def test_real_texts(shared: Path) -> None:
    check(real_texts(shared), C4Lines())


@given(batches)
@settings(max_examples=100)
def test_the_rater_of_the_text_before_measures_the_same(texts: list[str]) -> None:
    array = pa.array(texts, pa.large_string())
    rated, own = C4Rater(C4()).rate(segment(array)), edited(texts).signals
    assert C4LinesEditor.before
    for signal, measure in C4LinesEditor.before.items():
        assert rated[signal].equals(own[measure]), signal


def test_keeps_the_contract() -> None:
    check_editor(C4LinesEditor(C4Lines()), documents=300)
    check_editor(C4LinesEditor(FINEWEB), documents=300)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("This line has five words.", "This line has five words."),
        ("Only four words here.", ""),
        (
            "Home\r\n  This line has five words. \r\nThis one has five, too!\r\n",
            "This line has five words.\nThis one has five, too!",
        ),
        (
            "One, two, three, four, five.\u2028Five, four, three, two, one.",
            "One, two, three, four, five.\nFive, four, three, two, one.",
        ),
        ("[1] This line has five words.", "This line has five words."),
        ("This line has five words.\n[2] So has this one here.", "This line has five words.\n So has this one here."),
        ("A fact with its citation.[citation needed][edit]", "A fact with its citation."),
        ("It goes on for ever...", ""),
        (f"One word here is long: {'x' * 1001}.", ""),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    assert edited([text]).texts.to_pylist() == [left]


def test_without_end_marks_lines_end_anyhow() -> None:
    assert edited(["three words here...\ntwo words"], FINEWEB).texts.to_pylist() == ["three words here..."]


def test_a_page_is_dropped_for_lines_that_pass_the_rules_before() -> None:
    texts = ["{ }", "This line has { five words.", "Use cookies in { five words.", "A {JavaScript} line of five words.",
             "Lorem ipsum dolor sit amet.", "Lorem ipsum"]  # fmt: skip
    signals = edited(texts).signals
    assert signals["edit.c4_lines.curly"].to_pylist() == [0, 1, 1, 0, 0, 0]
    assert signals["edit.c4_lines.lorem_ipsum"].to_pylist() == [0, 0, 0, 0, 1, 0]


def test_its_reasons_are_those_of_the_verdicts() -> None:
    assert C4LinesEditor.reasons == REASONS
