"""C4's signals equal a plain reading of TFDS `clean_page`, with sentences counted by the documented rule."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rule_checks import batches, check, ratio, real_texts, rows

from tamis.testing import EDGES, check_rater
from tamis.transforms.rate.c4 import C4, C4Rater
from tamis.transforms.text.segment import segment

RATER = C4Rater(C4())
NAMES = [signal.name.removeprefix("c4.") for signal in RATER.signals]
CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
POLICY = (b"terms of use", b"privacy policy", b"cookie policy", b"uses cookies", b"use of cookies", b"use cookies")


def ends_sentence(word: str) -> bool:
    """Whether the word ends in marks, quotes and brackets with a sentence mark, except for the dot of an initial."""
    tail = re.search(r"""[.?!)\]"'”’]*\Z""", word)
    assert tail is not None
    marks = tail.group()
    if marks.startswith(".") and re.search(r"(?<!\w)\w\Z", word[: tail.start()]) and word[tail.start() - 1].isalpha():
        marks = marks[1:]
    return any(mark in marks for mark in ".?!")


def sentences(line: str) -> int:
    words = line.split()
    return 1 + sum(ends_sentence(a) and not b[0].islower() for a, b in pairwise(words))


def reference(text: str) -> list[float | None]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kept = []
    curly = lorem = longest = policy = javascript = 0
    for line in lines:
        longest_in_line = max(map(len, line.split()))
        bare = CITATION.sub("", line)
        lower = bare.encode().lower()
        curly += bare.count("{")
        lorem += lower.count(b"lorem ipsum")
        longest = max(longest, longest_in_line)
        has_policy = any(phrase in lower for phrase in POLICY)
        has_javascript = b"javascript" in lower
        policy += has_policy
        javascript += has_javascript
        ended = bare.endswith((".", "?", "!", '"')) and not bare.endswith("...")
        if ended and len(bare.split()) >= 5 and longest_in_line <= 1000 and not has_policy and not has_javascript:
            kept.append(bare)
    return [
        sum(map(sentences, kept)),
        ratio(len(kept), len(lines)),
        ratio(sum(map(len, kept)), sum(map(len, lines))),
        curly,
        lorem,
        longest,
        policy,
        javascript,
        len(text),
    ]


@settings(max_examples=300)
@given(batches)
def test_equals_the_reference(texts: list[str]) -> None:
    check(RATER, reference, texts)


@settings(max_examples=200)
@given(st.lists(st.text("aB1é_½.?!)”' \n", max_size=80).map(lambda text: text + " one two three four five."), max_size=3))
def test_equals_the_reference_with_many_marks(texts: list[str]) -> None:
    check(RATER, reference, texts)


pieces = st.sampled_from(["a", " ", "\u00a0", "\u2003", ".", "? ", "é" * 9, "x" * 40, "b" * 62, " c d e", "J. K! ”"])


@settings(max_examples=200)
@given(st.lists(st.lists(pieces, max_size=12).map("".join), max_size=3))
def test_equals_the_reference_across_blocks(texts: list[str]) -> None:
    check(
        RATER, reference, [*texts, "a line behind them all, so that no block of 64 bytes ends the buffer, however long it is. "]
    )


cited = st.lists(st.sampled_from(["[1]", "[edit]", "[citation needed]", *'[]x J.?") A', "use coo", "kies "]), max_size=40)


@settings(max_examples=200)
@given(st.lists(cited.map(lambda pieces: "One two three. " + "".join(pieces) + "."), max_size=3))
def test_equals_the_reference_with_many_citations(texts: list[str]) -> None:
    check(RATER, reference, texts)


def test_edges() -> None:
    check(RATER, reference, EDGES)


def test_real_texts(shared: Path) -> None:
    check(RATER, reference, real_texts(shared))


def values(text: str, rater: C4Rater = RATER) -> dict[str, float | None]:
    return dict(zip(NAMES, rows(rater, [text])[0], strict=True))


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("This line has five words.", True),
        ("Only four words here.", False),
        ("This line has no end mark", False),
        ("This line trails off slowly...", False),
        ("A fact with its citation.[12]", True),
        ("A fact with its citation.[citation needed][edit]", True),
        ("Please enable JavaScript to see this.", False),
        ("We USE COOKIES on this site.", False),
        (f"One word here is long: {'x' * 1001}.", False),
        ('He said that it was "so"', True),
        ("四 五 六 七 八。", False),
    ],
)
def test_which_lines_are_kept(line: str, kept: bool) -> None:
    assert values(line)["kept_lines_share"] == kept


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("One sentence of five words.", 1),
        ("Here is one. Here is another.", 2),
        ("Version 3.5 is out now. Get it!", 2),
        ("So said J. R. Tolkien in a book.", 1),
        ('"Is it so?" "It is so!" he cried.', 2),
        ("Wait... what is this about, then?", 1),
        ("No end mark means no sentence", 0),
    ],
)
def test_sentences(line: str, sentences: int) -> None:
    assert values(line)["sentences"] == sentences


