"""When a document is dropped for one that is kept: how similar they are, and how much would be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tamis.transforms.dedup.shingles import ROUNDING
from tamis.transforms.runtime.kernels import njit

if TYPE_CHECKING:
    from tamis.transforms.dedup.minhash import MinHash


class DropRule(NamedTuple):
    """The numbers of the rule. The *containment* of a document in another is the share of its shingles
    that the other has (Broder 1997)."""

    threshold: float
    """The Jaccard similarity that is enough."""
    containment: float = 0.0
    """The containment that is enough as well, in a document with at least as many shingles; 0: none is."""
    preserve: float = 0.0
    """The containment that is needed in any case, in a document with at least as many shingles; 0: none is."""


class DropRules(NamedTuple):
    """The rules for the two kinds of texts. Texts of different kinds have no shingle in common."""

    other: DropRule
    short: DropRule
    """For texts that are cut into runs of characters."""


def drop_rules(options: MinHash) -> DropRules:
    """The rules of these options."""
    shares = options.containment or 0.0, options.preserve or 0.0
    return DropRules(*(DropRule(rule.threshold, *shares) for rule in similarity_rules(options)))


def similarity_rules(options: MinHash) -> DropRules:
    """The rules by Jaccard similarity alone: copies are found, whatever either of them says besides."""
    short = options.threshold if options.short is None else options.short.threshold
    return DropRules(DropRule(options.threshold), DropRule(short))


@njit(cache=True, nogil=True)
def least_jaccard(rule: DropRule, a: int, b: int) -> float:
    """The least Jaccard similarity with which a document of `a` shingles is dropped for one of `b`; 2 if
    there is none. The sizes make a containment a similarity: both follow from the number in common."""
    floor = rule.threshold
    if a <= b and rule.containment > 0:
        floor = min(floor, _jaccard_of(rule.containment, a, b))
    if rule.preserve > 0:
        if a > b:
            return 2.0
        floor = max(floor, _jaccard_of(rule.preserve, a, b))
    return floor


@njit(cache=True, nogil=True)
def _jaccard_of(containment, a, b):  # type: ignore[no-untyped-def]
    common = max(1.0, np.ceil(containment * a - ROUNDING))
    return common / (a + b - common)
