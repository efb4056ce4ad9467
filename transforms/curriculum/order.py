"""The order of training: what documents are sorted by, how sources interleave, which phase a document falls into.

A corpus is ranked in two steps that read only small columns: within a source by `sort_value` and a tie, counting
tokens; then all sources together by `place`. So each source runs through its own order while every stretch of the run
holds the sources in their shares (InterleavedReorder of thu-pacman/Kaiyuan-Spark, datafiner/group_reorder.py, with
ranks counted in tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from transforms.curriculum.schedule import Schedule
from transforms.options import Options

Order = Literal["uniform", "ascending", "descending", "folded"]

_FOLD_SEED = 1
"""The tie also orders equal documents of a fold: mixed once more, it draws the fold independently of that order."""


class Phase(Options):
    """A stretch of training with an order of its own."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="letters, digits, - and _; its folder in data/")
    ]
    share: Annotated[float, Field(gt=0, le=1, description="share of the tokens; all phases sum to 1")] = 1.0
    order: Order = "uniform"
    folds: Annotated[int, Field(ge=1, description="sweeps from lowest to highest quality (folded)")] = 4


class Curriculum(Options):
    """In which order documents are trained on, and the learning-rate schedule that the order is made for.

    The defaults are the baseline of arXiv 2511.18903: shuffled, one phase. Its best curriculum is `order: ascending`
    with `schedule.final` at a third of the peak.
    """

    order: Annotated[Order, Field(description="by quality: ascending, descending, folded; uniform: shuffled by the seed")] = (
        "uniform"
    )
    folds: Annotated[int, Field(ge=1, description="sweeps from lowest to highest quality (folded)")] = 4
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
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _phases_fill_the_run(self) -> Curriculum:
        if not self.phases:
            return self
        # By value, not by what was set: a recipe read back from a manifest has every field set.
        if (self.order, self.folds) != tuple(type(self).model_fields[name].default for name in ("order", "folds")):
            raise ValueError("with phases, order and folds are set in each phase: leave them out beside 'phases'")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases need names of their own: {', '.join(names)}")
        total = sum(phase.share for phase in self.phases)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of the phases sum to {total:g}, not 1")
        return self

    @property
    def stretches(self) -> tuple[Phase, ...]:
        """The phases, or the whole run as one."""
        return self.phases or (Phase(name="phase-1", order=self.order, folds=self.folds),)


def sort_value(
    order: Order, quality: npt.NDArray[np.float32], tie: npt.NDArray[np.uint64], folds: int
) -> npt.NDArray[np.uint64]:
    """The number each document is sorted by, ascending, before its tie.

    The low 32 bits are an order-preserving image of the float32 quality (missing lowest), complemented for
    `descending`; the high bits hold the fold, drawn from the tie. `uniform` gives 0 to all: the tie alone decides.
    """
    if order == "uniform":
        return np.zeros(len(tie), np.uint64)
    image = _image(np.asarray(quality, np.float32))
    if order == "descending":
        return image ^ np.uint64(0xFFFFFFFF)
    if order == "folded":
        from transforms.text.hashing import mix

        fold = (mix(np.ascontiguousarray(tie), _FOLD_SEED) >> np.uint64(32)) * np.uint64(folds) >> np.uint64(32)
        return fold << np.uint64(32) | image
    return image


def _image(quality: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """float32 to 32 unsigned bits in the same order: all bits of a negative flip, of others the sign; NaN is 0."""
    bits = (quality + np.float32(0)).view(np.uint32)  # −0 + 0 is +0: equal numbers have equal images
    image = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    return np.where(np.isnan(quality), np.uint32(0), image).astype(np.uint64)


def place(through: npt.ArrayLike, group_tokens: npt.ArrayLike) -> npt.NDArray[np.float64]:
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
