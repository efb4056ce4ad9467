"""How much of the data is taken, and how often: budgets by bin, mixtures, the best share, epochs.

Documents are ranked within their bin, the best first; the rank counts tokens up to and including
the document. With a pool of W tokens and a budget of B, a document is in epoch e = 0, 1, … if e·W
+ rank ≤ B. So a budget below W takes the best, one above W repeats, the best first again, and
neither depends on how the corpus is split into files. A quality curve divides the same budget
otherwise (`upsampling/quality_curve.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.options import Count, Options, PositiveCount
from tamis.transforms.select.upsampling.quality_curve import QualityCurve
from tamis.transforms.select.upsampling.rehydration import check_copies_by_size

if TYPE_CHECKING:
    import pyarrow as pa

WILDCARD = "*"
"""Stands for all bins that are not named."""

_DRAW_SEED = 3
"""Seed that mixes the tie break for `gumbel_scores`; orders use 1 and 2."""

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Times = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]


class Mixture(Options):
    """How the token budget is divided among bins."""

    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        {}, description="relative weight of each bin; '*': all other bins together, by their tokens; without a weight: nothing"
    )
    temperature: float = Field(
        default=1.0,
        ge=0.05,
        allow_inf_nan=False,
        description="without weights, shares go as tokens^(1/T): 1 is proportional, a large T is even",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Mixture:
        if self.weights and self.temperature != 1:
            raise ValueError("temperature is for a mixture without weights: give only one of them")
        if self.weights and not any(self.weights.values()):
            raise ValueError("every weight is 0, so nothing would be taken")
        return self


class Diversity(Options):
    """Keeps only the best of similar documents in each cluster."""

    column: str = Field(
        pattern=r"^(metadata\..+|[a-z][a-z0-9_]*\.vector)$",
        description="metadata.FIELD with the embedding, a list of numbers, or NAME.vector of the rater embedding",
    )
    within: str | None = Field(
        default=None,
        pattern=r"^(source|metadata\..+)$",
        description="column of the cluster: source or metadata.FIELD; null: one cluster",
    )
    ceiling: float = Field(default=0.9, ge=-1, le=1, description="cosine above which two documents are similar; DEITA: 0.9")


class Selection(Options):
    """How many of the documents that passed are taken, and how often; the best of each bin first."""

    bins: tuple[str, ...] = Field(
        default=("source",),
        min_length=1,
        description="columns that make up a bin: source, licence, a signal that is a label, metadata.FIELD. The labels of "
        "several columns are joined by '|' (topic and format: science|faq); a missing label is 'none'",
    )
    tokens: PositiveCount | dict[str, Count] | None = Field(
        default=None, description="token budget of the corpus, or of each bin (a bin without a budget is kept in full)"
    )
    diverse: Diversity | None = Field(
        default=None, description="drops documents similar in meaning, by embeddings in the input"
    )
    mixture: Mixture | None = Field(
        default=None, description="how the budget is divided among bins; null: the best documents of any bin"
    )
    epochs: dict[str, Times | tuple[Times, ...]] = Field(
        {},
        description="instead of tokens, how much of each bin is taken: 0.3 is the best 30 %, 2.5 is all twice and the best "
        "half once more; a list has one number per phase; '*': all other bins, which default to 1",
    )
    top: Share | dict[str, Share] = Field(
        default=1.0, description="only this best share of a bin's tokens is ever taken, however large the budget"
    )
    max_epochs: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)] = Field(
        default=1.0, description="how often a bin may be repeated to fill its budget; Muennighoff et al.: up to 4 is harmless"
    )
    curve: QualityCurve | None = Field(
        default=None,
        description="repeats documents by quality: none of the worst, most of the best. Tokens, a mixture or epochs set what "
        "a bin gives, as always; without them, as much as it has",
    )
    rehydrate: dict[PositiveCount, Annotated[int, Field(ge=0, le=1000)]] | None = Field(
        default=None,
        description="repeats documents by how many duplicates they stand for: the least size of a cluster, and its copies. "
        "FineWeb-2: {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}",
    )
    temperature: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="0 takes the best; above 0, draws by exp(quality / temperature) (Gumbel-top-k)",
    )
    distance: Count | Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.05, description="least distance between copies of a document: tokens, or a share of the (shorter) phase"
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Selection:
        if self.tokens is not None and self.epochs:
            raise ValueError("tokens and epochs both set how much is taken: give only one")
        if self.mixture is not None and not isinstance(self.tokens, int):
            raise ValueError("a mixture divides one budget: set tokens to a number")
        if len({isinstance(times, tuple) for times in self.epochs.values()}) > 1:
            raise ValueError("epochs are numbers, or lists with one number per phase: do not mix them")
        if self.phases and WILDCARD not in self.epochs:
            raise ValueError("epochs by phase need '*' for all other bins")
        if len({len(times) for times in self.epochs.values() if isinstance(times, tuple)}) > 1:
            raise ValueError("lists of epochs need the same length, one number per phase")
        if self.bins != ("source",) and not self.by_bin:
            raise ValueError("bins have no effect without epochs, a mixture, or tokens or top by bin")
        return self

    @model_validator(mode="after")
    def _one_way_to_repeat(self) -> Selection:
        if self.rehydrate is not None:
            check_copies_by_size(self.rehydrate)
            for name, option in {"tokens": self.tokens, "epochs": self.epochs, "curve": self.curve}.items():
                if option:
                    raise ValueError(f"rehydrate and {name} both set how often a document is seen: give only one")
        if self.curve is None:
            return self
        if self.top != 1:
            raise ValueError("a curve takes no top: curve.drop leaves the worst out")
        if self.max_epochs != 1:
            raise ValueError("a curve takes no max_epochs: curve.cap limits how often it repeats")
        if self.phases:
            raise ValueError("a curve takes no lists of epochs: it is one for all phases")
        for name, times in self.epochs.items():
            if np.max(times) > self.curve.most_epochs:
                raise ValueError(
                    f"a curve with cap {self.curve.cap:g} that drops {self.curve.drop:g} takes a bin at most "
                    f"{self.curve.most_epochs:.4g} times, and epochs asks for {np.max(times):g} times '{name}': raise the cap"
                )
        return self

    @property
    def is_active(self) -> bool:
        """Whether any document may be left out or repeated."""
        return self.is_ranked or self.rehydrate is not None

    @property
    def is_ranked(self) -> bool:
        """Whether what is taken depends on the rank of a document by quality."""
        return self.tokens is not None or bool(self.epochs) or self.top != 1 or self.curve is not None

    @property
    def by_bin(self) -> bool:
        """Whether documents are ranked within their bins, not all together."""
        by_name = isinstance(self.tokens, dict) or isinstance(self.top, dict) or bool(self.epochs)
        return by_name or self.mixture is not None or (self.curve is not None and self.tokens is None)

    @property
    def most_epochs(self) -> float:
        """The most tokens that a bin can give, as a multiple of its pool."""
        return self.max_epochs if self.curve is None else self.curve.most_epochs

    @property
    def by_name(self) -> dict[str, set[str]]:
        """The bins that are named, by the field that names them."""
        fields = {"tokens": self.tokens, "epochs": self.epochs, "top": self.top}
        fields["mixture"] = None if self.mixture is None else self.mixture.weights
        return {name: set(bins) - {WILDCARD} for name, bins in fields.items() if isinstance(bins, dict)}

    @property
    def phases(self) -> int:
        """Number of phases in `epochs`; 0 if they are for the whole run."""
        return max((len(times) for times in self.epochs.values() if isinstance(times, tuple)), default=0)

    @property
    def repeats(self) -> bool:
        """Whether a document may be seen more than once."""
        if self.rehydrate is not None:
            return any(copies > 1 for copies in self.rehydrate.values())
        if self.curve is not None:
            return True
        if self.epochs:
            return self.phases > 1 or any(np.max(times) > 1 for times in self.epochs.values())
        return self.tokens is not None and self.max_epochs > 1


def allocate(sizes: Mapping[str, int], selection: Selection) -> dict[str, int]:
    """Divides the budget of a mixture: tokens for each bin, from the tokens in each. No bin gets
    more than `most_epochs` of its pool; the rest goes to the others by weight. Rounded down, so that
    the budget is never exceeded. Raises ValueError if a weight names a bin that does not exist."""
    assert isinstance(selection.tokens, int)
    mixture = selection.mixture
    assert mixture is not None
    names = sorted(sizes)
    if unknown := sorted(mixture.weights.keys() - sizes.keys() - {WILDCARD}):
        raise ValueError(f"the mixture names a bin '{unknown[0]}' that does not exist; bins are {', '.join(names[:20])}")
    if mixture.weights:
        others = sum(sizes[name] for name in names if name not in mixture.weights)
        rest = mixture.weights.get(WILDCARD, 0.0) / max(others, 1)
        weight = {name: mixture.weights.get(name, rest * sizes[name]) for name in names}
    else:
        weight = {name: sizes[name] ** (1 / mixture.temperature) for name in names}
    room = {name: int(_pool(sizes[name], _top_share(selection.top, name)) * selection.most_epochs) for name in names}
    tokens: dict[str, int] = {name: 0 for name in names if not weight[name]}
    while rest_names := [name for name in names if name not in tokens]:
        left, total = selection.tokens - sum(tokens.values()), sum(weight[name] for name in rest_names)
        share = {name: int(left * (weight[name] / total)) for name in rest_names}
        full = {name: room[name] for name in rest_names if share[name] >= room[name]}
        tokens |= full or share
    return tokens


def pools_and_budgets(bins: pa.Array, sizes: Ints, allocated: Ints | None, selection: Selection) -> tuple[Ints, Ints]:
    """(pool, budget) of each document's bin in tokens: int64[n] and int64[n, phases or 1]. `sizes`
    are the tokens of each document's bin, `allocated` those that `allocate` gives it."""
    labels = bins.dictionary_encode()
    names, code = labels.dictionary.to_pylist(), labels.indices.to_numpy()
    pool = _pool(sizes, np.array([_top_share(selection.top, name) for name in names])[code] if names else 1.0)
    most = np.floor(pool * selection.most_epochs).astype(np.int64)
    if allocated is not None:
        budget = np.minimum(allocated, most)[:, None]
    elif selection.epochs:
        rows = [np.atleast_1d(selection.epochs.get(name, selection.epochs.get(WILDCARD, 1.0))) for name in names]
        times = np.array(rows, np.float64).reshape(len(names), max(selection.phases, 1))[code]
        budget = np.floor(pool[:, None] * times + 0.5).astype(np.int64)
    elif isinstance(selection.tokens, dict):
        tokens = np.array([selection.tokens.get(name, -1) for name in names], np.int64)[code]
        budget = np.where(tokens < 0, pool, np.minimum(tokens, most))[:, None]
    else:
        budget = (pool if selection.tokens is None else np.minimum(selection.tokens, most))[:, None]
    return pool, budget if selection.curve is None else np.minimum(budget, most[:, None])


