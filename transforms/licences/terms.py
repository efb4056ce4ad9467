"""The terms of licences: for what a text may be used, and whether with attribution and under the same terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Use = Literal["commercial", "non-commercial", "academic", "unknown"]

USES: Final[tuple[Use, ...]] = ("commercial", "non-commercial", "academic", "unknown")
"""For what a text may be used, from the widest use to none that is known. A wider use includes the
narrower ones."""


@dataclass(frozen=True)
class Terms:
    """The terms of a licence. `attribution`: whether its author must be named; `share_alike`: whether what
    is made from the text needs the same terms. None: not known."""

    use: Use
    attribution: bool | None
    share_alike: bool | None

    @property
    def restriction(self) -> tuple[int, int, int]:
        """A key that orders terms from the least to the most restrictive."""
        return USES.index(self.use), _strictness(self.share_alike), _strictness(self.attribution)


UNKNOWN: Final = Terms("unknown", None, None)


def all_of(terms: Sequence[Terms]) -> Terms:
    """The terms of a text under several licences at once: of each term the most restrictive."""
    return Terms(
        max((each.use for each in terms), key=USES.index),
        max((each.attribution for each in terms), key=_strictness),
        max((each.share_alike for each in terms), key=_strictness),
    )


def any_of(terms: Sequence[Terms]) -> Terms:
    """The terms of a text whose user may choose among licences: those of the least restrictive one."""
    return min(terms, key=lambda each: each.restriction)


def _strictness(term: bool | None) -> int:
    """No, not known, yes: what is not known may be asked for, what is asked for is."""
    return {False: 0, None: 1, True: 2}[term]
