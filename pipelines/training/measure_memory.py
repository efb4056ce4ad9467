"""`tamis proxy-memory`: measures how long small models remember a block of the best documents.

The best documents are set aside: a tenth of them is held out, the others are cut into blocks. A model
trains on all other documents, shuffled, at a constant rate. At each of some positions a copy of it
reads a block instead of what comes there, and then goes on as the model does. How much lower the loss
of the copy is on the held-out documents, by tokens since the block, is how the block is forgotten.
Each seed draws weights, shuffle, held-out documents and blocks. What a seed has measured is saved under
a digest of its inputs: the same command resumes where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tamis.pipelines.training.plot_memory import draw
from tamis.pipelines.training.rank_runs import ProxyTraining, torch_parts
from tamis.pipelines.training.tokenized_corpus import TokenizedCorpus, make_batches, read_corpus
from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.feed.packing import PackedBatch
from tamis.transforms.feed.text_to_ids import load_tokenizer
from tamis.transforms.proxy import forgetting

if TYPE_CHECKING:
    from tamis.transforms.proxy.model import Shape

VERSION: Final = 1
"""Raise it when the same inputs would give other losses: what was measured is then not used."""

WARMUP: Final = 0.02
FIRST: Final = 0.2
"""Where the first block begins, as a share of the run. The others follow at equal ratios."""
HELD_OUT: Final = 1 << 14
"""Tokens that are held out, at most: the same ones with a block and without, so few are enough."""
EVALUATED: Final = 64
"""Sequences that are evaluated at once."""
DISTANCES: Final = 12
"""Distances from the end of a block at which losses are compared: 0, and others at equal ratios."""


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


class Plan(NamedTuple):
    """One seed's run of a setting. Each of `starts` is a step, at which a copy reads one of `blocks`;
    `distances` are steps since its end."""

    run: list[PackedBatch]
    blocks: list[list[PackedBatch]]
    held_out: list[PackedBatch]
    starts: list[int]
    distances: list[int]


def measure(
    run: str, experiment: Experiment, options: ProxyTraining, output: str, log: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Measures each setting with each seed; updates measured.json and memory.svg in `output` after each.
    Width, layers and batch size of `options` are those of the settings. Raises RunError if the run is too
    small or has no quality, ImportError without torch."""
    corpus = read_corpus(run, load_tokenizer(options.tokenizer))
    settings = [
        options.model_copy(update={"width": width, "layers": layers, "batch_size": batch})
        for width, layers, batch in experiment.settings
    ]
    measured: list[list[dict[str, Any]]] = [[] for _ in settings]
    result: dict[str, Any] = {}
    for seed in range(options.seeds):
        for setting, seeds in zip(settings, measured, strict=True):
            plan = plan_run(run, corpus, experiment, setting, seed)
            shape = torch_parts(setting)[-1]
            uri = storage.join(output, "measured", f"{_digest(shape, seed, options.learning_rates[0], plan)}.json")
            if not storage.exists(uri):
                one = watch(shape, seed, options.learning_rates[0], plan, options.device)
                storage.write_bytes(uri, json.dumps(one).encode())
            seeds.append(storage.read_json(uri))
            log(f"{setting.width}x{setting.layers}, batch size {setting.batch_size}, seed {seed}: {seeds[-1]['loss'][-1]:.5f}")
            result = summarise(run, experiment, settings, measured)
            storage.write_bytes(storage.join(output, "measured.json"), (json.dumps(result, indent=1) + "\n").encode())
            storage.write_bytes(storage.join(output, "memory.svg"), draw(result).encode())
    return result


