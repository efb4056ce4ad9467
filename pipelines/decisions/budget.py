"""The step that takes the best documents up to a budget of tokens, and repeats them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.ranks import SELECTION, rank_column, ranking_rows
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.beam.ranking import Rank, ranges
from tamis.transforms.beam.step import Documents, Kept, Step, rounded
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.order import Ordering, sort_value
from tamis.transforms.select import allocation
from tamis.transforms.select.allocation import Selection
from tamis.transforms.select.upsampling.quality_curve import MILLION, QualityCurve, document_times, drawn_copies
from tamis.transforms.select.upsampling.rehydration import copies_of_clusters

if TYPE_CHECKING:
    import apache_beam as beam

    from tamis.pipelines.recipe.schema import Recipe

TAKEN_COLUMNS = ("doc_ref", "tokens", "tie_break", "bin", "copies")
"""Columns of documents that say how often they are taken; `bin` if they are ranked by bin, `copies`
(how many documents it stands for) if duplicates count."""


@dataclass(frozen=True)
class Taken:
    """What is taken of n documents. `rank` and `pool` are tokens (i64[n]); `rank` is -1 where a
    document was not ranked. `copies` and `most`, the largest number of copies of any document of
    the bin, are i64[n, phases]: a column for each phase of `select.epochs`, or one. `times`: how
    often a curve sees each, in millionths (i64[n])."""

    rank: np.ndarray
    pool: np.ndarray
    budget: np.ndarray
    copies: np.ndarray
    most: np.ndarray
    times: np.ndarray | None = None


class TakeBudget(Step):
    """Drops documents beyond the budget of their bin, and those that a curve or their cluster of
    duplicates takes no copy of. Adds epochs (how often a document is taken) and, if `select.epochs`
    has one number for each phase, phase."""

    name = SELECTION
    lasting = True

    def __init__(self, select: Selection) -> None:
        self.select = select

    @classmethod
    def of(cls, options: Selection, recipe: Recipe) -> TakeBudget:
        return cls(options)

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform | None:
        if not self.select.is_ranked:
            return None
        budgets = partial(mixture_budgets, select=self.select) if self.select.mixture is not None else None
        return Rank(self.name, partial(_rows, kept=kept, select=self.select), spill, ranges(partitions), budgets)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        select, rows = self.select, documents.columns
        kept = pc.equal(documents.decision, "keep")
        if not select.is_active or (select.is_ranked and results is None):
            rows["epochs"] = kept.cast(pa.int64())
            return
        taken = taken_documents(rows, results, select)
        epochs = taken.copies.sum(axis=1)
        if not select.is_ranked:
            epochs = np.where(kept.to_numpy(zero_copy_only=False), epochs, 0)
        documents.end((epochs == 0) & (taken.rank >= 0), "drop", _reason(taken, select), partial(_detail, taken, rows, select))
        if documents.explain and (select.curve is not None or select.rehydrate is not None):
            documents.tell(partial(_detail, taken, rows, select))
        rows["epochs"] = pa.array(epochs)
        if select.phases:
            rows["phase"] = pa.array((taken.copies > 0).argmax(axis=1).astype(np.int64))


def taken_documents(rows: Mapping[str, pa.Array], results: pa.Table | None, select: Selection) -> Taken:
    """What is taken of documents, by their `TAKEN_COLUMNS`; 0 copies if they were not ranked.
    `results`: those of `SELECTION`."""
    if not select.is_ranked:
        everything = np.zeros(len(rows["doc_ref"]), np.int64)
        return Taken(everything, everything, everything[:, None], *_rehydrated(rows, select))
    rank, bin_tokens = (rank_column(rows["doc_ref"], results, name) for name in ("rank", "group_tokens"))
    bin_ = rows.get("bin", pa.repeat(pa.scalar(""), len(rank)))
    allocated = rank_column(rows["doc_ref"], results, "group_value") if select.mixture is not None else None
    pool, budget = allocation.pools_and_budgets(bin_, bin_tokens, allocated, select)
    unranked, times = rank[:, None] < 0, None
    if select.curve is not None:
        times, copies, most = _curved(rows, bin_, rank, pool, budget[:, 0], select.curve)
    elif select.rehydrate is not None:
        copies, most = _rehydrated(rows, select)
        copies = np.where(rank[:, None] > pool[:, None], 0, copies)
    else:
        copies = allocation.copies(rank, pool, budget)
        most = -(-budget // np.maximum(pool, 1)[:, None])
    return Taken(rank, pool, budget, np.where(unranked, 0, copies), most, times)


def _rehydrated(rows: Mapping[str, pa.Array], select: Selection) -> tuple[np.ndarray, np.ndarray]:
    """Copies by cluster of duplicates, and the most that there are: i64[n, 1] each."""
    assert select.rehydrate is not None
    copies = copies_of_clusters(rows["copies"].to_numpy(), select.rehydrate)[:, None]
    return copies, np.full(copies.shape, max(select.rehydrate.values()))


def _curved(
    rows: Mapping[str, pa.Array], bin_: pa.Array, rank: np.ndarray, pool: np.ndarray, budget: np.ndarray, curve: QualityCurve
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in millionths (i64[n]), copies and the most copies of the bin (i64[n, 1])."""
    labels = bin_.dictionary_encode()
    code, ranked = labels.indices.to_numpy(), np.flatnonzero(rank >= 0)
    times = np.zeros((len(labels.dictionary), curve.buckets), np.int64)  # 0 for a bin of which no document is left
    for label, row in zip(*np.unique(code[ranked], return_index=True), strict=True):
        size, tokens = int(pool[ranked[row]]), int(budget[ranked[row]])
        times[label] = curve.bucket_times(min(tokens / max(size, 1), curve.most_epochs)) if size else MILLION
    most = -(-times.max(axis=1) // MILLION)
    seen = document_times(rows["tokens"].to_numpy(), np.maximum(rank, 0), np.maximum(pool, 0), code, times)
    return seen, drawn_copies(seen, rows["tie_break"].to_numpy())[:, None], most[code][:, None]


def _reason(taken: Taken, select: Selection) -> str | pa.Array:
    if select.curve is not None:
        return "select.curve"
    beyond = pa.array((taken.rank > taken.pool) & (select.top != 1))
    option = "mixture" if select.mixture is not None else "epochs" if select.epochs else "tokens"
    return pc.if_else(beyond, "select.top", "select.rehydrate" if select.rehydrate is not None else f"select.{option}")


def _detail(taken: Taken, documents: Mapping[str, pa.Array], select: Selection, rows: pa.Array) -> pa.Array:
    """Why documents are seen as often as they are, for those in the rows."""
    limit = np.minimum(taken.budget.max(axis=1), taken.pool) if select.curve is None else taken.pool
    token, limits = (pa.array(values).take(rows).cast(pa.string()) for values in (taken.rank, limit))
    place = pc.binary_join_element_wise("token", token, "of", limits, " ")
    if select.curve is not None:
        assert taken.times is not None
        times = rounded(pa.array(taken.times / MILLION).take(rows))
        if "bin" in documents:
            place = pc.binary_join_element_wise(place, " (", documents["bin"].take(rows), ")", "")
        return pc.binary_join_element_wise(place, ", ", times, " times on average", "")
    if select.rehydrate is None:
        return place
    sizes = documents["copies"].take(rows).cast(pa.string())
    cluster = pc.binary_join_element_wise("for a cluster of", sizes, " ")
    return pc.if_else(pa.array(taken.rank > taken.pool).take(rows), place, cluster)


def mixture_budgets(bin_tokens: Mapping[str, int], select: Selection) -> dict[str, int]:
    """Tokens that a mixture gives each bin. Raises RunError if it weights an unknown bin."""
    try:
        return allocation.allocate(bin_tokens, select)
    except ValueError as error:
        raise RunError(f"select.mixture: {error}") from None


def _rows(part_state: PartState, kept: Kept, select: Selection) -> pa.RecordBatch:
    """Ranks documents from best to worst, all together or within their bins."""
    table = kept(part_state)
    group = table["bin"] if select.by_bin else pa.repeat(pa.scalar(""), len(table))
    tie_break = table["tie_break"].to_numpy()
    quality = allocation.gumbel_scores(table["quality"].to_numpy(), tie_break, select.temperature)
    return ranking_rows(table, group, sort_value(Ordering(order="descending"), quality, tie_break))
