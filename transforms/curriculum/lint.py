"""Says before a run is paid for what its schedule does to the best documents, and which orders are known to lose; and of a
finished corpus, what its order came to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.schedule import Floats, Schedule
from tamis.transforms.curriculum.checkpoint_weights import LAST, Checkpoints
from tamis.transforms.curriculum.order import CELLS, Cells, Curriculum, Order, Ordering, Phase

BEST = 0.1
"""The documents watched: the best tenth of the tokens."""

MUTED = 0.04
"""Least share of the LR mass that an ascending order should leave to the best tenth.

In arXiv 2511.18903 decaying to a third of the peak leaves it 4.75 % and gains 1.64 points over the shuffled baseline;
decaying to 1e-5 leaves it 1.80 % and ends 0.22 points below.
"""

DRIFT = 0.05
"""How far a source's share of a stretch may lie from its share of the corpus. Interleaved, it lies within a document or two."""

CORRELATED = 0.5
"""Spearman's ρ of quality with length above which sorting by quality is largely sorting by length."""

FEWEST = 30
"""Documents of whose qualities and lengths a correlation says something."""


@dataclass(frozen=True, slots=True)
class LintWarning:
    """One thing to reconsider: a stable code; reason, number and remedy in words; the numbers by themselves."""

    code: str
    message: str
    numbers: dict[str, float]


def best_decile_mass(curriculum: Curriculum) -> float:
    """Share (0 to 1) of the run's LR mass that the plan puts on the best tenth of its tokens; 0.1 where it shuffles."""
    return _best_share(curriculum, 0.0, LAST)


def best_decile_weights(curriculum: Curriculum) -> dict[Order, float]:
    """Share (0 to 1) of the final model's weight that the best tenth gets, were the whole run in each of the orders.

    Weights as `Checkpoints.weight` has them, with the curriculum's half-life (of phases: of the last).
    """
    chosen = {name: getattr(curriculum.effective_phases[-1], name) for name in Ordering.model_fields}
    found: dict[Order, float] = {}
    for order in get_args(Order):
        one = Curriculum(schedule=curriculum.schedule, checkpoints=curriculum.checkpoints, **{**chosen, "order": order})
        found[order] = _best_share(one, one.curvature(one.effective_phases[0]), curriculum.checkpoints or LAST)
    return found


def lr_mass_shares(schedule: Schedule, start_token: npt.ArrayLike, tokens: npt.ArrayLike, parts: npt.ArrayLike) -> Floats:
    """Shares (0 to 1) of the LR mass that fell on parts of a finished corpus: its best tenth, a source.

    For each segment of the emitted order: its first token, its tokens, and how many of them belong to each part
    (f64[segments, parts]). The segments together are the run; within one, the tokens of a part count as spread evenly.
    """
    start, size, part = (np.asarray(values, np.float64) for values in (start_token, tokens, parts))
    total = size.sum()
    if total == 0:
        return np.zeros(part.shape[1])
    density = np.divide(part, size[:, None], out=np.zeros_like(part), where=size[:, None] > 0)
    end = np.minimum((start + size) / total, 1.0)
    return np.asarray(np.sum(schedule.mass(start / total, end)[:, None] * density, axis=0) / schedule.mass(0.0, 1.0))


def lint(curriculum: Curriculum) -> list[LintWarning]:
    """What is known to waste data in this curriculum; empty when nothing is."""
    return [*_muted(curriculum), *_last_phase_only(curriculum), *_losing_orders(curriculum)]


def lint_shares(segments: Sequence[Mapping[str, float]], document: float = 0.0, stretches: int = 16) -> list[LintWarning]:
    """The source whose share drifts most along the finished order, when it drifts by more than `DRIFT`.

    `segments` are tokens by source, in training order; they are looked at in about so many stretches of equal tokens.
    `document` is the size in tokens of a large document: by two of them a source may always be ahead or behind.
    """
    names = sorted({name for segment in segments for name in segment})
    tokens = np.array([[segment.get(name, 0) for name in names] for segment in segments], np.float64)
    whole = tokens.sum()
    if not whole:
        return []
    through = np.cumsum(tokens.sum(axis=1)) / whole
    stretch = np.minimum(np.ceil(through * stretches - 1e-9), stretches).astype(int) - 1
    sums = np.zeros((stretches, len(names)))
    np.add.at(sums, np.maximum(stretch, 0), tokens)
    sums = sums[sums.sum(axis=1) > 0]
    size = sums.sum(axis=1, keepdims=True)
    drift = np.abs(sums / size - tokens.sum(axis=0) / whole) - 2 * document / size
    at, worst = np.unravel_index(int(drift.argmax()), drift.shape)
    if drift[at, worst] <= DRIFT:
        return []
    here, overall = float(sums[at, worst] / sums[at].sum()), float(tokens[:, worst].sum() / whole)
    return [
        LintWarning(
            "share-drifts",
            f"Source '{names[worst]}' is {overall:.1%} of the tokens, but {here:.1%} of stretch {at + 1} of {len(sums)} of the "
            "order: the mixture changes while the model trains. interleave_by: source keeps every source's share throughout.",
            {"share": overall, "stretch_share": here, "drift": abs(here - overall), "threshold": DRIFT},
        )
    ]


