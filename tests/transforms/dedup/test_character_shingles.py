"""Short texts are cut into runs of characters, and edited copies of them are found, which words do not find."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.dedup.character_shingles import character_windows
from tamis.transforms.dedup.minhash import MinHash, ShortTexts, sketch
from tamis.transforms.dedup.shingles import jaccard, shingles, windows
from tamis.transforms.text.characters import characters
from tamis.transforms.text.hashing import mix64
from tamis.transforms.text.segment import segment

TEXTS = st.lists(
    st.text(alphabet=st.sampled_from("aB1é.'- \n\t\u3000漢ไ่ß") | st.characters(codec="utf-8"), max_size=40), max_size=6
)
SHORT = st.builds(ShortTexts, words=st.integers(1, 8), characters=st.integers(1, 7))


def cut(texts, short, fold=False):
    first, hashes = shingles(segment(pa.array(texts, pa.large_string())), 5, fold, short)
    return [hashes[first[place] : first[place + 1]] for place in range(len(texts))]


def folded(text: str) -> str:
    return "".join(chr(point) for point in (int(characters().folded[ord(character)]) for character in text) if point)


def runs(text: str, short: ShortTexts, fold: bool) -> list[int]:
    """The hashed runs of characters of a text, in its order."""
    words = [folded(word) if fold else word for word in re.split(r"\s+", text)]
    points = [ord(character) for character in " ".join(filter(None, words))]
    hashes = []
    for start in range(max(1, len(points) - short.characters + 1) if points else 0):
        run = points[start : start + short.characters]
        chained = np.uint64((1 << 32) + len(run))
        for point in run:
            chained = np.uint64(mix64(np.uint64(point), chained))
        hashes.append(int(chained))
    return hashes


@settings(max_examples=100)
@given(TEXTS, SHORT, st.booleans())
def test_short_texts_are_runs_of_characters_and_others_runs_of_words(texts, short, fold):
    segmented = segment(pa.array(texts, pa.large_string()))
    first, hashes = windows(segmented, 5, fold, short)
    word_first, of_words = windows(segmented, 5, fold)
    is_short, _, _ = character_windows(segmented, short, fold)
    for place, text in enumerate(texts):
        words = segmented.fold_hash[segmented.word_first[place] : segmented.word_first[place + 1]]
        assert is_short[place] == (np.count_nonzero(words) < short.words)
        expected = runs(text, short, fold) if is_short[place] else of_words[word_first[place] : word_first[place + 1]].tolist()
        assert hashes[first[place] : first[place + 1]].tolist() == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The shop is open from Monday to Friday, and closed on public holidays.",) * 2,
        (
            "The shop is open from Monday to Friday, and closed on public holidays.",
            "The shop is open from Monday to Friday and closed on all public holidays.",
        ),
        ("Add to basket", "Add to basket."),
        ("商店周一至周五营业，公共假日休息，欢迎光临。", "商店周一至周五营业，公共假日休息，欢迎光临！"),
        ("ร้านเปิดวันจันทร์ถึงวันศุกร์", "ร้านเปิดวันจันทร์ถึงวันศุกร์ครับ"),
    ],
)
def test_edited_copies_of_short_texts_are_similar_and_share_a_band(one, other):
    options = MinHash(short=ShortTexts(words=40))
    a, b = cut([one, other], options.short)
    assert jaccard(a, b) >= 0.7
    first, second = sketch(segment(pa.array([one, other])), options).to_pylist()
    assert set(first) & set(second)


@pytest.mark.parametrize(
    ("words", "by_words", "by_characters"),
    [(8, 0.0, (0.48, 0.14, 0.05, 0.01)), (12, 0.23, (1.0, 0.44, 0.2, 0.05)), (19, 0.23, (1.0, 1.0, 0.76, 0.13))],
)
def test_runs_of_words_miss_the_edited_copies_that_runs_of_characters_find(words, by_words, by_characters):
    """Texts of so many words, each with a copy in which one of them is another: the table of docs/dedup.md."""
    draw = np.random.default_rng(2)
    vocabulary = np.array(
        [f"{a}{b}{c}{d}" for a in "bdglmnprst" for b in "aeiou" for c in "klmnrst" for d in ("", "ing", "er")]
    )
    texts = []
    for _ in range(300):
        original = draw.choice(vocabulary, words)
        edited = original.copy()
        edited[draw.integers(words)] = draw.choice(vocabulary)
        texts += [" ".join(original), " ".join(edited)]

    def reaching(short, threshold):
        sets = cut(texts, short)
        assert all(jaccard(a, b) < 0.5 for a, b in zip(sets[::2], sets[2::2], strict=False))
        return np.mean([jaccard(a, b) >= threshold for a, b in zip(sets[::2], sets[1::2], strict=True)])

    assert reaching(None, 0.7) == pytest.approx(by_words, abs=0.03)
    shares = [reaching(ShortTexts(), threshold) for threshold in (0.7, 0.8, 0.85, 0.9)]
    assert shares == pytest.approx(by_characters, abs=0.006)


def test_texts_on_different_sides_of_the_limit_share_nothing():
    short, long = cut(["one two three four", "one two three four five"], ShortTexts(words=5))
    assert not np.intersect1d(short, long).size


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), (" \n ", 0), ("a", 1), ("abcde", 1), ("ab cd", 1), ("abcdef", 2), ("!", 1)]
)
def test_the_shortest_texts(text, count):
    (result,) = cut([text], ShortTexts())
    assert len(result) == count
    assert sketch(segment(pa.array([text])), MinHash(short=ShortTexts())).null_count == (text.strip(" \n!") == "")