def plan_run(run: str, corpus: TokenizedCorpus, experiment: Experiment, options: ProxyTraining, seed: int) -> Plan:
    """What a seed reads, and when. Raises RunError if there is too little of it."""
    from tamis.transforms.text.hashing import mix

    quality, lengths = corpus.quality, corpus.lengths
    if np.isnan(quality).all() or np.nanmin(quality) == np.nanmax(quality):
        raise RunError(f"{run}: the documents have no quality, or all the same one, so no block of them is the best")
    chance = mix(corpus.tie_break, seed)
    through = _tokens_through(np.lexsort((corpus.tie_break, np.nan_to_num(quality, nan=-np.inf))), lengths)
    best = through > (1 - experiment.share) * lengths.sum()
    shuffled = np.argsort(chance, kind="stable")
    good, others = shuffled[best[shuffled]], shuffled[~best[shuffled]]
    last = np.searchsorted(np.cumsum(lengths[good]), min(HELD_OUT, lengths[good].sum() // 10), side="right")
    sizes = options.sequence_length, options.batch_size
    held_out = make_batches(corpus, good[:last], options.sequence_length, EVALUATED)
    batches = [batch for batch in make_batches(corpus, good[last:], *sizes) if len(batch.tokens) == options.batch_size]
    step_tokens = options.batch_size * options.sequence_length
    tokens = int(lengths[others].sum())
    steps = min(options.tokens or tokens, tokens) // step_tokens
    block, horizon = len(batches) // experiment.positions, int(experiment.horizon * steps)
    first, end = FIRST * steps, steps - block - horizon
    if not held_out or block < 1 or horizon < 6 or end < first:
        raise RunError(
            f"{run} is too small for batches of {options.batch_size}: {steps} steps, of which {horizon} are watched after each "
            f"of {experiment.positions} blocks of {block}. It needs 6 to watch, a block of 1, and {FIRST:.0%} of the run "
            "before the first: take a smaller --batch-size, fewer --positions or another --horizon"
        )
    return Plan(
        make_batches(corpus, others, *sizes)[:steps],
        [batches[block * index : block * (index + 1)] for index in range(experiment.positions)],
        held_out,
        np.round(np.geomspace(first, end, experiment.positions)).astype(int).tolist(),
        [0, *np.unique(np.round(np.geomspace(1, horizon, DISTANCES - 1)).astype(int)).tolist()],
    )


def watch(shape: Shape, seed: int, rate: float, plan: Plan, device: str) -> dict[str, Any]:
    """Trains the model of a seed, and a copy of it at each position. `loss`: of the model where each
    block begins; `gain`: how much lower the loss of the copy is, a row for each position."""
    from tamis.transforms.proxy.train import Training, evaluate

    rates = (rate * np.minimum(1, (np.arange(len(plan.run)) + 1) / (WARMUP * len(plan.run)))).tolist()
    blocks = dict(zip(plan.starts, plan.blocks, strict=True))
    spans = {start: start + len(block) for start, block in blocks.items()}
    watched = {end + distance for end in spans.values() for distance in plan.distances}
    model = Training(shape, seed, device)
    copies: dict[int, Training] = {}
    losses: dict[int, float] = {}
    gains: dict[int, list[float]] = {start: [] for start in plan.starts}
    start_losses = []
    for step in range(max(watched) + 1):
        if step in blocks:
            start_losses.append(evaluate(model.model, plan.held_out, device))
            copies[step] = deepcopy(model)
        if step in watched:
            losses[step] = evaluate(model.model, plan.held_out, device)
        for start, copy in list(copies.items()):
            if step - spans[start] in plan.distances:
                gains[start].append(losses[step] - evaluate(copy.model, plan.held_out, device))
            if step == spans[start] + plan.distances[-1]:
                del copies[start]
        if step == max(watched):
            break
        model.step(plan.run[step], rates[step])
        for start, copy in copies.items():
            inside = step < spans[start]
            copy.step(blocks[start][step - start] if inside else plan.run[step], rates[step])
    return {
        "parameters": sum(parameter.numel() for parameter in model.model.parameters()),
        "loss": start_losses,
        "gain": list(gains.values()),
        "unigram_entropy": _entropy(plan.held_out),
        "step_tokens": plan.run[0].tokens.size,
        "steps": len(plan.run),
        "starts": plan.starts,
        "block": len(plan.blocks[0]),
        "distances": plan.distances,
    }


def summarise(
    run: str, experiment: Experiment, settings: Sequence[ProxyTraining], measured: Sequence[Sequence[dict[str, Any]]]
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


def _warnings(row: dict[str, Any], seeds: Sequence[dict[str, Any]]) -> Iterator[str]:
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
    elif row["half_life"] > distances[-1] / 2:
        yield f"[horizon] {model} was watched for less than two half-lives: raise --horizon."
    elif row["half_life"] < distances[1]:
        yield f"[short] {model} forgets half within one step: measure it with a smaller --batch-size."


def _tokens_through(order: Ints, tokens: Ints) -> Floats:
    """Tokens up to and including each document, in that order."""
    through = np.empty(len(order))
    through[order] = np.cumsum(tokens[order])
    return through


def _entropy(batches: list[PackedBatch]) -> float:
    from tamis.transforms.proxy.train import unigram_entropy

    return unigram_entropy(batches)


def _digest(shape: Shape, seed: int, rate: float, plan: Plan) -> str:
    """A digest of everything that decides what a seed measures, except the machine."""
    data = hashlib.blake2b(digest_size=16)
    for batch in (*plan.run, *(batch for block in plan.blocks for batch in block), *plan.held_out):
        for values in (batch.tokens, batch.segments, batch.positions):
            data.update(str(values.shape).encode() + values.tobytes())
    return fingerprint([VERSION, shape.model_dump(), seed, rate, plan.starts, plan.distances, data.hexdigest()])


def _number(value: float) -> float | None:
    """JSON knows no infinity, and no NaN."""
    return value if np.isfinite(value) else None


def _tokens(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"
