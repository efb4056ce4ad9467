"""Aggregates a score over bins of documents and gives sampling weights, for `tamis rate bins`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tamis.pipelines.quality.value_table import numbers_of, read_values
from tamis.transforms.assess.bin_effects import BinEffects, bin_effects, contrast
from tamis.transforms.core.errors import RunError
from tamis.transforms.select.bins import labels


@dataclass(frozen=True)
class ScoreBins:
    """The effects of bins, and the sampling weight of each."""

    effects: BinEffects
    weights: list[float]
    by: tuple[str, ...]

    def rows(self) -> list[dict[str, object]]:
        """A row for each bin, by name."""
        found = self.effects
        columns = (found.names, found.documents, found.tokens, found.mean, found.se, found.shrunk, self.weights)
        names = ("bin", "documents", "tokens", "mean", "se", "shrunk", "weight")
        return [
            {name: value.item() if isinstance(value, np.generic) else value for name, value in zip(names, row, strict=True)}
            for row in zip(*columns, strict=True)
        ]


def score_bins(
    sources: Sequence[str], score: str, by: Sequence[str], against: str, tokens: str, strength: float, decision: str
) -> ScoreBins:
    """The effects of `score`, or its contrast with `against`, on bins by the columns `by`. `tokens`: the column that
    weighs documents; "" for the tokens of a release, and 1 for files. Raises RunError if too few have a score."""
    one_run = len(sources) == 1 and not tokens
    try:
        size = tokens or "tokens"
        table = read_values(sources, [score, *([against] if against else []), size], by, decision)
        weight = numbers_of(table, size)
    except RunError:
        if not one_run and tokens:
            raise
        table = read_values(sources, [score, *([against] if against else [])], by, decision)
        weight = np.ones(table.num_rows)
    values = numbers_of(table, score)
    try:
        if against:
            values = contrast(values, numbers_of(table, against))
        names = labels([table[name].combine_chunks() for name in by])
        bins = np.array(names.to_pylist(), object)
        effects = bin_effects(values, bins, np.nan_to_num(weight))
    except ValueError as error:
        raise RunError(f"'{score}': {error}") from None
    return ScoreBins(effects, effects.weights(strength).tolist(), tuple(by))


def lines(found: ScoreBins, strength: float) -> Iterator[str]:
    """What a person reads, and the part of a recipe."""
    yield f"{'bin':<40} {'documents':>10} {'mean':>10} {'se':>9} {'shrunk':>10} {'weight':>8}"
    rows = sorted(found.rows(), key=lambda row: (-float(str(row["shrunk"])), str(row["bin"])))
    for row in rows:
        name, documents, *numbers = (row[key] for key in ("bin", "documents", "mean", "se", "shrunk", "weight"))
        mean, se, shrunk, weight = (float(str(number)) for number in numbers)
        yield f"{name!s:<40} {documents:>10,} {mean:>10.4f} {se:>9.4f} {shrunk:>10.4f} {weight:>8.4f}"
    yield f"mean {found.effects.centre:.4f}; standard deviation between bins {found.effects.between:.4f}"
    yield "in a recipe, with tokens set to a budget:"
    yield f"select:  # strength {strength:g}"
    yield f"  bins: [{', '.join(found.by)}]"
    yield "  mixture:"
    yield "    weights:"
    for row in rows:
        yield f"      {_quoted(str(row['bin']))}: {float(str(row['weight'])):.5f}"


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
