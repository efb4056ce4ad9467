"""Chooses the limit of a score for each language, from documents that were labelled good or bad."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import yaml

from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.benchmark_files import Row, rows

EPSILON = 1e-12
"""How far a threshold, which scores must exceed, is below the lowest score that does."""

_WORDS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


@dataclass(frozen=True, slots=True)
class Goal:
    """What a threshold must reach: the highest F_β with at least this precision and recall."""

    beta: float = 0.1
    precision: float = 0.9
    recall: float = 0.1


@dataclass(frozen=True, slots=True)
class Choice:
    """The threshold of a language ("" if the file names none), and what it does to the labelled documents.

    Documents pass with a score above `threshold`, or at least `min`. Both are None if no threshold
    reaches the goal; precision, recall and F_β are then those of the most precise one.
    """

    language: str
    labelled: int
    good: int
    threshold: float | None
    min: float | None
    kept: int
    precision: float
    recall: float
    f_beta: float


def choose(language: str, scores: Floats, good: npt.NDArray[np.bool_], goal: Goal) -> Choice:
    """The threshold of n documents with these scores, f64[n], of which some are good.

    Of all thresholds just below a score, the one with the highest F_β among those that reach the
    goal; of equal ones, the lowest. F_β = (1 + β²)·P·R / (β²·P + R), so that a small β prefers
    precision. This is how FinePDFs chose its thresholds, with β = 0.1, precision 0.9 and recall 0.1.
    """
    values, kept, true = _cumulated(scores, good)
    total = int(good.sum())
    if not total:
        return Choice(language, len(scores), 0, None, None, 0, 0.0, 0.0, 0.0)
    precision, recall = true / kept, true / total
    square = goal.beta**2
    f_beta = np.where(true > 0, (1 + square) * precision * recall / np.maximum(square * precision + recall, EPSILON), 0.0)
    reached = (precision >= goal.precision) & (recall >= goal.recall)
    order = f_beta if reached.any() else precision
    best = np.flatnonzero(order == order[reached].max() if reached.any() else order == order.max())
    at = int(best[reached[best]][-1] if reached.any() else best[-1])  # the last is the lowest score
    lowest = float(values[at])
    return Choice(
        language,
        len(scores),
        total,
        lowest - EPSILON if reached.any() else None,
        lowest if reached.any() else None,
        int(kept[at]),
        float(precision[at]),
        float(recall[at]),
        float(f_beta[at]),
    )


def _cumulated(scores: Floats, good: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """The distinct scores, descending, with the number of documents and of good ones from each on."""
    order = np.argsort(-scores, kind="stable")
    descending, true = scores[order], np.cumsum(good[order])
    last = np.flatnonzero(np.append(np.diff(descending) != 0, True))
    return descending[last], (last + 1).astype(np.float64), true[last].astype(np.float64)


def choices(uri: str, score: str, label: str, language: str, goal: Goal) -> list[Choice]:
    """The threshold of each language of a file of labelled documents, by the name of the language.

    The file has rows with a number in the column `score`, true or false (or 1 or 0) in the column
    `label`, and the language in the column `language`; "" if there is one threshold for all. It is
    .jsonl, .csv, .tsv or .parquet. Raises RunError for a file that is not so.
    """
    scores: dict[str, list[float]] = {}
    labels: dict[str, list[bool]] = {}
    try:
        for place, row in rows(uri):
            for name in filter(None, (score, label, language)):
                if name not in row:
                    raise ValueError(f"{place} has no field {name!r}; it has {', '.join(row)}")
            if language and not row[language]:
                raise ValueError(f"{place}: {language} is empty: give each document a language")
            of = str(row[language]) if language else ""
            scores.setdefault(of, []).append(_number(row, score, place))
            labels.setdefault(of, []).append(_truth(row, label, place))
    except ValueError as error:
        raise RunError(str(error)) from None
    if not scores:
        raise RunError(f"{uri}: has no rows")
    return [choose(of, np.array(scores[of]), np.array(labels[of]), goal) for of in sorted(scores)]


def lines(found: Sequence[Choice], signal: str) -> Iterator[str]:
    """What a person reads, with the section of a recipe for the limits of `signal`."""
    for each in found:
        language = each.language or "all"
        figures = f"precision {each.precision:.3f}, recall {each.recall:.3f}, F {each.f_beta:.3f}"
        if each.min is None:
            most = f"the most precise keeps {each.kept:,} with {figures}" if each.good else "none is good"
            yield f"# {language}: no threshold reaches the goal; of {each.labelled:,} documents {most}"
        else:
            yield f"# {language}: keeps {each.kept:,} of {each.labelled:,} documents, {each.good:,} of them good; {figures}"
    limits = {each.language: {signal: {"min": each.min}} for each in found if each.min is not None}
    if limits.keys() == {""}:
        yield from _yaml({"thresholds": limits[""]})
    elif limits:
        yield from _yaml({"per_language": {language: {"thresholds": limit} for language, limit in limits.items()}})


def _yaml(section: object) -> list[str]:
    """Lines of a recipe. A name such as no, for Norwegian, is in quotes, since YAML takes it for false."""
    return yaml.safe_dump(section, sort_keys=False).splitlines()


def _number(row: Row, column: str, place: str) -> float:
    try:
        number = float(str(row[column]))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{place}: {column} is a number, not {row[column]!r}")
    return number


def _truth(row: Row, column: str, place: str) -> bool:
    text = str(row[column]).lower()
    if text not in _WORDS:
        raise ValueError(f"{place}: {column} is true or false, or 1 or 0, not {row[column]!r}")
    return _WORDS[text]
