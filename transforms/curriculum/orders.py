"""The orders of a phase: each has its options, its sort key, and where it puts the best documents.

Keys are ascending u64; the tie break decides between equal keys. The low 32 bits are an
order-preserving image of the float32 quality (missing is lowest), inverted where better documents
come first. The high bits hold the fold, bucket or cell.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.options import Options, PositiveCount
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import LAST, Checkpoints
from tamis.transforms.curriculum.measured_memory import MeasuredMemory, half_life_tokens

CELLS = 4096
"""Cells of equal tokens in a phase (`lr_weighted`). A power of two, so that their ends are exact."""

_FOLD_SEED, _BLEND_SEED = 1, 2
"""Seeds that mix the tie break to draw folds and shuffles independently of it."""

_EQUAL = 1e-9
"""Relative difference below which weights of cells are equal; exceeds their rounding error."""

Keys = npt.NDArray[np.uint64]

Window = tuple[float, float, float]
"""(start, end, portion) of a range of a phase, of which the best documents are `portion`."""


class Order(ABC):
    """An order. `options` of its methods are those of the phase, with the fields of all orders.

    `by_quantile`: its key needs each document's quantile of quality within its source and phase.
    `rising`: it puts the best documents at the end of a phase, fold or bucket.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    by_quantile: ClassVar[bool] = False
    rising: ClassVar[bool] = False

    @abstractmethod
    def key(self, options: Any, quality: Keys, tie_break: Keys, quantile: Floats, cells: Cells | None) -> Keys:
        """The sort keys (u64[n]). `quality` is its image; `quantile` (from `quantile()`) is empty
        unless `by_quantile`; `cells` are None unless the phase has them."""

    @abstractmethod
    def best(self, options: Any, portion: float, cells: Cells | None) -> Iterator[Window]:
        """The ranges of the phase with the best documents, which are `portion` of its tokens."""


class Uniform(Order):
    name = "uniform"
    description = "shuffled by the seed"

    def key(self, options: Any, quality: Keys, tie_break: Keys, quantile: Floats, cells: Cells | None) -> Keys:
        return np.zeros(len(tie_break), np.uint64)

    def best(self, options: Any, portion: float, cells: Cells | None) -> Iterator[Window]:
        yield 0.0, 1.0, portion


class Ascending(Order):
    name = "ascending"
    description = "by quality, the best last"
    rising = True

    def key(self, options: Any, quality: Keys, tie_break: Keys, quantile: Floats, cells: Cells | None) -> Keys:
        return quality

    def best(self, options: Any, portion: float, cells: Cells | None) -> Iterator[Window]:
        yield 1 - portion, 1.0, 1.0


class Descending(Order):
    name = "descending"
    description = "by quality, the best first"

    def key(self, options: Any, quality: Keys, tie_break: Keys, quantile: Floats, cells: Cells | None) -> Keys:
        return quality ^ _ALL

    def best(self, options: Any, portion: float, cells: Cells | None) -> Iterator[Window]:
        yield 0.0, portion, 1.0


class FoldedOptions(Options):
    """Options of `folded`."""

    folds: int = Field(default=4, ge=1, description="number of sweeps from lowest to highest quality (folded)")


class Folded(Order):
    name = "folded"
    description = "ascending, several times"
    rising = True

    def key(self, options: FoldedOptions, quality: Keys, tie_break: Keys, quantile: Floats, cells: Cells | None) -> Keys:
        fold = (_draw(tie_break, _FOLD_SEED) >> np.uint64(32)) * np.uint64(options.folds) >> np.uint64(32)
        return fold << _HIGH | quality

    def best(self, options: FoldedOptions, portion: float, cells: Cells | None) -> Iterator[Window]:
        for sweep in range(1, options.folds + 1):
            stop = sweep / options.folds
            yield stop - portion / options.folds, stop, 1.0


class BucketedOptions(Options):
    """Options of `bucketed`."""

    buckets: int = Field(
        default=376, ge=1, le=1 << 32, description="number of quantiles of each source (bucketed); Puro-2B used 376"
    )


