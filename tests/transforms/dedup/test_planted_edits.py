"""Near-duplicates that are planted by edits are found, and nothing else is, with all pairs compared as the truth."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from tamis.transforms.dedup.minhash import MinHash, ShortTexts
from tests.transforms.dedup.text_verdicts import from_texts

VOCABULARY = np.array([f"{a}{b}{c}{d}" for a in "bdglmnprst" for b in "aeiou" for c in "klmnrst" for d in ("", "ing", "er")])


def edited(words: list[str], share: float, draw: np.random.Generator) -> list[str]:
    """The words with this share of them edited: replaced, left out, doubled, in capitals or with a comma."""
    result = list(words)
    for place in sorted(draw.choice(len(words), round(share * len(words)), replace=False), reverse=True):
        word = result[place]
        other = str(draw.choice(VOCABULARY))
        result[place : place + 1] = ([other], [], [word, word], [word.upper()], [f"{word},"])[draw.integers(5)]
    return result


def planted(originals: int, draw: np.random.Generator) -> list[str]:
    """Texts of 30 to 400 words, each with three copies, 0 to 20 % of whose words are edited, and an edited copy of one."""
    texts = []
    for _ in range(originals):
        words = draw.choice(VOCABULARY, draw.integers(30, 400)).tolist()
        copies = [edited(words, draw.random() ** 2 / 5, draw) for _ in range(3)]
        texts += [words, *copies, edited(copies[0], draw.random() ** 2 / 5, draw)]
    return [" ".join(words) for words in texts]


def similar_pairs(sets: list[set[int]], threshold: float) -> set[tuple[int, int]]:
    """All pairs that reach the similarity, by counting what every pair has in common."""
    holders: dict[int, list[int]] = {}
    for place, each in enumerate(sets):
        for shingle in each:
            holders.setdefault(shingle, []).append(place)
    common = Counter(pair for places in holders.values() for pair in combinations(places, 2))
    return {(a, b) for (a, b), count in common.items() if count >= threshold * (len(sets[a]) + len(sets[b]) - count)}


@pytest.mark.parametrize("options", [MinHash(), MinHash(short=ShortTexts()), MinHash(permutations=256)])
def test_of_the_pairs_that_reach_08_one_is_dropped_and_no_document_without_reason(options):
    texts = planted(150, np.random.default_rng(8))
    verdicts, sets = from_texts(texts, options)
    pairs = similar_pairs(sets, 0.8)
    assert len(pairs) > 300
    assert {a // 5 - b // 5 for a, b in pairs} == {0}
    kept = [verdict["duplicate_of"] is None for verdict in verdicts]
    recall = np.mean([not (kept[a] and kept[b]) for a, b in pairs])
    assert recall >= 0.99
    near = similar_pairs(sets, options.threshold)
    dropped = [(place, int(verdict["duplicate_of"][1:])) for place, verdict in enumerate(verdicts) if not kept[place]]
    assert all((min(pair), max(pair)) in near for pair in dropped)
    assert sum(verdict["copies"] or 0 for verdict in verdicts) == len(texts)


@pytest.mark.parametrize(("options", "least"), [(MinHash(), 0.95), (MinHash(bands=25), 0.99)])
def test_of_pairs_alone_with_replaced_words_as_many_are_found(options, least):
    """No other copy helps, and folding hides no edit. `least`: where bands are weakest, from 0.8 to 0.85."""
    draw = np.random.default_rng(0)
    texts = []
    for _ in range(900):
        words = draw.choice(VOCABULARY, draw.integers(100, 400)).tolist()
        copy = list(words)
        for place in draw.choice(len(words), round(draw.random() / 40 * len(words)), replace=False):
            copy[place] = str(draw.choice(VOCABULARY))
        texts += [" ".join(words), " ".join(copy)]
    verdicts, sets = from_texts(texts, options)
    similarity = np.array([len(a & b) / len(a | b) for a, b in zip(sets[::2], sets[1::2], strict=True)])
    dropped = np.array([verdict["duplicate_of"] is not None for verdict in verdicts]).reshape(-1, 2).any(axis=1)
    assert dropped[similarity >= 0.8].mean() >= 0.99
    assert dropped[(similarity >= 0.8) & (similarity < 0.85)].mean() >= least
