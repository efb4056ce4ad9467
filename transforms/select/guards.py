"""What a mixture must not become: too synthetic, without clean data, all of one kind, poorer in real data than before.

A guard looks at tokens as they are trained on, repeats included: over the whole corpus, and along the order, since a mixture
that is fine on the whole may hold its synthetic part in one stretch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.options import Options

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]

STRETCHES = 16
"""Stretches of about equal tokens that the order is looked at in."""

REAL = "real"

Limit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class NumberRange(Options):
    """Numbers that count, limits included."""

    min: float | None = None
    max: float | None = None


class Guard(Options):
    """A kind of document and what share of the tokens it may have."""

    where: dict[str, tuple[str, ...] | NumberRange] = Field(
        min_length=1,
        description="what documents: those of which any of these columns (source, licence, quality, a signal, metadata.FIELD) "
        "has one of the labels, or a number within min and max",
    )
    warn_above: Limit | None = None
    fail_above: Limit | None = None
    warn_below: Limit | None = None
    fail_below: Limit | None = None
    along: Annotated[bool, Field(description="every stretch of the order must hold it too, not only the whole")] = False

    @model_validator(mode="after")
    def _limits_something(self) -> Guard:
        if all(limit is None for limit in (self.warn_above, self.fail_above, self.warn_below, self.fail_below)):
            raise ValueError("limits nothing: give warn_above, fail_above, warn_below or fail_below")
        return self


class Synthetic(Guard):
    """Text that a model wrote. Stable to a fifth of the tokens, degrading ever faster above three tenths (arXiv 2510.05133;
    arXiv 2510.01631 finds a third of rephrased text fine: raise the limits for that)."""

    warn_above: Limit | None = 0.2
    fail_above: Limit | None = 0.3
    along: bool = True


class Clean(Guard):
    """Text that is known to be good. A tenth of it beside noisy data comes near to all clean; noisy data alone never does
    ("How much is a noisy image worth?")."""

    warn_below: Limit | None = 0.1


class Guards(Options):
    """Checked before a run is finished: a guard that fails leaves a run without a manifest, which is no release."""

    synthetic: Synthetic | None = None
    clean: Clean | None = None
    shares: dict[str, Guard] = Field({}, description="any other kind of document, by a name of your own")
    real_tokens: Annotated[
        bool,
        Field(description="what is not synthetic must have no fewer tokens, each counted once, than in the release before"),
    ] = False

    @model_validator(mode="after")
    def _names_differ(self) -> Guards:
        if taken := sorted(self.shares.keys() & {"synthetic", "clean", REAL}):
            raise ValueError(f"'{taken[0]}' is a guard of its own: call the share otherwise")
        return self

    @property
    def by_name(self) -> dict[str, Guard]:
        """Every guard by its name."""
        own = {"synthetic": self.synthetic, "clean": self.clean}
        return {name: guard for name, guard in own.items() if guard is not None} | self.shares

    @property
    def columns(self) -> list[str]:
        """What the guards read of a document."""
        return sorted({name for guard in self.by_name.values() for name in guard.where})


@dataclass(frozen=True, slots=True)
class GuardViolation:
    """What a guard objects to: a stable code, the reason with its number and remedy, and whether it stops the run."""

    code: str
    message: str
    numbers: dict[str, float]
    fails: bool


def matching(columns: Mapping[str, pa.Array], guard: Guard) -> npt.NDArray[np.bool_]:
    """Which of n documents are of the guard's kind; a missing value is of none. Raises ValueError for labels asked of a
    column of numbers, or limits of one of text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: npt.NDArray[np.bool_] | None = None
    for name, wanted in guard.where.items():
        column = columns[name]
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if isinstance(wanted, NumberRange):
            if text:
                raise ValueError(f"'{name}' is text: give labels")
            value = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            low = -np.inf if wanted.min is None else wanted.min
            high = np.inf if wanted.max is None else wanted.max
            mask = (value >= low) & (value <= high)
        else:
            if not text and not pa.types.is_boolean(column.type):
                raise ValueError(f"'{name}' is a number: give min or max")
            mask = pc.is_in(column.cast(pa.string()), value_set=pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)
        found = mask if found is None else found | mask
    assert found is not None
    return found


