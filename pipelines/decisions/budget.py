"""The step that takes the best documents up to a budget of tokens, and repeats them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.ranks import SELECTION, rank_column, ranking_rows
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.beam.ranking import Rank, ranges
from tamis.transforms.beam.step import Documents, Kept, Step
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.order import Ordering, sort_value
from tamis.transforms.select import allocation
from tamis.transforms.select.allocation import Selection

if TYPE_CHECKING:
    import apache_beam as beam

    from tamis.pipelines.recipe.schema import Recipe


class TakeBudget(Step):
    """Drops documents beyond the budget of their bin. Adds epochs (how often a document is taken)
    and, if `select.epochs` has one number for each phase, phase."""

    name = SELECTION
    lasting = True

    def __init__(self, select: Selection) -> None:
        self.select = select

    @classmethod
    def of(cls, options: Selection, recipe: Recipe) -> TakeBudget:
        return cls(options)

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform | None:
        if not self.select.is_active:
            return None
        budgets = partial(mixture_budgets, select=self.select) if self.select.mixture is not None else None
        return Rank(self.name, partial(_rows, kept=kept, select=self.select), spill, ranges(partitions), budgets)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        select, rows = self.select, documents.columns
        if not select.is_active or results is None:
            rows["epochs"] = pc.equal(documents.decision, "keep").cast(pa.int64())
            return
        rank = rank_column(rows["doc_ref"], results, "rank")
        pool, budget, copies = copies_by_phase(rows, results, select)
        epochs, limit = copies.sum(axis=1), np.minimum(budget.max(axis=1), pool)
        option = "mixture" if select.mixture is not None else "epochs" if select.epochs else "tokens"
        reason = pc.if_else(pa.array((rank > pool) & (select.top != 1)), "select.top", f"select.{option}")

        def detail(rows: pa.Array) -> pa.Array:
            token, limits = (pa.array(values).take(rows).cast(pa.string()) for values in (rank, limit))
            return pc.binary_join_element_wise("token", token, "of", limits, " ")

        documents.end((rank >= 0) & (epochs == 0), "drop", reason, detail)
        rows["epochs"] = pa.array(epochs)
        if select.phases:
            rows["phase"] = pa.array((copies > 0).argmax(axis=1).astype(np.int64))


def copies_by_phase(
    rows: Mapping[str, pa.Array], results: pa.Table | None, select: Selection
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pool (i64[n]), budget and copies (i64[n, phases]) of each document; 0 copies if not ranked.
    There is a column for each phase of `select.epochs`, or one. `results`: those of `SELECTION`."""
    rank, bin_tokens = (rank_column(rows["doc_ref"], results, name) for name in ("rank", "group_tokens"))
    bin_ = rows.get("bin", pa.repeat(pa.scalar(""), len(rank)))
    allocated = rank_column(rows["doc_ref"], results, "group_value") if select.mixture is not None else None
    pool, budget = allocation.pools_and_budgets(bin_, bin_tokens, allocated, select)
    return pool, budget, np.where(rank[:, None] < 0, 0, allocation.copies(rank, pool, budget))


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
