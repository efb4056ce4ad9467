"""Checks a curriculum for known losses, and the order of a finished corpus."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Floats, sum_slices
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import LAST, Checkpoints
from tamis.transforms.curriculum.order import Curriculum, Ordering
from tamis.transforms.curriculum.orders import ORDERS

BEST = 0.1
"""The best documents: this share of the tokens."""

MUTED = 0.04
"""An ascending order should give the best tenth at least this share of the LR mass.

In arXiv 2511.18903, a decay to a third of the peak gives it 4.75 % and gains 1.64 points over the
shuffled baseline; a decay to 1e-5 gives it 1.80 % and loses 0.22 points (1.5 B parameters, 30 B
tokens). In the trainings of docs/orders.md (0.2 M parameters) only cosine (0.24 %) wasted the order,
and WSD (1.85 %) did not, so the warning says both.
"""

DRIFT = 0.05
"""Largest difference between a source's share of a part of the order and its share of the corpus.
Interleaved sources stay within a document or two."""

CORRELATED = 0.5
"""Spearman's ρ of quality and length above which an order by quality is one by length."""

EPOCHS_ALONE = 4.0
"""Epochs of a corpus of one source above which repeating it loses (Muennighoff et al. 2023,
arXiv 2305.16264)."""

EPOCHS_IN_MIXTURE = 20.0
"""The same for a source among others: scarce data can be repeated 15 to 20 times (arXiv 2605.12715)."""

FEWEST = 30
"""Documents needed for a correlation to mean anything."""


@dataclass(frozen=True, slots=True)
class LintWarning:
    """A stable code; a message with reason, numbers and remedy; the numbers."""

    code: str
    message: str
    numbers: dict[str, float]


def best_decile_mass(curriculum: Curriculum) -> float:
    """Share (0 to 1) of the LR mass on the best tenth of the tokens; 0.1 for a shuffle."""
    return _best_share(curriculum, 0.0, LAST)


def best_decile_weights(curriculum: Curriculum) -> dict[str, float]:
    """Share (0 to 1) of the final model's weight (`Checkpoints.weight`, with the half-life of the
    last phase) that each order, applied to the whole run, would give the best tenth."""
    options = {name: getattr(curriculum.effective_phases[-1], name) for name in Ordering.model_fields}
    shares: dict[str, float] = {}
    for order in ORDERS:
        other = Curriculum(schedule=curriculum.schedule, checkpoints=curriculum.checkpoints, **{**options, "order": order})
        shares[order] = _best_share(other, other.curvature(other.effective_phases[0]), curriculum.checkpoints or LAST)
    return shares


def lr_mass_shares(schedule: Schedule, start_token: npt.ArrayLike, tokens: npt.ArrayLike, parts: npt.ArrayLike) -> Floats:
    """Shares (0 to 1) of the LR mass that fell on parts of a corpus: its best tenth, a source.

    The segments make up the run, in order. Each has its first token, its tokens, and how many of
    them belong to each part (f64[segments, parts]), which counts as evenly spread in it.
    """
    start, size, part = (np.asarray(values, np.float64) for values in (start_token, tokens, parts))
    total = size.sum()
    if total == 0:
        return np.zeros(part.shape[1])
    density = np.divide(part, size[:, None], out=np.zeros_like(part), where=size[:, None] > 0)
    end = np.minimum((start + size) / total, 1.0)
    return np.asarray(np.sum(schedule.mass(start / total, end)[:, None] * density, axis=0) / schedule.mass(0.0, 1.0))


def lint(curriculum: Curriculum) -> list[LintWarning]:
    """Warnings about a curriculum that is known to waste data."""
    return [*_muted(curriculum), *_last_phase_only(curriculum), *_losing_orders(curriculum)]


