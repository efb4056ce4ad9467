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
from collections.abc import Callable, Container
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tamis.pipelines.proxy_memory.memory_result import Experiment, Seed, summarise
from tamis.pipelines.proxy_memory.plot_memory import draw
from tamis.pipelines.training.rank_runs import ProxyTraining, torch_parts
from tamis.pipelines.training.tokenized_corpus import TokenizedCorpus, make_batches, read_corpus
from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.feed.packing import PackedBatch
from tamis.transforms.feed.text_to_ids import load_tokenizer

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
    measured: list[list[Seed]] = [[] for _ in settings]
    result: dict[str, Any] = {}
    for seed in range(options.seeds):
        for setting, seeds in zip(settings, measured, strict=True):
            plan = plan_run(run, corpus, experiment, setting, seed)
            shape = torch_parts(setting)[-1]
            uri = storage.join(output, "measured", f"{_digest(shape, seed, options.learning_rates[0], plan)}.json")
            if not storage.exists(uri):
                watched = watch(shape, seed, options.learning_rates[0], plan, options.device)
                storage.write_bytes(uri, json.dumps(watched).encode())
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
    if not held_out or block < 1 or horizon < 6 or end < first + experiment.positions:
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


def watch(shape: Shape, seed: int, rate: float, plan: Plan, device: str) -> Seed:
    """Trains the model of a seed, and a copy of it at each position."""
    from tamis.transforms.proxy.train import Training, evaluate, unigram_entropy

    steps, horizon = len(plan.run), plan.distances[-1]
    rates = (rate * np.minimum(1, (np.arange(steps) + 1) / (WARMUP * steps))).tolist()
    blocks = dict(zip(plan.starts, plan.blocks, strict=True))
    ends = {start: start + len(block) for start, block in blocks.items()}
    watched = {end + distance for end in ends.values() for distance in plan.distances}

    def follow(training: Training, batches: list[PackedBatch], first: int, at: Container[int]) -> dict[int, float]:
        """The held-out losses before the steps `at`, of a training that goes on with these batches."""
        losses = {}
        for step, batch in enumerate(batches, first):
            if step in at:
                losses[step] = evaluate(training.model, plan.held_out, device)
            training.step(batch, rates[step])
        return losses | {first + len(batches): evaluate(training.model, plan.held_out, device)}

    model = Training(shape, seed, device)
    alone: dict[int, float] = {}
    before, copies = [], []
    here = 0
    for start, end in ends.items():
        alone |= follow(model, plan.run[here:start], here, watched)
        here = start
        before.append(alone[start])
        copies.append(follow(deepcopy(model), blocks[start] + plan.run[end : end + horizon], start, watched))
    alone |= follow(model, plan.run[here:], here, watched)
    return {
        "parameters": sum(parameter.numel() for parameter in model.model.parameters()),
        "loss": before,
        "gain": [
            [alone[end + distance] - copy[end + distance] for distance in plan.distances]
            for end, copy in zip(ends.values(), copies, strict=True)
        ],
        "unigram_entropy": unigram_entropy(plan.held_out),
        "step_tokens": plan.run[0].tokens.size,
        "steps": steps,
        "starts": plan.starts,
        "block": len(plan.blocks[0]),
        "distances": plan.distances,
    }


def _tokens_through(order: Ints, tokens: Ints) -> Floats:
    """Tokens up to and including each document, in that order."""
    through = np.empty(len(order))
    through[order] = np.cumsum(tokens[order])
    return through


def _digest(shape: Shape, seed: int, rate: float, plan: Plan) -> str:
    """A digest of everything that decides what a seed measures, except the machine."""
    data = hashlib.blake2b(digest_size=16)
    for batch in (*plan.run, *(batch for block in plan.blocks for batch in block), *plan.held_out):
        for values in (batch.tokens, batch.segments, batch.positions):
            data.update(str(values.shape).encode() + values.tobytes())
    return fingerprint([VERSION, shape.model_dump(), seed, rate, plan.starts, plan.distances, data.hexdigest()])
