"""`tamis budget`: how deep to cut and how often to repeat, for the tokens that training will see."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tamis.pipelines.recipe.yaml_file import Problem, RecipeError, RecipeFile
from tamis.transforms.select.repetition_law import Buckets, CutDepth, LossCurve, cut_depths, fit_buckets

COLUMNS = ("bucket", "epoch_tokens", "tokens", "loss")


def buckets_of(file: str, floor: float) -> tuple[Buckets, float | None]:
    """The buckets of a YAML file; or fitted to a CSV file of `COLUMNS`, an evaluation of a training run a line, with the error
    of the fit. Raises RecipeError naming line and field, FileNotFoundError, and ValueError where the points cannot tell."""
    if file.endswith(".csv"):
        return fit_buckets(points_of(file), floor)
    written = RecipeFile(file, Path(file).read_text("utf-8"))
    try:
        return Buckets.model_validate(written.data), None
    except ValidationError as error:
        raise RecipeError(*written.problems(error, Buckets)) from None


def points_of(file: str) -> dict[str, LossCurve]:
    """The points of a CSV file by bucket. Raises RecipeError naming the line of what is no number, or of another epoch."""
    import numpy as np

    size: dict[str, int] = {}
    seen: dict[str, list[tuple[float, float]]] = {}
    with open(file, encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise RecipeError(Problem(f"{file}:1", missing[0], f"no such column; there must be {', '.join(COLUMNS)}"))
        for row in rows:
            place, name = f"{file}:{rows.line_num}", row["bucket"]
            tokens, loss, epoch = (_number(row, column, place) for column in ("tokens", "loss", "epoch_tokens"))
            if size.setdefault(name, round(epoch)) != round(epoch):
                said = f"bucket '{name}' had epochs of {size[name]:,} tokens before; name another bucket for other data"
                raise RecipeError(Problem(place, "epoch_tokens", said))
            seen.setdefault(name, []).append((tokens, loss))
    return {name: LossCurve(size[name], *np.array(sorted(of)).T) for name, of in seen.items()}


def number_of_tokens(text: str) -> int:
    """A number of tokens as people write it: 12800000, 12_800_000, 12.8e6, 12.8M, 100B, 1.5T. Raises ValueError otherwise."""
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in _UNITS else (text, "")
    try:
        found = float(digits) * _UNITS[unit]
    except ValueError:
        found = math.nan
    if not 1 <= found < math.inf:
        raise ValueError(f"'{text}' is no number of tokens, such as 12800000, 12.8M or 100B")
    return round(found)


_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def advice(pools: Buckets, error: float | None, tokens: int) -> dict[str, Any]:
    """What each cut comes to, which is best, and the part of a recipe that makes it."""
    found = cut_depths(pools, tokens)
    best = min(found, key=lambda cut: cut.loss)
    return {
        "tokens": tokens,
        "buckets": pools.model_dump(mode="json"),
        "fit_error": error,
        "cut_depths": [_told(cut) for cut in found],
        "best": _told(best),
        "select": {"top": round(best.share, 6), "tokens": tokens, "max_epochs": max(1, math.ceil(best.epochs))},
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The advice in words."""
    if found["fit_error"] is not None:
        yield f"fitted: a = {found['buckets']['scale']:.4g}, root mean square error of log loss {found['fit_error']:.2g}"
        for law in found["buckets"]["buckets"]:
            yield f"  {law['name']:<20} b = {law['utility']:.4f}, half-life {law['half_life']:.2f} epochs"
    yield f"{found['tokens']:,} tokens of training:"
    yield f"  {'down to':<20} {'of the data':>12} {'tokens':>16} {'epochs':>8} {'loss':>9}"
    for cut in found["cut_depths"]:
        mark = "  best" if cut == found["best"] else ""
        size = f"{cut['share']:>12.1%} {cut['tokens']:>16,} {cut['epochs']:>8.2f} {cut['loss']:>9.5f}"
        yield f"  {cut['buckets'][-1]:<20} {size}{mark}"
    chosen = ", ".join(f"{name}: {value}" for name, value in found["select"].items())
    yield f"in the recipe:  select: {{{chosen}}}"


def _told(cut: CutDepth) -> dict[str, Any]:
    return {name: getattr(cut, name) for name in ("buckets", "tokens", "share", "epochs", "loss")}


def _number(row: dict[str, str], column: str, place: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value < math.inf:
        raise RecipeError(Problem(place, column, f"'{row[column]}' is no number above 0"))
    return value