def lint_shares(segments: Sequence[Mapping[str, float]], document: float = 0.0) -> list[LintWarning]:
    """A warning for the source whose share drifts most along the finished order, if over `DRIFT`.

    `segments` are tokens by source, in training order, compared in slices of equal tokens.
    `document` is the size in tokens of a large document: a drift by two of them is allowed.
    """
    names = sorted({name for segment in segments for name in segment})
    tokens = np.array([[segment.get(name, 0) for name in names] for segment in segments], np.float64)
    if not tokens.sum():
        return []
    shares = tokens.sum(axis=0) / tokens.sum()
    sums = sum_slices(tokens, tokens.sum(axis=1))
    size = sums.sum(axis=1, keepdims=True)
    drift = np.abs(sums / size - shares) - 2 * document / size
    at, worst = np.unravel_index(int(drift.argmax()), drift.shape)
    if drift[at, worst] <= DRIFT:
        return []
    slice_share, share = float(sums[at, worst] / sums[at].sum()), float(shares[worst])
    return [
        LintWarning(
            "share-drifts",
            f"Source '{names[worst]}' is {share:.1%} of the tokens, but {slice_share:.1%} of slice {at + 1} of {len(sums)} "
            "of the order: the mixture changes during training. Set interleave_by: source to keep every share constant.",
            {"share": share, "stretch_share": slice_share, "drift": abs(slice_share - share), "threshold": DRIFT},
        )
    ]


def lint_repeats(closest: int | None, distance: int) -> list[LintWarning]:
    """A warning if the closest copies are less than `distance` tokens apart (None: no copies)."""
    if closest is None or closest >= distance:
        return []
    return [
        LintWarning(
            "repeats-too-close",
            f"Two copies of a document are only {closest:,} tokens apart, not {distance:,}: the second teaches little so soon "
            "after the first. Repeat less (select), or set a smaller select.distance.",
            {"closest": closest, "distance": distance},
        )
    ]


def lint_epochs(epochs: Mapping[str, float]) -> list[LintWarning]:
    """A warning for the source that is seen most often, if that is too often. `epochs`: tokens of all
    copies as a multiple of the tokens of the documents, by source."""
    if not epochs:
        return []
    most = max(epochs.values())
    limit, where = (EPOCHS_IN_MIXTURE, "among others") if len(epochs) > 1 else (EPOCHS_ALONE, "alone")
    if most <= limit:
        return []
    name = min(name for name, times in epochs.items() if times == most)
    return [
        LintWarning(
            "repeats-many",
            f"'{name}' is seen {most:.3g} times: above {limit:g} times, a source {where} teaches little more. Repeat it less "
            "(select), or add other data.",
            {"epochs": most, "threshold": limit},
        )
    ]


def lint_length(quality: npt.ArrayLike, tokens: npt.ArrayLike, times: npt.ArrayLike = 1) -> list[LintWarning]:
    """A warning if quality is mostly length, from `FEWEST` documents on."""
    if np.broadcast_to(times, np.shape(quality)).sum() < FEWEST:
        return []
    correlation = spearman(quality, tokens, times)
    if abs(correlation) <= CORRELATED:
        return []
    longer = "longer" if correlation > 0 else "shorter"
    return [
        LintWarning(
            "quality-is-length",
            f"Quality depends mostly on length (Spearman's ρ {correlation:.2f}, limit ±{CORRELATED:g}): ordering by it puts "
            f"{longer} documents last. Use signals that do not grow with the length of a document.",
            {"spearman": correlation, "threshold": CORRELATED},
        )
    ]


def spearman(one: npt.ArrayLike, other: npt.ArrayLike, times: npt.ArrayLike = 1) -> float:
    """Spearman's rank correlation of pairs that occur `times` times. 0 if one side does not vary.

    Equal values have their mean rank; pairs with a missing value (NaN) are left out. All sums are of
    integers, so the order of the pairs does not matter. (SciPy has no weighted version.)
    """
    values = np.stack([np.asarray(one, np.float64), np.asarray(other, np.float64)])
    complete = ~np.isnan(values).any(axis=0)
    number = np.broadcast_to(np.asarray(times, np.int64), values.shape[1:])[complete]
    ranks = []
    for side in values[:, complete]:
        _, level = np.unique(side, return_inverse=True)
        size = np.zeros(int(level.max(initial=-1)) + 1, np.int64)
        np.add.at(size, level, number)
        # Twice the distance of the mean rank from the middle: an integer, and 0 on average.
        ranks.append((2 * np.cumsum(size) - size - number.sum())[level].tolist())
    a, b = ranks
    n: list[int] = number.tolist()
    ab, aa, bb = (sum(w * x * y for w, x, y in zip(n, *pair, strict=True)) for pair in ((a, b), (a, a), (b, b)))
    return ab / math.sqrt(aa * bb) if aa and bb else 0.0


