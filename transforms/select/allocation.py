"""How much of what is there, and how often: token budgets by bin, mixtures, the best share, epochs.

A document is ranked within its bin from the best down, in tokens up to and including itself. With a pool of W tokens and a
budget of B it is seen in epoch e while e·W + rank ≤ B: the best first, the best again first. So a budget below W cuts, one
above repeats, and neither depends on how the corpus lies in files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.options import Options

if TYPE_CHECKING:
    import pyarrow as pa

Integers = npt.NDArray[np.int64]

WILDCARD = "*"
"""Stands for every bin that is not named."""

_DRAW_SEED = 3
"""Mixes the tie into the draw of `gumbel_scores`, independently of the orders', which use 1 and 2."""

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Times = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class Mixture(Options):
    """What shares of the token budget the bins get."""

    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        {}, description="by bin, in any unit; '*': all others together, by their tokens; a bin not named gets nothing"
    )
    temperature: Annotated[
        float,
        Field(ge=0.05, allow_inf_nan=False, description="without weights: shares as tokens^(1/T); 1: as they are, large: even"),
    ] = 1.0

    @model_validator(mode="after")
    def _one_kind(self) -> Mixture:
        if self.weights and self.temperature != 1:
            raise ValueError("temperature is for a mixture without weights: give one of them")
        if self.weights and not any(self.weights.values()):
            raise ValueError("every weight is 0: nothing would be taken")
        return self


class Diversity(Options):
    """Of documents that lie close to each other only the best stays: no two kept ones of a cluster are more alike."""

    column: str = Field(pattern=r"^metadata\..+", description="metadata.FIELD that holds the embedding, a list of numbers")
    within: Annotated[
        str | None,
        Field(pattern=r"^(source|metadata\..+)$", description="cluster: source or metadata.FIELD; null: all documents are one"),
    ] = None
    ceiling: Annotated[float, Field(ge=-1, le=1, description="cosine above which two documents are alike; DEITA: 0.9")] = 0.9


class Selection(Options):
    """How much of what passed is taken, and how often it is repeated: the best of each bin first."""

    bins: Annotated[
        tuple[str, ...],
        Field(
            min_length=1,
            description="what makes up a bin: source, licence, a signal that is a label, metadata.FIELD; of several the labels "
            "are joined by '|' (topic and format: science|faq); missing: none",
        ),
    ] = ("source",)
    tokens: Annotated[
        Annotated[int, Field(gt=0)] | dict[str, Annotated[int, Field(ge=0)]] | None,
        Field(description="token budget of the corpus, or of each bin (bins without one are kept whole)"),
    ] = None
    diverse: Annotated[Diversity | None, Field(description="near in meaning, by embeddings that the input brings")] = None
    mixture: Annotated[Mixture | None, Field(description="how the budget is shared among bins; null: the best, wherever")] = (
        None
    )
    epochs: dict[str, Times | tuple[Times, ...]] = Field(
        {},
        description="in place of tokens, how much of each bin is taken: 0.3 the best 30 %, 2.5 all twice and the best half "
        "once more; a list: in each phase; '*': bins not named, which else are taken once",
    )
    top: Annotated[
        Share | dict[str, Share],
        Field(description="the best share of a bin's tokens, beyond which nothing is taken however large the budget"),
    ] = 1.0
    max_epochs: Annotated[
        Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)],
        Field(description="how often the pool of a bin may be seen when its budget is larger; Muennighoff et al.: up to 4"),
    ] = 1.0
    temperature: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False, description="Gumbel-top-k: 0 takes the best; else draws, by quality / temperature"),
    ] = 0.0
    distance: Annotated[
        Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)],
        Field(description="least distance of a document's copies: tokens, or a share of the phase, of two of the shorter one"),
    ] = 0.05

    @model_validator(mode="after")
    def _one_budget(self) -> Selection:
        if self.tokens is not None and self.epochs:
            raise ValueError("tokens and epochs both say how much is taken: give one")
        if self.mixture is not None and not isinstance(self.tokens, int):
            raise ValueError("a mixture shares one budget: set tokens to a number")
        if len({isinstance(times, tuple) for times in self.epochs.values()}) > 1:
            raise ValueError("epochs are numbers, or lists with one for each phase: give one kind")
        if self.phases and WILDCARD not in self.epochs:
            raise ValueError("with epochs by phase, say with '*' what the phases take of the bins not named")
        if len({len(times) for times in self.epochs.values() if isinstance(times, tuple)}) > 1:
            raise ValueError("the lists of epochs differ in length; each has one number a phase")
        if self.bins != ("source",) and not self.by_bin:
            raise ValueError("bins are for epochs, a mixture, or budgets and shares by bin; this takes the best of all")
        return self

    @property
    def is_active(self) -> bool:
        """Whether anything may be left out or repeated."""
        return self.tokens is not None or bool(self.epochs) or self.top != 1

    @property
    def by_bin(self) -> bool:
        """Whether documents are ranked within their bins; else all together."""
        return isinstance(self.tokens, dict) or isinstance(self.top, dict) or bool(self.epochs) or self.mixture is not None

    @property
    def phases(self) -> int:
        """Of how many phases the epochs speak; 0 when they are of the whole run."""
        return max((len(times) for times in self.epochs.values() if isinstance(times, tuple)), default=0)

    @property
    def repeats(self) -> bool:
        """Whether a document may be seen more than once."""
        if self.epochs:
            return self.phases > 1 or any(np.max(times) > 1 for times in self.epochs.values())
        return self.tokens is not None and self.max_epochs > 1


