"""Probes a recipe: plants mutated copies of its benchmark items and texts like them into its input, and judges these
documents as a run would.

They are edited and matched by the recipe's own editors, matcher and thresholds. Words are weighed by the documents of
the probe, with plants and without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tamis.pipelines.contamination.probe_documents import Copy, Probe, ProbeDocuments, probe_documents
from tamis.pipelines.contamination.translated_plants import nearby
from tamis.pipelines.measure import Components, measure_each
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.decontaminate.contamination_rater import Contamination, Decontaminate
from tamis.transforms.decontaminate.judge import CANDIDATES
from tamis.transforms.decontaminate.matching.index import Index
from tamis.transforms.decontaminate.probe.mutations import MUTATIONS, question_of
from tamis.transforms.decontaminate.probe.planted_outcomes import Outcomes, outcomes
from tamis.transforms.decontaminate.record import CLASSES

CLEAN = ""
"""In place of a mutation: a document as it is."""


@dataclass(frozen=True)
class Planted:
    """A document of the probe: what was planted into it, and what the recipe made of it."""

    document: str
    """Its id in the input."""
    benchmark: str
    item: str
    """That was planted; of a negative, the item that it was made of or is."""
    mutation: str
    """A name of `MUTATIONS` or of `NEGATIVES`, `TRANSLATED`, `SIBLING`, or `CLEAN`."""
    words: int
    """Of the question."""
    found: bool
    """Whether it is flagged, that is dropped, cut or set aside for review: for the planted item if one is."""
    dropped: bool
    """Or cut."""
    detail: str
    """The match that decides, or nothing."""


@dataclass(frozen=True)
class Probed:
    """Every document of a probe."""

    recipe: str
    seed: int
    items: dict[str, int]
    """Of each benchmark."""
    documents: list[Planted]
    nearby: dict[str, int]
    """Translations of each benchmark that have some, which the search for rephrased items finds."""


def probe_recipe(recipe: Recipe, probe: Probe) -> Probed:
    """Probes a recipe: the result depends on the recipe, its input and benchmarks, and `probe` alone.

    Raises RunError if the recipe names no benchmarks or flags nothing, for an unknown mutation, and for
    files that cannot be read.
    """
    options = checked_options(recipe, probe)
    recipe = recipe.model_copy(update={"dedup": None})  # no hashes of what is not compared
    made = probe_documents(recipe, options, probe)
    components = prepared_components(recipe, "", {CANDIDATES})
    candidates = [candidates_of(batch, recipe, components) for batch in made.batches()]
    found = outcomes(pa.concat_arrays(candidates), made.plants(), index_of(components), options)
    return Probed(recipe.name, probe.seed, made.items, _judged(made, found), nearby(made, probe.encode, recipe.words))


def _judged(made: ProbeDocuments, found: Outcomes) -> list[Planted]:
    """Without negatives in documents that are flagged without them: nothing could be said of these."""
    ids = made.hosts["id"].to_pylist()
    flagged, dropped = (found.severity >= least for least in (1, 2))

    def planted(place: int, copy: Copy) -> Planted:
        right = bool(flagged[place] if copy.number < 0 else found.own[place])
        item, words = copy.item, len(question_of(copy.item).split())
        return Planted(
            ids[copy.host], item.benchmark, item.id, copy.mutation, words, right, bool(dropped[place]), found.detail[place]
        )

    clean = [Planted(name, "", "", CLEAN, 0, bool(flagged[k]), bool(dropped[k]), found.detail[k]) for k, name in enumerate(ids)]
    return clean + [
        planted(place, copy) for place, copy in enumerate(made.copies, len(ids)) if copy.number >= 0 or not flagged[copy.host]
    ]


def checked_options(recipe: Recipe, probe: Probe) -> Decontaminate:
    options = recipe.decontaminate
    if options is None:
        raise RunError(f"the recipe {recipe.name} has no benchmarks to look for: add the section decontaminate")
    if all(options.classes.action(name) == "report" for name in CLASSES):
        raise RunError("every class in decontaminate.classes is report, so nothing is flagged: drop or review one")
    for name in probe.mutations:
        if name not in MUTATIONS:
            hint = nearest(name, MUTATIONS)
            raise RunError(f"there is no mutation {name!r}" + (f"; did you mean {hint!r}?" if hint else "")
                           + f" There are {', '.join(MUTATIONS)}")  # fmt: skip
    return options


def candidates_of(batch: pa.RecordBatch, recipe: Recipe, components: Components) -> pa.ListArray:
    """The candidates of each document; none of one on which an editor fails."""
    (rated, _), errors = measure_each(batch, recipe, components)
    good = np.array([row not in errors for row in range(batch.num_rows)])
    return rated[CANDIDATES].take(pa.array(np.cumsum(good) - 1, mask=~good))


def index_of(components: Components) -> Index:
    (rater,) = (rater for rater in components.raters if isinstance(rater, Contamination))
    return rater.index
