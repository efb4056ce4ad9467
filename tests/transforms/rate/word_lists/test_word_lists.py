"""Entries of lists are counted as a plain reading of the text counts them, in any script."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tamis.testing import EDGES, check_rater
from tamis.transforms.rate.word_lists.word_list_files import lower
from tamis.transforms.rate.word_lists.word_list_rater import WordList, WordListRater
from tamis.transforms.text.segment import segment

Counts = tuple[int | None, int | None, float | None]


def rater(folder: Path, entries: Sequence[str], **options: Any) -> WordListRater:
    (folder / "list.txt").write_text("\n".join(entries), encoding="utf-8")
    section = {"name": "listed", "lists": str(folder / "list.txt"), **options}
    return WordListRater(WordList.model_validate(section))


def rate(rater: WordListRater, texts: Sequence[str], languages: Sequence[str | None] = ()) -> list[Counts]:
    columns = {need: pa.array(languages, pa.string()) for need in rater.needs}
    rated = rater.rate(segment(pa.array(texts, pa.large_string())).with_columns(columns))
    count, distinct, share = (column.to_pylist() for column in rated.columns)
    return list(zip(count, distinct, share, strict=True))


def is_mark(character: str) -> bool:
    import unicodedata

    return unicodedata.category(character)[0] == "M" or character in "\u200c\u200d"


def in_word(character: str) -> bool:
    return character.isalnum() or character == "_" or is_mark(character)


def match_at(text: str, start: int, entry: str) -> int:
    """Where the entry ends that begins at `start`, or -1."""
    at = start
    for character in entry:
        if character == " ":
            spaces = len(text[at:]) - len(text[at:].lstrip())
            if not spaces:
                return -1
            at += spaces
        elif at < len(text) and lower(text[at]) == character:
            at += 1
        else:
            return -1
    return at


def reference(text: str, entries: Sequence[str], spaced: bool = True) -> Counts:
    listed = sorted({" ".join(lower(entry).split()) for entry in entries} - {""}, key=lambda entry: (-len(entry), entry))
    found, covered, at = [], [False] * len(text), 0
    while at < len(text):
        ends = [
            (entry, end)
            for entry in listed
            if (end := match_at(text, at, entry)) >= 0
            and not (spaced and (at > 0 and in_word(text[at - 1])))
            and not (spaced and end < len(text) and in_word(text[end]))
        ]
        if not ends:
            at += 1
            continue
        found.append(ends[0][0])
        covered[at : ends[0][1]] = [True] * (ends[0][1] - at)
        at = ends[0][1]
    units = [
        k
        for k, character in enumerate(text)
        if (in_word(character) and not (k and in_word(text[k - 1])) if spaced else (character.isalnum() or character == "_"))
    ]
    return len(found), len(set(found)), sum(covered[k] for k in units) / len(units) if units else None


alphabet = st.sampled_from([*"aAbBéÉİςσ_1", " ", "  ", "\n", "-", "'", ".", "語", "文", "क", "ि", "\u200d"])
words = st.lists(alphabet, min_size=1, max_size=6).map("".join)
entry_lists = st.lists(words, min_size=1, max_size=8).filter(lambda entries: any(entry.split() for entry in entries))


@settings(max_examples=250)
@given(
    entry_lists,
    st.lists(st.lists(st.one_of(words, st.characters(exclude_categories=["Cs"])), max_size=10).map("".join), max_size=4),
    st.booleans(),
)
@example(["the", "the cat", "cat sat"], ["The  cat\nsat the cat the", "the the the"], True)
@example(["a"], ["a a_a-a"], True)
def test_counts_are_those_of_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, entries: list[str], texts: list[str], spaced: bool
) -> None:
    entries = [entry.replace("\n", " ") for entry in entries]
    own = rater(tmp_path_factory.mktemp("list"), entries, unspaced=["zh"])
    if not spaced:
        own = rater(tmp_path_factory.mktemp("list"), entries, lists={"zh": own.options.lists}, unspaced=["zh"])
    expected = [reference(text, entries, spaced) for text in texts]
    assert rate(own, texts, ["zh"] * len(texts)) == [pytest.approx(row) if None not in row else row for row in expected]


def test_edges(tmp_path: Path) -> None:
    entries = ["word", "two words", "語", "a"]
    own = rater(tmp_path, entries)
    big = ["x" * 1_000_000, "word " * 100_000]
    assert rate(own, [*EDGES, *big]) == [
        pytest.approx(reference(text, entries))
        if text.strip() and reference(text, entries)[2] is not None
        else reference(text, entries)
        for text in EDGES
    ] + [(0, 0, 0.0), (100_000, 1, 1.0)]


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    check_rater(rater(tmp_path, ["word", "two words"]))
    by_language = rater(tmp_path, ["word"], lists={"en": str(tmp_path / "list.txt")})
    check_rater(by_language, {"language.label": ["en", "de"]})


@pytest.mark.parametrize(
    ("text", "count", "distinct", "share"),
    [
        ("Damn it, DAMN!", 2, 1, 2 / 3),
        ("damnation", 0, 0, 0.0),
        ("son of\na gun and son of a bee", 1, 1, 4 / 9),
        ("damn_it damn-it", 1, 1, 1 / 3),
        ("", 0, 0, None),
        ("!!", 0, 0, None),
    ],
)
def test_by_hand(tmp_path: Path, text: str, count: int, distinct: int, share: float | None) -> None:
    ((own),) = rate(rater(tmp_path, ["damn", "son of a gun"]), [text])
    assert own == (count, distinct, share if share is None else pytest.approx(share))


def test_a_document_has_the_list_of_its_language(tmp_path: Path) -> None:
    for language, word in {"en": "gift", "de": "Gift", "ja": "毒", "rest": "poison"}.items():
        (tmp_path / language).write_text(f"{word}\n{language}")
    lists = {language: str(tmp_path / language) for language in ("en", "ja")}
    texts = ["a gift", "これは毒です", "毒", "gift", "poison"]
    own = rater(tmp_path, ["x"], lists=lists)
    assert [row[0] for row in rate(own, texts, ["en", "ja", "ja", "de", None])] == [1, 1, 1, None, None]
    others = rater(tmp_path, ["x"], lists={**lists, "*": str(tmp_path / "rest")})
    assert [row[0] for row in rate(others, texts, ["en", "ja", "ja", "de", None])] == [1, 1, 1, 0, 1]
    metadata = rater(tmp_path, ["x"], lists=lists, language="metadata.lang")
    assert metadata.needs == ("metadata.lang",)


def test_lists_of_packages(tmp_path: Path) -> None:
    stop_words = rater(tmp_path, ["x"], lists="package:stopwordsiso")
    english, german, none = rate(
        stop_words, ["the cat sat on the mat", "die Katze saß auf der Matte", "the"], ["en", "de", "tlh"]
    )
    assert english[0] == 3
    assert german[0] == 3
    assert none == (None, None, None)
    bad = rater(tmp_path, ["x"], lists={"en": "package:better-profanity"})
    assert rate(bad, ["What a damn fine day"], ["en"])[0][0] == 1
    with pytest.raises(ValueError, match=r"has no list for 'de'; it has en"):
        _ = rater(tmp_path, ["x"], lists={"de": "package:better-profanity"}).lists
    with pytest.raises(ValueError, match="lists are known of the packages better-profanity, stopwordsiso"):
        _ = rater(tmp_path, ["x"], lists="package:nltk").fingerprint


def test_the_bytes_of_a_list_are_in_the_fingerprint(tmp_path: Path) -> None:
    first = rater(tmp_path, ["a"]).fingerprint
    assert rater(tmp_path, ["a"]).fingerprint == first
    assert rater(tmp_path, ["b"]).fingerprint != first


def test_workers_need_no_file(tmp_path: Path) -> None:
    sent = pickle.dumps(rater(tmp_path, ["a"]))
    (tmp_path / "list.txt").unlink()
    assert rate(pickle.loads(sent), ["a b"]) == [(1, 1, 0.5)]


def test_what_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "list.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    assert rate(rater(tmp_path, ["x"], lists=str(tmp_path / "list.gz")), ["One two"])[0][:2] == (2, 2)
    with pytest.raises(FileNotFoundError, match="no such list of words"):
        _ = rater(tmp_path, ["x"], lists=str(tmp_path / "nowhere")).fingerprint
    with pytest.raises(ValueError, match="it lists no word"):
        _ = rater(tmp_path, [" ", ""]).lists
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        _ = rater(tmp_path, ["x"], lists=str(tmp_path / "latin")).lists
