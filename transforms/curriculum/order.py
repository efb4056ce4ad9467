"""The order of training: what documents are sorted by, how sources interleave, and the phases.

A corpus is ranked in steps that read only small columns: within each source by `sort_value` and a
tie break, counting tokens; then all sources together by `place`. Each source runs through its own
order, while every part of the run holds the sources in their shares (InterleavedReorder of
thu-pacman/Kaiyuan-Spark, datafiner/group_reorder.py, with ranks counted in tokens). Some orders
need a ranking by quality first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator

from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import nearest
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.batch_size import BatchSize
from tamis.transforms.curriculum.checkpoint_weights import LAST, Checkpoints
from tamis.transforms.curriculum.orders import (
    ORDERS,
    BlendedOptions,
    BucketedOptions,
    Cells,
    FoldedOptions,
    Order,
    WeightedOptions,
    image_of,
    weighted_cells,
)
from tamis.transforms.curriculum.trainer_schedule import ScheduleOptions, batch_in

WILDCARD = "*"
"""Stands for all sources that are not named."""


def _known(name: str) -> str:
    if name not in ORDERS:
        close = nearest(name, ORDERS)
        hint = f"; did you mean '{close}'?" if close else ""
        *others, last = map(repr, ORDERS)
        raise ValueError(f"should be {', '.join(others)} or {last}{hint}")
    return name


OrderName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(ORDERS)})]


class Ordering(FoldedOptions, BucketedOptions, BlendedOptions, WeightedOptions):
    """An order with its parameters."""

    order: OrderName = Field(
        default="uniform", description="; ".join(f"{name}: {order.description}" for name, order in ORDERS.items())
    )

    @property
    def rule(self) -> Order:
        """The order itself."""
        return ORDERS[self.order]


class Phase(Ordering):
    """A part of the run with its own order."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="letters, digits, - and _; names its folder in data/")
    share: float = Field(default=1.0, gt=0, le=1, description="share of the tokens; all phases sum to 1")


