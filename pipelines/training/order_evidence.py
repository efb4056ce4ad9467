"""What the losses of `tamis proxy-orders` say: what each order gains over a shuffle, and what to take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tamis.transforms.curriculum.checkpoint_weights import Averaging
from tamis.transforms.proxy.choice import choose, compare_paired

AVERAGINGS: Final[tuple[Averaging, ...]] = ("none", "sma", "ema")
SHUFFLED, ASCENDING = "uniform", "ascending"

Way = tuple[str, str, str]
"""An order, a schedule and an averaging."""


def weigh(measured: Mapping[Way, Sequence[float]]) -> dict[str, Any]:
    """`cells`: what each way gains over the shuffle under the same schedule and averaging; `take`: the
    way to take. `measured`: the losses by seed; the shuffle under the first schedule comes first.

    The simplest ways, which better ones have to beat, are the shuffle and the ascending order under
    the first schedule, without averaging.
    """
    ways = list(measured)
    losses = np.array(list(measured.values()))
    shuffled = np.array([measured[SHUFFLED, schedule, averaging] for _, schedule, averaging in ways])
    gains = compare_paired(losses, shuffled)
    cells = [
        {
            **dict(zip(("order", "schedule", "averaging"), way, strict=True)),
            "loss": float(losses[at].mean()),
            "gain": float(gains.gain[at]),
            "low": _finite(gains.low[at]),
            "high": _finite(gains.high[at]),
            "p": float(gains.p[at]),
            "seeds": losses[at].tolist(),
        }
        for at, way in enumerate(ways)
    ]
    simplest = [at for at, way in enumerate(ways) if way in ((SHUFFLED, *ways[0][1:]), (ASCENDING, *ways[0][1:]))]
    choice = choose(losses, simplest)
    others = np.arange(len(ways)) != choice.reference
    over = compare_paired(losses[[choice.reference]], losses[0])
    take = {
        "order": ways[choice.taken][0],
        "schedule": ways[choice.taken][1],
        "averaging": ways[choice.taken][2],
        "reference": " under ".join(ways[choice.reference][:2]),
        "gain": float(choice.against.gain[choice.taken]),
        "low": _finite(choice.against.low[choice.taken]),
        "high": _finite(choice.against.high[choice.taken]),
        "margin": _finite(choice.against.high[others].max(initial=0.0)),
        "comparisons": choice.against.number,
        "over_shuffle": float(over.gain[0]),
    }
    return {"cells": cells, "comparisons": gains.number, "take": take}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The result as text: what to take and why, then a table, lowest loss first."""
    seeds = len(result["cells"][0]["seeds"])
    yield from _advice(result["take"], seeds)
    pair = result["planted_pair"]
    yield (
        f"{result['tokens']:,} tokens per training; {seeds} seeds, each with other documents of the best tenth held out: "
        f"{result['validation_tokens']:,} tokens; shuffling their words in training costs {pair['cost']:.4f} nats"
    )
    width = max(len(cell["order"]) for cell in result["cells"])
    yield (
        f"  {'loss':>9}  {'order':<{width}} {'schedule':<9} {'mean':<5} gain over uniform under the same schedule "
        f"[95 % for all {result['comparisons']} together]"
    )
    for cell in sorted(result["cells"], key=lambda cell: cell["loss"]):
        start = f"  {cell['loss']:9.5f}  {cell['order']:<{width}} {cell['schedule']:<9} {cell['averaging']:<5}"
        yield start if cell["order"] == SHUFFLED else f"{start} {cell['gain']:+.5f}{_bounds(cell)}"


def _advice(take: dict[str, Any], seeds: int) -> Iterator[str]:
    if seeds < 2:
        yield f"One seed cannot tell {take['comparisons']} differences from luck, so take nothing from this: use --seeds 5."
        return
    way = f"{take['order']} under {take['schedule']}"
    if way != take["reference"] or take["averaging"] != "none":
        averaged = "" if take["averaging"] == "none" else f", checkpoints averaged ({take['averaging']}),"
        yield f"{way}{averaged} is the choice: it beats {take['reference']} by {take['gain']:.4f} nats{_bounds(take)}"
    elif take["order"] == SHUFFLED:
        yield f"{way} is enough: nothing beats it, and no other choice can by more than {take['margin']:.4f} nats"
    else:
        yield f"{way} is enough: it beats {SHUFFLED} by {take['over_shuffle']:.4f} nats"
        yield f"no other choice beats it by more than {take['margin']:.4f} nats"
    yield f"({take['comparisons']} comparisons, with 95 % confidence in all of them together; {seeds} seeds)"


def _bounds(cell: Mapping[str, Any]) -> str:
    return "" if cell["low"] is None else f" [{cell['low']:+.5f}, {cell['high']:+.5f}]"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