def lint_repeats(closest: int | None, distance: int) -> list[LintWarning]:
    """Copies of a document nearer to each other than `distance` tokens, which the `closest` are (None: no copies)."""
    if closest is None or closest >= distance:
        return []
    return [
        LintWarning(
            "repeats-too-close",
            f"Two copies of a document are {closest:,} tokens apart, not {distance:,}: the second teaches little while the "
            "first is fresh. Repeat less, or ask for less distance.",
            {"closest": closest, "distance": distance},
        )
    ]


def lint_length(quality: npt.ArrayLike, tokens: npt.ArrayLike, times: npt.ArrayLike = 1) -> list[LintWarning]:
    """A quality that is mostly length: Spearman's ρ of the two beyond `CORRELATED`, of `FEWEST` documents or more."""
    if np.broadcast_to(times, np.shape(quality)).sum() < FEWEST:
        return []
    found = spearman(quality, tokens, times)
    if abs(found) <= CORRELATED:
        return []
    longer = "longer" if found > 0 else "shorter"
    return [
        LintWarning(
            "quality-is-length",
            f"Quality goes with length (Spearman's ρ is {found:.2f}, beyond ±{CORRELATED:g}): an order by it mostly puts "
            f"{longer} documents last. Weigh signals that do not grow with a document.",
            {"spearman": found, "threshold": CORRELATED},
        )
    ]


def spearman(one: npt.ArrayLike, other: npt.ArrayLike, times: npt.ArrayLike = 1) -> float:
    """Spearman's rank correlation of pairs, each of which stands for so many; equal values at their mean rank, pairs with a
    missing value (NaN) left out. 0 where a side does not vary.

    The sums are whole numbers, so that the result does not depend on the order of the pairs.
    """
    values = np.stack([np.asarray(one, np.float64), np.asarray(other, np.float64)])
    number = np.broadcast_to(np.asarray(times, np.int64), values.shape[1:])
    known = ~np.isnan(values).any(axis=0)
    number = number[known]
    sides = []
    for side in values[:, known]:
        _, level = np.unique(side, return_inverse=True)
        of_level = np.zeros(int(level.max(initial=-1)) + 1, np.int64)
        np.add.at(of_level, level, number)
        # Twice the mean rank from the middle: whole, and 0 on the mean.
        sides.append((2 * np.cumsum(of_level) - of_level - number.sum())[level].tolist())
    a, b = sides
    n: list[int] = number.tolist()
    both, of_a, of_b = (sum(w * x * y for w, x, y in zip(n, *pair, strict=True)) for pair in ((a, b), (a, a), (b, b)))
    return both / math.sqrt(of_a * of_b) if of_a and of_b else 0.0


def _best_share(curriculum: Curriculum, curvature: float, checkpoints: Checkpoints) -> float:
    schedule = curriculum.schedule
    windows = np.array(list(_best_windows(curriculum)))
    start, end, portion = windows.clip(0.0, 1.0).T
    best = float(np.sum(checkpoints.weight(schedule, start, end, curvature) * portion))
    return best / float(checkpoints.weight(schedule, 0.0, 1.0, curvature))


def _best_windows(curriculum: Curriculum) -> Iterator[tuple[float, float, float]]:
    """(from, to, portion): the stretches that hold the best tenth, and what portion of their tokens belongs to it."""
    above = 1.0  # share of the tokens in bands at or above this phase's
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
        for low, high, share in _best_of_phase(phase, portion, cells):
            yield start + low * (end - start), end if high == 1 else start + high * (end - start), share


