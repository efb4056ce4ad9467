"""The order of training: what documents are sorted by, how sources interleave, which phase a document falls into.

A corpus is ranked in steps that read only small columns: within a source by `sort_value` and a tie, counting tokens; then
all sources together by `place`. So each source runs through its own order while every stretch of the run holds the sources
in their shares (InterleavedReorder of thu-pacman/Kaiyuan-Spark, datafiner/group_reorder.py, with ranks counted in tokens).
Orders that ask which share of a source is worse than a document (`BY_QUANTILE`) take a rank by quality first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.options import Options
from tamis.transforms.core.schedule import Floats, Schedule
from tamis.transforms.curriculum.checkpoint_weights import LAST, Checkpoints

Order = Literal["uniform", "ascending", "descending", "folded", "bucketed", "blended", "lr_weighted"]

BY_QUANTILE: frozenset[Order] = frozenset({"bucketed", "blended", "lr_weighted"})
"""Orders that need each document's quantile of quality within its source and phase."""

WILDCARD = "*"
"""Stands for every source that is not named."""

CELLS = 4096
"""Into how many equal stretches `lr_weighted` cuts a phase. A power of two, so that cells of a whole run have exact ends."""

_FOLD_SEED, _BLEND_SEED = 1, 2
"""The tie also orders equal documents: mixed once more, it draws fold and shuffle independently of that order."""

_EQUAL = 1e-9
"""Cells whose weights differ by less than this share weigh the same: it is above the rounding of an integral over a cell."""


class Ordering(Options):
    """An order, and what it takes."""

    order: Annotated[
        Order,
        Field(
            description="by quality: ascending, descending; uniform: shuffled by the seed; bucketed: ascending in buckets, "
            "shuffled inside; blended: ascending, shuffled by `temperature`; lr_weighted: the best where the schedule "
            "makes them count most; folded: ascending, several times"
        ),
    ] = "uniform"
    folds: Annotated[int, Field(ge=1, description="sweeps from lowest to highest quality (folded)")] = 4
    buckets: Annotated[
        int, Field(ge=1, le=1 << 32, description="quantiles of each source (bucketed); 376 is what Puro-2B was trained with")
    ] = 376
    temperature: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="documents less than this share of their source apart may change places (blended); 0: ascending",
        ),
    ] = 0.1
    half_life: Annotated[
        Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
        Field(
            description="training at the peak learning rate after which half of what was learnt has faded: tokens, or a share "
            "of the run; null: nothing fades, and the learning rate alone decides. The shorter, the nearer to ascending: of "
            "those tried, 0.01 is the longest that nowhere lost to it in small trainings (docs/orders.md) (lr_weighted)"
        ),
    ] = 0.01


