"""Generated benchmarks are read as their items were drawn, have the lengths of their shapes, and make an index that matches."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from tamis.transforms.decontaminate.benchmarks import Benchmark, items
from tamis.transforms.decontaminate.contamination_rater import Contamination, Decontaminate
from tamis.transforms.text.segment import segment
from tests.bench.many_benchmarks import SHAPES, built, by_frequency, write_benchmarks

VOWELS, CONSONANTS = "aeiou", "bdfgklmnprstvz"
WORDS = [f"{a}{b}{c}{d}{e}" for a in CONSONANTS for b in VOWELS for c in CONSONANTS for d in VOWELS for e in CONSONANTS[:6]]


def benchmarks(folder: Path, count: int, of_items: int) -> list[Benchmark]:
    write_benchmarks(folder, count, of_items, WORDS)
    return [Benchmark.model_validate(each) for each in json.loads((folder / "benchmarks.json").read_text())]


def test_every_benchmark_has_its_share_of_the_items_in_its_shape(tmp_path: Path) -> None:
    named = benchmarks(tmp_path, 8, 1603)
    assert len({each.name for each in named}) == 8
    read = [items(each) for each in named]
    assert sorted(map(len, read)) == [200] * 5 + [201] * 3
    for number, of_benchmark in enumerate(read):
        shape = SHAPES[number % len(SHAPES)]
        assert {len(item.choices) for item in of_benchmark} == {shape.choices}
        assert {bool(item.passage) for item in of_benchmark} == {shape.passage is not None}
        words = np.median([len(item.question[0].split()) for item in of_benchmark])
        assert abs(words / shape.question.median - 1) < 0.25


def test_the_same_seed_gives_the_same_bytes_and_words_follow_zipfs_law(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        write_benchmarks(folder, 3, 900, WORDS, seed=7)
    names = sorted(path.name for path in first.glob("*.jsonl"))
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    assert len({(first / name).read_bytes() for name in names}) == 3
    counts = Counter((first / names[0]).read_text().split())
    assert counts[WORDS[0]] > 1.5 * counts[WORDS[1]] > 1.5 * counts[WORDS[4]]


def test_words_are_listed_by_how_common_they_are() -> None:
    assert by_frequency(iter(["b a a", "c b a"])) == ["a", "b", "c"]


def test_a_copy_of_an_item_is_proposed_and_nearly_all_items_are_matchable(tmp_path: Path) -> None:
    named = benchmarks(tmp_path, 7, 700)
    line = built(tmp_path)
    assert (line["benchmarks"], line["items"]) == (7, 700)
    assert line["unmatchable"] <= 0.05 * line["items"]
    copied = [items(each)[3].question[0] for each in named if each.name in ("generated-000", "generated-003")]
    rater = Contamination(Decontaminate(benchmarks=named), str(tmp_path / "benchmarks.arrow"))
    rater.setup()
    found = rater.rate(segment(pa.array([*copied, "none of them"], pa.large_string())))["contamination.candidates"]
    assert [len(each) > 0 for each in found.to_pylist()] == [True, True, False]
