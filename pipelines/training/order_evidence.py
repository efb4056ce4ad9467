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
    simplest = [at for at, way in enumerate(ways) if way in ((SHUFFLED, *ways[0][1:]), (ASCENDING, *ways[0][1:]))]
    shuffled = np.array([measured[SHUFFLED, schedule, averaging] for _, schedule, averaging in ways])
    gains = compare_paired(losses, shuffled, *simplest[1:])
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
    choice = choose(losses, simplest)
    lowest = int(np.argmin(losses.mean(axis=1)))
    take = {
        "way": ways[choice.taken],
        "reference": ways[choice.reference],
        "gain": float(choice.against.gain[choice.taken]),
        "low": _finite(choice.against.low[choice.taken]),
        "high": _finite(choice.against.high[choice.taken]),
        "over_shuffle": float((losses[0] - losses[choice.reference]).mean()),
        "margin": _finite(choice.against.high.max()),
        "comparisons": choice.against.number,
        "lowest": ways[lowest],
        "lowest_by": float((losses[choice.taken] - losses[lowest]).mean()),
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
    way, reference = _say(take["way"]), _say(take["reference"])
    if way != reference:
        yield f"{way} is the choice: it beats {reference} by {take['gain']:.4f} nats{_bounds(take)}"
    elif take["way"][0] == SHUFFLED:
        yield f"{way} is enough: nothing beats it, and no other choice can by more than {take['margin']:.4f} nats"
    else:
        yield f"{way} is enough: it beats {SHUFFLED} by {take['over_shuffle']:.4f} nats"
        yield f"no other choice beats it by more than {take['margin']:.4f} nats"
    if take["lowest_by"]:
        yield f"{_say(take['lowest'])} has {take['lowest_by']:.4f} nats less, which is not told from luck"
    yield f"({take['comparisons']} comparisons, with 95 % confidence in all of them together; {seeds} seeds)"


def _say(way: Sequence[str]) -> str:
    order, schedule, averaging = way
    return f"{order} under {schedule}" + ("" if averaging == "none" else f", averaged ({averaging}),")


def _bounds(cell: Mapping[str, Any]) -> str:
    return "" if cell["low"] is None else f" [{cell['low']:+.5f}, {cell['high']:+.5f}]"


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