class Phase(Ordering):
    """A stretch of training with an order of its own."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="letters, digits, - and _; its folder in data/")
    ]
    share: Annotated[float, Field(gt=0, le=1, description="share of the tokens; all phases sum to 1")] = 1.0


class Curriculum(Ordering):
    """In which order documents are trained on, and the learning-rate schedule that the order is made for.

    The defaults are the baseline of arXiv 2511.18903: shuffled, one phase. Its best curriculum is `order: ascending`
    with `schedule.final` at a third of the peak.
    """

    interleave_by: Annotated[
        Literal["source", "none"],
        Field(description="source: each is ordered in itself and keeps its share of tokens throughout; none: one order"),
    ] = "source"
    phases: Annotated[
        tuple[Phase, ...], Field(description="stretches with an order each, in place of `order`; none: one phase")
    ] = ()
    assign: Annotated[
        Literal["quality", "uniform"],
        Field(description="quality: phases are rising bands of each source, the last is the best; uniform: all alike"),
    ] = "quality"
    by: dict[str, Annotated[str, Field(pattern=r"^[+-]?[^+\s-]")]] = Field(
        {},
        description="what a source is ordered by in place of quality: a signal, whose rater says what is better, or you: "
        "+SIGNAL more, -SIGNAL less; '*': sources not named",
    )
    schedule: Schedule = Schedule()
    checkpoints: Annotated[
        Checkpoints | None,
        Field(description="the last checkpoints and their averaging, which lr_weighted then places documents for; null: none"),
    ] = None

    @model_validator(mode="after")
    def _metrics_meet_in_ranks(self) -> Curriculum:
        if self.interleave_by == "none" and self.by.keys() - {WILDCARD}:
            raise ValueError("by: metrics of two sources compare by their ranks in each alone: set interleave_by: source")
        return self

    @model_validator(mode="after")
    def _phases_fill_the_run(self) -> Curriculum:
        for phase in self.effective_phases:
            self.curvature(phase)
        if not self.phases:
            return self
        # By value, not by what was set: a recipe read back from a manifest has every field set.
        stray = [name for name, field in Ordering.model_fields.items() if getattr(self, name) != field.default]
        if stray:
            raise ValueError(f"with phases, {', '.join(stray)} is set in each phase: leave it out beside 'phases'")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases need names of their own: {', '.join(names)}")
        total = sum(phase.share for phase in self.phases)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of the phases sum to {total:g}, not 1")
        return self

    @property
    def effective_phases(self) -> tuple[Phase, ...]:
        """The phases, or the whole run as one."""
        return self.phases or (Phase(name="phase-1", **{name: getattr(self, name) for name in Ordering.model_fields}),)

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Where each stretch begins and ends, as shares of the run."""
        ends = [0.0, *np.cumsum([phase.share for phase in self.effective_phases])[:-1].tolist(), 1.0]
        return list(pairwise(ends))

    @property
    def by_quantile(self) -> bool:
        """Whether some stretch needs the documents ranked by quality before it can order them."""
        return any(phase.order in BY_QUANTILE for phase in self.effective_phases)

    def curvature(self, phase: Phase) -> float:
        """λ of the phase's half-life (`Schedule.curvature`). ValueError when it is in tokens and the run of unknown length."""
        half_life = phase.half_life
        if isinstance(half_life, int):
            if self.schedule.length is None:
                raise ValueError(
                    f"half_life is {half_life:,} tokens of a run of unknown length: set schedule.tokens, or give a share of it"
                )
            half_life = half_life / self.schedule.length
        return self.schedule.curvature(half_life)

    def cells(self, index: int) -> Cells:
        """How the `lr_weighted` stretch of that index is filled."""
        curvature = self.curvature(self.effective_phases[index])
        return weighted_cells(self.schedule, *self.bounds[index], curvature, self.checkpoints or LAST)


def metric(named: str, direction: str = "none") -> tuple[str, float]:
    """(signal, sign) of what `Curriculum.by` names: times the sign, more is better. `direction`: the rater's word, up or down.

    Raises ValueError where neither says what is better.
    """
    name, sign = named.lstrip("+-"), {"+": 1.0, "-": -1.0}.get(named[0]) or {"up": 1.0, "down": -1.0}.get(direction)
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
    """The number each document is sorted by, ascending, before its tie.

    The low 32 bits are an order-preserving image of the float32 quality (missing lowest), complemented where better documents
    come first; the high bits hold the fold, bucket or cell. `uniform` gives 0 to all: the tie alone decides.

    `quantile` (of `quantile()`) is asked of the orders in `BY_QUANTILE`, `cells` (`Curriculum.cells`) of `lr_weighted`:
    - bucketed: one of N buckets of equal tokens; inside, the tie shuffles.
    - blended: quantile + temperature·u, u drawn evenly from [0, 1): 0 is ascending exactly, large is a shuffle
      (`perturb` of Kaiyuan's InterleavedReorder).
    - lr_weighted: the quantile's cell, so that better documents lie in cells of larger weight.
    """
    order = phase.order
    if order == "uniform":
        return np.zeros(len(tie_break), np.uint64)
    image = _image(np.asarray(quality, np.float32))
    if order == "ascending":
        return image
    if order == "descending":
        return image ^ _ALL
    if order == "folded":
        fold = (_drawn(tie_break, _FOLD_SEED) >> np.uint64(32)) * np.uint64(phase.folds) >> np.uint64(32)
        return fold << _HIGH | image
    if quantile is None:
        raise ValueError(f"the order '{order}' needs quantiles")
    if order == "bucketed":
        return _slot(quantile, phase.buckets)
    if order == "blended":
        shuffle = (_drawn(tie_break, _BLEND_SEED) >> np.uint64(11)).astype(np.float64) / (1 << 53)
        return _slot((quantile + phase.temperature * shuffle) / (1 + phase.temperature), 1 << 32) << _HIGH | image
    if cells is None:
        raise ValueError("the order 'lr_weighted' needs the cells of its schedule")
    cell = cells.by_weight[_slot(quantile, CELLS)]
    return cell.astype(np.uint64) << _HIGH | np.where(cells.falls[cell], image ^ _ALL, image)


_HIGH, _ALL = np.uint64(32), np.uint64(0xFFFFFFFF)


