"""`tamis budget`: how much data to keep and how often to repeat it for a token budget."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from tamis.pipelines.recipe.yaml_file import Problem, RecipeError, RecipeFile
from tamis.transforms.core.options import UNITS
from tamis.transforms.select.upsampling.repetition_law import Buckets, CutDepth, LossCurve, cut_depths, fit_buckets

COLUMNS = ("bucket", "epoch_tokens", "tokens", "loss")


class SelectAdvice(BaseModel):
    """The `select` section of a recipe that makes the best cut."""

    top: float
    tokens: int
    max_epochs: int


class Advice(BaseModel):
    """The cuts for a token budget. `fit_error`: of the buckets, if they were fitted."""

    tokens: int
    buckets: Buckets
    fit_error: float | None
    cuts: list[CutDepth]
    best: CutDepth
    select: SelectAdvice


def read_buckets(file: str, floor: float) -> tuple[Buckets, float | None]:
    """The buckets in a YAML file; or fitted to a CSV file of `COLUMNS`, with the error of the fit.
    Raises RecipeError naming line and field, FileNotFoundError, ValueError for too few points."""
    if file.endswith(".csv"):
        return fit_buckets(read_points(file), floor)
    source = RecipeFile(file, Path(file).read_text("utf-8"))
    return source.check(Buckets, lambda fields, _: Buckets.model_validate(fields)), None


def read_points(file: str) -> dict[str, LossCurve]:
    """The points in a CSV file by bucket; each line is one evaluation of a training run. Raises
    RecipeError naming the line of a value that is not a number, or of a second epoch size."""
    import numpy as np

    epochs: dict[str, int] = {}
    points: dict[str, list[tuple[float, float]]] = {}
    with open(file, encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise RecipeError(Problem(f"{file}:1", missing[0], f"no such column; there must be {', '.join(COLUMNS)}"))
        for row in rows:
            place, name = f"{file}:{rows.line_num}", row["bucket"]
            tokens, loss, epoch = (_number(row, column, place) for column in ("tokens", "loss", "epoch_tokens"))
            if epochs.setdefault(name, round(epoch)) != round(epoch):
                message = f"bucket '{name}' had epochs of {epochs[name]:,} tokens before; give other data another bucket"
                raise RecipeError(Problem(place, "epoch_tokens", message))
            points.setdefault(name, []).append((tokens, loss))
    return {name: LossCurve(epochs[name], *np.array(sorted(curve)).T) for name, curve in points.items()}


def parse_tokens(text: str) -> int:
    """A number of tokens, written as `options.Count` is. Raises ValueError for any other text."""
    tokens = UNITS.parse(text)
    if isinstance(tokens, str) or tokens < 1:
        raise ValueError(f"'{text}' is not a number of tokens, such as 12800000, 12.8M or 100B")
    return round(tokens)


def advise(buckets: Buckets, fit_error: float | None, tokens: int) -> Advice:
    """The loss of each cut after training on `tokens`, and the recipe section for the best one."""
    cuts = cut_depths(buckets, tokens)
    best = min(cuts, key=lambda cut: cut.loss)
    select = SelectAdvice(top=round(best.share, 6), tokens=tokens, max_epochs=max(1, math.ceil(best.epochs)))
    return Advice(tokens=tokens, buckets=buckets, fit_error=fit_error, cuts=cuts, best=best, select=select)


def lines(advice: Advice) -> Iterator[str]:
    """The advice for a person."""
    if advice.fit_error is not None:
        yield f"fitted: a = {advice.buckets.scale:.4g}, root mean square error of log loss {advice.fit_error:.2g}"
        for bucket in advice.buckets.buckets:
            yield f"  {bucket.name:<20} b = {bucket.utility:.4f}, half-life {bucket.half_life:.2f} epochs"
    yield f"{advice.tokens:,} tokens of training:"
    yield f"  {'down to':<20} {'of the data':>12} {'tokens':>16} {'epochs':>8} {'loss':>9}"
    for cut in advice.cuts:
        mark = "  best" if cut == advice.best else ""
        yield f"  {cut.buckets[-1]:<20} {cut.share:>12.1%} {cut.tokens:>16,} {cut.epochs:>8.2f} {cut.loss:>9.5f}{mark}"
    fields = ", ".join(f"{name}: {value}" for name, value in advice.select)
    yield f"in the recipe:  select: {{{fields}}}"


def _number(row: dict[str, str], column: str, place: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value < math.inf:
        raise RecipeError(Problem(place, column, f"'{row[column]}' is not a number above 0"))
    return value
