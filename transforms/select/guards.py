"""Guards against a corpus that is too synthetic, has too little clean data, or lost real data
since the last release.

A guard counts tokens as they are trained on, repeats included. It checks the whole corpus, and
slices of the order, since the synthetic part of a corpus may lie in one slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.arrays import Floats, sum_slices
from tamis.transforms.core.options import Number, Options
from tamis.transforms.select.thresholds import any_listed

if TYPE_CHECKING:
    import pyarrow as pa

REAL = "real"

Limit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class NumberRange(Options):
    """A range of numbers, limits included."""

    min: Number | None = None
    max: Number | None = None


class Guard(Options):
    """A kind of document, and the share of the tokens it may have."""

    where: dict[str, tuple[str, ...] | NumberRange] = Field(
        min_length=1,
        description="the kind: documents with one of these labels, or a number within min and max, in any of these columns "
        "(source, licence, quality, a signal, metadata.FIELD)",
    )
    warn_above: Limit | None = None
    fail_above: Limit | None = None
    warn_below: Limit | None = None
    fail_below: Limit | None = None
    along: bool = Field(
        default=False, description="the limits also hold for each sixteenth of the order, not only for the whole"
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Guard:
        if all(limit is None for limit in (self.warn_above, self.fail_above, self.warn_below, self.fail_below)):
            raise ValueError("has no limit: set warn_above, fail_above, warn_below or fail_below")
        return self


class Synthetic(Guard):
    """Text that a model wrote. Up to a fifth of the tokens is harmless; above three tenths, models
    degrade (arXiv 2510.05133). For rephrased text, arXiv 2510.01631 finds a third harmless: raise
    the limits."""

    warn_above: Limit | None = 0.2
    fail_above: Limit | None = 0.3
    along: bool = True


class Clean(Guard):
    """Text that is known to be good. Noisy data with a tenth of clean data come close to clean
    data alone; without it they never do ("How much is a noisy image worth?")."""

    warn_below: Limit | None = 0.1


class Guards(Options):
    """Checked before a run is finished. If a guard fails, the run makes no release."""

    synthetic: Synthetic | None = None
    clean: Clean | None = None
    shares: dict[str, Guard] = Field({}, description="other kinds of documents, by a name of your choice")
    real_tokens: bool = Field(
        default=False,
        description="the documents that are not synthetic must have as many tokens as in the last release, or more",
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Guards:
        if reserved := sorted(self.shares.keys() & {"synthetic", "clean", REAL}):
            raise ValueError(f"'{reserved[0]}' is the name of another guard: choose another name for the share")
        return self

    @property
    def by_name(self) -> dict[str, Guard]:
        """All guards, by name."""
        own = {"synthetic": self.synthetic, "clean": self.clean}
        return {name: guard for name, guard in own.items() if guard is not None} | self.shares

    @property
    def columns(self) -> list[str]:
        """The columns that the guards read."""
        return sorted({name for guard in self.by_name.values() for name in guard.where})


@dataclass(frozen=True, slots=True)
class GuardViolation:
    """A stable code, a message with reason and remedy, numbers, and whether it stops the run."""

    code: str
    message: str
    numbers: dict[str, float]
    fails: bool


def matching(columns: Mapping[str, pa.Array], guard: Guard) -> npt.NDArray[np.bool_]:
    """Which of n documents are of the guard's kind. Missing values never match. Raises ValueError
    for labels on a column of numbers, or a range on a column of text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    matches = np.zeros(len(next(iter(columns.values()))), np.bool_)
    for name, condition in guard.where.items():
        column = columns[name]
        several = pa.types.is_list(column.type)
        text = several or pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if isinstance(condition, NumberRange):
            if text:
                raise ValueError(f"'{name}' is text: give labels, not min or max")
            value = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            low = -np.inf if condition.min is None else condition.min
            high = np.inf if condition.max is None else condition.max
            mask = (value >= low) & (value <= high)
        elif several:
            mask = any_listed(column, condition)
        else:
            if not text and not pa.types.is_boolean(column.type):
                raise ValueError(f"'{name}' is a number: give min or max, not labels")
            mask = pc.is_in(column.cast(pa.string()), value_set=pa.array(condition, pa.string())).to_numpy(zero_copy_only=False)
        matches |= mask
    return matches


