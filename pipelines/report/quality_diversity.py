"""Quality, diversity and complexity of the documents that are left after each step, and where quality costs diversity.

Havrilla et al. 2024 (arXiv 2412.02980) find that quality helps a model where test data is like its training data,
diversity where it is not, and complexity in both; so a filter is judged by all three. They are measured by columns that
every release has:

quality       mean quality of the documents that have one
diversity     effective number of hosts, or of sources where documents have no addresses: how many equally large ones
              would give two documents, drawn at random, the same host as often (Simpson's index, inverted). Its
              unbiased estimate, N(N-1) / sum of n(n-1), does not fall because there are fewer documents.
complexity    mean tokens of a document
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.rated_decisions import EMPTIED, REMOVED
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.documents import hosts
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger

SAMPLE = 200_000
"""Documents that are measured; of more, a sample by the hashes of their ids."""

COLLAPSE = 0.8
"""Of the diversity before a step that is left after it: below, a gain in quality is warned about. A choice of ours."""

LIMITS = "thresholds"
_SECTIONS = {"contamination": "decontaminate"}
_COLUMNS = ["id", "decision", "reason", "source", "url", "quality", "tokens"]


class StepMeasures(NamedTuple):
    """What is left after a step, the section of the recipe: documents (of the sample), quality and diversity (None if
    unknown), complexity. `collapses`: quality rose and diversity fell below `COLLAPSE` of what it was."""

    name: str
    documents: int
    quality: float | None
    diversity: float | None
    complexity: float
    collapses: bool


class Measured(NamedTuple):
    """The steps in their order, first all documents that were read. `kinds`: what diversity counts, hosts or sources;
    `is_sample`: whether not all documents were measured."""

    steps: list[StepMeasures]
    kinds: str
    is_sample: bool


def measured_steps(release: Release, recipe: Recipe) -> Measured:
    """The measures of a release. Reads seven columns of decisions/."""
    total = sum(release.manifest["counts"][name] for name in ("kept", "dropped", "review"))
    limit = np.uint64(min(2**64 - 1, int(2**64 * SAMPLE / max(total, 1))))
    tables: list[pa.Table] = []
    for ordinal in ledger.decided_parts(release):
        table = ledger.decisions(release, ordinal, _COLUMNS).combine_chunks()
        if total > SAMPLE:
            table = table.filter(pa.array(ledger.sample_keys(table["id"].combine_chunks(), recipe.seed) < limit))
        tables.append(table)
    if not tables:
        return Measured([], "sources", False)
    documents = pa.concat_tables(tables, promote_options="default").combine_chunks()
    documents = documents.filter(pc.invert(pc.is_in(documents["reason"], value_set=pa.array(REMOVED))))
    host = hosts(documents["url"].combine_chunks())
    kinds = "hosts" if len(host) > host.null_count else "sources"
    names = [LIMITS, *recipe.later_sections]
    return Measured(
        measures(
            names,
            ended_by(documents["decision"].combine_chunks(), documents["reason"].combine_chunks(), recipe, names),
            documents["quality"].to_numpy() if recipe.fusion else np.full(len(documents), np.nan),
            host if kinds == "hosts" else documents["source"].combine_chunks(),
            documents["tokens"].to_numpy(),
        ),
        kinds,
        total > SAMPLE,
    )


def ended_by(decision: pa.Array, reason: pa.Array, recipe: Recipe, names: Sequence[str]) -> Ints:
    """The number of the step that ended each of n documents, among `names`; len(names) for those that are kept. A reason
    that names no section is of the last step that cuts text or looks for duplicates."""
    limits = {*recipe.rules.signals, EMPTIED}
    other = max((number for number, name in enumerate(names) if name != "select"), default=0)
    encoded = reason.dictionary_encode()
    steps = np.array([_step(name, limits, names, other) for name in encoded.dictionary.to_pylist()] or [0], np.int64)
    step = steps[encoded.indices.fill_null(0).to_numpy()]
    return np.where(pc.equal(decision, "keep").to_numpy(zero_copy_only=False), len(names), step)


def _step(reason: str, limits: set[str], names: Sequence[str], other: int) -> int:
    if reason in limits:
        return 0
    section = reason.split(".")[0]
    section = _SECTIONS.get(section, section)
    return names.index(section) if section in names else other


def measures(names: Sequence[str], ended: Ints, quality: np.ndarray, kind: pa.Array, tokens: Ints) -> list[StepMeasures]:
    """The measures of n documents before the first step, and after each. `ended`: as `ended_by`; `quality`: NaN where
    there is none; `kind`: strings, null where unknown."""
    code = kind.dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
    steps: list[StepMeasures] = []
    for number, name in enumerate(["read", *names]):
        left = ended >= number
        known = left & ~np.isnan(quality)
        mean = math.fsum(quality[known].tolist()) / int(known.sum()) if known.any() else None
        diversity = effective_number(code[left & (code >= 0)])
        length = float(tokens[left].sum() / left.sum()) if left.any() else 0.0
        before = steps[-1] if steps else None
        collapses = (
            before is not None
            and None not in (mean, before.quality, diversity, before.diversity)
            and mean > before.quality  # type: ignore[operator]
            and diversity < COLLAPSE * before.diversity  # type: ignore[operator]
        )
        steps.append(StepMeasures(name, int(left.sum()), mean, diversity, length, collapses))
    return steps


def effective_number(codes: Ints) -> float | None:
    """N(N-1) / sum of n(n-1) over the n documents with each code; None if no two have the same."""
    sizes = np.unique(codes, return_counts=True)[1].astype(np.int64)
    same = int((sizes * (sizes - 1)).sum())
    return len(codes) * (len(codes) - 1) / same if same else None
