"""Says before a run is paid for what its schedule does to the best documents, and which orders are known to lose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transforms.curriculum.order import Curriculum, Phase
from transforms.curriculum.schedule import Schedule

BEST = 0.1
"""The documents watched: the best tenth of the tokens."""

MUTED = 0.04
"""Least share of the LR mass that an ascending order should leave to the best tenth.

In arXiv 2511.18903 decaying to a third of the peak leaves it 4.75 % and gains 1.64 points over the shuffled baseline;
decaying to 1e-5 leaves it 1.80 % and ends 0.22 points below.
"""


@dataclass(frozen=True, slots=True)
class LintWarning:
    """One thing to reconsider: a stable code; reason, number and remedy in words; the numbers by themselves."""

    code: str
    message: str
    numbers: dict[str, float]


def best_decile_mass(curriculum: Curriculum) -> float:
    """Share (0 to 1) of the run's LR mass that the plan puts on the best tenth of its tokens; 0.1 where it shuffles."""
    schedule = curriculum.schedule
    best = sum(portion * float(schedule.mass(a, b)) for a, b, portion in _best_windows(curriculum))
    return best / float(schedule.mass(0.0, 1.0))


def measured_mass(schedule: Schedule, start_token: npt.ArrayLike, tokens: npt.ArrayLike, best_tokens: npt.ArrayLike) -> float:
    """Share (0 to 1) of the LR mass that fell on the best documents of a finished corpus.

    For each segment of the emitted order: its first token, its tokens, and how many of them belong to the best
    documents. The segments together are the run; within one, the best tokens count as spread evenly.
    """
    start, size, best = (np.asarray(values, np.float64) for values in (start_token, tokens, best_tokens))
    total = size.sum()
    if total == 0:
        return 0.0
    density = np.divide(best, size, out=np.zeros_like(size), where=size > 0)
    end = np.minimum((start + size) / total, 1.0)
    return float(np.sum(schedule.mass(start / total, end) * density) / schedule.mass(0.0, 1.0))


def lint(curriculum: Curriculum) -> list[LintWarning]:
    """What is known to waste data in this curriculum; empty when nothing is."""
    return [*_muted(curriculum), *_last_phase_only(curriculum), *_losing_orders(curriculum)]


def _best_windows(curriculum: Curriculum) -> Iterator[tuple[float, float, float]]:
    """(from, to, portion): the stretches that hold the best tenth, and what portion of their tokens belongs to it."""
    start, above = 0.0, 1.0  # `above`: share of the tokens in bands at or above this phase's
    for phase in curriculum.stretches:
        end = min(start + phase.share, 1.0)
        if curriculum.assign == "quality":
            above_next = max(above - phase.share, 0.0)
            portion = min(max(BEST - above_next, 0.0) / phase.share, 1.0)
            above = above_next
        else:
            portion = BEST
        yield from _best_of_phase(phase, start, end, portion)
        start = end


def _best_of_phase(phase: Phase, start: float, end: float, portion: float) -> Iterator[tuple[float, float, float]]:
    if portion == 0:
        return
    length = end - start
    if phase.order == "uniform":
        yield start, end, portion
    elif phase.order == "descending":
        yield start, start + portion * length, 1.0
    else:
        sweeps = phase.folds if phase.order == "folded" else 1
        for sweep in range(1, sweeps + 1):
            stop = end if sweep == sweeps else start + length * sweep / sweeps
            yield stop - portion * length / sweeps, stop, 1.0


def _muted(curriculum: Curriculum) -> Iterator[LintWarning]:
    mass = best_decile_mass(curriculum)
    if mass >= MUTED or not any(phase.order in ("ascending", "folded") for phase in curriculum.stretches):
        return
    schedule = curriculum.schedule
    remedy = Schedule(peak=schedule.peak, final=schedule.peak / 3, warmup=min(schedule.warmup, 0.82))
    better = best_decile_mass(curriculum.model_copy(update={"schedule": remedy}))
    yield LintWarning(
        "ascending-muted",
        f"The best tenth of the tokens gets {mass:.2%} of the LR mass (an even share is 10%): it comes where the "
        "rate has decayed, which wastes what the order gains. "
        f"Let the rate end at a third of its peak (shape: wsd, decay: 0.18, final: {remedy.final:g}), which gives "
        f"it {better:.2%}, and average the last checkpoints; or shuffle (order: uniform).",
        {"best_decile_mass": mass, "threshold": MUTED, "remedy_final": schedule.peak / 3, "remedy_mass": better},
    )


def _last_phase_only(curriculum: Curriculum) -> Iterator[LintWarning]:
    *earlier, last = curriculum.stretches
    if earlier and last.order == "ascending" and all(phase.order == "uniform" for phase in earlier):
        yield LintWarning(
            "last-phase-only",
            f"Only the last phase '{last.name}' ({last.share:.0%} of the tokens) is sorted. In arXiv 2511.18903 that "
            "ended 0.04 points below the shuffled baseline, sorting every phase 1.20 above it. Set order: ascending "
            "in every phase.",
            {"last_phase_share": last.share, "paper_last_phase_only": -0.04, "paper_every_phase": 1.20},
        )


def _losing_orders(curriculum: Curriculum) -> Iterator[LintWarning]:
    mass = best_decile_mass(curriculum)
    folded = [phase for phase in curriculum.stretches if phase.order == "folded" and phase.folds > 1]
    descending = [phase for phase in curriculum.stretches if phase.order == "descending"]
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
