"""`tamis proxy`: ranks finished runs by small models trained on them, and tells how far the ranking can be trusted.

The protocol is that of arXiv 2512.24503: a learning rate far below the usual, equal tokens, one epoch, several seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import Options
from tamis.transforms.feed.dataset import CurriculumDataset
from tamis.transforms.proxy import agreement

CUT = 0.95
"""A run of which less than this share is read is warned of: in another order than uniform, its beginning is not like it."""


class ProxyTraining(Options):
    """How proxies are trained. Learning rates are named for a model of width 768 and scaled to that of the proxy.

    `threads` are those of a CPU, 0 as many as torch likes.
    """

    learning_rates: tuple[float, ...] = (agreement.TINY,)
    seeds: int = 3
    tokens: int = 0
    tokenizer: str = "bytes"
    sequence_length: int = 256
    batch_size: int = 16
    width: int = 128
    layers: int = 4
    heads: int = 4
    device: str = "cpu"
    threads: int = 0


def rank_runs(
    runs: Sequence[str],
    validation: str,
    wanted: ProxyTraining,
    target: str = "",
    told: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Trains a model for each run, learning rate and seed, on as many tokens each (`tokens`, 0: all of the shortest run).

    `target` is a JSON file of the loss of each run, by its name as given here, from trainings that count; with several
    learning rates and no target, the target is each run at its own best of them. Raises RunError for runs without those
    tokens, FileNotFoundError for one that is not finished, ImportError without torch.
    """
    train, evaluate, _, shape = torch_parts(wanted)
    if len(set(runs)) < len(runs) or len(runs) < 2:
        raise RunError("two or more different runs are compared")
    sets = [_dataset(run, wanted) for run in runs]
    held_out = _dataset(validation, wanted)
    if held_out.corpus.root in {one.corpus.root for one in sets}:
        raise RunError(f"{validation}: validated on what is trained on")
    whole = [max(one.steps - 1, 1) for one in sets]  # the last step may be padded
    steps = wanted.tokens // (wanted.batch_size * wanted.sequence_length) if wanted.tokens else min(whole)
    if steps < 1:
        raise RunError(f"{wanted.tokens:,} tokens are no step of {wanted.batch_size * wanted.sequence_length:,}")
    for run, has in zip(runs, whole, strict=True):
        if has < steps:
            raise RunError(
                f"{run} has {has:,} whole steps, {steps:,} are wanted: runs are compared at equal tokens, in one epoch"
            )
    losses = np.zeros((len(wanted.learning_rates), len(runs), wanted.seeds))
    for row, rate in enumerate(wanted.learning_rates):
        for column, (run, data) in enumerate(zip(runs, sets, strict=True)):
            for seed in range(wanted.seeds):
                model = train(shape, seed, data, [rate] * steps, device=wanted.device).model
                losses[row, column, seed] = loss = evaluate(model, held_out, wanted.device)
                told(f"learning rate {rate:g}, seed {seed}: {loss:.5f}  {run}")
    notes = [note for rate in wanted.learning_rates for note in agreement.warnings(rate, agreement.WIDTH, wanted.seeds)]
    notes += [
        f"[cut] Of {run} the first {steps / has:.0%} were read: that stands for it only if its order is uniform."
        for run, has in zip(runs, whole, strict=True)
        if steps < CUT * has
    ]
    means = losses.mean(2)
    against = _target(target, runs) if target else means.min(0)
    return {
        "validation": validation,
        "options": wanted.model_dump(mode="json"),
        "tokens": steps * wanted.batch_size * wanted.sequence_length,
        "rates": [_told(rate, runs, losses[row]) for row, rate in enumerate(wanted.learning_rates)],
        "target": target or ("the best learning rate of each run" if len(means) > 1 else None),
        "agreement": [
            {"learning_rate": rate, **_agreement(means[row], against)} for row, rate in enumerate(wanted.learning_rates)
        ]
        if target or len(means) > 1
        else [],
        "warnings": list(dict.fromkeys(notes)),
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The report in words."""
    yield f"{found['tokens']:,} tokens a run, validation loss in nats a token on {found['validation']}"
    for of in found["rates"]:
        yield f"learning rate {of['learning_rate']:g} (at width {agreement.WIDTH}):"
        for row in sorted(of["runs"], key=lambda row: row["loss"]):
            bounds = "" if row["low"] is None else f"  [{row['low']:.5f}, {row['high']:.5f}]"
            yield f"  {row['loss']:9.5f}{bounds}  {row['run']}"
        apart = sum(pair["told_apart"] for pair in of["pairs"])
        yield f"  {apart} of {len(of['pairs'])} pairs are told apart, seed by seed (95 %)"
    if found["agreement"]:
        yield f"against {found['target']}:"
    for of in found["agreement"]:
        regret = ", ".join(f"top {k} {value:.5f}" for k, value in of["regret"].items())
        rank = "undefined" if of["spearman"] is None else f"{of['spearman']:.3f}"
        yield f"  {of['learning_rate']:g}: pairs agree {of['pairs']:.1%}, Spearman {rank}, regret {regret}"


def torch_parts(wanted: ProxyTraining) -> tuple[Any, Any, Any, Any]:
    """`train`, `evaluate`, `averaged` and the shape of the model. Raises ImportError without torch, RunError for no shape."""
    try:
        import torch
    except ModuleNotFoundError:
        raise ImportError("proxies need the package torch: pip install 'tamis[torch]'") from None
    from tamis.transforms.feed.encode import load_tokenizer
    from tamis.transforms.proxy.model import Shape
    from tamis.transforms.proxy.train import averaged, evaluate, train

    if wanted.threads:
        torch.set_num_threads(wanted.threads)
    vocabulary = load_tokenizer(wanted.tokenizer).vocabulary
    if vocabulary is None:
        raise RunError(f"the tokenizer {wanted.tokenizer} does not tell how many ids it has")
    try:
        shape = Shape(vocabulary=vocabulary, width=wanted.width, layers=wanted.layers, heads=wanted.heads)
    except ValueError as error:
        raise RunError(str(error)) from None
    return train, evaluate, averaged, shape


def _dataset(run: str, wanted: ProxyTraining) -> CurriculumDataset:
    return CurriculumDataset(run, wanted.tokenizer, wanted.sequence_length, wanted.batch_size)


def _target(file: str, runs: Sequence[str]) -> agreement.Floats:
    try:
        told = json.loads(storage.read_bytes(file))
        return np.array([float(told[run]) for run in runs])
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(f"{file}: a JSON object of the loss of each run is wanted ({error})") from None


def _told(rate: float, runs: Sequence[str], losses: agreement.Floats) -> dict[str, Any]:
    rows = []
    for run, values in zip(runs, losses, strict=True):
        mean, low, high = agreement.interval(values)
        bounds = {"low": low, "high": high} if len(values) > 1 else {"low": None, "high": None}
        rows.append({"run": run, "loss": mean, **bounds, "seeds": values.tolist()})
    pairs = [
        {"runs": [runs[i], runs[j]], "difference": of.mean, "told_apart": not of.low <= 0 <= of.high}
        for i, j, of in agreement.differences(losses)
    ]
    return {"learning_rate": rate, "runs": rows, "pairs": pairs}


def _agreement(proxy: agreement.Floats, target: agreement.Floats) -> dict[str, Any]:
    rank = agreement.spearman(proxy, target)
    best = sorted({1, min(3, len(proxy)), min(5, len(proxy))})
    return {
        "pairs": agreement.pairwise_agreement(proxy, target),
        "spearman": None if np.isnan(rank) else rank,
        "regret": {k: agreement.top_k_regret(proxy, target, k) for k in best},
    }