def copies(rank: Ints, pool: Ints, budget: Ints) -> Ints:
    """Copies of each of n documents: int64, shaped like `budget`, which is (n,) or (n, phases).

    `rank` counts tokens of the bin up to and including the document, the best first. The tokens of
    all copies never exceed the budget. Documents without tokens at the top count as one token, so
    that a spent budget begins no further epoch.
    """
    rank = np.where(pool > 0, np.maximum(rank, 1), rank)
    if budget.ndim > rank.ndim:
        rank, pool = rank[:, None], pool[:, None]
    times = (budget - rank) // np.maximum(pool, 1) + 1
    return np.where(rank > pool, 0, np.where(pool > 0, np.maximum(times, 0), budget >= rank)).astype(np.int64)


def gumbel_scores(
    quality: npt.NDArray[np.float32], tie_break: npt.NDArray[np.uint64], temperature: float
) -> npt.NDArray[np.float32]:
    """Scores of Gumbel-top-k: quality + temperature·G, with G drawn from the seeded tie break.

    The k best are a draw without replacement with weights exp(quality / temperature) (Kool et al.
    2019; WebOrganizer select_training_data.py). Missing stays missing; with temperature 0, the
    scores are the quality.
    """
    if not temperature:
        return quality
    from tamis.transforms.text.hashing import mix

    uniform = ((mix(np.ascontiguousarray(tie_break), _DRAW_SEED) >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)
    return (quality.astype(np.float64) - temperature * portable_log(-portable_log(uniform))).astype(np.float32)


def portable_log(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Natural logarithm by basic arithmetic, since numpy's differs between processors."""
    fraction, exponent = np.frexp(x)
    low = fraction < np.sqrt(0.5)
    fraction, exponent = np.where(low, 2 * fraction, fraction), exponent - low
    ratio = (fraction - 1) / (fraction + 1)
    square, series = ratio * ratio, np.zeros_like(ratio)
    for odd in range(25, 0, -2):
        series = series * square + 1 / odd
    return np.asarray(2 * ratio * series + exponent * 0.6931471805599453)


def _top_share(share: float | Mapping[str, float], name: str) -> float:
    return share if isinstance(share, float) else share.get(name, share.get(WILDCARD, 1.0))


def _pool(size: Ints | int, top: npt.NDArray[np.float64] | float) -> Ints:
    return np.floor(np.asarray(size) * np.asarray(top)).astype(np.int64)
