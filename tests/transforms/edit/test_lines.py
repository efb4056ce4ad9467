"""Lines are measured, corrected and cut as a plain reference does it, one line of one document at a time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.testing import check_editor
from tamis.transforms.core.editor import Editor
from tamis.transforms.edit.apply import Edited, apply, record
from tamis.transforms.edit.cut_lines import CutLines, CutLinesEditor, Where
from tamis.transforms.edit.line_measures import line_spans, measure_lines
from tamis.transforms.edit.refinedweb_lines import Lines, LinesEditor
from tamis.transforms.text.segment import segment, unsegmented
from tamis.transforms.text.splice import splice
from tamis.transforms.text.words import Words

PIECES = [
    *(
        "SALE",
        "read more",
        "Sign in",
        "3",
        "1,200",
        "likes",
        "12K",
        "items in cart",
        "a",
        "word",
        "…",
        ".",
        "|",
        "»",
        "(",
        "_",
        "٣",
    ),
    *("漢", "字", "ไทย", "العربية", "É", "é", "\u0301", "\u200d", "\n", "\n\n", "\r\n", " ", "  ", "\t", "\u2028", "\x1c"),
]

texts = st.lists(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=25).map("".join)), max_size=8)


def array(values: list[str]) -> pa.Array:
    return pa.array(["before", *values, "after"], pa.large_string()).slice(1, len(values))


def edited(editor: Editor[Lines] | Editor[CutLines], values: list[str]) -> Edited:
    return apply(editor, unsegmented(array(values)), array(values))


def after(editor: Editor[Lines] | Editor[CutLines], text: str) -> str:
    return edited(editor, [text]).texts[0].as_py()


def reasons(text: str, **options: object) -> list[str]:
    found = record([edited(LinesEditor(Lines.model_validate(options)), [text])], 1)[0].as_py()
    return [edit["reason"] for edit in found or ()]


def is_punctuation(character: str) -> bool:
    mark = unicodedata.category(character).startswith("M")
    return not (character.isalnum() or character.isspace() or mark)


@given(texts)
def test_measures_are_those_of_each_line(values: list[str]) -> None:
    batch = array(values)
    lines = measure_lines(unsegmented(batch))
    segmented = segment(batch, Words(definition="whitespace"))
    assert lines.line_first.tolist() == segmented.line_first.tolist()
    assert lines.words.tolist() == (segmented.line_word_first[1:] - segmented.line_word_first[:-1]).tolist()
    expected = [line for text in values for line in text.split("\n")]
    data = unsegmented(batch).data
    for k, line in enumerate(expected):
        assert data[lines.start[k] : lines.stop[k]].tobytes().decode() == line
        assert data[lines.first[k] : lines.last[k]].tobytes().decode() == line.strip()
        assert lines.chars[k] == len(line.strip())
        assert lines.visible[k] == sum(not character.isspace() for character in line)
        assert lines.upper[k] == sum(map(str.isupper, line))
        assert lines.digits[k] == sum(map(str.isdecimal, line))
        assert lines.punctuation[k] == sum(map(is_punctuation, line))


@given(texts, st.data())
def test_what_stays_is_joined_as_lines_are(values: list[str], data: st.DataObject) -> None:
    source = unsegmented(array(values))
    lines = measure_lines(source)
    removed = np.array(data.draw(st.lists(st.booleans(), min_size=len(lines.start), max_size=len(lines.start))), np.bool_)
    document, start, stop = line_spans(lines, removed)
    left = splice(source.data, source.text_start, document, start, stop, None).to_pylist()
    for d, text in enumerate(values):
        flags = removed[lines.line_first[d] : lines.line_first[d + 1]]
        assert left[d] == "\n".join(line for line, gone in zip(text.split("\n"), flags, strict=True) if not gone)


def word_count(line: str) -> int:
    return len(segment(pa.array([line], pa.large_string()), Words(definition="whitespace")).word_hash)


def reference(text: str, options: Lines) -> str:
    """The rules about whole lines."""

    def stays(line: str) -> bool:
        visible = [character for character in line if not character.isspace()]
        if not visible:
            return True
        upper = options.max_upper is not None and sum(map(str.isupper, visible)) > options.max_upper * len(visible)
        digits = options.digits_only and all(map(str.isdecimal, visible))
        number, nouns = r"\d[\d.,]*(?<=\d)(?:[kmbKMB](?![^\W]))?", "|".join(map(re.escape, options.counted))
        orders = rf"{number}\W+(?i:{nouns})", rf"(?i:{nouns})\W+{number}"
        counter = word_count(line) <= options.short and any(re.fullmatch(rf"\W*(?:{order})\W*", line) for order in orders)
        return not (upper or digits or counter or word_count(line) < options.min_words)

    return "\n".join(filter(stays, text.split("\n")))


CHANGES: list[dict[str, object]] = [{}, {"min_words": 1}, {"max_upper": None}]
NO_PHRASES: dict[str, object] = {"at_start": (), "at_end": (), "anywhere": ()}


@given(st.text(alphabet=st.sampled_from("aA1 2.,Kk\nlikes 漢É…|\t"), max_size=60), st.sampled_from(CHANGES))
def test_whole_lines_go_as_in_the_reference(text: str, changed: dict[str, object]) -> None:
    options = Lines.model_validate(NO_PHRASES | changed | {"counted": ("like", "likes", "s")})
    assert after(LinesEditor(options), text) == reference(text, options)


@given(texts, st.data())
def test_neither_other_texts_nor_rules_that_are_off_matter(values: list[str], data: st.DataObject) -> None:
    editor = LinesEditor(Lines())
    assert edited(editor, values).texts.to_pylist() == [after(editor, text) for text in values]
    off = LinesEditor(Lines(max_upper=None, digits_only=False, counted=(), min_words=1, at_start=(), at_end=(), anywhere=()))
    assert edited(off, values).texts.to_pylist() == values


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("SPECIAL OFFERS for you", "upper_case"),
        ("2019 2020 2021", "digits"),
        ("٣٤ ٥", "digits"),
        ("3 likes", "counter"),  # the paper's example
        ("1.2K Views", "counter"),
        ("— 1,024 shares —", "counter"),
        ("Comments (12)", "counter"),
        ("Home", "few_words"),
        ("sign-in", "at_start"),  # the paper's example
        ("Read more...", "at_end"),  # the paper's example
        ("Items in cart:", "anywhere"),
        ("3 items in cart", "digits"),  # what is left of the paper's example
    ],
)
def test_a_line_goes_for_a_reason(line: str, reason: str) -> None:
    assert reasons(f"A line of prose.\n{line}\nAnother line of prose.") == [reason]
    assert after(LinesEditor(Lines()), f"A line of prose.\n{line}") == "A line of prose."


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("Sign in | See our fine shop", "See our fine shop"),
        ("» Log in » Sign up » see what's new", "see what's new"),
        ("The story begins here. Read more…", "The story begins here."),
        ("The story begins here [read more »]", "The story begins here"),
        ("Look at your 3 items in cart before they go", "Look at your 3 before they go"),
        ("© 2024 the company. All rights reserved.", "© 2024 the company."),
    ],
)
def test_a_phrase_goes_from_a_short_line(line: str, left: str) -> None:
    assert after(LinesEditor(Lines()), line) == left
    longer = f"{line} and ten more words so that it is no longer short"
    assert after(LinesEditor(Lines(at_end=())), longer) == longer


@pytest.mark.parametrize(
    "line",
    [
        "They will design infrastructure here",  # 'sign in' inside a word
        "The reader may bread more loaves",
        "In 3 likes of mine there is no harm",
        "3 likely outcomes",
        "漢字の見出し",  # a line without spaces is not one word
        "สวัสดีครับ",
        "العربية جملة قصيرة",  # no case
        "",
        " \t",
    ],
)
def test_a_line_stays(line: str) -> None:
    assert after(LinesEditor(Lines()), f"one two\n{line}\none two") == f"one two\n{line}\none two"


def test_the_share_of_words_removed() -> None:
    text = "one two three four five six seven eight\nNEWS\nthe rest of it, read more"
    values = edited(LinesEditor(Lines()), [text, "", "漢字の文", "NEWS"]).signals["edit.lines.removed_words_share"].to_pylist()
    assert values == [3 / 15, None, 0, 1]


@pytest.mark.parametrize(
    ("where", "test"),
    [
        ({"chars": {"max": 12}}, lambda line: len(line) <= 12),
        ({"words": {"min": 2, "max": 3}}, lambda line: 2 <= word_count(line) <= 3),
        ({"upper_share": {"min": 0.5}}, lambda line: sum(map(str.isupper, line)) >= 0.5 * len("".join(line.split()))),
        ({"digits_share": {"min": 0.3}}, lambda line: sum(map(str.isdecimal, line)) >= 0.3 * len("".join(line.split()))),
        ({"punctuation_share": {"max": 0}}, lambda line: not any(map(is_punctuation, line))),
        ({"starts_with": ["read MORE", "("]}, lambda line: line.lower().startswith(("read more", "("))),
        ({"ends_with": [".", "likes"]}, lambda line: line.lower().endswith((".", "likes"))),
        ({"contains": ["|", "*", "in"]}, lambda line: any(part in line.lower() for part in ("|", "*", "in"))),
        ({"matches": "^[0-9]+ "}, lambda line: re.search("^[0-9]+ ", line)),
        ({"chars": {"max": 20}, "contains": ["a"]}, lambda line: len(line) <= 20 and "a" in line.lower()),
    ],
)
def test_the_lines_that_meet_all_conditions_are_cut(where: dict[str, object], test: Callable[[str], object]) -> None:
    editor = CutLinesEditor(CutLines.model_validate({"name": "some", "where": where}))

    @settings(max_examples=40)
    @given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
    def holds(text: str) -> None:
        lines = text.split("\n")
        assert after(editor, text) == "\n".join(line for line in lines if not line.strip() or not test(line.strip()))

    holds()


def test_editors_keep_the_contract() -> None:
    check_editor(LinesEditor(Lines()), documents=300)
    where = Where.model_validate({"words": {"max": 30}, "ends_with": ["漢字", "."], "matches": "[a-z]"})
    editor = CutLinesEditor(CutLines(name="some", where=where))
    assert editor.signals[0].name == "edit.some.removed_chars"
    check_editor(editor, documents=300)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "it has no condition"),
        ({"matches": "("}, "no regular expression of RE2"),
        ({"words": {}}, "a range needs min or max"),
        ({"words": {"min": 3, "max": 2}}, "min 3 is above max 2"),
        ({"contains": [""]}, "should match pattern"),
    ],
)
def test_a_condition_that_says_nothing_is_an_error(where: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CutLines.model_validate({"where": where})