def _drawn(tie_break: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    from tamis.transforms.text.hashing import mix

    return mix(np.ascontiguousarray(tie_break), seed)


def _slot(share: Floats, slots: int) -> npt.NDArray[np.uint64]:
    """Which of so many equal slots of [0, 1] each share lies in; never falls when the share rises."""
    return np.minimum(np.floor(np.asarray(share) * slots), slots - 1).astype(np.uint64)


def quantile(through: npt.ArrayLike, tokens: npt.ArrayLike, group_tokens: npt.ArrayLike) -> Floats:
    """Share of its group's tokens, 0 to 1, that lies before a point inside each document; 0 in a group without tokens.

    `through` counts tokens up to and including the document when the group is sorted by quality, ascending. The point is drawn
    by the golden ratio from `through`, evenly over documents: at their middles, documents longer than a cell or bucket could
    all fall into every second one. The quantile never falls when the rank rises.
    """
    end, size, whole = (np.asarray(values, np.float64) for values in (through, tokens, group_tokens))
    counted = np.where(np.isnan(end), 0, end).astype(np.uint64)
    inside = ((counted * _GOLDEN >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)
    return np.divide(end - size * inside, whole, out=np.zeros(np.broadcast_shapes(end.shape, whole.shape)), where=whole != 0)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: its multiples are the most even sequence there is."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A stretch of the run cut into `CELLS` of equal tokens."""

    by_weight: npt.NDArray[np.int64]  # the cells from the least weight to the largest; of equal ones the earlier first
    falls: npt.NDArray[np.bool_]  # of each cell, whether the weight falls inside: better documents then come first


@lru_cache(maxsize=64)
def weighted_cells(schedule: Schedule, start: float, end: float, curvature: float, checkpoints: Checkpoints = LAST) -> Cells:
    """How the stretch [start, end] of the run is filled so that Σ quality × weight is the largest that it can be.

    The weight of a cell is what its samples weigh in the averaged model (`Checkpoints.weight`). By the rearrangement
    inequality the sum is largest when the worst documents lie in the cell of the least weight, and so on up. (A source of few
    documents comes within about one of them of it; a cell in which a checkpoint lies is placed by its mean weight.) Under a
    constant learning rate and without averaging weights rise with time, or are all equal: then the order is ascending. With
    λ = 0 the learning rate alone sorts, and how many checkpoints come later.
    """
    ends = np.clip(start + (end - start) * np.arange(2 * CELLS + 1) / (2 * CELLS), 0.0, 1.0)
    weight = checkpoints.log_weight(schedule, ends[:-2:2], ends[2::2], curvature)
    first, second = checkpoints.log_weight(schedule, ends[:-1], ends[1:], curvature).reshape(CELLS, 2).T
    order = np.argsort(weight, kind="stable")
    with np.errstate(invalid="ignore"):  # −∞ − −∞: equal
        level = np.append(0, np.cumsum(np.diff(weight[order]) > _EQUAL))
        falls = first - second > _EQUAL
    return Cells(order[np.lexsort((order, level))], falls)


def _image(quality: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """float32 to 32 unsigned bits in the same order: all bits of a negative flip, of others the sign; NaN is 0."""
    bits = (quality + np.float32(0)).view(np.uint32)  # −0 + 0 is +0: equal numbers have equal images
    image = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    return np.where(np.isnan(quality), np.uint32(0), image).astype(np.uint64)


def place(through: npt.ArrayLike, group_tokens: npt.ArrayLike) -> Floats:
    """Where in the run each document stands, in (0, 1]: the end of its span of tokens in its source ÷ the source's.

    `through` counts tokens up to and including the document in the order of its source. Sorted by place, a source of
    three and one of two equal documents give A1 B1 A2, then A3 and B2 both at 1, where the tie decides. When the order
    has reached place x, every source has given the share x of its tokens to within one document. A missing rank (NaN)
    has no place (NaN); a source without any tokens stands at 1.
    """
    rank, whole = np.asarray(through, np.float64), np.asarray(group_tokens, np.float64)
    return np.divide(rank, whole, out=np.where(np.isnan(rank), np.nan, 1.0), where=whole != 0)


def phase_of(fraction: npt.ArrayLike, shares: Sequence[float]) -> npt.NDArray[np.int64]:
    """Index of the phase that holds each fraction in (0, 1]; a boundary belongs to the phase that ends there."""
    # Rounded, so that shares of .7 and .2 end at .9 as a rank of 9 in 10 does.
    ends = np.round(np.cumsum(np.asarray(shares, np.float64)), 9)
    index = np.searchsorted(ends, np.round(np.asarray(fraction, np.float64), 9), side="left")
    return np.minimum(index, len(ends) - 1).astype(np.int64)