def allocate(whole: Mapping[str, int], selection: Selection) -> dict[str, int]:
    """Tokens of the budget that each bin gets of a mixture, from the tokens that each holds.

    No bin gets more than `max_epochs` of its pool: what it cannot use goes to the others by their weights. Rounded down, so
    that the budget is never exceeded. Raises ValueError for a weight of a bin that does not exist.
    """
    assert isinstance(selection.tokens, int)
    mixture = selection.mixture
    assert mixture is not None
    names = sorted(whole)
    if strangers := sorted(mixture.weights.keys() - whole.keys() - {WILDCARD}):
        raise ValueError(f"the mixture weighs '{strangers[0]}', and there is no such bin; there are {', '.join(names[:20])}")
    if mixture.weights:
        others = sum(whole[name] for name in names if name not in mixture.weights)
        rest = mixture.weights.get(WILDCARD, 0.0) / max(others, 1)
        weight = {name: mixture.weights.get(name, rest * whole[name]) for name in names}
    else:
        weight = {name: whole[name] ** (1 / mixture.temperature) for name in names}
    room = {name: int(_pool(whole[name], _of(selection.top, name)) * selection.max_epochs) for name in names}
    given: dict[str, int] = {name: 0 for name in names if not weight[name]}
    while open_ := [name for name in names if name not in given]:
        left, total = selection.tokens - sum(given.values()), sum(weight[name] for name in open_)
        share = {name: int(left * (weight[name] / total)) for name in open_}
        full = {name: room[name] for name in open_ if share[name] >= room[name]}
        given |= full or share
    return given


def pools_and_budgets(
    bins: pa.Array, whole: Integers, allotted: Integers | None, selection: Selection
) -> tuple[Integers, Integers]:
    """(pool, budget) in tokens of each document's bin: int64[n], int64[n, phases], one column without phases.

    `whole` are the tokens of the bin, `allotted` what `allocate` gave it.
    """
    labels = bins.dictionary_encode()
    names, code = labels.dictionary.to_pylist(), labels.indices.to_numpy()
    pool = _pool(whole, np.array([_of(selection.top, name) for name in names])[code] if names else 1.0)
    most = np.floor(pool * selection.max_epochs).astype(np.int64)
    if allotted is not None:
        budget = np.minimum(allotted, most)[:, None]
    elif selection.epochs:
        rows = [np.atleast_1d(selection.epochs.get(name, selection.epochs.get(WILDCARD, 1.0))) for name in names]
        times = np.array(rows, np.float64).reshape(len(names), max(selection.phases, 1))[code]
        budget = np.floor(pool[:, None] * times + 0.5).astype(np.int64)
    elif isinstance(selection.tokens, dict):
        kept = [selection.tokens.get(name, -1) for name in names]
        asked = np.array(kept, np.int64)[code]
        budget = np.where(asked < 0, pool, np.minimum(asked, most))[:, None]
    else:
        budget = (pool if selection.tokens is None else np.minimum(selection.tokens, most))[:, None]
    return pool, budget


def copies(rank: Integers, pool: Integers, budget: Integers) -> Integers:
    """How often each of n documents is seen: int64 like `budget`, which is n budgets or an n-row table of them.

    `rank`: tokens of the bin up to and including the document, from the best down. The copies' tokens never exceed the budget.
    Documents without tokens that come first are seen with the first token: a budget that is spent begins no other epoch.
    """
    rank = np.where(pool > 0, np.maximum(rank, 1), rank)
    if budget.ndim > rank.ndim:
        rank, pool = rank[:, None], pool[:, None]
    times = (budget - rank) // np.maximum(pool, 1) + 1
    return np.where(rank > pool, 0, np.where(pool > 0, np.maximum(times, 0), budget >= rank)).astype(np.int64)


def gumbel_scores(
    quality: npt.NDArray[np.float32], tie_break: npt.NDArray[np.uint64], temperature: float
) -> npt.NDArray[np.float32]:
    """What Gumbel-top-k ranks by: quality + temperature·G, so that the k first are a draw without replacement by the weights
    exp(quality / temperature) (Kool et al. 2019; WebOrganizer select_training_data.py). The tie, a seeded hash of the id, is
    what draws. Missing stays missing; temperature 0 is the quality itself."""
    if not temperature:
        return quality
    from tamis.transforms.text.hashing import mix

    even = ((mix(np.ascontiguousarray(tie_break), _DRAW_SEED) >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)
    return (quality.astype(np.float64) - temperature * _log(-_log(even))).astype(np.float32)


def _log(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Natural logarithm by additions and multiplications alone: numpy's own differs by a bit from processor to processor."""
    fraction, exponent = np.frexp(x)
    low = fraction < np.sqrt(0.5)
    fraction, exponent = np.where(low, 2 * fraction, fraction), exponent - low
    ratio = (fraction - 1) / (fraction + 1)
    square, series = ratio * ratio, np.zeros_like(ratio)
    for odd in range(25, 0, -2):
        series = series * square + 1 / odd
    return np.asarray(2 * ratio * series + exponent * 0.6931471805599453)


def _of(share: float | Mapping[str, float], name: str) -> float:
    return share if isinstance(share, float) else share.get(name, share.get(WILDCARD, 1.0))


def _pool(whole: Integers | int, top: npt.NDArray[np.float64] | float) -> Integers:
    return np.floor(np.asarray(whole) * np.asarray(top)).astype(np.int64)
