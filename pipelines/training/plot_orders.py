"""Draws the losses of orders, schedules and averagings as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def draw(cells: Sequence[dict[str, Any]]) -> str:
    """A column per schedule and averaging, and in it a dot per order at its mean loss. Bars are the
    intervals of the gain over the first order, which has none."""
    columns = list(dict.fromkeys((cell["schedule"], cell["averaging"]) for cell in cells))
    ends = [loss for cell in cells for loss in (cell["loss"], *_bar(cell))]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def y(loss: float) -> float:
        return 30 + 300 * (high - loss) / span

    colours = _colours(list(dict.fromkeys(cell["order"] for cell in cells)))
    column = 24 + 12 * len(colours)
    width = 90 + max(column * len(columns), 140 * len(colours))
    marks = ['<rect width="100%" height="100%" fill="#fff"/>', '<text x="6" y="18">nats</text>']
    marks += [
        f'<text x="{90 + 140 * index}" y="18" fill="{colour}">{order}</text>'
        for index, (order, colour) in enumerate(colours.items())
    ]
    marks += [
        f'<text x="6" y="{y(loss) + 4:.1f}">{loss:.3f}</text>'
        f'<path d="M56 {y(loss):.1f}H{70 + column * len(columns)}" stroke="#ddd"/>'
        for loss in np.linspace(low, high, 5).tolist()
    ]
    for at, (schedule, averaging) in enumerate(columns):
        middle = 70 + column * at + column // 2
        marks.append(f'<text x="{middle}" y="350" text-anchor="middle">{schedule}</text>')
        marks.append(f'<text x="{middle}" y="364" text-anchor="middle">{averaging}</text>')
    for cell in cells:
        before = column * columns.index((cell["schedule"], cell["averaging"])) + 12 * list(colours).index(cell["order"])
        x, colour = 88 + before, colours[cell["order"]]
        if bar := _bar(cell):
            marks.append(f'<path d="M{x} {y(bar[0]):.1f}V{y(bar[1]):.1f}" stroke="{colour}"/>')
        marks.append(f'<circle cx="{x}" cy="{y(cell["loss"]):.1f}" r="4" fill="{colour}"/>')
    size = f'width="{width}" height="376"'
    style = 'font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(marks) + "\n</svg>\n"


def _bar(cell: dict[str, Any]) -> tuple[float, float] | tuple[()]:
    """The losses that the ends of the interval of the gain stand for, none without an interval."""
    if cell["low"] is None or cell["low"] == cell["high"]:
        return ()
    shuffled = cell["loss"] + cell["gain"]
    return shuffled - cell["high"], shuffled - cell["low"]


def _colours(orders: Sequence[str]) -> dict[str, str]:
    """Grey and orange for the first two orders, then blues from light to dark."""
    first, weighted = ("#777777", "#d95f02"), max(len(orders) - 2, 1)
    blues = [f"hsl(207, 80%, {75 - 50 * (index + 1) / (weighted + 1):.0f}%)" for index in range(weighted)]
    return dict(zip(orders, (*first, *blues), strict=False))
