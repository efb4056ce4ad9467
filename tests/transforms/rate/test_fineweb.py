"""FineWeb's line signals equal a plain reading of datatrove's filter."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from rule_checks import batches, check, ratio, real_texts, rows

from tamis.testing import EDGES
from tamis.transforms.rate.fineweb import FineWeb, FineWebRater
from tests.transforms.text.word_reference import words_of

RATER = FineWebRater(FineWeb())
NAMES = [signal.name.removeprefix("fineweb.") for signal in RATER.signals]


def reference(text: str) -> list[float | None]:
    lines = [line for line in text.split("\n") if line.strip()]
    ends = FineWeb().terminal_punctuation
    return [
        ratio(sum(line.removesuffix("\r").endswith(ends) for line in lines), len(lines)),
        ratio(sum(len(line) <= 30 for line in lines), len(lines)),
        ratio(sum(len(line) for k, line in enumerate(lines) if line in set(lines[:k])), len(text.replace("\n", ""))),
        ratio(text.count("\n"), len(words_of(text))),
    ]


@settings(max_examples=200)
@given(batches)
def test_equals_the_reference(texts: list[str]) -> None:
    check(RATER, reference, texts)


def test_edges() -> None:
    check(RATER, reference, EDGES)


def test_real_texts(shared: Path) -> None:
    check(RATER, reference, real_texts(shared))


def values(text: str, rater: FineWebRater = RATER) -> dict[str, float | None]:
    return dict(zip(NAMES, rows(rater, [text])[0], strict=True))


def test_a_page_by_hand() -> None:
    page = values("Menu\n\nA sentence that is rather longer than thirty.\r\nMenu\nEr sagte: „Nein.”")
    assert page["line_punctuation"] == 1 / 4
    assert page["short_lines"] == 3 / 4
    assert page["duplicate_line_chars"] == 4 / (4 + 46 + 4 + 17)
    assert page["newlines_per_word"] == 4 / 18


def test_thirty_characters_are_short_whatever_their_bytes() -> None:
    assert values("語" * 30)["short_lines"] == 1
    assert values("語" * 31)["short_lines"] == 0
    assert values("語" * 31, FineWebRater(FineWeb(short_line=31)))["short_lines"] == 1


def test_shares_of_a_blank_text_are_null() -> None:
    assert set(values("").values()) == {None}
    assert values(" \n ")["newlines_per_word"] is None


def test_fingerprint_follows_the_options() -> None:
    assert FineWebRater(FineWeb(short_line=31)).fingerprint != RATER.fingerprint


def test_marks_that_end_a_line() -> None:
    for line in ("One.", "Zwei!", "三。", "चार।", "خمسة؟", "Six.\r"):
        assert values(line)["line_punctuation"] == 1, line
    for line in ("One", "two,", "Three. ", "“Four.”", "five.\r\r"):
        assert values(line)["line_punctuation"] == 0, line
    assert values("“Four.”", FineWebRater(FineWeb(terminal_punctuation=("”",))))["line_punctuation"] == 1