def check_guards(
    guards: Guards, tokens: Sequence[float], of_guard: Mapping[str, Sequence[float]], document: float = 0.0
) -> list[GuardViolation]:
    """What the guards say of a corpus cut into segments, in training order: tokens of each, and of those the tokens of each
    guard's kind. `document` is the size in tokens of a large document: a stretch is excused two of them."""
    size = np.asarray(tokens, np.float64)
    return [
        finding
        for name, guard in guards.by_name.items()
        for finding in _judged(name, guard, size, np.asarray(of_guard[name], np.float64), document)
    ]


def check_real_tokens(now: int, before: int | None) -> list[GuardViolation]:
    """Whether real tokens were lost since the release before (None: there is none). Models trained on what models wrote
    collapse where it replaces real data, not where it is added to it ("Is Model Collapse Inevitable?")."""
    if before is None or now >= before:
        return []
    return [
        GuardViolation(
            "guard-real-tokens",
            f"{now:,} real tokens, {before - now:,} fewer than the {before:,} of the release before: real data "
            "is added to and never replaced. Find out what went (tamis explain), or allow it with guards.real_tokens: false.",
            {"now": now, "before": before},
            True,
        )
    ]


def token_shares(tokens: npt.ArrayLike, kind: npt.ArrayLike) -> tuple[float, list[float]]:
    """Share that a kind has of all tokens, and of those of each stretch of the order. Given are, for segments in training
    order, their tokens and those of the kind."""
    size, part = np.asarray(tokens, np.float64), np.asarray(kind, np.float64)
    if not size.sum():
        return 0.0, []
    size_of, part_of = _stretches(size, part)
    return float(part.sum() / size.sum()), (part_of / size_of).tolist()


def _stretches(tokens: Floats, kind: Floats) -> tuple[Floats, Floats]:
    """Tokens, and those of the kind, of each stretch that has any."""
    at = np.minimum(np.ceil(np.cumsum(tokens) / tokens.sum() * STRETCHES - 1e-9), STRETCHES).astype(int) - 1
    size, part = (np.bincount(np.maximum(at, 0), values, STRETCHES).astype(np.float64) for values in (tokens, kind))
    return size[size > 0], part[size > 0]


def _judged(name: str, guard: Guard, tokens: Floats, kind: Floats, document: float) -> Iterator[GuardViolation]:
    whole = tokens.sum()
    if not whole:
        return
    share = float(kind.sum() / whole)
    found = _worst(guard, share, share)
    if found is not None:
        yield _finding(name, found, share, f"{share:.1%} of the tokens")
    if not guard.along or (found is not None and found[2]):
        return
    size, part = _stretches(tokens, kind)
    along, slack = part / size, 2 * document / size
    high, low = along - slack, along + slack
    for stretch, extremes in ((high.argmax(), (high.max(), 1.0)), (low.argmin(), (0.0, low.min()))):
        broken = _worst(guard, *extremes)
        if broken is not None and (found is None or broken[2]):
            here = float(along[stretch])
            yield _finding(name, broken, here, f"{here:.1%} of stretch {stretch + 1} of {len(along)} of the order")


def _worst(guard: Guard, high: float, low: float) -> tuple[str, float, bool] | None:
    """(relation, limit, whether it fails) of the limit that is broken, one that fails before one that warns."""
    for limit, fails in ((guard.fail_above, True), (guard.warn_above, False)):
        if limit is not None and high > limit:
            return "above", limit, fails
        limit = guard.fail_below if fails else guard.warn_below
        if limit is not None and low < limit:
            return "below", limit, fails
    return None


def _finding(name: str, broken: tuple[str, float, bool], share: float, where: str) -> GuardViolation:
    relation, limit, fails = broken
    remedy = "take less of it, or more of the rest" if relation == "above" else "take more of it"
    return GuardViolation(
        f"guard-{name}",
        f"What counts as {name} is {where}, {relation} the limit of {limit:.0%}: {remedy} (select.epochs, select.mixture), or "
        f"set guards.{name if name in ('synthetic', 'clean') else 'shares.' + name}.{'fail' if fails else 'warn'}_{relation}.",
        {"share": share, "limit": limit},
        fails,
    )