def _best_share(curriculum: Curriculum, curvature: float, checkpoints: Checkpoints) -> float:
    schedule = curriculum.schedule
    windows = np.array(list(_best_windows(curriculum)))
    start, end, portion = windows.clip(0.0, 1.0).T
    best = float(np.sum(checkpoints.weight(schedule, start, end, curvature) * portion))
    return best / float(checkpoints.weight(schedule, 0.0, 1.0, curvature))


def _best_windows(curriculum: Curriculum) -> Iterator[tuple[float, float, float]]:
    """(start, end, portion) of the ranges with the best tenth, which is `portion` of their tokens."""
    above = 1.0  # share of the tokens in this and better phases
    for index, (phase, (start, end)) in enumerate(zip(curriculum.effective_phases, curriculum.bounds, strict=True)):
        if curriculum.assign == "quality":
            above_next = max(above - phase.share, 0.0)
            portion = min(max(BEST - above_next, 0.0) / phase.share, 1.0)
            above = above_next
        else:
            portion = BEST
        if portion == 0:
            continue
        cells = curriculum.cells(index) if phase.order == "lr_weighted" else None
        for low, high, share in phase.rule.best(phase, portion, cells):
            yield start + low * (end - start), end if high == 1 else start + high * (end - start), share


def _muted(curriculum: Curriculum) -> Iterator[LintWarning]:
    mass = best_decile_mass(curriculum)
    if mass >= MUTED or not any(phase.rule.rising for phase in curriculum.effective_phases):
        return
    schedule = curriculum.schedule
    remedy = Schedule.moderate(schedule.peak, warmup=min(schedule.warmup, 0.82))
    better = best_decile_mass(curriculum.model_copy(update={"schedule": remedy}))
    yield LintWarning(
        "ascending-muted",
        f"The best tenth of the tokens gets only {mass:.2%} of the LR mass (an even share is 10%). With 1.5 B parameters such "
        "a decay cancels the gain of the order (arXiv 2511.18903); with 0.2 M, in our trainings, cosine halved it, WSD cost "
        "nothing (docs/orders.md). Good in both: end at a third of the peak (shape: wsd, decay: 0.18, final: "
        f"{remedy.final:g}), which gives it {better:.2%}, and average the last checkpoints. tamis proxy-orders measures yours.",
        {"best_decile_mass": mass, "threshold": MUTED, "remedy_final": remedy.final, "remedy_mass": better},
    )


def _last_phase_only(curriculum: Curriculum) -> Iterator[LintWarning]:
    *earlier, last = curriculum.effective_phases
    if earlier and last.rule.rising and last.order != "folded" and all(phase.order == "uniform" for phase in earlier):
        yield LintWarning(
            "last-phase-only",
            f"Only the last phase '{last.name}' ({last.share:.0%} of the tokens) is sorted. In arXiv 2511.18903 this "
            "scored 0.04 points below the shuffled baseline; sorting every phase scored 1.20 above it. Set order: ascending "
            "in every phase.",
            {"last_phase_share": last.share, "paper_last_phase_only": -0.04, "paper_every_phase": 1.20},
        )


def _losing_orders(curriculum: Curriculum) -> Iterator[LintWarning]:
    mass = best_decile_mass(curriculum)
    folded = [phase for phase in curriculum.effective_phases if phase.order == "folded" and phase.folds > 1]
    descending = [phase for phase in curriculum.effective_phases if phase.order == "descending"]
    if folded:
        sweeps = max(phase.folds for phase in folded)
        yield LintWarning(
            "folding",
            f"Folding sweeps from low to high quality {sweeps} times; the best tenth gets {mass:.2%} of the LR mass. In "
            "arXiv 2511.18903 it is worse than shuffling under cosine decay, and worse than one ascending sweep under a "
            "constant rate. Use order: ascending.",
            {"folds": sweeps, "best_decile_mass": mass},
        )
    if descending:
        yield LintWarning(
            "descending",
            f"Descending order trains on the worst documents last; the best tenth gets {mass:.2%} of the LR mass, but early. "
            "In arXiv 2511.18903 it is only an ablation. Unless this is one too, use ascending or uniform.",
            {"best_decile_mass": mass},
        )
