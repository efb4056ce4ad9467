"""The figure of `tamis proxy-memory`: gains by tokens since the block, with the half-lives."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

PANEL: Final = 230
HEIGHT: Final = 220
_LEFT, _TOP = 70, 44


def draw(result: dict[str, Any]) -> str:
    """SVG: a panel for each setting, a dot with its interval for each distance, the fitted decay as a line,
    and the interval of the half-life as a band. Distances are logarithmic, with 0 at the left end."""
    rows = result["settings"]
    low = min(0.0, *(min(row["gains_low"]) for row in rows))
    high = max(max(row["gains_high"]) for row in rows)
    nearest = min(row["distances"][1] for row in rows)
    farthest = max(row["distances"][-1] for row in rows)
    most = farthest * 2 / nearest

    def y(gain: float) -> float:
        return _TOP + HEIGHT * (high - gain) / ((high - low) or 1.0)

    def x(tokens: float) -> float:
        return 10 + (PANEL - 30) * float(np.log(min(max(tokens * 2 / nearest, 1.0), most)) / np.log(most))

    marks = ['<rect width="100%" height="100%" fill="#fff"/>', '<text x="6" y="16">gain, nats</text>']
    marks += [
        f'<text x="6" y="{y(gain) + 4:.1f}">{gain:.3f}</text>'
        f'<path d="M{_LEFT - 14} {y(gain):.1f}H{_LEFT + PANEL * len(rows) - 20}" stroke="#ddd"/>'
        for gain in (*np.linspace(0, high, 4).tolist(), *([low] if low < -high / 15 else []))  # labels do not overlap
    ]
    bottom = _TOP + HEIGHT
    for index, row in enumerate(rows):
        panel = [f'<text x="0" y="16">{row["parameters"]:,} parameters, batches of {row["batch_tokens"]:,}</text>']
        if row["half_life"] is not None:
            panel.append(f'<text x="0" y="32" fill="#2166ac">half-life {row["half_life"]:,.0f} tokens</text>')
            ends = [x(row[end] if row[end] is not None else edge) for end, edge in (("low", 0.0), ("high", farthest))]
            band = f'x="{ends[0]:.1f}" width="{ends[1] - ends[0]:.1f}"'
            panel.append(f'<rect {band} y="{_TOP}" height="{HEIGHT}" fill="#2166ac" opacity="0.15"/>')
            seen = np.append(0, np.geomspace(nearest / 2, row["distances"][-1], 60))
            fitted = row["gain"] * 2 ** (-seen / row["half_life"])
            points = " ".join(f"{x(at):.1f},{y(gain):.1f}" for at, gain in zip(seen.tolist(), fitted.tolist(), strict=True))
            panel.append(f'<polyline points="{points}" fill="none" stroke="#2166ac"/>')
        for at, gain, least, highest in zip(*(row[name] for name in _POINTS), strict=True):
            panel.append(f'<path d="M{x(at):.1f} {y(least):.1f}V{y(highest):.1f}" stroke="#777"/>')
            panel.append(f'<circle cx="{x(at):.1f}" cy="{y(gain):.1f}" r="3" fill="#d95f02"/>')
        for tokens in (0.0, row["distances"][1], row["half_life"], row["distances"][-1]):
            if tokens is not None:
                panel.append(f'<path d="M{x(tokens):.1f} {bottom}v4" stroke="#000"/>')
        panel.append(f'<text x="{x(0):.1f}" y="{bottom + 18}" text-anchor="middle">0</text>')
        last = row["distances"][-1]
        panel.append(f'<text x="{x(last):.1f}" y="{bottom + 18}" text-anchor="end">{last:,.0f} tokens since the block</text>')
        marks.append(f'<g transform="translate({_LEFT + PANEL * index},0)">' + "\n".join(panel) + "</g>")
    size = f'width="{_LEFT + PANEL * len(rows)}" height="{bottom + 30}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">\n'
        + "\n".join(marks)
        + "\n</svg>\n"
    )


_POINTS: Final = ("distances", "gains", "gains_low", "gains_high")