def _best_of_phase(phase: Phase, portion: float, cells: Cells | None) -> Iterator[tuple[float, float, float]]:
    """The same of one phase, from 0 to 1, that holds `portion` of the best."""
    if phase.order == "uniform":
        yield 0.0, 1.0, portion
    elif phase.order == "descending":
        yield 0.0, portion, 1.0
    elif phase.order == "bucketed":
        whole = int(portion * phase.buckets + 1e-9)
        first = 1 - whole / phase.buckets
        yield first, 1.0, 1.0
        if whole < phase.buckets:
            yield first - 1 / phase.buckets, first, portion * phase.buckets - whole
    elif phase.order == "blended" and phase.temperature > 0:
        yield from _best_of_blend(phase.temperature, portion)
    elif cells is not None:
        whole = int(portion * CELLS)
        for cell in cells.by_weight[CELLS - whole :].tolist():
            yield cell / CELLS, (cell + 1) / CELLS, 1.0
        if whole < CELLS:
            cell, rest = int(cells.by_weight[CELLS - whole - 1]), portion * CELLS - whole
            start = cell if cells.falls[cell] else cell + 1 - rest
            yield start / CELLS, (start + rest) / CELLS, 1.0
    else:
        sweeps = phase.folds if phase.order == "folded" else 1
        for sweep in range(1, sweeps + 1):
            stop = sweep / sweeps
            yield stop - portion / sweeps, stop, 1.0


def _best_of_blend(temperature: float, portion: float) -> Iterator[tuple[float, float, float]]:
    """Documents are sorted by z = quantile + temperature·u: where each slice of z lies, and how much of it is of the best."""
    z = np.linspace(0, 1 + temperature, CELLS + 1)

    def area(y: Floats) -> Floats:  # ∫ of the share of quantiles below y
        return np.where(y <= 1, np.maximum(y, 0.0) ** 2 / 2, y - 0.5)

    place = np.clip((area(z) - area(z - temperature)) / temperature, 0.0, 1.0)
    # What of a slice is of the best: the same difference over quantiles above 1 − portion alone.
    above = np.clip(z, 1 - portion, None) - (1 - portion)
    late = np.clip(z - temperature, 1 - portion, None) - (1 - portion)
    best = (portion**2) * (area(above / portion) - area(late / portion)) / temperature
    width = np.diff(place)
    shares = np.divide(np.diff(best), width, out=np.zeros(CELLS), where=width > 0)
    yield from zip(place[:-1].tolist(), place[1:].tolist(), shares.tolist(), strict=True)


_RISING: frozenset[Order] = frozenset({"ascending", "folded", "bucketed", "blended"})
"""Orders that put the best documents at the end of something."""


def _muted(curriculum: Curriculum) -> Iterator[LintWarning]:
    mass = best_decile_mass(curriculum)
    if mass >= MUTED or not any(phase.order in _RISING for phase in curriculum.effective_phases):
        return
    schedule = curriculum.schedule
    remedy = Schedule.moderate(schedule.peak, warmup=min(schedule.warmup, 0.82))
    better = best_decile_mass(curriculum.model_copy(update={"schedule": remedy}))
    yield LintWarning(
        "ascending-muted",
        f"The best tenth of the tokens gets {mass:.2%} of the LR mass (an even share is 10%): it comes where the "
        "rate has decayed, which wastes what the order gains. "
        f"Let the rate end at a third of its peak (shape: wsd, decay: 0.18, final: {remedy.final:g}), which gives "
        f"it {better:.2%}, and average the last checkpoints; or shuffle (order: uniform).",
        {"best_decile_mass": mass, "threshold": MUTED, "remedy_final": remedy.final, "remedy_mass": better},
    )


def _last_phase_only(curriculum: Curriculum) -> Iterator[LintWarning]:
    *earlier, last = curriculum.effective_phases
    if earlier and last.order in _RISING - {"folded"} and all(phase.order == "uniform" for phase in earlier):
        yield LintWarning(
            "last-phase-only",
            f"Only the last phase '{last.name}' ({last.share:.0%} of the tokens) is sorted. In arXiv 2511.18903 that "
            "ended 0.04 points below the shuffled baseline, sorting every phase 1.20 above it. Set order: ascending "
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
            f"Folding repeats the sweep from poor to good {sweeps} times; the best tenth gets {mass:.2%} of the LR "
            "mass. In arXiv 2511.18903 it loses to shuffling under cosine decay and to one ascending sweep under a "
            "constant rate. Use order: ascending.",
            {"folds": sweeps, "best_decile_mass": mass},
        )
    if descending:
        yield LintWarning(
            "descending",
            f"Descending order trains on the worst documents last; the best tenth gets {mass:.2%} of the LR mass, "
            "but early. arXiv 2511.18903 has it as an ablation only. Unless this run is one, use ascending or uniform.",
            {"best_decile_mass": mass},
        )
