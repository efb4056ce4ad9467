"""Counts of n-grams are those of a slow reference, however small the table is."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.decontaminate.matching.item_texts import ItemTexts
from tamis.transforms.decontaminate.matching.ngram_counts import TABLE, in_other_items, items_with
from tamis.transforms.text.hashing import mix

VOCABULARY = np.sort(mix(np.arange(5, dtype=np.uint64), 0))

Texts = list[tuple[int, int, list[int]]]
"""Item, part and words of each."""

texts = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.lists(st.integers(0, 4), max_size=12)), max_size=12).map(
    sorted
)


def item_texts(texts: Texts) -> ItemTexts:
    first = np.cumsum([0, *(len(words) for *_, words in texts)])
    word = np.array([word for *_, words in texts for word in words], np.int32)
    item, part = (np.array([text[k] for text in texts], dtype) for k, dtype in ((0, np.int32), (1, np.uint8)))
    return ItemTexts(first, word, word, np.zeros(len(word), bool), VOCABULARY, item, part)


def test_items_that_have_a_run_in_some_of_their_texts() -> None:
    texts = item_texts([(0, 0, [1, 2]), (0, 1, [1, 2]), (1, 0, [1, 2]), (2, 1, [1, 2])])
    assert items_with(texts, 2, texts.part == 0).tolist() == [2, 0, 0, 0, 2, 0, 0, 0]
    assert in_other_items(texts, 1).tolist() == [1, 2, 2, 1, 2, 2, 1, 3, 3, 1, 3, 3]


@given(texts, st.integers(1, 4), st.sampled_from([64, TABLE]))
def test_occurrences_in_other_items(texts: Texts, n: int, table: int) -> None:
    ends = [(item, (f"part {part}", *words)) for item, part, words in texts]
    runs = [(item, words[k + 1 - n : k + 1] if k + 1 >= n else None) for item, words in ends for k in range(len(words))]
    every, own = Counter(run for _, run in runs), Counter(runs)
    expected = [every[run] - own[item, run] if run else 0 for item, run in runs]
    assert in_other_items(item_texts(texts), n, table).tolist() == expected


@given(texts, st.integers(1, 4), st.sampled_from([64, TABLE]))
def test_items_that_have_a_run(texts: Texts, n: int, table: int) -> None:
    runs = [(item, tuple(words[k : k + n])) for item, _, words in texts for k in range(len(words))]
    having: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
    for item, run in runs:
        having[run].add(item)
    expected = [len(having[run]) if len(run) == n else 0 for _, run in runs]
    assert items_with(item_texts(texts), n, table=table).tolist() == expected
