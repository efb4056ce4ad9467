"""Reads contamination scores and results of items from two files, and shows the gain on each benchmark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.benchmark_files import Row, rows
from tamis.transforms.decontaminate.performance_gain import AtThreshold, PerformanceGain, Subset, performance_gain

_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain on one benchmark ("" if the files name none)."""

    benchmark: str
    unscored: int
    """Items without a score: they count as clean, with the score 0."""
    result: PerformanceGain


def gains(scores: str, correct: str, column: str, thresholds: Sequence[float]) -> list[Gain]:
    """The gain on each benchmark of `correct`, by name.

    `scores` has rows of an item and its score in `column`, as `tamis contamination rephrased` writes them; of
    several rows of an item the highest counts. `correct` has rows of an item and `correct`, 0 to 1. Both may name
    a benchmark. The files are .jsonl, .csv, .tsv or .parquet.

    Raises RunError for a file that is not so, and if the two share no item.
    """
    highest: dict[tuple[str, str], float] = {}
    for key, value in _values(scores, column):
        highest[key] = max(value, highest.get(key, 0.0))
    results: dict[tuple[str, str], float] = {}
    for key, value in _values(correct, "correct"):
        if key in results:
            raise RunError(f"{correct}: {' '.join(filter(None, key))} has two results; give one for each item")
        results[key] = value
    if not highest.keys() & results.keys():
        found, wanted = next(iter(highest), ("", "none")), next(iter(results), ("", "none"))
        raise RunError(f"no item of {correct} is in {scores}: they name items such as {wanted} and {found}")
    by_benchmark: dict[str, list[tuple[str, str]]] = {}
    for key in results:
        by_benchmark.setdefault(key[0], []).append(key)
    return [
        _gain(correct, benchmark, [results[key] for key in keys], [highest.get(key) for key in keys], thresholds)
        for benchmark, keys in sorted(by_benchmark.items())
    ]


def lines(found: Sequence[Gain]) -> Iterator[str]:
    """What a person reads."""
    for gain in found:
        result = gain.result
        unscored = f", {gain.unscored:,} of them without a score and so clean" if gain.unscored else ""
        yield f"{gain.benchmark or 'all items'}: mean {result.mean:.1%} of {result.items:,} items{unscored}"
        yield "  threshold    clean    mean       Z   contaminated    mean       Z    gain"
        yield from map(_line, result.sweep)
        verdict = "evidence, as" if result.evident else "no evidence: not"
        yield f"  {verdict} |Z| > 2 for the items below 0.2, from 0.2 on, below 0.8 and from 0.8 on (the rule of Llama 2)"


def _line(at: AtThreshold) -> str:
    def subset(shown: Subset) -> str:
        mean = "–" if shown.mean is None else f"{shown.mean:.1%}"
        z = "–" if shown.z is None else f"{shown.z:+.2f}"
        return f"{shown.items:>8,} {mean:>7} {z:>7}"

    gain = "–" if at.gain is None else f"{100 * at.gain:+.1f}"
    return f"  {at.threshold:>9g} {subset(at.clean)}       {subset(at.contaminated)} {gain:>7}"


def _gain(
    uri: str, benchmark: str, results: Sequence[float], scores: Sequence[float | None], thresholds: Sequence[float]
) -> Gain:
    scored = np.array([0.0 if score is None else score for score in scores])
    try:
        result = performance_gain(np.array(results), scored, thresholds)
    except ValueError as error:
        raise RunError(f"{uri}: {error}") from None
    return Gain(benchmark, sum(score is None for score in scores), result)


def _values(uri: str, column: str) -> Iterator[tuple[tuple[str, str], float]]:
    """((benchmark, item), value) of every row. Raises RunError for what is no such file."""
    try:
        for place, row in rows(uri):
            for name in ("item", column):
                if name not in row:
                    raise ValueError(f"{place} has no field {name!r}; it has {', '.join(row)}")
            yield (str(row.get("benchmark") or ""), str(row["item"])), _number(row, column, place)
    except ValueError as error:
        raise RunError(str(error)) from None


def _number(row: Row, column: str, place: str) -> float:
    text = str(row[column]).lower()
    try:
        number = _WORDS[text] if text in _WORDS else float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"{place}: {column} is a number, not {row[column]!r}")
    return number