class Bucketed(Order):
    """One of N buckets of equal tokens; the tie break shuffles inside."""

    name = "bucketed"
    description = "buckets ascend, documents inside are shuffled"
    by_quantile = rising = True

    def key(self, options: BucketedOptions, quality: Keys, tie_break: Keys, quantile: Floats, cells: Cells | None) -> Keys:
        return _slot(quantile, options.buckets)

    def best(self, options: BucketedOptions, portion: float, cells: Cells | None) -> Iterator[Window]:
        full = int(portion * options.buckets + 1e-9)
        first = 1 - full / options.buckets
        yield first, 1.0, 1.0
        if full < options.buckets:
            yield first - 1 / options.buckets, first, portion * options.buckets - full


class BlendedOptions(Options):
    """Options of `blended`."""

    temperature: float = Field(
        default=0.1,
        ge=0,
        allow_inf_nan=False,
        description="documents closer than this share of their source may swap places (blended); 0: ascending",
    )


class Blended(Order):
    """quantile + temperature·u, u uniform in [0, 1): 0 is exactly ascending, large is a shuffle
    (`perturb` of Kaiyuan's InterleavedReorder)."""

    name = "blended"
    description = "ascending, shuffled by `temperature`"
    by_quantile = rising = True

    def key(self, options: BlendedOptions, quality: Keys, tie_break: Keys, quantile: Floats, cells: Cells | None) -> Keys:
        shuffle = (_draw(tie_break, _BLEND_SEED) >> np.uint64(11)).astype(np.float64) / (1 << 53)
        return _slot((quantile + options.temperature * shuffle) / (1 + options.temperature), 1 << 32) << _HIGH | quality

    def best(self, options: BlendedOptions, portion: float, cells: Cells | None) -> Iterator[Window]:
        if options.temperature > 0:
            yield from _best_of_blend(options.temperature, portion)
        else:
            yield 1 - portion, 1.0, 1.0


def _allow_measured(schema: dict[str, Any]) -> None:
    schema["anyOf"] += [{"type": "string", "pattern": r"\.json$"}, MeasuredMemory.model_json_schema()]


class WeightedOptions(Options):
    """Options of `lr_weighted`."""

    half_life: PositiveCount | Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=0.01,
        description="training at the peak learning rate that halves the effect of what was learned before, in tokens or as "
        "a share of the run; or what tamis proxy-memory measured: its file measured.json for the largest model there, or "
        "{measured: FILE, parameters: 1M, batch_tokens: 8k} for another model; null: it never fades, and the learning rate "
        "alone decides. The shorter, the closer to ascending: 0.01 is the longest of those tried in small trainings that never "
        "did worse (docs/orders.md) (lr_weighted)",
        json_schema_extra=_allow_measured,
    )

    @field_validator("half_life", mode="before")
    @classmethod
    def _read_measured(cls, value: Any) -> Any:
        """Reads a file, so that a saved recipe and its fingerprint hold the tokens."""
        if isinstance(value, str) and value.endswith(".json"):
            value = {"measured": value}
        return half_life_tokens(MeasuredMemory.of(value)) if isinstance(value, dict) else value


class Weighted(Order):
    """The cell of the quantile, so that better documents are in cells of larger weight."""

    name = "lr_weighted"
    description = "the best documents where the schedule makes them count most"
    by_quantile = True

    def key(self, options: WeightedOptions, quality: Keys, tie_break: Keys, quantile: Floats, cells: Cells | None) -> Keys:
        if cells is None:
            raise ValueError("the order 'lr_weighted' needs the cells of its schedule")
        cell = cells.by_weight[_slot(quantile, CELLS)]
        return cell.astype(np.uint64) << _HIGH | np.where(cells.falls[cell], quality ^ _ALL, quality)

    def best(self, options: WeightedOptions, portion: float, cells: Cells | None) -> Iterator[Window]:
        assert cells is not None
        full = int(portion * CELLS)
        for cell in cells.by_weight[CELLS - full :].tolist():
            yield cell / CELLS, (cell + 1) / CELLS, 1.0
        if full < CELLS:
            cell, rest = int(cells.by_weight[CELLS - full - 1]), portion * CELLS - full
            start = cell if cells.falls[cell] else cell + 1 - rest
            yield start / CELLS, (start + rest) / CELLS, 1.0


