"""What `tamis proxy-memory` has found: half-lives by setting, their laws, and why not to trust them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np

from tamis.pipelines.training.rank_runs import ProxyTraining
from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.options import Options
from tamis.transforms.proxy import forgetting


class Seed(TypedDict):
    """What a seed has measured of a setting. A step has `step_tokens`; a block begins at each of `starts`
    and has `block` steps. `loss`: of the model before each block. `gain`: how much lower the loss of the
    copy that read it is, a row for each position, at `distances` in steps since its end."""

    parameters: int
    loss: list[float]
    gain: list[list[float]]
    unigram_entropy: float
    step_tokens: int
    steps: int
    starts: list[int]
    block: int
    distances: list[int]


class Experiment(Options):
    """What is measured: every size (width, layers) with the first batch size, and the first size with the
    other ones. `share` of the tokens are the best; `horizon` is how long each block is watched, as a
    share of the run."""

    sizes: tuple[tuple[int, int], ...]
    batch_sizes: tuple[int, ...]
    share: float = 0.1
    positions: int = 4
    horizon: float = 0.12

    @property
    def settings(self) -> list[tuple[int, int, int]]:
        """(width, layers, batch size) of each model."""
        return [(*size, self.batch_sizes[0]) for size in self.sizes] + [(*self.sizes[0], size) for size in self.batch_sizes[1:]]


def summarise(
    run: str, experiment: Experiment, settings: Sequence[ProxyTraining], measured: Sequence[Sequence[Seed]]
) -> dict[str, Any]:
    """The half-lives of the settings that some seed has measured, their laws, and why not to trust them."""
    rows, logs, logs_within, draws = [], [], [], []
    warnings: list[str] = []
    for options, seeds in zip(settings, measured, strict=True):
        if not seeds:
            continue
        one = seeds[0]
        distances = np.array(one["distances"], np.float64) * one["step_tokens"]
        gains = np.array([seed["gain"] for seed in seeds])
        drawn = forgetting.resample(len(seeds), len(one["starts"]))
        curves = forgetting.mean_curves(gains, drawn)
        decay = forgetting.fit_decay(distances, curves)
        low, high = np.percentile(curves, (2.5, 97.5), axis=0)
        half_life = forgetting.percentiles(decay.half_life)
        ends = [(start + one["block"]) * one["step_tokens"] for start in one["starts"]]
        row = {
            "width": options.width,
            "layers": options.layers,
            "batch_size": options.batch_size,
            "parameters": one["parameters"],
            "batch_tokens": one["step_tokens"],
            "tokens": one["steps"] * one["step_tokens"],
            "seeds": len(seeds),
            "positions": ends,
            "half_life": _number(half_life.mean),
            "low": _number(half_life.low),
            "high": _number(half_life.high),
            "gain": _number(float(decay.gain[0])),
            "distances": distances.tolist(),
            "gains": curves[0].tolist(),
            "gains_low": low.tolist(),
            "gains_high": high.tolist(),
        }
        rows.append(row)
        logs.append(np.log(decay.half_life))
        logs_within.append(np.log(forgetting.fit_decay(distances, forgetting.position_curves(gains, drawn)).half_life))
        draws.append(drawn)
        warnings += _warnings(row, seeds)
    causes = np.log([[row["parameters"], row["batch_tokens"]] for row in rows])
    across = forgetting.slopes(np.stack(logs, axis=1), causes)
    positions = np.log([row["positions"] for row in rows])
    varied = (draws[0].positions > 0).sum(axis=1) > 1
    within = forgetting.slopes_within(np.stack(logs_within, axis=1)[varied], positions, draws[0].positions[varied])
    laws = {"parameters": across[:, 0], "batch_tokens": across[:, 1], "position": within}
    return {
        "run": run,
        "experiment": experiment.model_dump(mode="json"),
        "peak": settings[0].learning_rates[0],
        "settings": rows,
        "laws": {cause: _law(slopes) for cause, slopes in laws.items()},
        "warnings": warnings,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The half-lives as a table, and their laws as sentences."""
    yield "tokens in which a model forgets half of what a block of the best documents gained [95 % interval]"
    yield f"  {'parameters':>12} {'batch':>9} {'half-life':>11} {'[from':>10} {'to]':>9} {'steps':>7} {'gain, nats':>12}"
    for row in result["settings"]:
        half_life, low, high = (_tokens(row[name]) for name in ("half_life", "low", "high"))
        steps = "?" if row["half_life"] is None else f"{row['half_life'] / row['batch_tokens']:.1f}"
        gain = "none" if row["gain"] is None else f"{row['gain']:.4f}"
        sizes = f"{row['parameters']:>12,} {row['batch_tokens']:>9,}"
        yield f"  {sizes} {half_life:>11} {low:>10} {high:>9} {steps:>7} {gain:>12}"
    names = {"parameters": "the size of the model", "batch_tokens": "the batch", "position": "the tokens read before the block"}
    for cause, name in names.items():
        yield f"by {name}: {_sentence(result['laws'][cause])}"


def _sentence(law: dict[str, Any] | None) -> str:
    if law is None:
        return "not varied"
    if law["low"] is None:
        return "no trend can be told"
    bounds = f"exponent {law['slope']:+.2f} [{law['low']:+.2f}, {law['high']:+.2f}]"
    if law["low"] <= 0 <= law["high"]:
        return f"no trend can be told ({bounds})"
    return f"the half-life {'grows' if law['slope'] > 0 else 'shrinks'} ({bounds})"


def _law(slopes: Floats) -> dict[str, Any] | None:
    if not len(slopes) or np.isnan(slopes[0]):
        return None
    slope, low, high = forgetting.percentiles(slopes)
    return {"slope": slope, "low": _number(low), "high": _number(high)}


def _warnings(row: dict[str, Any], seeds: Sequence[Seed]) -> Iterator[str]:
    model = f"the model of {row['parameters']:,} parameters with batches of {row['batch_tokens']:,} tokens"
    loss = float(np.mean([seed["loss"][0] for seed in seeds]))
    entropy = float(np.mean([seed["unigram_entropy"] for seed in seeds]))
    if loss >= entropy:
        yield (
            f"[under-trained] Before the first block, {model} predicts the held-out text no better (loss {loss:.3f}) than "
            f"token frequencies alone ({entropy:.3f}): what it forgets is not what a trained model does. Train on more tokens."
        )
    if row["seeds"] < 2:
        yield f"[one-seed] {model} was trained with one seed: the interval does not cover the luck of another. Use three."
    distances = row["distances"]
    if row["half_life"] is None:
        yield f"[no-gain] In {model} no gain of the block decays: nothing was measured. Use more --seeds or a larger --share."
    elif row["low"] is None:
        yield f"[no-interval] In {model} some resamples show no gain, so the half-life may be anything: use more --seeds."
    elif row["half_life"] > distances[-1] / 2:
        yield f"[horizon] {model} was watched for less than two half-lives: raise --horizon."
    elif row["half_life"] < distances[1]:
        yield f"[short] {model} forgets half within one step: measure it with a smaller --batch-size."


def _number(value: float) -> float | None:
    """JSON knows no infinity, and no NaN."""
    return value if np.isfinite(value) else None


def _tokens(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"
