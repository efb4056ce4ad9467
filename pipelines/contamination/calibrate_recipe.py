"""Finds the threshold of each benchmark from which documents without its items are flagged at a wanted rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from tamis.pipelines.contamination.probe_documents import Probe, ProbeDocuments, sample_of
from tamis.pipelines.contamination.probe_recipe import candidates_of, checked_options, index_of
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.decontaminate.judge import CANDIDATES
from tamis.transforms.decontaminate.matching.candidate_records import unpack
from tamis.transforms.decontaminate.matching.candidates import LEAST_ALIGNED
from tamis.transforms.decontaminate.matching.run_evidence import RunCounts, evidence
from tamis.transforms.decontaminate.matching.verdicts import details, find
from tamis.transforms.decontaminate.record import CLASSES

CONFIDENCE: Final = 0.95
_STEP = 1e-4  # of thresholds
_COPY = 0.9  # a document with this score has probably the item itself


@dataclass(frozen=True)
class Scored:
    """A document that the threshold flags, or the first that it does not."""

    document: str
    score: float
    detail: str


@dataclass(frozen=True)
class Calibrated:
    """The threshold of a benchmark."""

    benchmark: str
    threshold: float
    flagged: int
    """Documents of the sample that reach it."""
    bound: float
    """The share of such documents that are flagged is at most this, with `CONFIDENCE`."""
    highest: list[Scored]
    """The documents with the highest scores."""


@dataclass(frozen=True)
class Calibration:
    """The thresholds of a recipe's benchmarks, by the documents of a sample."""

    documents: int
    seed: int
    rate: float
    benchmarks: list[Calibrated]


def calibrate_recipe(recipe: Recipe, rate: float, documents: int, seed: int, examples: int = 3) -> Calibration:
    """The lowest threshold of each benchmark with which at most the share `rate` of a sample of the input is
    dropped or reviewed. Documents count by their highest score of a class whose action is not `report`.

    The result depends on the recipe, its input and benchmarks, `rate`, `documents` and `seed` alone.
    Raises RunError as `probe_recipe` does.
    """
    probe = Probe(documents, seed=seed, mutations=())
    options = checked_options(recipe, probe)
    recipe = recipe.model_copy(update={"dedup": None})
    made = ProbeDocuments({}, sample_of(recipe, probe), ())
    components = prepared_components(recipe, "", {CANDIDATES})
    index = index_of(components)
    listed = pa.concat_arrays([candidates_of(batch, recipe, components) for batch in made.batches()])
    candidates = unpack(listed, index)
    seen = evidence(index, RunCounts.of(candidates, index, options), options)
    matches = find(candidates, index, seen, options)
    flags = np.array([options.classes.action(name) != "report" for name in CLASSES])
    matches = matches.take(np.flatnonzero(flags[matches.kind]))
    ids = made.hosts["id"].to_pylist()
    found = []
    for number, name in enumerate(index.names.to_pylist()):
        own = matches.take(np.flatnonzero(index.benchmark[matches.item] == number))
        own = own.take(np.lexsort((own.item, own.document, -own.score)))
        _, first = np.unique(own.document, return_index=True)
        best = own.take(np.sort(first))  # of each document, the highest first
        level = threshold(best.score.tolist(), len(ids), rate)
        flagged = int((best.score >= level).sum())
        top = best.take(np.arange(min(examples, len(best.score))))
        shown = details(top, index, options.score).to_pylist()
        highest = [Scored(ids[d], float(s), t) for d, s, t in zip(top.document, top.score, shown, strict=True)]
        found.append(Calibrated(name, level, flagged, upper_bound(flagged, len(ids)), highest))
    return Calibration(len(ids), seed, rate, found)


def threshold(scores: Sequence[float], documents: int, rate: float) -> float:
    """The lowest threshold, in steps of 0.0001, that at most the share `rate` of the documents reaches.
    `scores`: the highest of each document that has one, descending. Below 0.4 there are no scores to
    compare, since candidates with less of a text are not recorded."""
    allowed = math.floor(rate * documents)
    if len(scores) <= allowed:
        return LEAST_ALIGNED
    steps = math.floor(scores[allowed] / _STEP + 1e-6) + 1
    return max(LEAST_ALIGNED, round(steps * _STEP, 4))


def upper_bound(flagged: int, documents: int) -> float:
    """The upper end of the one-sided interval of Clopper and Pearson (1934) of a share at `CONFIDENCE`. Of
    none flagged it is about 3 / documents, the rule of three."""
    from scipy.stats import beta

    return 1.0 if flagged >= documents else float(beta.ppf(CONFIDENCE, flagged + 1, documents - flagged))


def lines(found: Calibration) -> Iterator[str]:
    """YAML for the recipe, with what it rests on in comments."""
    yield f"# {found.documents:,} documents of the input, seed {found.seed}: at most {found.rate:.2%} of them reach a threshold"
    yield "decontaminate:"
    yield "  thresholds:"
    for each in found.benchmarks:
        rests = f"{each.flagged:,} flagged; of all such documents at most {each.bound:.2%}, with {CONFIDENCE:.0%} confidence"
        yield f"    {each.benchmark}: {{drop: {each.threshold:g}}}  # {rests}"
    highest = [scored for each in found.benchmarks for scored in each.highest]
    if highest:
        yield "# The highest scores. A real copy is no false flag: take it out of the sample and calibrate again."
    for scored in highest:
        yield f"#   {scored.document}: {scored.detail}" + (", probably a copy" if scored.score >= _COPY else "")