ORDERS: dict[str, Order] = {
    order.name: order for order in (Uniform(), Ascending(), Descending(), Folded(), Bucketed(), Blended(), Weighted())
}
"""The orders by name."""


_HIGH, _ALL = np.uint64(32), np.uint64(0xFFFFFFFF)


def _draw(tie_break: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    from tamis.transforms.text.hashing import mix

    return mix(np.ascontiguousarray(tie_break), seed)


def _slot(share: Floats, slots: int) -> npt.NDArray[np.uint64]:
    """Index of the slot, out of `slots` equal ones of [0, 1], of each share. Monotonic."""
    return np.minimum(np.floor(np.asarray(share) * slots), slots - 1).astype(np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A phase divided into `CELLS` cells of equal tokens."""

    by_weight: Ints  # the cells from the lowest weight to the highest; the earlier first if equal
    falls: npt.NDArray[np.bool_]  # inside the cell, so that better documents come first


@lru_cache(maxsize=64)
def weighted_cells(schedule: Schedule, start: float, end: float, curvature: float, checkpoints: Checkpoints = LAST) -> Cells:
    """How to fill [start, end] of the run so that Σ quality × weight is maximal.

    The weight of a cell is that of its samples in the averaged model (`Checkpoints.weight`). By
    the rearrangement inequality, the sum is maximal if the worst documents are in the cell of
    lowest weight, and so on. (It is exact to about one document per source; a cell that contains a
    checkpoint counts by its mean weight.) With a constant learning rate and no averaging, weights
    rise with time or are equal, so the order is ascending. With λ = 0, the learning rate and the
    number of later checkpoints alone decide.
    """
    ends = np.clip(start + (end - start) * np.arange(2 * CELLS + 1) / (2 * CELLS), 0.0, 1.0)
    weight = checkpoints.log_weight(schedule, ends[:-2:2], ends[2::2], curvature)
    first, second = checkpoints.log_weight(schedule, ends[:-1], ends[1:], curvature).reshape(CELLS, 2).T
    order = np.argsort(weight, kind="stable")
    with np.errstate(invalid="ignore"):  # −∞ − −∞: equal
        level = np.append(0, np.cumsum(np.diff(weight[order]) > _EQUAL))
        falls = first - second > _EQUAL
    return Cells(order[np.lexsort((order, level))], falls)


def image_of(quality: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """float32 as 32 unsigned bits in the same order; NaN is 0."""
    bits = (quality + np.float32(0)).view(np.uint32)  # −0 + 0 is +0: equal numbers have equal images
    image = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    return np.where(np.isnan(quality), np.uint32(0), image).astype(np.uint64)


def _best_of_blend(temperature: float, portion: float) -> Iterator[Window]:
    """`best` of a blend, sorted by z = quantile + temperature·u: a range per slice of z."""
    z = np.linspace(0, 1 + temperature, CELLS + 1)

    def area(y: Floats) -> Floats:  # ∫ of the share of quantiles below y
        return np.where(y <= 1, np.maximum(y, 0.0) ** 2 / 2, y - 0.5)

    place = np.clip((area(z) - area(z - temperature)) / temperature, 0.0, 1.0)
    # The best documents of a slice: the same difference over quantiles above 1 − portion.
    above = np.clip(z, 1 - portion, None) - (1 - portion)
    late = np.clip(z - temperature, 1 - portion, None) - (1 - portion)
    best = (portion**2) * (area(above / portion) - area(late / portion)) / temperature
    width = np.diff(place)
    shares = np.divide(np.diff(best), width, out=np.zeros(CELLS), where=width > 0)
    yield from zip(place[:-1].tolist(), place[1:].tolist(), shares.tolist(), strict=True)