def check_guards(
    guards: Guards, tokens: Sequence[float], of_guard: Mapping[str, Sequence[float]], document: float = 0.0
) -> list[GuardViolation]:
    """Checks segments in training order: the tokens of each, and of each guard's kind. `document`
    is the size in tokens of a large document: a slice may exceed a limit by two of them."""
    size = np.asarray(tokens, np.float64)
    return [
        violation
        for name, guard in guards.by_name.items()
        for violation in _violations(name, guard, size, np.asarray(of_guard[name], np.float64), document)
    ]


def check_real_tokens(now: int, before: int | None) -> list[GuardViolation]:
    """Checks that no real tokens were lost since the last release (None: there is none). Training
    on model output leads to collapse if it replaces real data, but not if it is added ("Is Model
    Collapse Inevitable?")."""
    if before is None or now >= before:
        return []
    return [
        GuardViolation(
            "guard-real-tokens",
            f"{now:,} real tokens, {before - now:,} fewer than the {before:,} of the last release. Real data should be added "
            "to, never replaced. See what was dropped (tamis explain), or set guards.real_tokens: false.",
            {"now": now, "before": before},
            True,
        )
    ]


def token_shares(tokens: npt.ArrayLike, kind: npt.ArrayLike) -> tuple[float, list[float]]:
    """(share of all tokens, shares of the slices of the order) that a kind of document has. The
    arguments are the tokens of segments in training order: all of them, and those of the kind."""
    size, part = np.asarray(tokens, np.float64), np.asarray(kind, np.float64)
    if not size.sum():
        return 0.0, []
    slice_size, slice_part = sum_slices(np.stack([size, part], axis=1), size).T
    return float(part.sum() / size.sum()), (slice_part / slice_size).tolist()


def _violations(name: str, guard: Guard, tokens: Floats, kind: Floats, document: float) -> Iterator[GuardViolation]:
    if not tokens.sum():
        return
    share = float(kind.sum() / tokens.sum())
    overall = _exceeded(guard, share, share)
    if overall is not None:
        yield _violation(name, overall, share, f"{share:.1%} of the tokens")
    if not guard.along or (overall is not None and overall[2]):
        return
    size, part = sum_slices(np.stack([tokens, kind], axis=1), tokens).T
    along, slack = part / size, 2 * document / size
    high, low = along - slack, along + slack
    for index, extremes in ((high.argmax(), (high.max(), 1.0)), (low.argmin(), (0.0, low.min()))):
        exceeded = _exceeded(guard, *extremes)
        if exceeded is not None and (overall is None or exceeded[2]):
            share = float(along[index])
            yield _violation(name, exceeded, share, f"{share:.1%} of slice {index + 1} of {len(along)} of the order")


def _exceeded(guard: Guard, high: float, low: float) -> tuple[str, float, bool] | None:
    """(relation, limit, whether it fails) of an exceeded limit; one that fails goes first."""
    for limit, fails in ((guard.fail_above, True), (guard.warn_above, False)):
        if limit is not None and high > limit:
            return "above", limit, fails
        limit = guard.fail_below if fails else guard.warn_below
        if limit is not None and low < limit:
            return "below", limit, fails
    return None


def _violation(name: str, exceeded: tuple[str, float, bool], share: float, where: str) -> GuardViolation:
    relation, limit, fails = exceeded
    remedy = "take less of it, or more of the rest" if relation == "above" else "take more of it"
    option = name if name in ("synthetic", "clean") else f"shares.{name}"
    return GuardViolation(
        f"guard-{name}",
        f"The share of {name} documents is {where}, {relation} the limit of {limit:.0%}: {remedy} (select.epochs, "
        f"select.mixture), or change guards.{option}.{'fail' if fails else 'warn'}_{relation}.",
        {"share": share, "limit": limit},
        fails,
    )
