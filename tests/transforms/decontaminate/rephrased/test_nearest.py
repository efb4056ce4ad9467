"""The nearest passages are the same however documents are batched, and rephrased problems are found among others."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from tamis.transforms.decontaminate.contamination_rater import Decontaminate
from tamis.transforms.decontaminate.matching.candidate_records import unpack
from tamis.transforms.decontaminate.matching.candidates import propose
from tamis.transforms.decontaminate.matching.index import load_or_build
from tamis.transforms.decontaminate.matching.scores import by_metric
from tamis.transforms.decontaminate.rephrased.judges import Rule
from tamis.transforms.decontaminate.rephrased.nearest import Embedded, Near, Nearest
from tamis.transforms.decontaminate.rephrased.tfidf import TfIdf
from tamis.transforms.text.segment import segment

ITEMS = ["How many eggs did the red hen lay in June?", "Which metal melts below the boiling point of water?"]
WORDS = (*ITEMS[0].lower().split(), *ITEMS[1].lower().split())


def search(items: Sequence[str], texts: Sequence[str], batch: int, top: int = 3, least: float = 0.05) -> list[list[Near]]:
    nearest = Nearest(TfIdf(items), len(items), top, least, 12)
    ids = [f"doc-{number}" for number in range(len(texts))]
    for first in range(0, len(texts), batch):
        part = slice(first, first + batch)
        nearest.add(pa.array(texts[part], pa.large_string()), pa.array(ids[part]))
    assert nearest.documents == len(texts)
    return nearest.found


def random_texts(seed: int, number: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randrange(60))) for _ in range(number)]


def test_the_cut_into_batches_changes_no_bit() -> None:
    texts = random_texts(1, 200)
    found = search(ITEMS, texts, 200)
    assert all(len(near) == 3 for near in found)
    assert found == search(ITEMS, texts, 1) == search(ITEMS, texts, 7)


def test_they_are_the_best_windows_of_the_best_documents() -> None:
    texts = random_texts(2, 40)
    every = search(ITEMS, texts, 40, top=40, least=0.0)
    for near, few in zip(every, search(ITEMS, texts, 5, top=4, least=0.0), strict=True):
        assert [(each.score, each.document) for each in near] == sorted(
            ((each.score, each.document) for each in near), key=lambda pair: (-pair[0], pair[1])
        )
        assert few == near[:4]
        assert len({each.document for each in near}) == len(near)
        for each in near:
            assert texts[each.document].encode()[each.start : each.stop].decode() == each.text


def test_equal_passages_come_in_the_order_of_their_documents() -> None:
    found = search(ITEMS, [ITEMS[0]] * 5, 2)
    assert [(each.document, round(each.score, 12)) for each in found[0]] == [(0, 1.0), (1, 1.0), (2, 1.0)]


def test_a_document_that_comes_again_counts_once() -> None:
    nearest = Nearest(TfIdf(ITEMS), len(ITEMS), 3, 0.05, 12)
    for _ in range(3):
        nearest.add(pa.array([ITEMS[0], ITEMS[1]], pa.large_string()), pa.array(["a", "b"]))
    assert [[each.id for each in near][:1] for near in nearest.found] == [["a"], ["b"]]
    assert all(len({each.id for each in near}) == len(near) for near in nearest.found)


def test_nothing_near_is_nothing_found() -> None:
    assert search(ITEMS, ["Nobody came.", ""], 2) == [[], []]


GERMAN = {"eggs": "Eier", "hen": "Henne", "metal": "Metall", "melts": "schmilzt"}


def embed(texts: list[str]) -> list[list[float]]:
    """Counts of four notions in two languages: what a multilingual model does, in small."""
    lowered = [text.lower() for text in texts]
    return [[0.01 + text.count(en) + text.count(de.lower()) for en, de in GERMAN.items()] for text in lowered]


def test_embeddings_find_translations() -> None:
    nearest = Nearest(Embedded(ITEMS, embed), len(ITEMS), 1, 0.5, 12)
    texts = ["Welches Metall schmilzt zuerst?", "Wie viele Eier legte die rote Henne?", "Nichts davon."]
    nearest.add(pa.array(texts, pa.large_string()), pa.array(["m", "h", "n"]))
    assert [[each.id for each in near] for near in nearest.found] == [["h"], ["m"]]
    assert search(ITEMS, texts, 3) == [[], []]


@pytest.mark.parametrize("wrong", [[[1.0]], [1.0, 2.0], [[float("nan")], [1.0]]])
def test_what_is_no_embedding_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="the embeddings of 2 texts"):
        Embedded(ITEMS, lambda texts: wrong)  # type: ignore[arg-type,return-value]


def lines(path: Path) -> list[dict[str, str]]:
    opened = zstandard.ZstdDecompressor().stream_reader(path.open("rb")) if path.suffix == ".zst" else path.open("rb")
    return [json.loads(line) for line in io.TextIOWrapper(opened, "utf-8", newline="\n")]


@pytest.mark.slow
def test_rephrased_problems_are_found_among_a_hundred_thousand_passages(shared: Path) -> None:
    """GSM8K and its rephrasings (Yang et al. 2023, arXiv 2311.04850), in web pages, mails and PEPs, and beside problems of
    GSM8K's training split: 13-grams find none, this finds nearly all; and the rule tells them apart."""
    items = [row["question"] for row in lines(shared / "benchmarks" / "gsm8k_test.jsonl")]
    rephrased = [row["text"] for row in lines(shared / "rephrased" / "rephrase_gsm8k.jsonl")]
    pairs = [(item, text) for item, text in enumerate(rephrased) if text.partition("\nAnswer:")[0] != "Question: "]
    files = [
        *sorted((shared / "web").glob("*.zst")),
        shared / "docs" / "peps.jsonl.zst",
        shared / "quality" / "enron1.jsonl.zst",
    ]
    others = [row.get("text") or "" for file in files for row in lines(file)]
    others += [row["text"] for row in lines(shared / "near_benchmarks" / "near.jsonl")]
    assert len(pairs) == 1315

    options = Decontaminate.model_validate(
        {"benchmarks": [{"name": "gsm8k", "path": str(shared / "benchmarks" / "gsm8k_test.jsonl"), "question": "question"}]}
    )
    index = load_or_build(options)
    candidates = unpack(propose(segment(pa.array([text for _, text in pairs], pa.large_string())), index), index)
    assert not by_metric(candidates, index, "ngram", 13, 0).score.any()

    def ranks(texts: list[str]) -> tuple[Nearest, list[int]]:
        """The search, and the rank from 0 of the rephrasing of each item; 99 if it is not there."""
        nearest = Nearest(TfIdf(items), len(items), 5, 0.08, 88)  # twice the median of the items
        for first in range(0, len(texts), 500):
            part = pa.array(texts[first : first + 500], pa.large_string())
            nearest.add(part, pa.array([f"{first + k}" for k in range(len(part))]))
        place = len(texts) - len(pairs)
        return nearest, [
            next((k for k, each in enumerate(nearest.found[item]) if each.document == place + n), 99)
            for n, (item, _) in enumerate(pairs)
        ]

    hidden = others + [text for _, text in pairs]
    nearest, rank = ranks(hidden)
    assert nearest.passages - len(pairs) >= 100_000
    assert np.mean([place == 0 for place in rank]) >= 0.98
    assert np.mean([place < 5 for place in rank]) >= 0.99
    _, alone = ranks([text for _, text in pairs])
    assert np.mean([place == 0 for place in alone]) >= 0.98
    assert np.mean([place < 5 for place in alone]) >= 0.99

    rule = Rule(0.12)
    verdicts: dict[bool, list[bool]] = {True: [], False: []}
    for n, (item, _) in enumerate(pairs):
        for each in nearest.found[item]:
            own = each.document == len(others) + n
            verdicts[own].append(rule.judge(items[item], each).suspicious)
    assert np.mean(verdicts[True]) >= 0.93
    assert np.mean(verdicts[False]) <= 0.05