def test_counts_by_hand() -> None:
    page = values("function() { return {}; }\nLorem ipsum, LOREM IPSUM\nterms of use; privacy policy")
    assert page["curly"] == 2
    assert page["lorem_ipsum"] == 2
    assert page["policy_lines"] == 1
    assert page["longest_word"] == len("function()")


def test_a_blank_page_has_no_shares() -> None:
    assert values(" \n")["kept_lines_share"] is None
    assert values("")["kept_chars_share"] is None
    assert values("")["sentences"] == 0


def test_options_change_values_and_fingerprint() -> None:
    rater = C4Rater(C4(min_words=2, end_marks=("。",), policy_phrases=("Impressum", "x")))
    assert values("四 五。", rater)["kept_lines_share"] == 1
    assert values("Zum IMPRESSUM\nX", rater)["policy_lines"] == 2
    assert rater.fingerprint != RATER.fingerprint


def test_no_phrases() -> None:
    assert values("terms of use", C4Rater(C4(policy_phrases=())))["policy_lines"] == 0


def bad_words(rater: C4Rater, texts: Sequence[str], labels: Sequence[str | None] = ()) -> list[int]:
    """The values of c4.bad_words; each text has a label of its language, if any has."""
    segmented = segment(pa.array(texts, pa.large_string()))
    columns = {"language.label": pa.array(labels, pa.string())} if labels else {}
    return rater.rate(segmented.with_columns(columns))["c4.bad_words"].to_pylist()


words = st.text("abdé_1 -.İΣ", min_size=1, max_size=4).map(str.strip).filter(len)


@settings(max_examples=300)
@example({"1"}, ["1.1"])
@given(st.sets(words, min_size=1, max_size=5), st.lists(st.text("abAdéÉ_1 -.\n", max_size=30), max_size=5))
def test_bad_words_equal_those_of_tfds(tmp_path_factory: pytest.TempPathFactory, listed: set[str], texts: list[str]) -> None:
    file = tmp_path_factory.mktemp("lists") / "words"
    file.write_text("\n".join(sorted(listed)), "utf-8")
    either = "|".join(map(re.escape, sorted(listed)))
    found = bad_words(C4Rater(C4(bad_words=str(file))), texts)
    expression = re.compile(rf"(?:\W|^)(?:{either})(?:\W|$)")
    assert [count > 0 for count in found] == [expression.search(text.lower()) is not None for text in texts]
    between = re.compile(rf"\W(?:{either})(?:\W|$)")  # `\W|^` takes another first match if a word begins with a mark
    assert found == [len(between.findall(f"\n{text.lower()}")) for text in texts]


def test_bad_words_by_language(tmp_path: Path) -> None:
    (tmp_path / "en").write_text("damn\nbloody hell\n")
    (tmp_path / "ja").write_text("糞\n", "utf-8")
    rater = C4Rater(C4(bad_words={language: str(tmp_path / language) for language in ("en", "ja")}))
    texts = ["Damn! Bloody hell.", "damned", "糞食らえ 糞", "Damn", "Damn"]
    assert bad_words(rater, texts, ["en", "en", "ja", "fr", None]) == [2, 0, 2, 0, 0]
    check_rater(rater, {"language.label": ["en", "ja", None]}, documents=100)


def test_the_fingerprint_covers_the_list_of_bad_words(tmp_path: Path) -> None:
    file = tmp_path / "words"
    rater = C4Rater(C4(bad_words=str(file)))
    with pytest.raises(FileNotFoundError, match="no such list of bad words"):
        rater.fingerprint  # noqa: B018
    file.write_text("damn\n")
    before = rater.fingerprint
    file.write_text("darn\n")
    assert rater.fingerprint != before


@pytest.mark.parametrize(("contents", "message"), [(b"\n \n", "lists no word"), (b"\xff", "not UTF-8")])
def test_a_list_that_is_none_is_named(tmp_path: Path, contents: bytes, message: str) -> None:
    file = tmp_path / "words"
    file.write_bytes(contents)
    with pytest.raises(ValueError, match=message):
        C4Rater(C4(bad_words=str(file))).setup()


def test_keeps_the_contract() -> None:
    check_rater(RATER)
