"""The scan finds the seeds that a slow reference finds, and leaves out documents in which no text goes on around one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.decontaminate.matching.seed_scan import (
    bit_filter,
    occurrences,
    pair_key,
    seed_records,
    seed_slots,
    triple_key,
)
from tamis.transforms.text.hashing import mix

VOCABULARY = np.sort(mix(np.arange(6, dtype=np.uint64), 3))

Words = list[int]
Seed = tuple[int, int, int, int]
"""Its text, place, number of words, and the sets of words beside it that are enough, as 16 bits."""

words = st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=14)
seeds = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(2, 3), st.integers(1, 0xFFFF)), max_size=12)


def key_of(run: Words) -> int:
    hashes = VOCABULARY[run]
    return int(pair_key(*hashes) if len(run) == 2 else triple_key(*hashes))


def places_beside(place: int, size: int) -> list[int]:
    return [place - 2, place - 1, place + size, place + size + 1]


def scanned(documents: Sequence[Words], texts: Sequence[Words], seeds: Sequence[Seed]) -> list[tuple[int, int, int, bool]]:
    """(document, seed, word of the document, whether the text goes on) as the kernel finds them."""
    keys = np.array([key_of(texts[text][place : place + size]) for text, place, size, _ in seeds], np.uint64)
    order = np.argsort(keys, kind="stable")
    beside = np.zeros(len(seeds), np.uint32)
    for number, (text, place, size, _) in enumerate(seeds):
        for k, at in enumerate(places_beside(place, size)):
            if 0 <= at < len(texts[text]):
                beside[number] |= np.uint32(VOCABULARY[texts[text][at]] & np.uint64(255)) << np.uint32(8 * k)
    text, place, size, enough = (np.array(column, np.int64)[order] for column in zip(*seeds, strict=True))
    table = seed_slots(keys[order]), seed_records(keys[order], text, place, beside[order], enough)
    filters = bit_filter(keys[order][size == 2]), bit_filter(keys[order][size == 3])
    first, word = flat(documents)
    of_texts, text_word = flat(texts)
    found, _ = occurrences((first, VOCABULARY[word]), filters, table, (of_texts, text_word.astype(np.int32), VOCABULARY))
    return sorted((int(d), int(order[q]), int(at), bool(on)) for d, q, at, on in zip(*found, strict=True))


def flat(several: Sequence[Words]) -> tuple[np.ndarray, np.ndarray]:
    return np.cumsum([0, *map(len, several)]), np.array([word for each in several for word in each], np.int64)


def expected(documents: Sequence[Words], texts: Sequence[Words], seeds: Sequence[Seed]) -> list[tuple[int, int, int, bool]]:
    found = []
    for number, document in enumerate(documents):
        here = [
            (number, seed, at, goes_on(document, at, texts[text], place))
            for (seed, (text, place, size, enough)), at in product(enumerate(seeds), range(len(document)))
            if document[at : at + size] == texts[text][place : place + size]
            and is_enough(document, at, texts[text], place, size, enough)
        ]
        found += here if any(on for *_, on in here) else []
    return sorted(found)


def is_enough(document: Words, at: int, text: Words, place: int, size: int, enough: int) -> bool:
    chosen = 0
    for k, beside in enumerate(places_beside(place, size)):
        byte = int(VOCABULARY[text[beside]]) & 255 if 0 <= beside < len(text) else 0
        low, high = (0, at) if k < 2 else (at + size, len(document))
        middle = beside - place + at
        near = document[max(low, middle - 1) : max(low, min(high, middle + 2))]
        chosen |= any(int(VOCABULARY[word]) & 255 == byte for word in near) << k
    return bool(enough & 1 or enough >> chosen & 1)


def goes_on(document: Words, at: int, text: Words, place: int) -> bool:
    around = [k for k in range(place - 6, place + 9) if 0 <= k < len(text) and not place <= k < place + 3]
    same = 0
    for k in around:
        middle = at + k - place
        same += text[k] in document[max(0, middle - 1) : max(0, middle + 2)]
    return same >= 0.3 * len(around) or len(around) <= 2


def test_a_seed_without_the_words_around_it_is_not_found() -> None:
    text = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]
    seeds = [(0, 3, 3, 1)]
    assert scanned([[3, 4, 5], text, [5, 5, 5, 3, 4, 5, 3, 3, 3]], [text], seeds) == [(1, 0, 3, True)]


def test_a_seed_of_many_texts_is_found_for_each() -> None:
    texts = [[0, 1, 2, 3]] * 300
    assert len(scanned([[0, 1, 2, 3]], texts, [(number, 0, 3, 1) for number in range(300)])) == 300


@given(st.lists(words, min_size=1, max_size=4), st.lists(words, min_size=4, max_size=4), seeds)
def test_it_finds_what_the_reference_finds(documents: list[Words], texts: list[Words], seeds: list[Seed]) -> None:
    seeds = [(text, place, size, enough) for text, place, size, enough in seeds if place + size <= len(texts[text])]
    if seeds:
        copied = [*documents, *texts]
        assert scanned(copied, texts, seeds) == expected(copied, texts, seeds)
