"""Shingles: equal word n-grams have equal hashes, different ones do not, and short documents take part."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.dedup.character_shingles import short_texts
from tamis.transforms.dedup.deduplicate import shingles_of
from tamis.transforms.dedup.minhash import MinHash, ShortTexts
from tamis.transforms.dedup.shingles import jaccard, shingles, windows
from tamis.transforms.text.hashing import mix64
from tamis.transforms.text.segment import segment
from tamis.transforms.text.word_hashes import HashedWords
from tamis.transforms.text.words import DEFAULT_WORDS

WORDS = st.integers(0, 2**64 - 1) | st.integers(0, 3)  # 0 is a word that folds to nothing


def words_of(documents):
    """Documents that are given by the hashes of their words."""
    hashes = np.array([word for document in documents for word in document], np.uint64)
    first = np.cumsum([0, *map(len, documents)])
    return HashedWords(np.zeros(0, np.uint8), np.zeros_like(first), first, hashes, folded=False)


def ngrams(document, n):
    """The set of word n-grams of a document, which the hashes represent."""
    words = [word for word in document if word]
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if words else set()


def hash_ngram(ngram):
    chained = np.uint64(len(ngram))
    for word in ngram:
        chained = np.uint64(mix64(np.uint64(word), chained))
    return int(chained)


def of_texts(*texts, ngram=5, fold=False):
    first, hashes = shingles(segment(pa.array(texts, pa.large_string())), ngram, fold)
    return [hashes[first[d] : first[d + 1]] for d in range(len(texts))]


@given(st.lists(st.lists(WORDS, max_size=40), max_size=6), st.integers(1, 7))
def test_shingles_are_the_hashed_ngrams_sorted_without_repeats(documents, n):
    first, hashes = shingles(words_of(documents), n, fold=False)
    assert first[0] == 0
    assert first[-1] == hashes.size
    for d, document in enumerate(documents):
        assert hashes[first[d] : first[d + 1]].tolist() == sorted(map(hash_ngram, ngrams(document, n)))


@given(st.lists(st.lists(WORDS, max_size=40), max_size=6), st.integers(1, 7))
def test_windows_are_the_hashed_ngrams_in_text_order(documents, n):
    first, hashes = windows(words_of(documents), n, fold=False)
    for d, document in enumerate(documents):
        words = [word for word in document if word]
        result = [hash_ngram(words[i : i + n]) for i in range(max(1, len(words) - n + 1))] if words else []
        assert hashes[first[d] : first[d + 1]].tolist() == result


@given(st.lists(st.integers(1, 4), max_size=60), st.lists(st.integers(1, 4), max_size=60), st.integers(1, 5))
def test_jaccard_of_shingles_is_that_of_the_ngram_sets(a, b, n):
    first, hashes = shingles(words_of([a, b]), n, fold=False)
    left, right = ngrams(a, n), ngrams(b, n)
    expected = len(left & right) / len(left | right) if left | right else 0.0
    assert jaccard(hashes[: first[1]], hashes[first[1] :]) == expected


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)), st.floats(0, 1))
def test_jaccard_with_a_floor_is_exact_from_the_floor_on(a, b, floor):
    expected = len(a & b) / len(a | b) if a | b else 0.0
    result = jaccard(*(np.array(sorted(side), np.uint64) for side in (a, b)), floor)
    assert result == expected if expected >= floor else result in (0.0, expected)


@given(st.lists(st.text(st.sampled_from("aB1é語., "), max_size=40), max_size=4), st.booleans(), st.sampled_from([None, 3]))
def test_texts_are_cut_into_the_shingles_of_their_segments(documents, fold, few):
    array = pa.array(documents, pa.large_string())
    options = MinHash(ngram=2, fold=fold, short=few and ShortTexts(words=few))
    lists, short = shingles_of(array, options, DEFAULT_WORDS)
    first, hashes = shingles(segment(array), options.ngram, fold, options.short)
    assert lists.to_pylist() == [hashes[first[d] : first[d + 1]].tolist() for d in range(len(documents))]
    assert short.to_pylist() == short_texts(segment(array), options.short).tolist()


def test_short_documents_match_when_equal_and_only_then():
    texts = ("cat", "dog", "Cat", "cat!", "a cat", "cat a", "a\n cat", "!? ...", "")
    cat, dog, upper, loud, pair, reversed_pair, spaced, signs, empty = of_texts(*texts)
    assert pair == spaced  # white space is in no word
    assert len({int(one[0]) for one in (cat, dog, upper, loud, pair, reversed_pair, signs)}) == 7
    assert empty.size == 0


def test_word_boundaries_matter():
    one, other = of_texts("ab c", "a bc")
    assert one != other


def test_folding_ignores_case_accents_digits_and_punctuation():
    texts = ("Les élèves, en 1984, lisaient tous.", "les eleves en 2051 lisaient TOUS", "!? ...")
    a, b, signs = of_texts(*texts, fold=True)
    assert a.tolist() == b.tolist()
    assert signs.size == 0
    assert not set.intersection(*(set(one.tolist()) for one in of_texts(*texts[:2], ngram=3)))


@pytest.mark.parametrize(
    ("one", "other", "similarity"),
    [
        ("x = a + b * c", "x = a - b * c", 0),
        ("if not a then return", "if not A then return", 0),
        ("one two three four 5 six seven eight nine", "one two three four 6 six seven eight nine", 0),
        ("1 one two three four five six seven eight", "2 one two three four five six seven eight", 4 / 6),
        ("one two three four five six seven", "one two three four five six seven.", 3 / 4),
    ],
)
def test_marks_digits_and_case_count(one, other, similarity):
    assert jaccard(*of_texts(one, other)) == similarity


@pytest.mark.parametrize(
    "text", ["", "   \n ", "word", "no newline at all", "Ελληνικά 中文 العربية", "x " * 500_000, "y" * 1_000_000]
)
def test_odd_texts(text):
    (result,) = of_texts(text)
    assert result.tolist() == sorted(set(result.tolist()))
    assert (result.size == 0) == (not text.strip())


def test_a_repeated_pattern_in_a_long_document_is_quick_and_exact():
    first, hashes = shingles(words_of([[7, 9] * 300_000]), 5, fold=False)
    assert first.tolist() == [0, 2]
    assert hashes.tolist() == sorted(map(hash_ngram, [(7, 9, 7, 9, 7), (9, 7, 9, 7, 9)]))


def test_no_documents():
    first, hashes = shingles(words_of([]), 5, fold=False)
    assert first.tolist() == [0]
    assert hashes.size == 0


def test_a_shingle_needs_a_word():
    with pytest.raises(ValueError, match="at least one word"):
        shingles(words_of([]), 0, fold=False)