class Curriculum(Ordering):
    """The order of the documents, and the learning-rate schedule that it is made for.

    The defaults are the baseline of arXiv 2511.18903: shuffled, one phase. The paper's best
    curriculum is `order: ascending` with `schedule.final` at a third of the peak.
    """

    interleave_by: Literal["source", "none"] = Field(
        default="source",
        description="source: each source has its own order and keeps its share throughout; none: one order for all",
    )
    phases: tuple[Phase, ...] = Field(
        default=(), description="parts of the run, each with its own order, instead of `order`; empty: one phase"
    )
    assign: Literal["quality", "uniform"] = Field(
        default="quality",
        description="quality: later phases get the better documents of each source; uniform: phases get random ones",
    )
    by: dict[str, Annotated[str, Field(pattern=r"^[+-]?[^+\s-]")]] = Field(
        {},
        description="signal that orders a source instead of quality. +SIGNAL: more is better, -SIGNAL: less is better, "
        "SIGNAL: as its rater declares; '*': all sources that are not named",
    )
    schedule: ScheduleOptions = Schedule()
    checkpoints: Checkpoints | None = Field(
        default=None,
        description="how the last checkpoints are averaged, for lr_weighted to take into account; null: not at all",
    )
    batch: BatchSize | None = Field(
        default=None, description="tokens of a training step, by which the plan places steps; no order depends on it"
    )

    @model_validator(mode="before")
    @classmethod
    def _find_batch_of_trainer(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "batch" in values:
            return values
        batch = batch_in(values.get("schedule"))
        return values if batch is None else {**values, "batch": batch}

    @field_validator("phases")
    @classmethod
    def _phases_fill_the_run(cls, phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
        names = [phase.name for phase in phases]
        if len(set(names)) < len(names):
            raise ValueError(f"two phases have the same name: {', '.join(names)}")
        total = sum(phase.share for phase in phases)
        if phases and abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of the phases sum to {total:g}, not 1")
        return phases

    @model_validator(mode="after")
    def _metrics_meet_in_ranks(self) -> Curriculum:
        if self.interleave_by == "none" and self.by.keys() - {WILDCARD}:
            raise ValueError(
                "by: signals of different sources compare only by rank within each source: set interleave_by: source"
            )
        return self

    @model_validator(mode="after")
    def _phases_have_own_orders(self) -> Curriculum:
        for phase in self.effective_phases:
            self.curvature(phase)
        if not self.phases:
            return self
        # Compares values, since a recipe from a manifest has every field set.
        extra = [name for name, field in Ordering.model_fields.items() if getattr(self, name) != field.default]
        if extra:
            raise ValueError(f"{', '.join(extra)}: set it in each phase, not beside 'phases'")
        return self

    @property
    def effective_phases(self) -> tuple[Phase, ...]:
        """The phases, or the whole run as one."""
        return self.phases or (Phase(name="phase-1", **{name: getattr(self, name) for name in Ordering.model_fields}),)

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """(start, end) of each phase, as shares of the run."""
        ends = [0.0, *np.cumsum([phase.share for phase in self.effective_phases])[:-1].tolist(), 1.0]
        return list(pairwise(ends))

    @property
    def by_quantile(self) -> bool:
        """Whether some phase needs a ranking by quality before it can order its documents."""
        return any(phase.rule.by_quantile for phase in self.effective_phases)

    def curvature(self, phase: Phase) -> float:
        """λ of the phase's half-life (`Schedule.curvature`). Raises ValueError if the half-life is
        in tokens and the length of the run is unknown."""
        half_life = phase.half_life
        if isinstance(half_life, int):
            if self.schedule.length is None:
                raise ValueError(
                    f"half_life is {half_life:,} tokens, but the length of the run is unknown: set schedule.tokens"
                )
            half_life = half_life / self.schedule.length
        return self.schedule.curvature(half_life)

    def cells(self, index: int) -> Cells:
        """How the `lr_weighted` phase at this index is filled."""
        curvature = self.curvature(self.effective_phases[index])
        return weighted_cells(self.schedule, *self.bounds[index], curvature, self.checkpoints or LAST)


def parse_metric(metric: str, direction: str = "none") -> tuple[str, float]:
    """(signal, sign) of a value of `Curriculum.by`: signal × sign is higher for better documents.
    Raises ValueError if neither it nor the rater's `direction` (up, down) says which is better."""
    name, sign = metric.lstrip("+-"), {"+": 1.0, "-": -1.0}.get(metric[0]) or {"up": 1.0, "down": -1.0}.get(direction)
    if sign is None:
        raise ValueError(f"say whether more of '{name}' is better or less: +{name} or -{name}")
    return name, sign


def sort_value(
    phase: Ordering,
    quality: npt.NDArray[np.float32],
    tie_break: npt.NDArray[np.uint64],
    quantile: Floats | None = None,
    cells: Cells | None = None,
) -> npt.NDArray[np.uint64]:
    """The sort key of each document, ascending; the tie break decides between equal keys. Orders by
    quantile need `quantile` (from `quantile()`), `lr_weighted` also `cells` (`Curriculum.cells`)."""
    if quantile is None and phase.rule.by_quantile:
        raise ValueError(f"the order '{phase.order}' needs quantiles")
    image = image_of(np.asarray(quality, np.float32))
    return phase.rule.key(phase, image, tie_break, np.empty(0) if quantile is None else quantile, cells)


def quantile(through: npt.ArrayLike, tokens: npt.ArrayLike, group_tokens: npt.ArrayLike) -> Floats:
    """Share (0 to 1) of the group's tokens before a point inside each document; 0 if no tokens.

    `through` counts tokens up to and including the document, with the group sorted by quality,
    ascending. The golden ratio draws the point from `through`, evenly over documents. (With
    midpoints, documents longer than a cell or bucket could all fall into every second one.) The
    quantile is monotonic in the rank.
    """
    end, size, total = (np.asarray(values, np.float64) for values in (through, tokens, group_tokens))
    number = np.where(np.isnan(end), 0, end).astype(np.uint64)
    inside = ((number * _GOLDEN >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)
    return np.divide(end - size * inside, total, out=np.zeros(np.broadcast_shapes(end.shape, total.shape)), where=total != 0)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio, whose multiples spread most evenly."""


def place(through: npt.ArrayLike, group_tokens: npt.ArrayLike) -> Floats:
    """Place of each document in the run, in (0, 1]: tokens of its source up to its end ÷ all.

    `through` counts tokens up to and including the document, in the order of its source. Sorted by
    place, a source of three and one of two equal documents give A1 B1 A2, then A3 and B2, both at
    1, by tie break. At place x, every source has given the share x of its tokens, to within one
    document. A missing rank (NaN) gives NaN; in a source without tokens, every place is 1.
    """
    rank, total = np.asarray(through, np.float64), np.asarray(group_tokens, np.float64)
    return np.divide(rank, total, out=np.where(np.isnan(rank), np.nan, 1.0), where=total != 0)


def phase_of(fraction: npt.ArrayLike, shares: Sequence[float]) -> npt.NDArray[np.int64]:
    """Index of the phase of each fraction in (0, 1]; a boundary belongs to the phase before it."""
    # Rounded, so that shares of 0.7 and 0.2 end exactly where rank 9 of 10 does.
    ends = np.round(np.cumsum(np.asarray(shares, np.float64)), 9)
    index = np.searchsorted(ends, np.round(np.asarray(fraction, np.float64), 9), side="left")
    return np.minimum(index, len(ends) - 1).astype(np.int64)
